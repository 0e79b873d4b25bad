"""The table port over DynamoDB: values to attributes, conditions to expressions, answers to the port's errors.

What each answer of DynamoDB means to the caller:

=====================================================  ==========================================================
a condition failed, also beside conflicts in one       ``WriteRefusedError``. A refusal is knowledge (the item as it
transaction                                            stands comes with it); to try the same again would be vain
``TransactionConflict``                                ``WriteConflictError``
throttled, or no connection could be made              ``ThrottledError``
no answer, or a 5xx                                    ``UnknownOutcomeError``; see below
``TransactionInProgress``                              ``UnknownOutcomeError``: an earlier attempt may yet succeed
the request itself is wrong, or an item too large      ``ValueError``: no retry can help
anything else (access denied, table missing)           ``TableError``
=====================================================  ==========================================================

**Lost answers.** A transaction carries a client token, under which DynamoDB applies it once within ten minutes, so
``write`` itself repeats a transaction whose answer was lost and reports ``UnknownOutcomeError`` only if it never gets
one. Single writes have no token. A lone ``Update`` that adds or appends would count twice when repeated by anyone
(a retrying client included), so it goes as a transaction of one, at twice the write units. Every other single write
is a plain call: repeated, it writes the same again, but **if it is conditional, the second attempt may be refused by
the first one's effect**; a caller that must tell these apart looks at ``Refusal.found``. Build the client with
``client_config()``, which leaves every retry to this module and to its callers. A new ``write`` call has a new token:
after ``UnknownOutcomeError`` the caller may write again only what its own conditions make safe to repeat.

botocore is imported when the first table is made, never with this module.
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from shared.store.table import (
    MAX_ACTIONS,
    Absent,
    Action,
    AnyOf,
    AtLeast,
    AttributeAbsent,
    Check,
    Condition,
    Delete,
    Equals,
    Exists,
    Item,
    Key,
    LessThan,
    Put,
    Refusal,
    TableError,
    ThrottledError,
    UnknownOutcomeError,
    Update,
    Value,
    WriteConflictError,
    WriteRefusedError,
)

if TYPE_CHECKING:
    from botocore.config import Config
    from botocore.exceptions import ClientError
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

BATCH_KEYS = 100
"""Keys that one BatchGetItem takes at most."""

_LARGEST_INTEGER = 10**38 - 1
_PAUSES_S = (0.02, 0.05, 0.1, 0.2, 0.4)
_THROTTLED = {
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingError",
    "ThrottlingException",
}


def to_attribute(value: Value) -> AttributeValueTypeDef:
    """Return ``value`` as a DynamoDB attribute.

    Raises
    ------
    TypeError
        The value, or one inside it, is none of the port's types; floats and decimals in particular.
    ValueError
        An integer of more than 38 digits, or text that is not valid Unicode.
    """
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, str):
        return {"S": _checked_text(value)}
    if isinstance(value, int):
        if abs(value) > _LARGEST_INTEGER:
            raise ValueError(
                "an integer has more than 38 digits, which DynamoDB cannot hold; store it as text"
            )
        return {"N": int.__repr__(value)}
    if isinstance(value, bytes):
        return {"B": bytes(value)}
    if isinstance(value, Mapping):
        return {"M": {_attribute_name(name): to_attribute(inner) for name, inner in value.items()}}
    if isinstance(value, list | tuple):
        return {"L": [to_attribute(inner) for inner in value]}
    raise TypeError(f"{type(value).__name__} cannot be stored; use text, int, bytes, bool, None, list or map")


def from_attribute(attribute: Mapping[str, Any]) -> Value:
    """Return what a DynamoDB attribute holds; bytes may be raw (boto3) or base64 text (a Lambda event).

    Raises
    ------
    ValueError
        A number that is not whole, or a type the port does not have (sets).
    """
    ((kind, content),) = attribute.items()
    match kind:
        case "S":
            return str(content)
        case "N":
            return _integer(content)
        case "B":
            return base64.b64decode(content) if isinstance(content, str) else bytes(content)
        case "BOOL":
            return bool(content)
        case "NULL":
            return None
        case "L":
            return [from_attribute(inner) for inner in content]
        case "M":
            return {name: from_attribute(inner) for name, inner in content.items()}
    raise ValueError(
        f"attribute of type {kind} was not written by Onecount; it knows S, N, B, BOOL, NULL, L, M"
    )


def item_from_image(image: Mapping[str, Mapping[str, Any]]) -> Item:
    """Return the item that a response or a stream record's image shows."""
    return {name: from_attribute(attribute) for name, attribute in image.items()}


def image_from_item(item: Mapping[str, Value]) -> dict[str, AttributeValueTypeDef]:
    """Return an item as DynamoDB takes it."""
    return {_attribute_name(name): to_attribute(value) for name, value in item.items()}


def _checked_text(text: str) -> str:
    if not text.isascii():
        text.encode()  # lone surrogates, which JSON can smuggle in, raise here and not in the middle of a batch
    return str.__str__(text)


def _attribute_name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"attribute name {name!r} is no text")
    return _checked_text(name)


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        numerator, denominator = Decimal(digits).as_integer_ratio()
    if denominator != 1:
        raise ValueError(f"number {digits} is not whole; Onecount stores whole numbers only")
    return numerator


def check_key(key: Key) -> None:
    """Raise ValueError for a key that DynamoDB would refuse: an empty part, or one too long."""
    for name, text, limit in (("pk", key.pk, 2048), ("sk", key.sk, 1024)):
        if not 0 < len(text.encode()) <= limit:
            raise ValueError(f"{name} of {key} must have 1 to {limit} bytes")


def check_actions(actions: Sequence[Action]) -> None:
    """Raise ValueError unless the actions are well-formed: at most 100, on distinct keys, each saying something."""
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
                    for part, whole in _key_item(action.key).items()
                ):
                    raise ValueError(f"attributes of {action.key} name another pk or sk")
            case Update():
                _check_update(action)


def _check_conditions(action: Action) -> None:
    if isinstance(action, Check) and not action.conditions:
        raise ValueError(f"check of {action.key} has no condition")
    if any(isinstance(condition, AnyOf) and not condition.conditions for condition in action.conditions):
        raise ValueError(f"any of no conditions, on {action.key}, can never hold")


def _check_update(update: Update) -> None:
    names = [*update.set, *update.add, *update.append, *update.defaults, *update.remove]
    if not names:
        raise ValueError(f"update of {update.key} changes nothing; use Check")
    if len(set(names)) != len(names):
        raise ValueError(f"update of {update.key} names an attribute twice")
    if "pk" in names or "sk" in names:
        raise ValueError(f"update of {update.key} would change its key")


def check_range(pk: str, first: str, last: str | None, prefix: str, limit: int | None) -> None:
    """Raise ValueError for a query that DynamoDB would refuse."""
    if not pk:
        raise ValueError("query of an empty partition key")
    if prefix and (first or last is not None):
        raise ValueError("prefix excludes first and last")
    if limit is not None and limit < 0:
        raise ValueError(f"limit {limit} is negative")


class _Expression:
    """Collects the placeholders of one request while its expressions are written."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: dict[str, AttributeValueTypeDef] = {}

    def name(self, attribute: str) -> str:
        return self._names.setdefault(attribute, f"#n{len(self._names)}")

    def value(self, value: Value) -> str:
        placeholder = f":v{len(self._values)}"
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
        assignments = [f"{self.name(name)} = {self.value(value)}" for name, value in update.set.items()]
        for name, value in update.defaults.items():
            assignments.append(f"{self.name(name)} = if_not_exists({self.name(name)}, {self.value(value)})")
        for name, values in update.append.items():
            old = f"if_not_exists({self.name(name)}, {self.value([])})"
            assignments.append(f"{self.name(name)} = list_append({old}, {self.value(values)})")
        clauses = {
            "SET": assignments,
            "ADD": [f"{self.name(name)} {self.value(amount)}" for name, amount in update.add.items()],
            "REMOVE": [self.name(name) for name in update.remove],
        }
        return " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts)

    def placeholders(self) -> dict[str, Any]:
        request: dict[str, Any] = {}
        if self._names:
            request["ExpressionAttributeNames"] = {
                placeholder: name for name, placeholder in self._names.items()
            }
        if self._values:
            request["ExpressionAttributeValues"] = self._values
        return request


def _key_item(key: Key) -> dict[str, str]:
    return {"pk": key.pk, "sk": key.sk}


def _parameters(action: Action) -> dict[str, Any]:
    """Return what PutItem, UpdateItem, DeleteItem and the members of a transaction take alike."""
    expression = _Expression()
    request: dict[str, Any] = {}
    if isinstance(action, Put):
        request["Item"] = image_from_item({**action.attributes, **_key_item(action.key)})
    else:
        request["Key"] = image_from_item(_key_item(action.key))
    if isinstance(action, Update):
        request["UpdateExpression"] = expression.update(action)
    if action.conditions:
        request["ConditionExpression"] = " AND ".join(map(expression.condition, action.conditions))
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return request | expression.placeholders()


def client_config(read_timeout_s: float = 3.0, connections: int = 16) -> Config:
    """Return the settings this module expects of its client: short timeouts, and no retries of botocore's own."""
    from botocore.config import Config

    return Config(
        connect_timeout=1.0,
        read_timeout=read_timeout_s,
        max_pool_connections=connections,
        retries={"total_max_attempts": 1},
        tcp_keepalive=True,
    )


class DynamoTable:
    """One DynamoDB table (``pk`` and ``sk``; index ``x`` on ``x_pk`` and ``x_sk``, keys only); see the module.

    Parameters
    ----------
    client
        A low-level client made with ``client_config()``; safe to share between threads, as this is.
    sleep
        Waits for some seconds between attempts.
    """

    def __init__(
        self, client: DynamoDBClient, table_name: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._name = table_name
        self._sleep = sleep

    def get(self, key: Key) -> Item | None:
        check_key(key)
        answer = self._read(
            self._client.get_item,
            {"TableName": self._name, "Key": image_from_item(_key_item(key)), "ConsistentRead": True},
        )
        return item_from_image(answer["Item"]) if "Item" in answer else None

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        wanted = list(dict.fromkeys(keys))
        found: dict[Key, Item] = {}
        for start in range(0, len(wanted), BATCH_KEYS):
            found.update(self._get_batch(wanted[start : start + BATCH_KEYS]))
        return found

    def _get_batch(self, keys: Sequence[Key]) -> Iterator[tuple[Key, Item]]:
        for key in keys:
            check_key(key)
        pending: list[Any] = [image_from_item(_key_item(key)) for key in keys]
        pauses = iter(_PAUSES_S)
        while pending:
            request = {self._name: {"Keys": pending, "ConsistentRead": True}}
            answer = self._read(self._client.batch_get_item, {"RequestItems": request})
            images = answer["Responses"].get(self._name, [])
            yield from ((_key_of(image), item_from_image(image)) for image in images)
            pending = list(answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", []))
            if images:
                pauses = iter(_PAUSES_S)  # 16 MB were read, which is progress
            elif pending:
                self._pause(next(pauses, None), ThrottledError(f"{len(pending)} keys stay unread"))

    def snapshot(self, keys: Sequence[Key]) -> dict[Key, Item]:
        wanted = list(dict.fromkeys(keys))
        check_snapshot(wanted)
        if not wanted:
            return {}
        gets = [{"Get": {"TableName": self._name, "Key": image_from_item(_key_item(key))}} for key in wanted]
        answer = self._read(self._client.transact_get_items, {"TransactItems": gets})
        pairs = zip(wanted, answer["Responses"], strict=True)
        return {key: item_from_image(response["Item"]) for key, response in pairs if "Item" in response}

    def query(
        self,
        pk: str,
        *,
        first: str = "",
        last: str | None = None,
        prefix: str = "",
        descending: bool = False,
        limit: int | None = None,
    ) -> Iterator[Item]:
        check_range(pk, first, last, prefix, limit)
        request = _query_request("", pk, first, last, prefix)
        request |= {"ConsistentRead": True, "ScanIndexForward": not descending}
        images = (
            iter(()) if _is_empty(first, last, limit) else self._pages(self._client.query, request, limit)
        )
        return map(item_from_image, images)

    def query_index(
        self,
        index: str,
        pk: str,
        *,
        first: str = "",
        last: str | None = None,
        descending: bool = False,
        limit: int | None = None,
    ) -> Iterator[Key]:
        check_range(pk, first, last, "", limit)
        request = _query_request(f"{index}_", pk, first, last, "")
        request |= {"IndexName": index, "ScanIndexForward": not descending}
        images = (
            iter(()) if _is_empty(first, last, limit) else self._pages(self._client.query, request, limit)
        )
        return map(_key_of, images)

    def scan(self, *, segment: int = 0, segments: int = 1) -> Iterator[Item]:
        request = {"ConsistentRead": True, "Segment": segment, "TotalSegments": segments}
        return map(item_from_image, self._pages(self._client.scan, request, None))

    def write(self, actions: Sequence[Action]) -> None:
        check_actions(actions)
        if not actions:
            return
        if len(actions) > 1 or isinstance(actions[0], Check) or _counts_twice(actions[0]):
            self._transact(actions)
            return
        operations: dict[type[Action], Callable[..., Any]] = {
            Put: self._client.put_item,
            Update: self._client.update_item,
            Delete: self._client.delete_item,
        }
        request = _parameters(actions[0]) | {"TableName": self._name}
        self._call(operations[type(actions[0])], request, actions)

    def _transact(self, actions: Sequence[Action]) -> None:
        members = [
            {_MEMBERS[type(action)]: _parameters(action) | {"TableName": self._name}} for action in actions
        ]
        request = {"TransactItems": members, "ClientRequestToken": str(uuid4())}
        lost = False
        for pause in (*_PAUSES_S[:2], None):
            try:
                self._call(self._client.transact_write_items, request, actions)
                return
            except (UnknownOutcomeError, WriteConflictError, ThrottledError) as error:
                lost = lost or isinstance(error, UnknownOutcomeError)
                if not lost:
                    raise
                self._pause(
                    pause, UnknownOutcomeError(f"no answer to a transaction of {len(actions)}: {error}")
                )

    def _pages(
        self, operation: Callable[..., Any], request: dict[str, Any], limit: int | None
    ) -> Iterator[Mapping[str, Any]]:
        request = request | {"TableName": self._name}
        left = limit
        while True:
            if left is not None:
                request["Limit"] = left
            answer = self._read(operation, request)
            yield from answer["Items"]
            if left is not None:
                left -= len(answer["Items"])
            if "LastEvaluatedKey" not in answer or left == 0:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _read(self, operation: Callable[..., Any], request: Mapping[str, Any]) -> Any:
        """Call, and again a few times after a fault that passes: a read may always be repeated."""
        pauses = iter(_PAUSES_S)
        while True:
            try:
                return self._call(operation, request, ())
            except (ThrottledError, WriteConflictError, UnknownOutcomeError) as error:
                self._pause(next(pauses, None), error)

    def _call(
        self, operation: Callable[..., Any], request: Mapping[str, Any], actions: Sequence[Action]
    ) -> Any:
        from botocore.exceptions import (
            ClientError,
            ConnectTimeoutError,
            EndpointConnectionError,
            HTTPClientError,
        )

        try:
            return operation(**request)
        except ClientError as error:
            raise _meaning(error, actions) from error
        except (ConnectTimeoutError, EndpointConnectionError) as error:
            raise ThrottledError(f"no connection to DynamoDB, nothing was sent: {error}") from error
        except HTTPClientError as error:
            raise UnknownOutcomeError(f"no answer from DynamoDB: {error}") from error

    def _pause(self, longest_s: float | None, otherwise: TableError) -> None:
        """Sleep up to ``longest_s``, spread at random so that rivals part; without more time, give up."""
        if longest_s is None:
            raise otherwise
        self._sleep(longest_s * random.uniform(0.5, 1.0))  # noqa: S311 (no secret)


_MEMBERS: dict[type[Action], str] = {
    Put: "Put",
    Update: "Update",
    Delete: "Delete",
    Check: "ConditionCheck",
}


def _counts_twice(action: Action) -> bool:
    return isinstance(action, Update) and bool(action.add or action.append)


def check_snapshot(keys: Sequence[Key]) -> None:
    """Raise ValueError unless one transaction can read the keys."""
    if len(keys) > MAX_ACTIONS:
        raise ValueError(f"{len(keys)} keys in one snapshot; at most {MAX_ACTIONS}")
    for key in keys:
        check_key(key)


def _key_of(image: Mapping[str, Any]) -> Key:
    return Key(image["pk"]["S"], image["sk"]["S"])


def _is_empty(first: str, last: str | None, limit: int | None) -> bool:
    """Whether a range holds nothing by itself; DynamoDB refuses to be asked such things."""
    return limit == 0 or last == "" or (last is not None and last < first)


def _query_request(index_prefix: str, pk: str, first: str, last: str | None, prefix: str) -> dict[str, Any]:
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


def _meaning(error: ClientError, actions: Sequence[Action]) -> TableError | ValueError:
    """Return the port's error for an answer of DynamoDB; the table of the module says which and why."""
    code = error.response["Error"]["Code"]
    message = f"{code}: {error.response['Error'].get('Message', '')}"
    body: Mapping[str, Any] = error.response
    if code == "ConditionalCheckFailedException":
        return WriteRefusedError([_refusal(actions[0], body)])
    if code == "TransactionCanceledException":
        return _meaning_of_reasons(body.get("CancellationReasons", []), actions, message)
    if code == "TransactionConflictException":
        return WriteConflictError(message)
    if code in _THROTTLED:
        return ThrottledError(message)
    if code == "ValidationException":
        return ValueError(message)
    if code == "TransactionInProgressException" or body["ResponseMetadata"]["HTTPStatusCode"] >= 500:
        return UnknownOutcomeError(message)
    return TableError(message)


def _meaning_of_reasons(
    reasons: Iterable[Mapping[str, Any]], actions: Sequence[Action], message: str
) -> TableError | ValueError:
    reasons = list(reasons)
    codes = {reason.get("Code", "None") for reason in reasons} - {"None"}
    if "ConditionalCheckFailed" in codes:
        pairs = zip(actions, reasons, strict=True)
        return WriteRefusedError(
            [_refusal(a, r) for a, r in pairs if r.get("Code") == "ConditionalCheckFailed"]
        )
    if "ValidationError" in codes:
        return ValueError(message + "; " + "; ".join(str(reason.get("Message", "")) for reason in reasons))
    if codes & _THROTTLED:
        return ThrottledError(message)
    if codes == {"TransactionConflict"}:
        return WriteConflictError(message)
    return TableError(message)


def _refusal(action: Action, body: Mapping[str, Any]) -> Refusal:
    image = body.get("Item")
    return Refusal(action, item_from_image(image) if image else None)
