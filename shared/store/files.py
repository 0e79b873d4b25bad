"""What is known of dropped files beside their messages: how far each was read, and what its source dropped before.

It lies in the inbox table. How far a file was read, and what an operator decided about it, stand on its message and
go with it; the codes that its rows wait for are items beside it, so that one can be settled without the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from shared.domain.events import instant, parse_instant
from shared.domain.snapshot_guard import Accepted, Census
from shared.domain.stock import MessageId, SourceId
from shared.store.layout import message_key, part
from shared.store.table import (
    MAX_ACTIONS,
    Action,
    AnyOf,
    AttributeAbsent,
    Delete,
    Exists,
    Key,
    LessThan,
    Put,
    Table,
    Update,
    Value,
    WriteRefusedError,
)

KEPT_FOR = timedelta(days=90)
"""As long as the messages that the items belong to."""

APPROVED, REJECTED = "approved", "rejected"
"""What an approver may decide about a message that was held whole."""

_WAITING = "WAITING_FILES"


@dataclass(frozen=True, slots=True)
class WaitingCode:
    """A code that some rows of a file wait for: how many, and the last of them."""

    kind: str
    code: str
    rows: int
    last_row: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What was kept of a file that was read: when, what its reader keeps, and what an operator decided about it.

    ``units`` are those that an approver saw an adjustment come to, in base units.
    """

    at: datetime | None
    reading: Mapping[str, Value] | None
    decision: str
    units: int | None = None


class Files:
    """Keeps what the reading of files needs to remember."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def kept(self, message: MessageId) -> Kept:
        """Return what is known of a file's reading."""
        item = self._table.get(message_key(message)) or {}
        at = cast("str | None", item.get("read_at"))
        return Kept(
            None if at is None else parse_instant(at),
            cast("Mapping[str, Value] | None", item.get("reading")),
            cast(str, item.get("decision", "")),
            cast("int | None", item.get("approved_units")),
        )

    def keep(self, message: MessageId, reading: Mapping[str, Value] | None, at: datetime) -> None:
        """Remember how far a file was read; None when nothing needs to be remembered any more."""
        set_: dict[str, Value] = {"read_at": instant(at)}
        if reading is not None:
            set_["reading"] = dict(reading)
        remove = ("reading",) if reading is None else ()
        self._table.write([Update(message_key(message), set=set_, remove=remove, conditions=(Exists(),))])

    def decide(
        self, message: MessageId, decision: str, actor: str, at: datetime, units: int | None = None
    ) -> None:
        """Remember an operator's word on a file that was held, or on an adjustment that was seen to come to ``units``."""
        said: dict[str, Value] = {"decision": decision, "decided_by": actor, "decided_at": instant(at)}
        if units is not None:
            said["approved_units"] = units
        self._table.write([Update(message_key(message), set=said, conditions=(Exists(),))])

    # ---- what was accepted before ---------------------------------------------------------------------------

    def accepted(self, source: SourceId, kind: str) -> dict[str, Accepted]:
        """Return what the last accepted file of a kind said of each place."""
        return {
            cast(str, item["place"]): Accepted(
                Census(cast(int, item["rows"]), cast(int, item["stocked"])), cast(str, item["document"])
            )
            for item in self._table.query(_snapshot(source, kind))
        }

    def accept(
        self, source: SourceId, kind: str, document: str, rank: str, places: Mapping[str, Census]
    ) -> None:
        """Remember what an accepted file says of each place, unless a newer one (by ``rank``) was accepted."""
        for place, census in places.items():
            said: dict[str, Value] = {
                "place": place,
                "rows": census.rows,
                "stocked": census.stocked,
                "document": document,
                "rank": rank,
            }
            newer = AnyOf((AttributeAbsent("rank"), LessThan("rank", rank)))
            try:
                key = Key(_snapshot(source, kind), part(place))
                self._table.write([Update(key, set=said, conditions=(newer,))])
            except WriteRefusedError:
                continue

    # ---- codes that rows wait for ---------------------------------------------------------------------------

    def codes(self, message: MessageId) -> Iterator[WaitingCode]:
        """Yield the codes that rows of a file wait for."""
        for item in self._table.query(message_key(message).pk, prefix="CODE#"):
            yield WaitingCode(
                cast(str, item["kind_of_code"]),
                cast(str, item["code"]),
                cast(int, item["rows"]),
                cast(int, item["last_row"]),
            )

    def keep_codes(self, message: MessageId, codes: Iterable[WaitingCode], at: datetime) -> None:
        """Remember codes that rows of a file wait for, and that it waits."""
        expires = int((at + KEPT_FOR).timestamp())
        puts: list[Action] = [
            Put(
                _code_key(message, code.kind, code.code),
                {
                    "kind_of_code": code.kind,
                    "code": code.code,
                    "rows": code.rows,
                    "last_row": code.last_row,
                    "expires_at": expires,
                },
            )
            for code in codes
        ]
        if puts:
            puts.append(Put(Key(_WAITING, message), {"expires_at": expires}))
        self._write(puts)

    def settle_codes(self, message: MessageId, codes: Iterable[WaitingCode]) -> None:
        """Forget codes whose rows wait no more."""
        self._write([Delete(_code_key(message, code.kind, code.code)) for code in codes])

    def forget(self, message: MessageId) -> None:
        """Take a file off the list of those that wait."""
        self._table.write([Delete(Key(_WAITING, message))])

    def waiting(self) -> Iterator[MessageId]:
        """Yield the files of which rows wait for codes."""
        for item in self._table.query(_WAITING):
            yield MessageId(cast(str, item["sk"]))

    def _write(self, actions: list[Action]) -> None:
        for start in range(0, len(actions), MAX_ACTIONS):
            self._table.write(actions[start : start + MAX_ACTIONS])


def _snapshot(source: SourceId, kind: str) -> str:
    return f"SNAPSHOT#{part(source)}#{part(kind)}"


def _code_key(message: MessageId, kind: str, code: str) -> Key:
    return Key(message_key(message).pk, f"CODE#{part(kind)}#{part(code)}")
