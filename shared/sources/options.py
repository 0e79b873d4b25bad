"""What ``network.yaml`` may say under a source's ``options``, so that it is checked before it is applied.

A connector module lists its own options as ``OPTIONS``: each name, and what is wrong with a value, if anything. Units
are every source's (``shared/operations/measure.py``). A name that is not listed is read by nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

OptionCheck = Callable[[object], "str | None"]
"""Says why a value cannot be an option's; None where it can."""


def text(value: object) -> str | None:
    """Check for a text that is not empty."""
    return None if isinstance(value, str) and value.strip() else f"{value!r} is not a text"


def one_of(*known: str) -> OptionCheck:
    """Check for one of some words."""
    listed = ", ".join(known)
    return lambda value: None if value in known else f"{value!r} is not known; it is one of: {listed}"


def words(value: object) -> str | None:
    """Check for a map from one word to another."""
    if not isinstance(value, Mapping):
        return f"{value!r} is not a map from the sender's words to ours, such as {{CS: case}}"
    wrong = [f"{key!r}: {to!r}" for key, to in value.items() if text(key) or text(to)]
    return f"{wrong[0]} does not say a text for a text" if wrong else None


def checked_elsewhere(_: object) -> str | None:
    """Check nothing: the connector checks all of its options together."""
    return None


OF_EVERY_SOURCE: Mapping[str, OptionCheck] = {"unit": text, "units": words}
