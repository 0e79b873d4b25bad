"""Actions and queries as DynamoDB takes them: checked first, then compiled to expressions with placeholders.

The checks are those of DynamoDB that need no item to be read; both tables make them, so a write that no retry can save
fails alike in a test and in production, before it is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shared.store.attributes import image_from_item, image_from_key, to_attribute
from shared.store.table import (
    MAX_ACTIONS,
    Absent,
    Action,
    AnyOf,
    AtLeast,
    AttributeAbsent,
    Check,
    Condition,
    Equals,
    Exists,
    Key,
    LessThan,
    Put,
    Update,
    Value,
)

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

MAX_EXPRESSION_BYTES = 4096
"""Length of an expression at most; beyond it the whole request is refused, and would be for ever."""

_ALWAYS_FIT = 90
"""Attributes and conditions of one action whose expressions need no measuring: none takes more than 44 bytes."""

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def check_key(key: Key) -> None:
    """Raise ValueError for a key that DynamoDB would refuse: an empty part, or one too long."""
    pk, sk = key
    if 0 < len(pk) <= 1024 and 0 < len(sk) <= 1024 and pk.isascii() and sk.isascii():
        return
    for name, text, limit in (("pk", key.pk, 2048), ("sk", key.sk, 1024)):
        if not 0 < len(text.encode()) <= limit:
            raise ValueError(f"{name} of {key} must have 1 to {limit} bytes")


def check_actions(actions: Sequence[Action]) -> None:
    """Raise ValueError unless the actions are well-formed: at most 100, on distinct keys, each saying something, not too much."""
    if len(actions) > MAX_ACTIONS:
        raise ValueError(f"{len(actions)} actions in one write; at most {MAX_ACTIONS}: split them")
    if len({action.key for action in actions}) != len(actions):
        raise ValueError("two actions of one write are on the same key; merge them")
    for action in actions:
        check_key(action.key)
        _check_conditions(action)
        match action:
            case Put():
                if any(
                    action.attributes.get(part, whole) != whole
                    for part, whole in action.key._asdict().items()
                ):
                    raise ValueError(f"attributes of {action.key} name another pk or sk")
            case Update():
                _check_update(action)
        if not _is_expressible(action):
            raise ValueError(f"an expression for {action.key} exceeds {MAX_EXPRESSION_BYTES} bytes; split it")


def fit_one_write(actions: Sequence[Action]) -> bool:
    """Whether one transaction takes so much: in number of actions, and in what each says of its item."""
    return len(actions) <= MAX_ACTIONS and all(map(_is_expressible, actions))


def _is_expressible(action: Action) -> bool:
    parts = len(action.conditions)
    if isinstance(action, Update):
        parts += len(action.set) + len(action.add) + len(action.append)
        parts += len(action.defaults) + len(action.remove)
    for condition in action.conditions:
        if isinstance(condition, AnyOf):
            parts += _leaves(condition)
    if parts <= _ALWAYS_FIT:
        return True
    request = parameters(action)
    texts = (request.get("UpdateExpression", ""), request.get("ConditionExpression", ""))
    return all(len(text) <= MAX_EXPRESSION_BYTES for text in texts)


def _leaves(condition: Condition) -> int:
    return sum(map(_leaves, condition.conditions)) if isinstance(condition, AnyOf) else 1


def _check_conditions(action: Action) -> None:
    if isinstance(action, Check) and not action.conditions:
        raise ValueError(f"check of {action.key} has no condition")
    for condition in action.conditions:
        _check_condition(action.key, condition)


def _check_condition(key: Key, condition: Condition) -> None:
    match condition:
        case AnyOf(()):
            raise ValueError(f"any of no conditions, on {key}, can never hold")
        case AnyOf(conditions):
            for inner in conditions:
                _check_condition(key, inner)
        case AtLeast(name, bound) | LessThan(name, bound):
            if isinstance(bound, bool) or not isinstance(bound, int | str):
                raise TypeError(
                    f"{name} of {key} is compared with {type(bound).__name__}; only int and str have an order"
                )


def _check_update(update: Update) -> None:
    names = [*update.set, *update.add, *update.append, *update.defaults, *update.remove]
    if not names:
        raise ValueError(f"update of {update.key} changes nothing; use Check")
    if len(set(names)) != len(names):
        raise ValueError(f"update of {update.key} names an attribute twice")
    if "pk" in names or "sk" in names:
        raise ValueError(f"update of {update.key} would change its key")
    for name, amount in update.add.items():
        if isinstance(amount, bool) or not isinstance(amount, int):
            raise TypeError(f"{name} of {update.key} would grow by {amount!r}; only an int can be added")


def check_range(pk: str, first: str, last: str | None, prefix: str, limit: int | None) -> None:
    """Raise ValueError for a query that DynamoDB would refuse."""
    if not pk:
        raise ValueError("query of an empty partition key")
    if prefix and (first or last is not None):
        raise ValueError("prefix excludes first and last")
    if limit is not None and limit < 0:
        raise ValueError(f"limit {limit} is negative")


def check_snapshot(keys: Sequence[Key]) -> None:
    """Raise ValueError unless one transaction can read the keys."""
    if len(keys) > MAX_ACTIONS:
        raise ValueError(f"{len(keys)} keys in one snapshot; at most {MAX_ACTIONS}")
    for key in keys:
        check_key(key)


class _Expression:
    """Collects the placeholders of one request while its expressions are written, which are as short as can be."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: dict[str, AttributeValueTypeDef] = {}

    def name(self, attribute: str) -> str:
        return self._names.setdefault(attribute, f"#{_base_36(len(self._names))}")

    def value(self, value: Value) -> str:
        placeholder = f":{_base_36(len(self._values))}"
        self._values[placeholder] = to_attribute(value)
        return placeholder

    def condition(self, condition: Condition) -> str:
        match condition:
            case Absent():
                return f"attribute_not_exists({self.name('pk')})"
            case Exists():
                return f"attribute_exists({self.name('pk')})"
            case AttributeAbsent(name):
                return f"attribute_not_exists({self.name(name)})"
            case Equals(name, value):
                return f"{self.name(name)} = {self.value(value)}"
            case AtLeast(name, bound):
                return f"{self.name(name)} >= {self.value(bound)}"
            case LessThan(name, bound):
                return f"{self.name(name)} < {self.value(bound)}"
            case AnyOf(conditions):
                parts = [self.condition(inner) for inner in conditions]
                return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"

    def update(self, update: Update) -> str:
        assignments = [f"{self.name(name)}={self.value(value)}" for name, value in update.set.items()]
        for name, value in update.defaults.items():
            assignments.append(f"{self.name(name)}=if_not_exists({self.name(name)},{self.value(value)})")
        for name, values in update.append.items():
            old = f"if_not_exists({self.name(name)},{self.value([])})"
            assignments.append(f"{self.name(name)}=list_append({old},{self.value(values)})")
        clauses = {
            "SET": assignments,
            "ADD": [f"{self.name(name)} {self.value(amount)}" for name, amount in update.add.items()],
            "REMOVE": [self.name(name) for name in update.remove],
        }
        return " ".join(f"{verb} {','.join(parts)}" for verb, parts in clauses.items() if parts)

    def placeholders(self) -> dict[str, Any]:
        request: dict[str, Any] = {}
        if self._names:
            request["ExpressionAttributeNames"] = {
                placeholder: name for name, placeholder in self._names.items()
            }
        if self._values:
            request["ExpressionAttributeValues"] = self._values
        return request


def _base_36(number: int) -> str:
    digits = _DIGITS[number % 36]
    return digits if number < 36 else _base_36(number // 36) + digits


def parameters(action: Action) -> dict[str, Any]:
    """Return what PutItem, UpdateItem, DeleteItem and the members of a transaction take alike."""
    expression = _Expression()
    request: dict[str, Any] = {}
    if isinstance(action, Put):
        request["Item"] = image_from_item({**action.attributes, **action.key._asdict()})
    else:
        request["Key"] = image_from_key(action.key)
    if isinstance(action, Update):
        request["UpdateExpression"] = expression.update(action)
    if action.conditions:
        request["ConditionExpression"] = " AND ".join(map(expression.condition, action.conditions))
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return request | expression.placeholders()


def query_request(index_prefix: str, pk: str, first: str, last: str | None, prefix: str) -> dict[str, Any]:
    """Return the key condition of a query; ``index_prefix`` stands before ``pk`` and ``sk`` in an index."""
    expression = _Expression()
    condition = f"{expression.name(index_prefix + 'pk')} = {expression.value(pk)}"
    sk = expression.name(index_prefix + "sk") if prefix or first or last is not None else ""
    if prefix:
        condition += f" AND begins_with({sk}, {expression.value(prefix)})"
    elif first and last is not None:
        condition += f" AND {sk} BETWEEN {expression.value(first)} AND {expression.value(last)}"
    elif first:
        condition += f" AND {sk} >= {expression.value(first)}"
    elif last is not None:
        condition += f" AND {sk} <= {expression.value(last)}"
    return {"KeyConditionExpression": condition} | expression.placeholders()
