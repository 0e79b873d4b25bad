"""Whether a full snapshot may be believed: it is held, not applied, when it looks cut short or emptied.

A snapshot is compared with the last accepted one of the same kind from the same source, place by place: like with
like. A place that stood in the last file together with places of this one, and is gone, has no rows now; so a file
that was cut off between two places is noticed, while a source that drops a file for each place is not suspected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Census:
    """How many rows a file has for one place, and how many of them say more than zero."""

    rows: int = 0
    stocked: int = 0

    def __add__(self, other: Census) -> Census:
        return Census(self.rows + other.rows, self.stocked + other.stocked)


@dataclass(frozen=True, slots=True)
class Guard:
    """What is still believed, as a source declares it.

    Attributes
    ----------
    fewest_percent
        Rows that a place must have, as a share of those it had.
    least_stocked_percent
        Rows above zero that it must have, as a share of those it had.
    judged_from
        Rows that the last file must have had for a place to be judged at all: small files vary much.
    """

    fewest_percent: int = 50
    least_stocked_percent: int = 50
    judged_from: int = 20


@dataclass(frozen=True, slots=True)
class Survey:
    """What a whole snapshot file says, before any row of it is believed.

    Attributes
    ----------
    places
        Census by the sender's own code of the place.
    faulty
        Rows that cannot be read.
    guard
        None where the file is declared to be partial: it may have as few rows as it likes.
    """

    places: Mapping[str, Census] = field(default_factory=dict)
    faulty: int = 0
    guard: Guard | None = Guard()


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the last accepted file said of one place; ``document`` is which file that was."""

    census: Census
    document: str


def suspicions(survey: Survey, last: Mapping[str, Accepted]) -> list[str]:
    """Say for each place why the file is not to be believed; nothing when it may be.

    Parameters
    ----------
    last
        What was accepted last of each place, from the same source and kind of file.
    """
    guard = survey.guard
    if guard is None:
        return []
    if not survey.places:
        # Where rows are there that cannot be read, they are a case of their own.
        return [] if survey.faulty else ["it has a header and no row"]
    documents = {last[place].document for place in survey.places if place in last}
    missing = {place for place, accepted in last.items() if accepted.document in documents}
    return [
        reason
        for place in sorted(missing | survey.places.keys())
        if place in last
        for reason in _judge(place, survey.places.get(place, Census()), last[place].census, guard)
    ]


def _judge(place: str, now: Census, before: Census, guard: Guard) -> list[str]:
    if before.rows >= guard.judged_from and now.rows * 100 < before.rows * guard.fewest_percent:
        return [f"{now.rows} rows for {place!r}, where the last file had {before.rows}"]
    if (
        before.stocked >= guard.judged_from
        and now.stocked * 100 < before.stocked * guard.least_stocked_percent
    ):
        return [f"{now.stocked} rows above zero for {place!r}, where the last file had {before.stocked}"]
    return []


def kind_of_file(name: str) -> str:
    """Return what is alike in the names of one kind of file: all but its numbers, which are times and counters."""
    return re.sub(r"[0-9]+", "0", name)
