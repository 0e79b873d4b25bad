"""Recording what a message says: post its facts, keep its observations, and open a case for everything else.

Every step may be repeated without harm, so a crash between any two of them is mended by doing all of it again:
posting is once-only, observations keep the newest, and a case is named by its cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.domain.cases import Case, CaseKind, case_id
from shared.domain.drift import Observation
from shared.domain.events import Count, Demand, Event, Movement, instant
from shared.domain.handoffs import OURSELVES
from shared.domain.ledger import Slot
from shared.domain.messages import Message
from shared.domain.network import MANUAL, Source
from shared.domain.rollout import Mode
from shared.domain.shadow import Withheld
from shared.domain.stock import WHOLE, Counter, Quantity, StockKey
from shared.operations.adjustments import adjustment_case, parted
from shared.operations.damping import Damper
from shared.operations.facts import Fact, Outcome, Result, correction_of, stock_keys
from shared.operations.kit_stock import kit_stock_case, kit_stock_cases
from shared.operations.measure import Unmeasured
from shared.operations.post import Poster
from shared.operations.resolve import Resolution, observation_of, resolve, tally
from shared.operations.telling import Teller
from shared.operations.transfer_names import tell_misnamed
from shared.sources.contract import Fault, Report
from shared.store.cases import Cases
from shared.store.observations import Observations
from shared.store.registry import Code, Registry
from shared.store.shadows import Shadows
from shared.store.traffic import Traffic

SHOWN = 20
"""Faults of one message that its case spells out; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a message: counts by outcome, and the cases that hold the rest."""

    outcomes: dict[str, int]
    case_ids: tuple[str, ...]


class Recorder:
    """Turns reports into ledger entries, observations and cases."""

    def __init__(
        self,
        poster: Poster,
        observations: Observations,
        cases: Cases,
        registry: Registry,
        traffic: Traffic,
        damper: Damper,
        teller: Teller,
        shadows: Shadows,
        clock: Callable[[], datetime],
    ) -> None:
        self._shadows = shadows
        self._damper = damper
        self._teller = teller
        self.traffic = traffic
        self._poster = poster
        self._observations = observations
        self._cases = cases
        self._registry = registry
        self._clock = clock

    def record(
        self,
        reports: Iterable[Report | Fault],
        source: Source,
        message: Message,
        *,
        unlisted: int = 0,
        approved: Quantity | None = None,
    ) -> Recorded:
        """Record every report of one message, or of one chunk of a file, and ``unlisted`` more faults as a number.

        An adjustment by hand that is larger than its location allows waits in a case, unless it comes to the base units
        that were ``approved``.

        Raises
        ------
        PostingContendedError
            When some facts could not be posted now; recording again continues where it stopped.
        """
        reports = list(reports)
        network, now = self._registry.network(), self._clock()
        resolution = resolve(reports, source, self._registry, network, now)
        facts, waiting = resolution.facts, list[tuple[Movement, Quantity]]()
        if source.id == MANUAL.id:
            facts, waiting = parted(facts, self._poster, network, approved)
        results = self._poster.post(facts, network)
        self._damper.corrected(results)
        withheld = {observation_of(x.event) for x in resolution.withheld if isinstance(x.event, Count)}
        self._observations.record(
            resolution.observations, now, _counted(results), withheld, resolution.partial
        )
        self._observations.tell(resolution.hearsay)
        self._shadows.withhold(source.id, _in_shadow(resolution.withheld, source))
        cases = [
            *unknown_code_cases(resolution.unknown, message, now),
            *_unmeasured(resolution.unmeasured, source, message, now),
            *kit_stock_cases(resolution.kit_stock, message, now),
            *_faults(resolution.faults, unlisted, source, message, now),
            *_held(resolution.held, source, message, now),
            *_conflicts(results, message, now),
            *(adjustment_case(movement, on_hand, message, now) for movement, on_hand in waiting),
        ]
        for case in cases:
            self._cases.file(case)
        misnamed = tell_misnamed(self._poster.misnamed(results), message, self._cases, now)
        self._teller.posted(results)
        settled = self._settled_meanwhile(resolution, source)
        if settled:
            # Mapped between our look-up and our filing: whoever mapped it did not see this message parked.
            recorded = self.record(reports, source, message, unlisted=unlisted, approved=approved)
            self._release(settled, message, now)
            return recorded
        outcomes = tally(resolution, [result.outcome for result in results])
        self._measure(reports, source, message)
        return Recorded(outcomes, (*(case.id for case in cases), *misnamed))

    def _measure(self, reports: Sequence[Report | Fault], source: Source, message: Message) -> None:
        """Note how long the newest event of a message took to arrive, and how long to be posted."""
        events = [report.event for report in reports if isinstance(report, Report)]
        if not events:
            return
        newest = max(event.as_of if isinstance(event, Count) else event.occurred_at for event in events)
        self.traffic.passed(
            source.id,
            OURSELVES,
            len(events),
            arriving=message.received_at - newest,
            posting=self._clock() - message.received_at,
        )

    def _settled_meanwhile(self, resolution: Resolution, source: Source) -> set[str]:
        """Return the cases of those codes and items that have been mapped or changed since they were looked up."""
        codes = [code for code in resolution.unknown if code.kind != "location"]
        settled = {unknown_code_case(code) for code in self._registry.skus(codes)} if codes else set[str]()
        waiting = {unit_case(source, x): (x.sku, x.item_version) for x in resolution.unmeasured}
        waiting |= {kit_stock_case(x): (x.sku, x.item_version) for x in resolution.kit_stock}
        items = self._registry.items.find({sku for sku, _ in waiting.values()}) if waiting else {}
        return settled | {
            case for case, (sku, seen) in waiting.items() if sku in items and items[sku].version != seen
        }

    def _release(self, settled: Iterable[str], message: Message, now: datetime) -> None:
        """Take back what was filed too late; a case on which others wait is closed by who lets them go."""
        for case in settled:
            self._cases.unpark(case, message.id)
            if next(self._cases.parked(case), None) is None:
                self._cases.close(case, "mapped", now)


def _counted(results: Sequence[Result]) -> set[Observation]:
    """Return what the authority said and the ledger now says after it: there is nothing left to compare."""
    return {
        observation_of(result.fact.event)
        for result in results
        if result.outcome is not Outcome.REFUSED and isinstance(result.fact.event, Count)
    }


def _in_shadow(withheld: Sequence[Fact], source: Source) -> Iterator[tuple[StockKey, Withheld]]:
    """Yield what is worth keeping of facts that were withheld: by stock key, where their source is in shadow."""
    for event in (fact.event for fact in withheld):
        for key in stock_keys(event):
            if source.mode_at(key.sku, key.location) is not Mode.SHADOW:
                continue
            if isinstance(event, Movement):
                on_hand = (leg for leg in event.legs if leg.counter is Counter.ON_HAND)
                units = sum(leg.quantity for leg in on_hand if leg.location == key.location)
                yield key, Withheld(event.key, str(event.kind), units, event.occurred_at)
            elif isinstance(event, Demand):
                yield key, Withheld(event.key, str(event.effect), event.quantity, event.occurred_at)
            else:
                part = None if event.leaf == WHOLE else Slot(event.leaf, Counter(event.element))
                what = f"count of {event.element}"
                yield key, Withheld(event.key, what, event.quantity, event.as_of, part, event.version)


def unknown_code_cases(unknown: Mapping[Code, int], message: Message, now: datetime) -> list[Case]:
    """Return a case for each code that stands for nothing of ours, with how many events wait for it."""
    return [
        Case(
            id=unknown_code_case(code),
            kind=CaseKind.UNKNOWN_CODE,
            title=f"{code.source} uses {code.kind} {code.code!r}, which stands for nothing of ours",
            remedy="add it to the source's locations in network.yaml and apply"
            if code.kind == "location"
            else "map the code to a SKU; what waits for it is then posted by itself",
            opened_at=now,
            updated_at=now,
            facts={"source": code.source, "kind": code.kind, "code": code.code, "events": events},
            message_id=message.id,
        )
        for code, events in unknown.items()
    ]


def unknown_code_case(code: Code) -> str:
    """Name the case that collects everything that waits for one code."""
    return case_id(CaseKind.UNKNOWN_CODE, code.source, code.kind, code.code)


def unit_case(source: Source, waiting: Unmeasured) -> str:
    """Name the case that collects what a source says of one item in one unit, and cannot be converted."""
    return case_id(CaseKind.UNIT, source.id, waiting.sku, waiting.unit)


def _unmeasured(
    unmeasured: Sequence[Unmeasured], source: Source, message: Message, now: datetime
) -> list[Case]:
    cases = {
        unit_case(source, waiting): Case(
            id=unit_case(source, waiting),
            kind=CaseKind.UNIT,
            title=waiting.reason,
            remedy=waiting.remedy,
            opened_at=now,
            updated_at=now,
            facts={
                "source": source.id,
                "sku": waiting.sku,
                "unit": waiting.unit,
                "our_unit": waiting.our_unit,
                "item_version": waiting.item_version,
                "field": waiting.field,
                "reason": waiting.reason,
                "row": waiting.row,
            },
            message_id=message.id,
        )
        for waiting in unmeasured
    }
    return list(cases.values())


def _faults(
    faults: Sequence[Fault], unlisted: int, source: Source, message: Message, now: datetime
) -> list[Case]:
    if not faults:
        return []
    first = faults[0]
    where = f"row {first.row}, " if first.row is not None else ""
    number = len(faults) + unlisted
    more = f" (and {number - 1} more)" if number > 1 else ""
    shown = {f"fault_{n}": _one_line(fault) for n, fault in enumerate(faults[:SHOWN], start=1)}
    kind = CaseKind.BAD_ROWS if first.row is not None else CaseKind.BAD_MESSAGE
    return [
        Case(
            id=case_id(kind, source.id, message.id),
            kind=kind,
            title=f"{source.id}: {where}{first.field}: {first.reason}{more}",
            remedy=first.remedy,
            opened_at=now,
            updated_at=now,
            facts={"source": source.id, "faults": number, **shown},
            message_id=message.id,
        )
    ]


def _one_line(fault: Fault) -> str:
    where = f"row {fault.row}, " if fault.row is not None else ""
    return f"{where}{fault.field}: {fault.code}: {fault.reason}; {fault.remedy}"


def _held(held: Sequence[Event], source: Source, message: Message, now: datetime) -> list[Case]:
    if not held:
        return []
    happened = max(event.as_of if isinstance(event, Count) else event.occurred_at for event in held)
    return [
        Case(
            id=case_id(CaseKind.HELD, source.id, message.id),
            kind=CaseKind.HELD,
            title=f"{source.id} reports {len(held)} events up to {instant(happened)}, which is in the future",
            remedy="set the sender's clock right, or retry the case once that time has come",
            opened_at=now,
            updated_at=now,
            facts={"source": source.id, "events": len(held), "latest": instant(happened)},
            message_id=message.id,
        )
    ]


def _conflicts(results: Sequence[Result], message: Message, now: datetime) -> list[Case]:
    return [
        Case(
            id=case_id(CaseKind.CONFLICT, result.fact.event.key, result.fact.effect),
            kind=CaseKind.CONFLICT,
            title=f"not posted: {result.reason}",
            remedy=result.remedy or f"ask the sender which is right; {correction_of(result.fact.event)}",
            opened_at=now,
            updated_at=now,
            facts={"event_key": result.fact.event.key, "sku": result.fact.event.sku, "reason": result.reason},
            message_id=message.id,
        )
        for result in results
        if result.outcome is Outcome.REFUSED
    ]
