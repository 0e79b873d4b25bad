"""Document references as their authors write them, and which of them look unlike their kin.

An event's key holds its document: ``source/document/line/effect/version``. A handoff that looks a document up by its
reference loses those that are written in a way it does not expect: ``PO-4711`` among ``4711``, ``0047`` among ``47``.
"""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from shared.domain.stock import EventKey

FEWEST_KIN = 3
"""Documents of a kind that must be known before one of them can look odd."""

ODD_SHARE = 0.2
"""The share of its kin up to which a way of writing is odd."""

_WRITTEN = re.compile(r"(0)?[0-9]+|[A-Z]+|[a-z]+|\s+")


@dataclass(frozen=True, slots=True)
class Reference:
    """The document that an event belongs to, and of what kind it is: who wrote it, for what effect."""

    document: str
    kind: tuple[str, str]

    @property
    def digits(self) -> str:
        """What is left of the document when only its number counts."""
        return "".join(re.findall(r"[0-9]+", self.document)).lstrip("0")

    @property
    def shape(self) -> str:
        """How it is written: ``PO-0047`` is ``A-09``, ``47`` is ``9``."""
        return _WRITTEN.sub(_class_of, self.document)


def reference_of(event: EventKey) -> Reference | None:
    """Read the document out of an event key; None where the key has no such form."""
    parts = event.split("/")
    if len(parts) < 4:
        return None
    return Reference(unquote(parts[1]), (parts[0], parts[3]))


def odd_ones(events: Iterable[EventKey]) -> dict[EventKey, tuple[str, float]]:
    """Return the events whose document is written unlike the others of its kind: how most are, and how rare this is."""
    read = {event: found for event in events if (found := reference_of(event)) is not None}
    shapes: dict[tuple[str, str], Tally[str]] = {}
    for found in read.values():
        shapes.setdefault(found.kind, Tally())[found.shape] += 1
    odd: dict[EventKey, tuple[str, float]] = {}
    for event, found in read.items():
        tally = shapes[found.kind]
        usual, times = tally.most_common(1)[0]
        of = sum(tally.values())
        if found.shape != usual and times >= FEWEST_KIN and tally[found.shape] <= max(1, of * ODD_SHARE):
            odd[event] = (usual, tally[found.shape] / of)
    return odd


def _class_of(part: re.Match[str]) -> str:
    text = part[0]
    if text[0].isdigit():
        return "09" if part[1] and len(text) > 1 else "9"
    return " " if text.isspace() else ("A" if text[0].isupper() else "a")
