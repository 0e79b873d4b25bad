"""Reconciling: what a source says, beside the ledger as of the same instant; a difference is a case.

One case for each (source, SKU, location, element): it opens, follows the numbers, and closes by itself when they
agree again. Neither number is changed here; root cause says who is probably wrong, and the operator decides.

===================================  =====================================================================
a difference                         becomes
===================================  =====================================================================
within tolerance                     nothing; an open case closes
that the source's latency allows     nothing: posting delay within limits; an open case closes
younger than the authority's         compared again by the sweep: what explains it may be on its way to us
latency
of a total whose source tells of     compared no more, until it states a total again; an open case closes
bins or lots alone since a day
of a source that is declared no      compared no more; an open case closes with the next sweep
more
any other                            a case, with its likely causes
===================================  =====================================================================

The tolerance is the source's for the item's class, else the source's, else the location's, else half a per cent. It
forgives the largest of a share, a number of units, and units of a value; the last where the item's price is known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.cases import Case, CaseKind, CaseStatus, case_id
from shared.domain.drift import Comparison, Observation
from shared.domain.events import instant
from shared.domain.money import Money
from shared.domain.network import Tolerance
from shared.domain.stock import Sku, SourceId, StockKey
from shared.operations.damping import Damper
from shared.operations.explain import Explainer, explained
from shared.operations.stock_view import StockView
from shared.operations.write_paths import PathWatch
from shared.store.cases import Cases
from shared.store.ledger import LedgerMovedError
from shared.store.ledger_items import Moved
from shared.store.observations import Observations, Said, Subject
from shared.store.registry import Network, Registry

DEFAULT_TOLERANCE = Tolerance(percent_hundredths=50, units=0)
"""Half a per cent of what the ledger says."""

GONE_OVER = "it has told of bins or lots alone since, for more than a day: its last total is compared no more"

UNDECLARED = "its source is no longer declared, so what it said is compared no more"

LATE = timedelta(seconds=60)
"""How far back a posting may reach as a matter of course: what was said within it will soon be said again."""

EXPLAINED_AT_ONCE = 40
"""Cases of one batch that are explained when they are filed, so that one fault behind thousands holds nothing up.

The sweep explains the others.
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one number.

    ``agrees`` is by the tolerance and the latency that are declared; None: too early to say. ``is_equal`` is to the
    unit.
    """

    seen: Observation
    agrees: bool | None
    is_equal: bool


class Reconciler:
    """Compares observations with the ledger and keeps the drift cases true."""

    def __init__(
        self,
        view: StockView,
        observations: Observations,
        cases: Cases,
        registry: Registry,
        explainer: Explainer,
        paths: PathWatch,
        damper: Damper,
        clock: Callable[[], datetime],
    ) -> None:
        self._damper = damper
        self._paths = paths
        self._view = view
        self._observations = observations
        self._cases = cases
        self._registry = registry
        self._explainer = explainer
        self._clock = clock

    def observed(self, observations: Sequence[Observation]) -> list[Verdict]:
        """Compare what these sources say now, and take it off the list of what waits for that; return what was found.

        An announcement may be late or repeated: not what it says is compared, but what has been said since.
        """
        recalled = self._observations.recall({_subject(seen) for seen in observations})
        verdicts = self._compare(recalled)
        undecided = {one.seen for one in verdicts if one.agrees is None}
        self._observations.compared([said for said in recalled if said.last not in undecided])
        return verdicts

    def waiting(self, since: datetime) -> Iterator[Observation]:
        """Yield observations that have waited for their comparison since before an instant."""
        return self._observations.not_compared_since(since)

    def moved(self, changes: Iterable[Moved]) -> None:
        """The ledger of some stock keys changed: look again at their open drift cases.

        Where a change reached back further than ``LATE``, what was said since then is compared anew too: it may have
        agreed with a past that was not complete.
        """
        changes = list(changes)
        elements = self._view.compared_elements()
        subjects = {
            drift_case(source, change.key, element): (change.key, source, element)
            for change in changes
            for source, element in elements
        }
        still_open = [subjects[case] for case in self._cases.which_open(subjects)]
        late_before = self._clock() - LATE
        rewritten: dict[StockKey, datetime] = {}
        for change in changes:
            if change.since is not None and change.since < late_before:
                rewritten[change.key] = min(change.since, rewritten.get(change.key, change.since))
        doubtful = [(key, source, element) for key in rewritten for source, element in elements]
        self._compare(
            [
                said
                for said in self._observations.recall({*still_open, *doubtful})
                for seen in [said.last]
                if _subject(seen) in still_open or seen.as_of >= rewritten[StockKey(seen.sku, seen.location)]
            ]
        )

    def again(self, keys: Collection[StockKey]) -> list[Verdict]:
        """Compare what every source last said of some stock keys; return what was found of each number.

        For a sweep, that looks at everything whether or not it moved: a case that says already what is found is left
        alone, also one that an operator has closed.
        """
        elements = self._view.compared_elements()
        recalled = self._observations.recall(
            {(key, source, element) for key in keys for source, element in elements}
        )
        verdicts = self._compare(recalled, only_news=True)
        undecided = {one.seen for one in verdicts if one.agrees is None}
        self._observations.compared([said for said in recalled if said.last not in undecided and said.waits])
        return verdicts

    def judge(self, keys: Collection[StockKey]) -> list[Verdict]:
        """Say of every number that sources last said of some stock keys whether it agrees, and change nothing."""
        elements = self._view.compared_elements()
        recalled = self._observations.recall(
            {(key, source, element) for key in keys for source, element in elements}
        )
        return [verdict for _, verdict in self._judged(recalled)]

    def _judged(self, recalled: Sequence[Said]) -> list[tuple[Comparison, Verdict]]:
        said_by = {said.last: said for said in recalled}
        comparisons = self._view.compare(recalled)
        tolerated = self._tolerated([found.observation for found in comparisons])
        judged: list[tuple[Comparison, Verdict]] = []
        for found in comparisons:
            seen = found.observation
            agrees: bool | None = not found.exceeds(*tolerated[seen])
            if not agrees:
                agrees = (
                    None
                    if self._may_be_on_its_way(seen)
                    else self._explainer.is_posting_delay(said_by[seen], found)
                )
            judged.append((found, Verdict(seen, agrees, found.drift == 0)))
        return judged

    def _compare(self, recalled: Sequence[Said], *, only_news: bool = False) -> list[Verdict]:
        """Judge what was said, and keep the cases true."""
        said_by = {said.last: said for said in recalled}
        verdicts = self._judged(recalled)
        agreeing = [one.seen for _, one in verdicts if one.agrees]
        differing = [found for found, one in verdicts if one.agrees is False]
        for case in self._cases.which_open(map(_case_of, agreeing)):
            self._cases.close(case, "the numbers agree again", self._clock())
        over = [said.last for said in recalled if said.is_over]
        for case in self._cases.which_open(map(_case_of, over)):
            self._cases.close(case, GONE_OVER, self._clock())
        if only_news:
            differing = [found for found in differing if not self._is_known(found)]
        differing = self._undamped(differing)
        judged: list[Case] = []
        for number, found in enumerate(differing):
            case_ = _case(found, self._clock())
            if number < EXPLAINED_AT_ONCE:
                case_ = self._explained(case_, said_by[found.observation], found)
                judged.append(case_)
            self._cases.file(case_)
            _log(found, case_)
        self._paths.drifted(judged)
        return [one for _, one in verdicts]

    def _is_known(self, found: Comparison) -> bool:
        """Whether the case of a number says of it what was found, wherever it stands; an open one also why."""
        known = self._cases.find(_case_of(found.observation))
        if known is None or (known.status is CaseStatus.OPEN and "cause" not in known.facts):
            return False
        told = _case(found, self._clock()).facts
        return all(known.facts.get(name) == fact for name, fact in told.items())

    def _undamped(self, differing: list[Comparison]) -> list[Comparison]:
        """Leave out what is new of stock keys that are corrected back and forth: their own case counts it."""
        keys = {found.observation: _subject(found.observation)[0] for found in differing}
        damped = self._damper.damped(set(keys.values()))
        if not damped:
            return differing
        still_open = self._cases.which_open(_case_of(seen) for seen in keys)
        kept: list[Comparison] = []
        for found in differing:
            seen = found.observation
            if keys[seen] not in damped or _case_of(seen) in still_open:
                kept.append(found)
            else:
                self._damper.fold(_case(found, self._clock()), keys[seen])
        return kept

    def settle_undeclared(self) -> int:
        """Close the cases of sources that are declared no more, of which nothing is compared any more; return how many."""
        if not self._undeclared(self._registry.network()):
            return 0
        gone = self._undeclared(self._registry.network(fresh=True))
        return sum(self._cases.close(name, UNDECLARED, self._clock()) for name in gone)

    def _undeclared(self, network: Network) -> list[str]:
        declared = {case_id(CaseKind.DRIFT, source) for source in network.sources}
        names = self._cases.names_open_of(CaseKind.DRIFT)
        return [name for name in names if ":".join(name.split(":")[:2]) not in declared]

    def settle_loops(self) -> int:
        """Close the cases of stock keys that nobody corrects back and forth any more; return how many."""
        return self._damper.settle()

    def _explained(self, case_: Case, said: Said, found: Comparison) -> Case:
        try:
            return explained(case_, self._explainer.explain(said, found))
        except LedgerMovedError:  # too busy to be read as of an instant: its next change explains it
            return case_

    def _may_be_on_its_way(self, seen: Observation) -> bool:
        """Whether the authority may not have told us yet of what happened before a statement."""
        network = self._registry.network()
        location = network.locations.get(seen.location)
        authority = None if location is None else network.sources.get(location.movements or SourceId(""))
        return authority is not None and seen.as_of + authority.latency > self._clock()

    def _tolerated(
        self, observations: Sequence[Observation]
    ) -> dict[Observation, tuple[Tolerance, Money | None]]:
        """Return the rule for each observation, and its item's price where the rule asks for one."""
        network = self._registry.network()
        rules = {seen: _rules(seen, network) for seen in observations}
        wanted = {seen.sku for seen, (by_class, others) in rules.items() if _asks_for_item(by_class, others)}
        items = self._registry.items.find(wanted) if wanted else {}
        found: dict[Observation, tuple[Tolerance, Money | None]] = {}
        for seen, (by_class, others) in rules.items():
            item = items.get(Sku(seen.sku))
            of_class = None if item is None else by_class.get(item.item_class)
            rule = next((rule for rule in (of_class, *others) if rule is not None), DEFAULT_TOLERANCE)
            found[seen] = rule, None if item is None else item.price
        return found


def _rules(
    seen: Observation, network: Network
) -> tuple[Mapping[str, Tolerance], tuple[Tolerance | None, ...]]:
    """Return the rules for what a source says of a place: those by class, and the others in order."""
    source, location = network.sources[seen.source], network.locations.get(seen.location)
    return source.class_tolerances, (source.tolerance, None if location is None else location.tolerance)


def _asks_for_item(by_class: Mapping[str, Tolerance], others: Iterable[Tolerance | None]) -> bool:
    return bool(by_class) or any(rule is not None and rule.value is not None for rule in others)


def _log(found: Comparison, case_: Case) -> None:
    seen = found.observation
    log.info(
        "drift_found",
        extra={
            "source_id": seen.source,
            "sku": seen.sku,
            "location": seen.location,
            "observed": seen.quantity,
            "expected": found.expected,
            "drift": found.drift,
            "cause": case_.facts.get("cause"),
        },
    )


def drift_case(source: SourceId, key: StockKey, element: str) -> str:
    """Name the case of one source's number."""
    return case_id(CaseKind.DRIFT, source, key.sku, key.location, element)


def _subject(seen: Observation) -> Subject:
    return StockKey(seen.sku, seen.location), seen.source, seen.element


def _case_of(seen: Observation) -> str:
    return drift_case(seen.source, StockKey(seen.sku, seen.location), seen.element)


def _case(comparison: Comparison, now: datetime) -> Case:
    seen = comparison.observation
    return Case(
        id=_case_of(seen),
        kind=CaseKind.DRIFT,
        title=(
            f"{seen.source} says {seen.quantity} {seen.element} of {seen.sku} at {seen.location}, "
            f"the ledger {comparison.expected} as of the same instant ({comparison.drift:+d})"
        ),
        remedy=f"find the handoff that {seen.source} missed or doubled, or have the location recounted",
        opened_at=now,
        updated_at=now,
        facts={
            "source": seen.source,
            "sku": seen.sku,
            "location": seen.location,
            "element": seen.element,
            "meaning": comparison.meaning,
            "observed": seen.quantity,
            "expected": comparison.expected,
            "drift": comparison.drift,
            "as_of": instant(seen.as_of),
        },
    )
