"""Cases and the messages parked on them.

The index of cases by status is in order of ``opened_at``, then of a digest of the id: a bad file opens thousands at
one instant, and a page must be able to end between any two of them.

A case that opens again is the same case; what it was when it was closed before is kept beside it, in the same write, and
listed in that index in order of when it was closed: figures of days gone by are told from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import cast

from shared.domain.cases import (
    OURSELVES,
    RETRIED,
    Approval,
    Case,
    CaseKind,
    CaseStatus,
    Deed,
    Fact,
)
from shared.domain.events import instant, parse_instant
from shared.domain.stock import EventKey, MessageId, Quantity
from shared.store.layout import (
    SHARDS,
    case_event_key,
    case_key,
    case_part_key,
    daily_key,
    deed_key,
    parked_key,
    past_key,
    shard,
)
from shared.store.table import (
    MAX_ACTIONS,
    AnyOf,
    AttributeAbsent,
    Condition,
    Delete,
    Equals,
    Exists,
    Item,
    LessThan,
    Put,
    Table,
    Update,
    Value,
    WriteRefusedError,
)

EVERY_PAGE = 500
"""Cases that are read at once where all are."""


class CaseNotFoundError(LookupError):
    """There is no such case."""


@dataclass(frozen=True, slots=True)
class CasePage:
    """Some cases of a status, newest first.

    Attributes
    ----------
    cursors
        Where to go on behind each of ``cases``.
    cursor
        Where the next page begins; None where there is none.
    """

    cases: tuple[Case, ...]
    cursors: tuple[str, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class CaseEvent:
    """An event that a case stands for: since when, of how many units, and whether the case has been filed for it."""

    event: EventKey
    units: Quantity
    added_at: datetime
    is_told: bool


class Cases:
    """Files, reads and closes cases."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def file(self, case: Case) -> None:
        """Open a case, or bring the open one up to date; a closed one opens again.

        It is opened now, unless it was closed by a retry that did not help: then it is as old as before.

        A message that comes with it is parked on it, once.
        """
        if case.message_id is not None:
            parked = {"parked_at": instant(case.updated_at)}
            self._table.write([Put(parked_key(case.id, case.message_id), parked)])
        written: dict[str, Value] = {
            "case_id": case.id,
            "kind": case.kind,
            "title": case.title,
            "remedy": case.remedy,
            "facts": dict(case.facts),
            "updated_at": instant(case.updated_at),
            "status": CaseStatus.OPEN,
            "resolution": "",
            "by_status_pk": _status_key(CaseStatus.OPEN, case.id),
        }
        if case.message_id is not None:
            written["message_id"] = case.message_id
        opened: dict[str, Value] = {
            "opened_at": instant(case.opened_at),
            "by_status_sk": _place_of(case),
        }
        still_open = AnyOf((Equals("status", CaseStatus.OPEN), AttributeAbsent("status")))
        try:
            update = Update(
                case_key(case.id),
                set=written,
                add={"occurrences": 1},
                defaults=opened,
                conditions=(still_open,),
            )
            self._table.write([update])
        except WriteRefusedError as refused:
            closed = refused.refusals[0].found or {}
            if closed.get("resolution") == RETRIED:
                again = Update(case_key(case.id), set=written, add={"occurrences": 1}, remove=("closed_at",))
                self._table.write([again])
                return
            self._reopen(case, {**written, **opened}, closed)

    def _reopen(self, case: Case, written: Mapping[str, Value], closed: Item) -> None:
        """Open a closed case again, and keep what it was.

        What was agreed about it before counts no more; whoever owned it knows it best, and keeps it.
        """
        opened_before = cast(str, closed["opened_at"])
        update = Update(
            case_key(case.id),
            set=written,
            add={"occurrences": 1},
            remove=_OF_ONE_TIME,
            conditions=(Equals("opened_at", opened_before),),
        )
        past = {name: value for name, value in closed.items() if name not in ("pk", "sk")}
        listed = {
            "by_status_pk": _status_key(_PAST, case.id),
            "by_status_sk": f"{_closed_at(closed)}#{_digest(case.id)}",
        }
        deed = _deed(case.id, Deed(case.updated_at, OURSELVES, "reopened", case.title))
        try:
            self._table.write([update, deed, Put(past_key(case.id, opened_before), {**past, **listed})])
        except WriteRefusedError:  # somebody else opened it again meanwhile
            self.file(case)

    def file_once(self, case: Case) -> None:
        """Open a case unless it was ever opened: what is noted with an event is told again with each repetition."""
        if self._table.get(case_key(case.id)) is None:
            self.file(case)

    def amend(self, case_id: str, facts: Mapping[str, Fact], at: datetime) -> None:
        """Bring some facts of a case up to date."""
        case = self.get(case_id)
        told: dict[str, Value] = {**case.facts, **facts}
        self._table.write([Update(case_key(case_id), set={"facts": told, "updated_at": instant(at)})])

    def get(self, case_id: str) -> Case:
        """Return a case.

        Raises
        ------
        CaseNotFoundError
        """
        item = self._table.get(case_key(case_id))
        if item is None:
            raise CaseNotFoundError(f"there is no case {case_id!r}")
        return _case(item)

    def find(self, case_id: str) -> Case | None:
        """Return a case if there is one."""
        item = self._table.get(case_key(case_id))
        return None if item is None else _case(item)

    def find_many(self, case_ids: Iterable[str]) -> tuple[Case, ...]:
        """Return those of some cases that there are, or were."""
        keys = [case_key(case_id) for case_id in case_ids]
        found = self._table.get_many(keys)
        return tuple(_case(found[key]) for key in keys if key in found)

    def which_open(self, case_ids: Iterable[str]) -> set[str]:
        """Return those of some cases that are open."""
        keys = {case_key(case_id): case_id for case_id in case_ids}
        found = self._table.get_many(list(keys))
        return {keys[key] for key, item in found.items() if item.get("status") == CaseStatus.OPEN}

    def close(
        self,
        case_id: str,
        resolution: str,
        at: datetime,
        status: CaseStatus = CaseStatus.RESOLVED,
        by: str = OURSELVES,
        seen: int | None = None,
    ) -> bool:
        """Close an open case, saying why and who did; return False when it is not open.

        With ``seen``, its occurrences when it was read, also when it has been filed anew since.
        """
        unchanged = () if seen is None else (Equals("occurrences", seen),)
        update = Update(
            case_key(case_id),
            set={
                "status": status,
                "resolution": resolution,
                "updated_at": instant(at),
                "closed_at": instant(at),
                "by_status_pk": _status_key(status, case_id),
            },
            conditions=(Equals("status", CaseStatus.OPEN), *unchanged),
        )
        try:
            self._table.write([update, _deed(case_id, Deed(at, by, str(status), resolution))])
        except WriteRefusedError:
            return False
        return True

    # ---- what people do about it -----------------------------------------------------------------------------

    def note(self, case_id: str, deed: Deed) -> None:
        """Write down that something was done about a case.

        Raises
        ------
        CaseNotFoundError
        """
        self._do(case_id, deed, {}, Exists())

    def assign(self, case_id: str, owner: str, due_at: datetime | None, deed: Deed) -> bool:
        """Give an open case to somebody, or to nobody, until an instant if one is named; False if it is not open.

        What was agreed with its owner about the time goes with the owner where nobody takes it on.
        """
        due: dict[str, Value] = {} if due_at is None else {"due_at": instant(due_at)}
        gone = () if owner or due else ("due_at",)
        return self._do(case_id, deed, {"owner": owner, **due}, Equals("status", CaseStatus.OPEN), gone=gone)

    def escalate(self, case_id: str, deed: Deed) -> bool:
        """Raise an open case; False if it is not open, or was raised before."""
        raised: dict[str, Value] = {"escalated_at": instant(deed.at)}
        is_open = Equals("status", CaseStatus.OPEN)
        return self._do(case_id, deed, raised, is_open, AttributeAbsent("escalated_at"))

    def approve(self, case: Case, approval: Approval, deed: Deed) -> bool:
        """Keep one person's word in the place of what was kept; False if the case is no more as it was read."""
        same: Condition = AttributeAbsent("approvals")
        if case.approvals:
            same = Equals("approvals", _approvals_value(case.approvals))
        return self._do(
            case.id,
            deed,
            {"approvals": _approvals_value([approval])},
            Equals("status", CaseStatus.OPEN),
            same,
        )

    def told(self, case_id: str) -> None:
        """Note that people were alerted of a case."""
        self._table.write([Update(case_key(case_id), set={"told": True}, conditions=(Exists(),))])

    def begin_day(self, what: str, day: str) -> bool:
        """Take something that is done once a day upon oneself; False if that day, or a later one, is taken."""
        earlier = AnyOf((AttributeAbsent("day"), LessThan("day", day)))
        try:
            self._table.write([Update(daily_key(what), set={"day": day}, conditions=(earlier,))])
        except WriteRefusedError:
            return False
        return True

    def take_back_day(self, what: str, day: str) -> None:
        """Let somebody else do what was begun for a day and failed."""
        try:
            self._table.write([Update(daily_key(what), remove=("day",), conditions=(Equals("day", day),))])
        except WriteRefusedError:
            return

    def deeds(self, case_id: str, limit: int = 200) -> tuple[Deed, ...]:
        """Return what was done about a case, the newest ``limit`` of it, oldest first."""
        items = self._table.query(case_key(case_id).pk, prefix="DEED#", descending=True, limit=limit)
        return tuple(reversed([_read_deed(item) for item in items]))

    def _do(
        self,
        case_id: str,
        deed: Deed,
        written: Mapping[str, Value],
        *conditions: Condition,
        gone: tuple[str, ...] = (),
    ) -> bool:
        """Change a case and write down who did, in one write."""
        change = Update(
            case_key(case_id),
            set={**written, "updated_at": instant(deed.at)},
            remove=gone,
            conditions=conditions,
        )
        try:
            self._table.write([change, _deed(case_id, deed)])
        except WriteRefusedError as refused:
            if refused.refusals[0].found is None:
                raise CaseNotFoundError(f"there is no case {case_id!r}") from refused
            return False
        return True

    # ---- lists -----------------------------------------------------------------------------------------------

    def page(self, status: CaseStatus, limit: int, cursor: str | None = None) -> CasePage:
        """Return up to ``limit`` cases of a status behind ``cursor``; read through an index that may lag behind."""
        # Of each shard one entry more than fits, and the one at the cursor itself, which the range includes.
        looked_at = limit + 1 + (cursor is not None)
        keys = [
            key
            for number in range(SHARDS)
            for key in self._table.query_index(
                "by_status", f"{status}#{number}", last=cursor, descending=True, limit=looked_at
            )
        ]
        items = self._table.get_many(keys).values()
        listed = sorted(((cast(str, item["by_status_sk"]), item) for item in items), key=_place, reverse=True)
        behind = [(place, item) for place, item in listed if cursor is None or place < cursor]
        page = behind[:limit]
        current = [(place, case) for place, item in page if (case := _case(item)).status is status]
        more = page[-1][0] if page and len(behind) > limit else None
        return CasePage(tuple(case for _, case in current), tuple(place for place, _ in current), more)

    def list(self, status: CaseStatus, limit: int = 100) -> list[Case]:
        """Return up to ``limit`` cases of a status, newest first; read through an index that may lag behind."""
        return [*self.page(status, limit).cases]

    def every(self) -> Iterator[Case]:
        """Yield every case, wherever it stands; read through an index that may lag behind."""
        for status in CaseStatus:
            cursor: str | None = None
            while True:
                page = self.page(status, EVERY_PAGE, cursor)
                yield from page.cases
                cursor = page.cursor
                if cursor is None:
                    break

    def earlier(self, since: datetime) -> Iterator[Case]:
        """Yield cases that have been opened again, as they were closed before that since an instant.

        Read through an index that may lag behind.
        """
        for number in range(SHARDS):
            keys = list(self._table.query_index("by_status", f"{_PAST}#{number}", first=instant(since)))
            yield from map(_case, self._table.get_many(keys).values())

    def openings(self, since: datetime) -> tuple[Case, ...]:
        """Return every case as it is, and each earlier opening that ended since an instant as it was then."""
        # Of a case that is opened again while this is read, the same opening may come twice.
        found = {(one.id, one.opened_at): one for one in chain(self.every(), self.earlier(since))}
        return tuple(found.values())

    def open_of(self, kinds: Collection[CaseKind], limit: int = 10_000) -> Iterator[Case]:
        """Yield the open cases of some kinds, oldest first in each shard; read through an index that may lag."""
        prefixes = tuple(f"{case_key(kind).pk}:" for kind in kinds)
        for number in range(SHARDS):
            keys = self._table.query_index("by_status", f"{CaseStatus.OPEN}#{number}", limit=limit)
            wanted = [key for key in keys if key.pk.startswith(prefixes)]
            for item in self._table.get_many(wanted).values():
                if (case := _case(item)).status is CaseStatus.OPEN:
                    yield case

    def names_open_of(self, kind: CaseKind, limit: int = 10_000) -> Iterator[str]:
        """Yield the ids of the open cases of a kind; read through an index that may lag, and no case itself."""
        prefix = f"{case_key(kind).pk}:"
        for number in range(SHARDS):
            for key in self._table.query_index("by_status", f"{CaseStatus.OPEN}#{number}", limit=limit):
                if key.pk.startswith(prefix):
                    yield f"{kind}:{key.pk.removeprefix(prefix)}"

    def oldest_open(self, limit: int) -> tuple[tuple[Case, ...], bool]:
        """Return about the ``limit`` oldest open cases, and whether these are all; the index read may lag behind."""
        return self._some_open(limit, newest=False)

    def newest_open(self, limit: int) -> tuple[Case, ...]:
        """Return about the ``limit`` newest open cases; a quarter of the reads of a page, which is exact."""
        return self._some_open(limit, newest=True)[0]

    def _some_open(self, limit: int, *, newest: bool) -> tuple[tuple[Case, ...], bool]:
        each = limit // SHARDS
        shards = [
            [
                *self._table.query_index(
                    "by_status", f"{CaseStatus.OPEN}#{number}", descending=newest, limit=each + 1
                )
            ]
            for number in range(SHARDS)
        ]
        items = self._table.get_many([key for keys in shards for key in keys[:each]])
        cases = (_case(item) for item in items.values())
        found = tuple(case for case in cases if case.status is CaseStatus.OPEN)
        return found, all(len(keys) <= each for keys in shards)

    def add_part(self, case_id: str, what: str, at: datetime) -> None:
        """Remember that something is a part of a case; each has an item of its own, so that none displaces another."""
        self._table.write([Put(case_part_key(case_id, what), {"added_at": instant(at)})])

    def has_part(self, case_id: str, what: str) -> bool:
        """Whether something is known as a part of a case."""
        return self._table.get(case_part_key(case_id, what)) is not None

    def add_events(self, case_id: str, events: Iterable[CaseEvent]) -> None:
        """Remember which events a case stands for; each has an item of its own, so that there may be any number."""
        puts = [
            Put(
                case_event_key(case_id, one.event),
                {
                    "event": one.event,
                    "units": one.units,
                    "added_at": instant(one.added_at),
                    "told": one.is_told,
                },
            )
            for one in events
        ]
        for start in range(0, len(puts), MAX_ACTIONS):
            self._table.write(puts[start : start + MAX_ACTIONS])

    def told_of(self, case_id: str, events: Iterable[EventKey]) -> set[EventKey]:
        """Return those of some events for which a case has been filed, whatever has become of it since."""
        keys = [case_event_key(case_id, event) for event in events]
        found = map(_case_event, self._table.get_many(keys).values())
        return {one.event for one in found if one.is_told}

    def events(self, case_id: str) -> Iterator[CaseEvent]:
        """Yield every event that a case stands for, or stood for before it was closed."""
        return map(_case_event, self._table.query(case_key(case_id).pk, prefix="EVENT#"))

    def unpark(self, case_id: str, message_id: MessageId) -> None:
        """Take a message off a case: what waited in it is done."""
        self._table.write([Delete(parked_key(case_id, message_id))])

    def parked(self, case_id: str) -> Iterator[MessageId]:
        """Yield the messages that wait for a case."""
        for item in self._table.query(case_key(case_id).pk, prefix="MSG#"):
            yield MessageId(cast(str, item["sk"]).removeprefix("MSG#"))


_PAST = "past"
"""Stands in the index for the status of what a case was before it was opened again."""

_OF_ONE_TIME = ("due_at", "escalated_at", "approvals", "told", "closed_at")
"""Attributes that belong to one opening of a case."""


def _case_event(item: Item) -> CaseEvent:
    return CaseEvent(
        EventKey(cast(str, item["event"])),
        cast(int, item["units"]),
        parse_instant(cast(str, item["added_at"])),
        cast(bool, item["told"]),
    )


def _deed(case_id: str, deed: Deed) -> Put:
    said: dict[str, Value] = {
        "at": instant(deed.at),
        "by": deed.by,
        "action": deed.action,
        "why": deed.why,
    }
    return Put(deed_key(case_id, deed.at, deed.action, deed.by), said)


def _read_deed(item: Item) -> Deed:
    by, action, why = (cast(str, item[name]) for name in ("by", "action", "why"))
    return Deed(parse_instant(cast(str, item["at"])), by, action, why)


def _approvals_value(approvals: Iterable[Approval]) -> Value:
    return [{"by": one.by, "at": instant(one.at), "state": one.state} for one in approvals]


def _approvals(item: Item) -> tuple[Approval, ...]:
    said = cast("list[dict[str, str]]", item.get("approvals", ()))
    return tuple(Approval(one["by"], parse_instant(one["at"]), one["state"]) for one in said)


def _instant_of(item: Item, name: str) -> datetime | None:
    said = cast("str | None", item.get(name))
    return None if said is None else parse_instant(said)


def _closed_at(item: Item) -> str:
    """Return when a case that is not open was closed; of one that was closed before this was kept, its last change."""
    return cast(str, item.get("closed_at", item["updated_at"]))


def _status_key(status: str, case_id: str) -> str:
    return f"{status}#{shard(case_id)}"


def _place_of(case: Case) -> str:
    """Return where a case stands among those of its status; no two stand at one place."""
    return f"{instant(case.opened_at)}#{_digest(case.id)}"


def _digest(case_id: str) -> str:
    return hashlib.blake2b(case_id.encode(), digest_size=8).hexdigest()


def _place(listed: tuple[str, Item]) -> str:
    return listed[0]


def _case(item: Item) -> Case:
    message_id = cast("str | None", item.get("message_id"))
    status = CaseStatus(cast(str, item["status"]))
    return Case(
        id=cast(str, item["case_id"]),
        kind=CaseKind(cast(str, item["kind"])),
        title=cast(str, item["title"]),
        remedy=cast(str, item["remedy"]),
        opened_at=parse_instant(cast(str, item["opened_at"])),
        updated_at=parse_instant(cast(str, item["updated_at"])),
        facts=cast("dict[str, Fact]", item["facts"]),
        message_id=None if message_id is None else MessageId(message_id),
        status=status,
        occurrences=cast(int, item["occurrences"]),
        resolution=cast(str, item["resolution"]),
        owner=cast(str, item.get("owner", "")),
        due_at=_instant_of(item, "due_at"),
        escalated_at=_instant_of(item, "escalated_at"),
        approvals=_approvals(item),
        is_told=cast(bool, item.get("told", False)),
        closed_at=None if status is CaseStatus.OPEN else parse_instant(_closed_at(item)),
    )
