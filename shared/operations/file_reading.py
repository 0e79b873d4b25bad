"""How far a file has been read and what its rows came to: what one run of a function leaves to the next.

It is kept after every chunk, so whoever reads on skips what is recorded; a chunk that was recorded and not noted
is recorded again, which changes nothing. Rows that wait for codes are counted for each code.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import cast

from shared.domain.events import Count
from shared.domain.network import Source
from shared.operations.record import SHOWN
from shared.sources.contract import Fault, Report
from shared.store.files import WaitingCode
from shared.store.registry import Code, Network, Registry
from shared.store.table import Value

MOST_CODES = 5_000
"""Codes of one file that are remembered by name; rows with further ones are found when the file is read again."""


@dataclass(slots=True)
class Reading:
    """One file's reading.

    Attributes
    ----------
    row
        The last row that is recorded, or waits for a code.
    parked
        Whether rows wait in cases for anything else than a code.
    further_rows
        Rows that wait for codes beyond ``MOST_CODES``.
    complete
        Whether the whole file has been read.
    many
        Whether its codes are one case of the file.
    """

    row: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    faulty: int = 0
    faults: list[Fault] = field(default_factory=list)
    parked: bool = False
    further_rows: int = 0
    complete: bool = False
    many: bool = False
    codes: dict[Code, WaitingCode] = field(default_factory=dict)

    @property
    def left_something(self) -> bool:
        """Whether rows other than those that wait for codes may come to something else when it is read again."""
        return bool(self.parked or self.faulty or self.outcomes.get("withheld"))

    def add(self, outcomes: Mapping[str, int]) -> None:
        """Count what some more rows came to."""
        for outcome, number in outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + number

    def note(self, faults: Sequence[Fault]) -> None:
        """Count rows that cannot be read, and keep the first of them."""
        self.faulty += len(faults)
        self.faults += faults[: SHOWN - len(self.faults)]

    def wait(self, rows: Collection[tuple[Code, int]]) -> list[WaitingCode]:
        """Count rows that wait for codes; return what is to be remembered of those."""
        touched: dict[Code, WaitingCode] = {}
        for code, row in rows:
            known = self.codes.get(code)
            if known is None and len(self.codes) >= MOST_CODES:
                self.further_rows += 1
                continue
            if known is None or row > known.last_row:
                before = 0 if known is None else known.rows
                known = self.codes[code] = WaitingCode(code.kind, code.code, before + 1, row)
            touched[code] = known
        return list(touched.values())

    def as_value(self) -> dict[str, Value]:
        """Return what the next run needs; the codes are kept apart."""
        faults: list[Value] = [cast("dict[str, Value]", asdict(fault)) for fault in self.faults]
        return {
            "row": self.row,
            "outcomes": dict(self.outcomes),
            "faulty": self.faulty,
            "faults": faults,
            "parked": self.parked,
            "further_rows": self.further_rows,
            "complete": self.complete,
            "many": self.many,
        }


def reading_of(kept: Mapping[str, Value] | None, codes: Collection[WaitingCode], source: Source) -> Reading:
    """Take up what an earlier run left; a new reading where it left nothing."""
    if kept is None:
        return Reading()
    faults = cast("list[dict[str, object]]", kept["faults"])
    return Reading(
        row=cast(int, kept["row"]),
        outcomes=dict(cast("dict[str, int]", kept["outcomes"])),
        faulty=cast(int, kept["faulty"]),
        faults=[Fault(**fault) for fault in faults],  # type: ignore[arg-type]
        parked=cast(bool, kept["parked"]),
        further_rows=cast(int, kept["further_rows"]),
        complete=cast(bool, kept["complete"]),
        many=cast(bool, kept["many"]),
        codes={Code(source.id, waiting.kind, waiting.code): waiting for waiting in codes},
    )


def codes_of(report: Report, source: Source) -> tuple[Code, Code | None]:
    """Return the codes that a row uses: of its item, and of its place if it is a count."""
    event = report.event
    place = Code(source.id, "location", event.location) if isinstance(event, Count) else None
    return Code(source.id, report.code_kind, event.sku), place


def known_of(codes: Collection[Code], source: Source, registry: Registry, network: Network) -> set[Code]:
    """Return those of some codes that stand for something of ours."""
    items = {code for code in codes if code.kind != "location"}
    places = {
        code
        for code in codes
        if code.kind == "location" and source.locations.get(code.code, code.code) in network.locations
    }
    return places | registry.skus(items).keys() if items else places
