"""Event patterns of a Lambda event source mapping: does a record pass the filter?

The subset of AWS's pattern language that a template may use, matched against the record as the function would
see it. An operator that is not implemented is refused when the pattern is read: a filter that silently lets
everything (or nothing) through would make the local runtime lie.

========================  ==========================================================
``["INSERT"]``            equal to one of the values (strings, numbers, null, booleans)
``[{"prefix": "JRN#"}]``  a string that starts so; ``suffix`` ends so
``[{"exists": true}]``    the leaf is there; ``false``: it is not
``[{"anything-but": x}]`` there, and none of x (a value, a list, or ``{"prefix": p}``)
``[{"equals-ignore-case": "x"}]``
``{"$or": [{...}, ...]}`` one of several patterns at this level
========================  ==========================================================

All fields must match (and); any entry of a list may (or); an array in the record matches if one element does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from infra.local.state import LocalRuntimeError

Predicate = Callable[[Any, bool], bool]
"""What a leaf must satisfy: (its value, whether it is there at all)."""


class UnknownPatternError(LocalRuntimeError):
    """A filter uses something this matcher does not know."""


class EventPattern:
    """One pattern, read once, matched often.

    Raises
    ------
    UnknownPatternError
        When the text is not a pattern, or uses an operator that is not implemented here.
    """

    def __init__(self, text: str) -> None:
        try:
            pattern = json.loads(text)
        except json.JSONDecodeError as error:
            raise _unknown(f"the filter pattern {text!r} is not JSON") from error
        self._matches = _object(pattern)

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether the record passes."""
        return self._matches(record)


def _object(pattern: Any) -> Callable[[Any], bool]:
    if not isinstance(pattern, dict) or not pattern:
        raise _unknown(f"a filter pattern must be an object with fields, not {pattern!r}")
    tests: list[Callable[[Any], bool]] = []
    for name, wanted in pattern.items():
        if name == "$or":
            tests.append(_any_of(wanted))
        elif isinstance(wanted, list):
            tests.append(_leaf_test(name, _leaf(name, wanted)))
        else:
            tests.append(_nested_test(name, _object(wanted)))
    return lambda value: all(test(value) for test in tests)


def _any_of(patterns: Any) -> Callable[[Any], bool]:
    if not isinstance(patterns, list) or not patterns:
        raise _unknown("$or needs a list of patterns")
    alternatives = [_object(pattern) for pattern in patterns]
    return lambda value: any(matches(value) for matches in alternatives)


def _nested_test(name: str, matches: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def test(value: Any) -> bool:
        return matches(value.get(name) if isinstance(value, dict) else None)

    return test


def _leaf_test(name: str, predicate: Predicate) -> Callable[[Any], bool]:
    def test(value: Any) -> bool:
        there = isinstance(value, dict) and name in value
        found = value[name] if there else None
        if isinstance(found, list):
            return any(predicate(element, True) for element in found)
        return predicate(found, there and not isinstance(found, dict))

    return test


def _leaf(name: str, wanted: Sequence[Any]) -> Predicate:
    predicates = [_entry(name, entry) for entry in wanted]
    return lambda value, there: any(predicate(value, there) for predicate in predicates)


def _entry(name: str, entry: Any) -> Predicate:
    if not isinstance(entry, dict):
        return lambda value, there: there and _same(value, entry)
    if len(entry) != 1:
        raise _unknown(f"field {name!r}: one operator at a time, not {sorted(entry)}")
    ((operator, operand),) = entry.items()
    if operator == "exists" and isinstance(operand, bool):
        return lambda value, there: there is operand
    if operator == "anything-but":
        return _anything_but(name, operand)
    if isinstance(operand, str) and operator in _TEXT_TESTS:
        test = _TEXT_TESTS[operator]
        return lambda value, there: there and isinstance(value, str) and test(value, operand)
    raise _unknown(f"field {name!r}: the operator {operator!r} with {operand!r} is not implemented")


_TEXT_TESTS: dict[str, Callable[[str, str], bool]] = {
    "prefix": str.startswith,
    "suffix": str.endswith,
    "equals-ignore-case": lambda value, wanted: value.casefold() == wanted.casefold(),
}


def _anything_but(name: str, operand: Any) -> Predicate:
    if isinstance(operand, dict):
        refused = _entry(name, operand)
        return lambda value, there: there and not refused(value, there)
    unwanted = operand if isinstance(operand, list) else [operand]
    return lambda value, there: there and not any(_same(value, one) for one in unwanted)


def _same(value: Any, wanted: Any) -> bool:
    """Equality as JSON has it: true is not 1."""
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _unknown(reason: str) -> UnknownPatternError:
    return UnknownPatternError(f"{reason}.", "See infra/local/event_pattern.py for the patterns it knows.")
