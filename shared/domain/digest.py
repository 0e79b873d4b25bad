"""The morning digest, and the alert of what is overdue: plain text that reads well in a mail and in a chat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from shared.domain.exposure import Group

TOLD = 10
"""Groups of cases that one text spells out; the rest are counted."""


@dataclass(frozen=True, slots=True)
class DigestTime:
    """When the digest of a day is sent: at a time of day somewhere."""

    at: time = time(7)
    zone: str = "UTC"

    def due(self, now: datetime) -> date | None:
        """Return the day whose digest should have been sent by now; None before its time."""
        there = now.astimezone(ZoneInfo(self.zone))
        return there.date() if there.time() >= self.at else None


def digest_text(day: date, groups: Sequence[Group], overdue: int, dead_letters: Mapping[str, int]) -> str:
    """Write the digest of a morning: what is open, the weightiest first."""
    cases = sum(len(group.members) for group in groups)
    head = f"{day:%A, %d %B %Y}: "
    if not cases:
        return head + "no case is open." + "".join(_letters(dead_letters))
    nobody = sum(not one.case.owner for group in groups for one in group.members)
    counted = f"{_cases(cases)} open, {overdue} overdue, {nobody} without an owner."
    return "\n".join([head + counted, "", *_told(groups), *_letters(dead_letters)])


def overdue_text(groups: Sequence[Group]) -> str:
    """Write what should have been decided by now, or was raised."""
    return "\n".join(["These should have been decided by now, or were raised:", "", *_told(groups)])


def subject(stage: str, text: str) -> str:
    """Return the subject of a mail: one line of plain letters, no longer than a topic takes."""
    line = f"Onecount {stage}: {text}".encode("ascii", "replace").decode()
    return line[:100]


def _told(groups: Sequence[Group]) -> Iterator[str]:
    for number, group in enumerate(groups[:TOLD], start=1):
        first = group.members[0].case
        at_risk = ", ".join(map(str, group.values)) or (
            f"{group.units} units" if group.units else "not known"
        )
        together = f" ({_cases(len(group.members))} of one cause: {', '.join(group.about)})"
        yield f"{number}. {first.title}{together if len(group.members) > 1 else ''}"
        owner = first.owner or "nobody"
        yield f"   at risk: {at_risk}; since {first.opened_at:%d %b %H:%M} UTC; owner: {owner}; {first.id}"
        yield f"   do: {first.remedy}"
    if len(groups) > TOLD:
        rest = sum(len(group.members) for group in groups[TOLD:])
        yield f"and {_cases(rest)} more: onecount cases ranked"


def _letters(dead_letters: Mapping[str, int]) -> Iterator[str]:
    found = {queue: count for queue, count in dead_letters.items() if count}
    if found:
        yield "\n\nDead letters: " + ", ".join(
            f"{count} in {queue}" for queue, count in sorted(found.items())
        )


def _cases(number: int) -> str:
    return "1 case" if number == 1 else f"{number} cases"
