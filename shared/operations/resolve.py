"""From what a sender reported, in its codes, to facts of ours: codes looked up, authority decided, clocks checked.

Each report ends as exactly one of these; none is dropped without a word:

==============  ==========================================================================================
fact            the sender is the authority for it, or a person who entered it by hand: it changes the ledger
withheld        it would be a fact, but its source is nowhere live that it goes: noted, changes nothing
observation     an absolute number, whoever says it: kept beside the ledger and compared with it
partial         an absolute number of one bin or lot: it says nothing of the total, and is not compared
told            a movement by someone who is not the authority for movements there: noted, changes nothing
unknown         a code that nobody has mapped: it waits for the mapping
kit_stock       stock of a kit, which has none of its own: it waits for the item to be changed
fault           what cannot be meant, or names too long to be kept: a case says which field
unmeasured      a quantity that cannot be said in whole base units of the item: it waits for the item to be changed
held            dated further in the future than the source's clock may be off
==============  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.domain.drift import Observation
from shared.domain.events import Count, Demand, Event, Leg, Movement, MovementKind
from shared.domain.network import MANUAL, Source
from shared.domain.rollout import Mode
from shared.domain.stock import WHOLE, Counter, EventKey, LocationId, Sku
from shared.operations.facts import Fact, order_legs, stock_keys
from shared.operations.fulfilments import moved_or_claimed
from shared.operations.key_lengths import too_long
from shared.operations.kit_stock import KitStock, stock_of_kit
from shared.operations.measure import Unmeasured, happened_at, in_base_units
from shared.sources.contract import Fault, Report
from shared.store.registry import Code, Network, Registry


class UnknownLocationError(LookupError):
    """A source used a location code that is not declared for it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class Resolution:
    """Everything that one message or one chunk of a file came to."""

    facts: list[Fact] = field(default_factory=list)
    withheld: list[Fact] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    partial: list[Observation] = field(default_factory=list)
    told: int = 0
    hearsay: list[Movement] = field(default_factory=list)
    unknown: dict[Code, int] = field(default_factory=dict)
    unmeasured: list[Unmeasured] = field(default_factory=list)
    kit_stock: list[KitStock] = field(default_factory=list)
    held: list[Event] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def resolve(
    reports: Iterable[Report | Fault], source: Source, registry: Registry, network: Network, now: datetime
) -> Resolution:
    """Look up every code at once, then decide for each report what it may do."""
    resolution = Resolution()
    given: list[Report] = []
    for report in reports:
        if isinstance(report, Fault):
            resolution.faults.append(report)
        else:
            given.append(report)
    codes = [Code(source.id, report.code_kind, report.event.sku) for report in given]
    found = registry.known(codes)
    for report, code in zip(given, codes, strict=True):
        known = found.get(code)
        if known is None:
            resolution.unknown[code] = resolution.unknown.get(code, 0) + 1
            continue
        reference, item = known.at(happened_at(report.event))
        measured = in_base_units(report, reference, item, source)
        if isinstance(measured, Unmeasured):
            resolution.unmeasured.append(measured)
            continue
        try:
            event = _in_our_codes(measured, reference.sku, source, network)
        except UnknownLocationError as unknown:
            place = Code(source.id, "location", unknown.code)
            resolution.unknown[place] = resolution.unknown.get(place, 0) + 1
            continue
        if (fault := too_long(event, report.row)) is not None:
            resolution.faults.append(fault)
        elif happened_at(event) > now + source.future_skew:
            resolution.held.append(event)
        elif (refused := stock_of_kit(event, item, source, report.row)) is not None:
            resolution.kit_stock.append(refused)
        else:
            kit = item if item.kit_components else None
            is_partial = _is_partial(measured, event, source, network)
            fact = Fact(event, report.effect, kit, item.is_component)
            _judge(event, fact, source, network, resolution, is_partial=is_partial)
    return resolution


def _in_our_codes(event: Event, sku: Sku, source: Source, network: Network) -> Event:
    if isinstance(event, Movement):
        return replace(event, sku=sku, legs=tuple(_leg(leg, source, network) for leg in event.legs))
    if isinstance(event, Count):
        location = _location(event.location, source, network)
        return replace(
            event, sku=sku, location=location, leaf=network.locations[location].grain.of(event.leaf)
        )
    event = replace(event, sku=sku, order=our_order(event))
    if event.location is not None:
        return replace(event, location=_location(event.location, source, network))
    channel = network.channels.get(event.channel)
    if channel is None or not channel.served_from:
        raise UnknownLocationError(f"demand_location of channel {event.channel}")
    return replace(event, location=channel.served_from[0], is_assumed=True)


def our_order(demand: Demand) -> str:
    """Name an order as we do: channels may give theirs the same numbers, ours carry the channel, ``shopify/5001``."""
    return f"{demand.channel}/{demand.order}"


def _leg(leg: Leg, source: Source, network: Network) -> Leg:
    location = _location(leg.location, source, network)
    return Leg(location, leg.quantity, leg.counter, network.locations[location].grain.of(leg.leaf))


def _location(code: str, source: Source, network: Network) -> LocationId:
    ours = source.locations.get(code, LocationId(code))
    if ours not in network.locations:
        raise UnknownLocationError(code)
    return ours


def _is_partial(said: Event, event: Event, source: Source, network: Network) -> bool:
    """Whether a number is about a bin or a lot, so that it cannot be put beside the total.

    What the authority counts is what the ledger takes it for: of a location that keeps no bins apart, the total. Of
    anybody else's number only the sender knows, so the sender's word is taken.
    """
    if not isinstance(said, Count) or not isinstance(event, Count):
        return False
    is_authority = network.locations[event.location].counts == source.id
    return (event if is_authority else said).leaf != WHOLE


def _judge(
    event: Event,
    fact: Fact,
    source: Source,
    network: Network,
    resolution: Resolution,
    *,
    is_partial: bool,
) -> None:
    if source.id == MANUAL.id:
        resolution.facts.append(fact)
    elif isinstance(event, Demand):
        if source.channel == event.channel:
            does = moved_or_claimed(event, source, network)
            _believe(replace(fact, event=does, said=event), source, resolution)
        else:
            resolution.told += 1
    elif isinstance(event, Count):
        (resolution.partial if is_partial else resolution.observations).append(observation_of(event))
        if network.locations[event.location].counts == source.id and event.element in set(Counter):
            _believe(fact, source, resolution)
    else:
        locations = [network.locations[leg.location] for leg in _own_legs(event)]
        if all(location.movements == source.id for location in locations):
            _believe(fact, source, resolution)
        else:
            resolution.told += 1
            resolution.hearsay.append(event)


def _own_legs(event: Movement) -> Sequence[Leg]:
    """Return the legs that say whose word is needed: who ships a transfer also says what is on its way."""
    is_sent = event.kind is MovementKind.TRANSFER_SHIP
    return (order_legs(event) if is_sent else ()) or event.legs


def _believe(fact: Fact, source: Source, resolution: Resolution) -> None:
    """Take what an authority says for a fact, as far as it is live."""
    if _is_live(fact.event, source):
        resolution.facts.append(fact)
        return
    resolution.withheld.append(fact)
    if isinstance(
        fact.event, Movement
    ):  # it changed their own numbers: what they differ by is explained by it
        resolution.hearsay.append(fact.event)


def _is_live(event: Event, source: Source) -> bool:
    """Whether a source is live where its event goes; of a movement, at any of its locations.

    Withheld, it would leave the live one promising what has left; in part, what leaves one would never arrive.
    """
    keys = stock_keys(event)
    return not keys or any(source.mode_at(key.sku, key.location) is Mode.LIVE for key in keys)


def observation_of(event: Count) -> Observation:
    """Return what a count says of a stock key, as a number to be compared."""
    return Observation(
        event.origin.source,
        event.sku,
        event.location,
        event.element,
        event.quantity,
        event.as_of,
        event.version,
        event.document,
    )


def why_not_posted(
    reports: Sequence[Report], source: Source, registry: Registry, network: Network, now: datetime
) -> dict[EventKey, str]:
    """Say of reports that the ledger does not know why that is, as far as it can be told today."""
    resolution = resolve(reports, source, registry, network, now)
    told = {event.key for event in resolution.hearsay}
    held = {event.key for event in resolution.held}
    facts = {fact.event.key for fact in resolution.facts}
    withheld = {fact.event.key for fact in resolution.withheld}
    waits = bool(resolution.unmeasured or resolution.kit_stock)
    said: dict[EventKey, str] = {}
    for report in reports:
        key, unknown = report.event.key, _unknown_of(report, source, resolution)
        if isinstance(report.event, Demand):
            said[key] = "an order is undone by cancelling it at its source"
        elif unknown is not None:
            said[key] = f"{_ABSENT}: {unknown.kind} {unknown.code!r} stands for nothing of ours"
        elif key in told - withheld:
            said[key] = f"{_ABSENT}: {source.id} is not the authority for movements there"
        elif key in held:
            said[key] = f"{_ABSENT}: it is dated in the future"
        elif key in withheld:
            said[key] = f"{_ABSENT}: {source.id} is not live there"
        elif key in facts:
            said[key] = f"{_ABSENT}: it was not posted"
        elif waits:
            said[key] = f"{_ABSENT}: it waits in a case, or was only compared"
        else:
            said[key] = f"{_ABSENT}: {source.id} is not the authority for counts there"
    return said


_ABSENT = "it is not in the ledger"


def _unknown_of(report: Report, source: Source, resolution: Resolution) -> Code | None:
    """Return the code of a report that stands for nothing of ours."""
    event = report.event
    places = [leg.location for leg in event.legs] if isinstance(event, Movement) else [event.location]
    codes = [Code(source.id, report.code_kind, event.sku)]
    codes += [Code(source.id, "location", place) for place in places if place is not None]
    return next((code for code in codes if code in resolution.unknown), None)


def tally(resolution: Resolution, outcomes: Sequence[str]) -> dict[str, int]:
    """Count what a message came to, for its record and for the log."""
    counted = {
        "told": resolution.told,
        "withheld": len(resolution.withheld),
        "unknown": sum(resolution.unknown.values()),
        "unmeasured": len(resolution.unmeasured),
        "kit_stock": len(resolution.kit_stock),
        "held": len(resolution.held),
        "faults": len(resolution.faults),
        "observed": len(resolution.observations),
        "of_a_part": len(resolution.partial),
    }
    for outcome in outcomes:
        counted[outcome] = counted.get(outcome, 0) + 1
    return {name: number for name, number in counted.items() if number}
