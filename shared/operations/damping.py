"""Damping: a stock key that is corrected back and forth is one case that says by whom, not a storm of cases.

While that case is open, no new case is opened for what the loop makes of the key: a drift that comes and goes, an
edited listing. It is counted in the loop's own case instead. The ledger goes on as ever: damping silences alarms, never
facts. When nobody has corrected the number for the whole time, the case closes by itself. Where somebody closed it, it
opens again only for a leaf whose number swings once more.

Corrections are remembered leaf by leaf, ``KEPT`` of each (about 1 KB), so that a loop in one bin is seen however many
others are counted meanwhile, and posting reads and writes only what it corrected. All leaves of a stock key are read
together only where one of them is in a loop: the case is one, and names the leaf that swings most.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from shared.domain.cases import Case, CaseKind, Fact, case_id
from shared.domain.damping import Correction, Damping, in_turn, is_loop, remembered, swung_at
from shared.domain.events import Movement, MovementKind, instant, parse_instant
from shared.domain.stock import WHOLE, Counter, Leaf, LocationId, Quantity, Sku, StockKey, parse_leaf
from shared.operations.facts import Outcome, Result
from shared.operations.measure import happened_at
from shared.store.bulk import write_each
from shared.store.cases import Cases
from shared.store.layout import corrections_key
from shared.store.registry import Registry
from shared.store.table import AttributeAbsent, Condition, Equals, Item, Table, Update

_Number = tuple[StockKey, Leaf]
_Kept = tuple[Correction, ...]

EVERY_MINUTES = 5
"""How often it is looked for loops that have come to rest."""


class Damper:
    """Remembers corrections, and knows which stock keys are in a loop."""

    def __init__(self, table: Table, cases: Cases, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._cases = cases
        self._registry = registry
        self._clock = clock

    def corrected(self, results: Iterable[Result]) -> None:
        """Note what posting corrected; a stock key whose corrections swing becomes a case.

        What was posted together, as the lines of one message are, stands in the order in which it happened, and was told.
        """
        now = self._clock()
        new: defaultdict[tuple[StockKey, Leaf], list[Correction]] = defaultdict(list)
        for result in sorted(results, key=lambda one: happened_at(one.fact.event)):
            event = result.fact.event
            if result.outcome is Outcome.POSTED:
                for key, leaf, units in _corrections(result):
                    new[key, leaf].append(Correction(now, units, event.origin.source, event.key, leaf))
        if not new:
            return
        rule = self._registry.network().rules.damping
        looping: defaultdict[StockKey, list[Sequence[Correction]]] = defaultdict(list)
        for (key, _), kept in self._remember(new, now - rule.within).items():
            if is_loop(kept, rule):
                looping[key].append(kept)
        for key, leaves in looping.items():
            self._file(key, leaves, rule, now)

    def _remember(self, new: Mapping[_Number, Sequence[Correction]], since: datetime) -> dict[_Number, _Kept]:
        """Add corrections of some leaves to those that are remembered; whoever is overtaken reads and adds again."""
        kept: dict[_Number, _Kept] = {}
        while left := [of for of in new if of not in kept]:
            found = self._table.get_many([corrections_key(*of) for of in left])
            updates, meant = list[Update](), dict[_Number, _Kept]()
            for of in left:
                at = corrections_key(*of)
                known = _read(found.get(at))
                meant[of] = remembered(known, in_turn(new[of], known), since)
                rows = [_row(one) for one in meant[of]]
                as_read = _as_read(found.get(at))
                updates.append(
                    Update(at, set={"corrections": rows}, add={"revision": 1}, conditions=(as_read,))
                )
            done = write_each(self._table, updates)
            kept |= {of: of_leaf for of, of_leaf in meant.items() if corrections_key(*of) in done}
        return kept

    def _file(
        self, key: StockKey, touched: Iterable[Sequence[Correction]], rule: Damping, now: datetime
    ) -> None:
        """File the loop of a stock key, unless it was closed and none of the leaves just corrected swings on since."""
        case = self._cases.find(loop_case(key))
        closed_at = None if case is None else case.closed_at
        if any(is_loop(corrections, rule, closed_at) for corrections in touched):
            leaves = [*touched, *self._remembered(key, now - rule.within)]
            loops = [corrections for corrections in leaves if is_loop(corrections, rule, closed_at)]
            loops.sort(key=lambda one: one[0].leaf)
            self._cases.file(_loop(key, max(loops, key=lambda one: len(swung_at(one))), now))

    def _remembered(self, key: StockKey, since: datetime) -> list[tuple[Correction, ...]]:
        """Return the corrections of each leaf of a stock key that has been corrected since an instant."""
        items = self._table.query(corrections_key(key, WHOLE).pk)
        kept = (remembered(_read(item), (), since) for item in items)
        return [corrections for corrections in kept if corrections]

    def damped(self, keys: Collection[StockKey]) -> set[StockKey]:
        """Return those of some stock keys that are in a loop."""
        names = {loop_case(key): key for key in keys}
        return {names[name] for name in self._cases.which_open(names)} if names else set()

    def fold(self, case: Case, key: StockKey) -> None:
        """Count in a loop's own case what would have been another case."""
        loop = self._cases.find(loop_case(key))
        if loop is not None:
            folded = loop.facts.get("folded")
            facts: dict[str, Fact] = {
                "folded": (folded if isinstance(folded, int) else 0) + 1,
                "last_folded": case.title,
            }
            self._cases.amend(loop.id, facts, self._clock())

    def settle(self) -> int:
        """Every few minutes, close the cases of loops that have come to rest; return how many."""
        now, closed = self._clock(), 0
        if now.minute % EVERY_MINUTES:
            return 0
        rule = self._registry.network().rules.damping
        for case in self._cases.open_of([CaseKind.CORRECTION_LOOP]):
            key = StockKey(Sku(str(case.facts["sku"])), LocationId(str(case.facts["location"])))
            named = parse_leaf(str(case.facts.get("leaf", WHOLE)))
            leaves = self._remembered(key, now - rule.within)
            if not any(one[-1].leaf == named or is_loop(one, rule, case.opened_at) for one in leaves):
                closed += self._cases.close(case.id, "nobody has corrected it since", now)
        return closed


def loop_case(key: StockKey) -> str:
    """Name the case of a stock key that is corrected back and forth."""
    return case_id(CaseKind.CORRECTION_LOOP, key.sku, key.location)


def _corrections(result: Result) -> Iterable[tuple[StockKey, Leaf, Quantity]]:
    event = result.fact.event
    if isinstance(event, Movement):
        if event.kind is not MovementKind.ADJUSTMENT:
            return []
        legs = [leg for leg in event.legs if leg.counter is Counter.ON_HAND and leg.quantity]
        return [(StockKey(event.sku, leg.location), leg.leaf, leg.quantity) for leg in legs]
    return result.corrected


def _loop(key: StockKey, corrections: Sequence[Correction], now: datetime) -> Case:
    who = sorted({one.who for one in corrections})
    listed: dict[str, Fact] = {
        f"correction_{number}": f"{instant(one.at)} {one.who} {one.units:+d} ({one.event})"
        for number, one in enumerate(corrections, start=1)
    }
    net = sum(one.units for one in corrections)
    leaf = corrections[-1].leaf
    number = str(key) if leaf == WHOLE else f"{leaf} of {key}"
    return Case(
        loop_case(key),
        CaseKind.CORRECTION_LOOP,
        f"{number} was corrected {len(corrections)} times by {' and '.join(who)}, back and forth: {net:+d} in all",
        "they undo each other: find which of them writes from an old or another number, and stop it; new drift of this "
        "stock key is counted here meanwhile",
        now,
        now,
        {
            "sku": key.sku,
            "location": key.location,
            **({} if leaf == WHOLE else {"leaf": str(leaf)}),
            "corrections": len(corrections),
            "swings": len(swung_at(corrections)),
            "by": ", ".join(who),
            "units": max(abs(one.units) for one in corrections),
            **listed,
        },
    )


def _row(one: Correction) -> list[Any]:
    return [instant(one.at), one.units, one.who, one.event, str(one.leaf)]


def _as_read(item: Item | None) -> Condition:
    revision = None if item is None else item.get("revision")
    return AttributeAbsent("revision") if revision is None else Equals("revision", cast(int, revision))


def _read(item: Item | None) -> list[Correction]:
    rows = cast("list[list[Any]]", (item or {}).get("corrections", []))
    return [
        Correction(parse_instant(at), units, who, event, parse_leaf(leaf[0]) if leaf else WHOLE)
        for at, units, who, event, *leaf in rows
    ]
