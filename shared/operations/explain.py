"""Explaining a drift: reads what root cause is found from, and puts what was found into the case.

What is read is bounded: the newest entries of the journal and order lines of one stock key, what the source said
before, and a few other drift cases of the same source. Nothing is written here; the reconciler files the case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import cast

from shared.domain.cases import Case, CaseKind, Fact
from shared.domain.drift import Comparison, Observation, parse_formula
from shared.domain.events import instant
from shared.domain.root_cause import (
    Account,
    Explanation,
    Hypothesis,
    Mirror,
    RootCause,
    Sibling,
    Undone,
    counted,
    explain,
    is_within_latency,
    mirror_of,
)
from shared.domain.stock import EventKey, LocationId, Quantity, Sku, SourceId, StockKey
from shared.operations.event_changes import changes_of, undone_of
from shared.operations.footprint import UNDONE_BY
from shared.operations.stock_view import StockView
from shared.store.account import UNDONE
from shared.store.cases import Cases
from shared.store.layout import event_key
from shared.store.ledger import Ledger
from shared.store.ledger_items import JournalEntry
from shared.store.observations import Observations, Said
from shared.store.orders import Orders
from shared.store.registry import Registry
from shared.store.table import Table

LOOK_BACK = timedelta(hours=72)
"""How far before the oldest statement the ledger is read: an old batch may be as old as that."""

LOOK_AHEAD = timedelta(minutes=45)
"""How far behind the newest statement it is read: goods may have been on their way while it was counted."""

MOST_ENTRIES = 400
"""Journal entries that are read, the newest."""

ENTRIES_AT_ONCE = 100

MOST_ORDER_LINES = 200
"""Order lines of one stock key that are read."""

MOST_UNDONE = 20
"""Events of one stock key that were taken back and are looked at, the newest."""

MOST_MIRRORS = 4
"""Other stock keys of the source, off by about as much the other way, that are looked at."""

MOST_KIN = 6
"""Other stock keys of the location that are looked at: how their documents are written, what the source has counted."""

KIN_ENTRIES = 20
"""Journal entries of each of them, the newest."""

CASES_LOOKED_AT = 200
"""Open cases among which mirrors are looked for, about the newest."""

RECORDED_LATE = timedelta(minutes=10)
"""How much later than it is posted something may at most have happened: clocks differ."""


class NothingSaidError(LookupError):
    """The source has said nothing of this stock key, so there is no difference to explain."""


class Explainer:
    """Finds the likely causes of a difference."""

    def __init__(
        self, table: Table, view: StockView, observations: Observations, cases: Cases, registry: Registry
    ) -> None:
        self._table = table
        self._ledger = Ledger(table)
        self._orders = Orders(table)
        self._view = view
        self._observations = observations
        self._cases = cases
        self._registry = registry

    def explain(self, said: Said, comparison: Comparison) -> Explanation:
        """Rank what may have caused one difference."""
        account = self.account(said, comparison)
        mirrors = tuple(self._mirrors(said.last, comparison.drift))
        kin = self._kin(account.key)
        events = tuple(
            line.event_key
            for entries in kin.values()
            for entry in entries
            for line in entry.lines
            if not line.event_key.startswith(UNDONE)
        )
        siblings = tuple(self._siblings(said.last, account, kin))
        return explain(replace(account, mirrors=mirrors, kin=events, siblings=siblings))

    def of_subject(self, key: StockKey, source: SourceId, element: str) -> tuple[Comparison, Explanation]:
        """Compare what a source says now, and rank what may have caused the difference.

        Raises
        ------
        NothingSaidError
        """
        for said in self._observations.recall([(key, source, element)]):
            for comparison in self._view.compare([said]):
                return comparison, self.explain(said, comparison)
        raise NothingSaidError(
            f"{source} has said nothing of {element} of {key} that could be compared: no number whose meaning is declared, "
            "or no total since it told of bins or lots alone"
        )

    def of_key(self, key: StockKey) -> list[tuple[Comparison, Explanation]]:
        """Explain every source's difference at one stock key; sources that agree are left out."""
        subjects = [(key, source, element) for source, element in self._view.compared_elements()]
        recalled = {said.last: said for said in self._observations.recall(subjects)}
        compared = self._view.compare(recalled.values())
        return [(one, self.explain(recalled[one.observation], one)) for one in compared if one.drift]

    def is_posting_delay(self, said: Said, comparison: Comparison) -> bool:
        """Whether a source differs by no more than what it need not have heard of yet, as declared."""
        source = self._registry.network().sources.get(said.last.source)
        if source is None or not source.latency:
            return False
        return is_within_latency(self.account(said, comparison))

    def account(self, said: Said, comparison: Comparison) -> Account:
        """Gather what the ledger knows around a source's statements, mirrors apart."""
        seen = said.last
        key = StockKey(seen.sku, seen.location)
        network = self._registry.network()
        source = network.sources.get(seen.source)
        channel = None if source is None or source.channel is None else network.channels.get(source.channel)
        level = dict(self._view.quantities(key, seen.as_of))
        meaning = parse_formula(comparison.meaning)
        level["safety_stock"] = 0 if channel is None else channel.safety_stock
        level["available_to_promise"] = level.get("available", 0)
        # What the view compared with is the truth; a meaning that is no plain sum differs by a constant here.
        off = comparison.expected - meaning.evaluate(level)
        since = said.statements[0].as_of - LOOK_BACK
        entries, complete_since = self._entries(key, since)
        until = seen.as_of + LOOK_AHEAD
        statements = [replace(one, quantity=one.quantity - off) for one in said.statements]
        return Account(
            key,
            seen.source,
            meaning,
            level,
            statements,
            changes_of(key.sku, entries, self._held(key, since), since, until),
            complete_since,
            timedelta(0) if source is None else source.latency,
            self._packs(seen.sku, seen.as_of),
            self._observations.told(key, seen.source),
            is_counted_by_hand=source is not None and source.counted_by_hand,
            takes_orders=channel is not None,
            undone=tuple(self._undone(key.sku, entries, since, until)),
        )

    def _undone(
        self, sku: Sku, entries: Iterable[JournalEntry], since: datetime, until: datetime
    ) -> Iterator[Undone]:
        """Yield what was taken back of a stock key, the newest first, with who had reported it and who took it back."""
        found = list(islice(undone_of(sku, entries, since, until), MOST_UNDONE))
        keys = [event_key(name) for back in found for name in (back.event, back.name)]
        items = self._table.get_many(keys) if keys else {}
        for back in found:
            told, undoing = items.get(event_key(back.event)), items.get(event_key(back.name))
            if told is not None and undoing is not None:
                source = SourceId(cast(str, told["source"]))
                by = dict(cast("list[tuple[str, str]]", undoing["refs"])).get(UNDONE_BY, "")
                yield Undone(back.event, back.did, source, by, back.at)

    def _entries(self, key: StockKey, since: datetime) -> tuple[list[JournalEntry], datetime | None]:
        """Return journal entries back to an instant, or as far as is read; and from when on nothing is missing."""
        found: list[JournalEntry] = []
        before: int | None = None
        while len(found) < MOST_ENTRIES:
            page = self._ledger.journal(key, before_seq=before, limit=ENTRIES_AT_ONCE)
            found += page
            if not page or page[-1].seq == 0:
                return found, None
            before = page[-1].seq
            if page[-1].posted_at + RECORDED_LATE < since:
                break
        return found, found[-1].posted_at + RECORDED_LATE

    def _held(self, key: StockKey, since: datetime) -> Iterator[tuple[str, datetime, Quantity, EventKey]]:
        lines = self._orders.of_stock_key(key, changed_since=since)
        for line in islice(lines, MOST_ORDER_LINES):
            for held in line.history:
                if held.location == key.location:
                    yield line.order, held.at, held.quantity, held.event_key

    def _packs(self, sku: Sku, at: datetime) -> dict[str, int]:
        item = self._registry.items.find([sku]).get(sku)
        if item is None:
            return {}
        factors = item.at(at).packs.items()
        return {unit: int(factor) for unit, factor in factors if factor.denominator == 1 and int(factor) > 1}

    def _kin(self, key: StockKey) -> dict[StockKey, list[JournalEntry]]:
        """Return the newest entries of a few other stock keys of the location."""
        near = self._view.keys_at(key.location, None, MOST_KIN)
        elsewhere = [StockKey(key.sku, place) for place in self._registry.network().locations]
        others = [other for other in (*near, *elsewhere[:MOST_KIN]) if other != key]
        return {other: self._ledger.journal(other, limit=KIN_ENTRIES) for other in others}

    def _siblings(
        self, seen: Observation, account: Account, kin: Mapping[StockKey, list[JournalEntry]]
    ) -> Iterator[Sibling]:
        """Say of the newest events of other stock keys whether the source has counted them."""
        recalled = self._observations.recall([(other, seen.source, seen.element) for other in kin])
        for found in self._view.compare(recalled):
            last = found.observation
            entries = kin[StockKey(last.sku, last.location)]
            since = last.as_of - LOOK_BACK
            other = StockKey(last.sku, last.location)
            held = self._held(other, since) if account.meaning.uses_reservations else ()
            changes = changes_of(other.sku, entries, held, since, last.as_of)
            yield from counted(changes, account.meaning, found.drift)

    def _mirrors(self, seen: Observation, drift: Quantity) -> Iterator[Mirror]:
        """Yield the source's differences on stock keys that are off by as much the other way."""
        newest = self._cases.newest_open(CASES_LOOKED_AT)
        nearest = sorted(newest, key=lambda case: _apart(case.facts.get("drift"), drift))
        opposite = [
            (StockKey(Sku(str(facts["sku"])), LocationId(str(facts["location"]))), seen.source, seen.element)
            for case in nearest
            for facts in [case.facts]
            if case.kind is CaseKind.DRIFT
            and facts.get("source") == seen.source
            and facts.get("element") == seen.element
            and _is_opposite(facts.get("drift"), drift)
            and (facts["sku"], facts["location"]) != (seen.sku, seen.location)
        ]
        recalled = self._observations.recall(opposite[:MOST_MIRRORS]) if opposite else []
        comparisons = {c.observation: c for c in self._view.compare(recalled)}
        for said in recalled:
            if said.last in comparisons:
                yield mirror_of(self.account(said, comparisons[said.last]))


def _apart(other: Fact, drift: Quantity) -> int:
    """Return how far another difference is from being this one's opposite."""
    return abs(other + drift) if isinstance(other, int) else abs(drift)


def _is_opposite(other: Fact, drift: Quantity) -> bool:
    return isinstance(other, int) and other * drift < 0


def explained(case: Case, explanation: Explanation) -> Case:
    """Put the first hypotheses into a case: its title, its remedy, its facts.

    Where several fit equally well the title says so, and the remedy is to find out which it was.
    """
    first, equal = explanation.first, explanation.equal
    facts: dict[str, Fact] = {**case.facts, "cause": first.cause, "confidence": first.confidence}
    if first.events:
        facts["guilty_event"] = first.events[0]
    if first.fault is not None:
        facts["fault_from"], facts["fault_at"] = first.fault[0], instant(first.fault[1])
    if first.undone_at is not None:
        facts["undone_at"] = instant(first.undone_at)
    if len(equal) > 1:
        facts["fit_equally"] = len(equal)
    for number, hypothesis in enumerate(explanation.hypotheses[: max(3, len(equal))], start=1):
        facts[f"hypothesis_{number}"] = in_a_line(hypothesis)
    if first.cause is RootCause.UNEXPLAINED:
        return replace(case, facts=facts)
    said = f"{first.said} ({first.confidence} %)"
    if len(equal) == 1:
        return replace(case, title=f"{case.title}: {said}", remedy=first.remedy, facts=facts)
    others = (
        f"or {equal[1].said}" if len(equal) == 2 else f"or one of {len(equal) - 1} others that fit as well"
    )
    checks = "; or ".join(dict.fromkeys(one.confirm for one in equal))
    remedy = f"find out which it was: {checks}"
    return replace(case, title=f"{case.title}: {said}, {others}", remedy=remedy, facts=facts)


def in_a_line(hypothesis: Hypothesis) -> str:
    """Say a hypothesis in one line."""
    return f"{hypothesis.confidence} % {hypothesis.cause} ({hypothesis.sphere}): {hypothesis.said}"
