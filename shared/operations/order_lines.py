"""Order lines as a batch of facts changes them: read, merged by the pure rules, and written back in the same
transaction as the stock that moves with them.

A line is its own idempotency item: it knows the order documents applied to it, so a repetition is decided here by
reading alone. What a line lets go becomes available; what it holds back more is no longer.

Whose word moves stock may change, and then the same document is a claim one day and a movement the other. It is still one
event: a movement that its line knows as a claim is a repetition, and a claim is made only of what is no movement yet. What
is called off follows what it calls off (``fulfilments.py``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.domain.events import Demand, DemandEffect, Event, Movement
from shared.domain.kits import (
    as_kit_line,
    component_line,
    component_line_id,
    component_movements,
    components_at,
)
from shared.domain.network import Channel
from shared.domain.reservation import (
    Documents,
    OrderLine,
    add_demand,
    add_shipment,
    knows,
    with_history,
)
from shared.domain.stock import ChannelId, EventKey, LocationId, Quantity, Sku, StockKey
from shared.operations.facts import (
    Fact,
    Outcome,
    Result,
    claimed_line_of,
    compare,
    order_legs,
    order_line_of,
    stock_keys,
)
from shared.operations.fulfil_lines import beyond_what_is_open
from shared.operations.fulfilments import as_its_opposite, called_off, is_standing
from shared.operations.line_sourcing import source_lines
from shared.operations.reservation_items import PREFIX, given_back_again
from shared.store.layout import event_key
from shared.store.listings import sold_action
from shared.store.orders import LINE_SIZE, TOGETHER_SIZE, Orders, line_check, line_puts, line_size
from shared.store.table import Absent, Action, Check

TAKEN_BACK_SIZE = 390_000
"""Bytes that a line may grow to by what takes back or calls off; below what an item of the table holds."""

_IS_PERHAPS_MOVED = frozenset({DemandEffect.FULFILLED, DemandEffect.UNFULFILLED, DemandEffect.RETURNED})
_CALLS_OFF = frozenset({DemandEffect.CANCELLED, DemandEffect.UNFULFILLED})

LineName = tuple[str, str]
"""An order and a line of it."""


@dataclass(slots=True)
class LinePlan:
    """What a batch does to order lines.

    Attributes
    ----------
    decided
        Outcomes that reading alone decided; ``pending`` are the other facts, movements and counts among them.
    available
        By how much each stock key's ``available`` changes because of its order lines.
    sold
        Stock keys whose channel has lowered its own number; their promise is marked dirty even if nothing changes.
    exploded
        Movements of whole kits: what they move of each component.
    overfull
        A line that would not fit the table, or not be far below what fits, with the documents that it would have;
        empty where all fit. Nothing of such a plan can be written.
    """

    actions: list[Action] = field(default_factory=list)
    decided: list[Result] = field(default_factory=list)
    pending: list[Fact] = field(default_factory=list)
    available: defaultdict[StockKey, Quantity] = field(default_factory=lambda: defaultdict(int))
    sold: set[StockKey] = field(default_factory=set)
    exploded: dict[EventKey, list[Movement]] = field(default_factory=dict)
    overfull: str = ""


def plan_lines(
    orders: Orders,
    facts: Sequence[Fact],
    channels: Mapping[ChannelId, Channel],
    now: datetime,
    uncertain: bool,
) -> LinePlan:
    """Merge order documents and shipments into their lines.

    ``uncertain`` says that an earlier attempt of the same batch had no answer: our own document in a line is then
    our success.
    """
    plan = LinePlan()
    before = _read(orders, facts)
    before |= _of_reservations(orders, facts, before)
    lines = dict(before)
    early: dict[LineName, dict[Sku, Documents]] = {}
    refused = beyond_what_is_open(facts, before)
    for given in facts:
        fact = as_its_opposite(given, _lines_of(given, lines))
        event, name = fact.event, order_line_of(fact.event)
        if event.key in refused:
            plan.decided.append(Result(fact, Outcome.REFUSED, refused[event.key]))
            continue
        if fact.unless is not None and is_standing(fact.unless, _lines_of(fact, lines)):
            plan.decided.append(Result(fact, Outcome.REFUSED, called_off(fact.unless)))
            continue
        if name is not None and isinstance(event, Demand):
            if knows(lines[name], event, fact.effect):
                plan.decided.append(compare(fact, fact.effect, uncertain=uncertain))
                continue
            known = lines[name]
            lines[name] = add_demand(known, event, fact.effect, is_entered=fact.is_entered)
            if fact.kit is not None and event.sku == lines[name].stock_key.sku:
                settled = as_kit_line(known, lines[name], fact.kit)
                lines[name] = settled.line
                early.setdefault(name, {}).update(settled.early)
        elif isinstance(event, Movement):
            if (claim := _as_claimed(fact, lines)) is not None:
                plan.decided.append(claim)
                continue
            moved = _moved(fact, event, lines)
            is_kit = fact.kit is not None and moved != [event]
            for part in moved:
                _ship(part, lines, of_kit=is_kit)
            if is_kit:
                plan.exploded[event.key] = moved
        plan.pending.append(fact)
    source_lines(orders, before, lines, channels)
    _explode(orders, before, lines, early)
    changed = [(before[name], with_history(line)) for name, line in lines.items() if line is not before[name]]
    plan.overfull = _overfull(changed, facts)
    plan.actions += _unsaid_otherwise(plan.pending, before, lines)
    for was, line in changed:
        plan.actions += line_puts(line, now)
        for sign, state in ((1, was), (-1, line)):
            for place, units in state.holds.items():
                plan.available[StockKey(state.stock_key.sku, place)] += sign * units
    plan.actions += _given_back_again(orders, changed, now)
    _note_sales(plan, changed, channels)
    return plan


def _as_claimed(fact: Fact, lines: Mapping[LineName, OrderLine]) -> Result | None:
    """Judge a movement that its order line knows as a claim, made while its source was no authority; None for any other."""
    name = claimed_line_of(fact.event)
    line = None if name is None else lines.get(name)
    known = None if line is None else line.applied.get(fact.event.key)
    if known is None:
        return None
    return compare(fact, fact.effect if fact.effect in known.split("|") else known, uncertain=False)


def _unsaid_otherwise(
    facts: Sequence[Fact], before: Mapping[LineName, OrderLine], lines: Mapping[LineName, OrderLine]
) -> list[Action]:
    """Demand that what is claimed is no movement yet, and that no line comes to know as a claim what now moves.

    A shipment writes its line; a return does not, so that its line has to be as it was read.
    """
    claims = [
        Check(event_key(fact.event.key), (Absent(),))
        for fact in facts
        if isinstance(fact.event, Demand) and fact.event.effect in _IS_PERHAPS_MOVED
    ]
    read = {claimed_line_of(fact.event) for fact in facts if isinstance(fact.event, Movement)}
    return [
        *claims,
        *(line_check(line) for name, line in before.items() if name in read and lines[name] is line),
    ]


def _given_back_again(
    orders: Orders, changed: Sequence[tuple[OrderLine, OrderLine]], now: datetime
) -> list[Action]:
    """Have reservations looked at whose shipped units turn out never to have left: one that is over holds nothing."""
    names = {line.order for was, line in changed if line.releasable > was.releasable}
    found = orders.headers(name for name in sorted(names) if name.startswith(PREFIX))
    return [given_back_again(name, item, now) for name, item in found.items()]


def _overfull(changed: Sequence[tuple[OrderLine, OrderLine]], facts: Sequence[Fact]) -> str:
    """Name a line that grows beyond ``LINE_SIZE``; what takes back or calls off may go further, to what the table holds."""
    asks_less = sum(_held(line) for _, line in changed) < sum(_held(was) for was, _ in changed)
    gives_back = all(_takes_back(fact.event, asks_less=asks_less) for fact in facts)
    limit = TAKEN_BACK_SIZE if gives_back else LINE_SIZE
    together = 0
    for was, line in changed:
        size = line_size(line)
        together += size
        if (size > limit and size > line_size(was)) or together > TOGETHER_SIZE:
            kinds = (line.versions, line.cancellations, line.fulfilments, line.returns, line.shipments)
            return (
                f"line {line.line!r} of order {line.order!r}, which has {sum(map(len, kinds)) - 1} documents"
            )
    return ""


def _held(line: OrderLine) -> Quantity:
    return sum(line.holds.values())


def _takes_back(event: Event, *, asks_less: bool) -> bool:
    """Whether an event undoes what another did; of an order, also whether it asks less of the stock than before."""
    if isinstance(event, Movement):
        return sum(leg.quantity for leg in order_legs(event)) > 0
    return isinstance(event, Demand) and (asks_less or event.effect in _CALLS_OFF)


def _read(orders: Orders, facts: Sequence[Fact]) -> dict[LineName, OrderLine]:
    """Read every line that the facts may touch, but for the components of kits that only the lines name."""
    wanted: dict[LineName, StockKey] = {}
    for fact in facts:
        name = claimed_line_of(fact.event)
        if name is None:
            continue
        for key in _own_keys(fact.event):
            wanted[name] = key
            if fact.is_component:
                wanted[_part_name(name, key.sku)] = key
            for sku in () if fact.kit is None else fact.kit.kit_components:
                wanted[_part_name(name, sku)] = StockKey(sku, key.location)
    return orders.lines(wanted) if wanted else {}


def _of_reservations(
    orders: Orders, facts: Sequence[Fact], lines: Mapping[LineName, OrderLine]
) -> dict[LineName, OrderLine]:
    """Read all lines of those reservations for which something is shipped under a line that is not of its item."""
    wanted = {
        name[0]
        for fact in facts
        for name in [order_line_of(fact.event)]
        if name is not None and name[0].startswith(PREFIX) and not _is_of(lines[name], fact.event.sku)
    }
    return {(line.order, line.line): line for order in sorted(wanted) for line in orders.order(order)}


def _is_of(line: OrderLine, sku: Sku) -> bool:
    return bool(line.versions) and line.stock_key.sku == sku


def _lines_of(fact: Fact, lines: Mapping[LineName, OrderLine]) -> list[OrderLine]:
    """Return the lines where an order's document may be known, or what it moved."""
    name = claimed_line_of(fact.event)
    if name is None:
        return []
    skus = {fact.event.sku, *(() if fact.kit is None else fact.kit.kit_components)}
    names = [name, *(_part_name(name, sku) for sku in skus)]
    return [lines[one] for one in names if one in lines]


def _own_keys(event: Event) -> list[StockKey]:
    """Return the stock keys at which the order line of an event may lie: a transfer's is at its origin."""
    if isinstance(event, Movement):
        event = replace(event, legs=tuple(order_legs(event)))
    return stock_keys(event)


def _part_name(name: LineName, component: Sku) -> LineName:
    return name[0], component_line_id(name[1], component)


def _moved(fact: Fact, event: Movement, lines: Mapping[LineName, OrderLine]) -> list[Movement]:
    """Return what a movement moves: itself, or where it is of whole kits, what it moves of each component."""
    if fact.kit is None:
        return [event]
    name = order_line_of(event)
    line = None if name is None else lines.get(name)
    components = line.kit if line is not None and line.kit else components_at(fact.kit, event.occurred_at)
    if not components:
        return [event]  # it was no kit then
    return component_movements(event, components)


def _ship(event: Movement, lines: dict[LineName, OrderLine], *, of_kit: bool) -> None:
    """Let a shipment serve its order line: that of the component, where the line is of a kit.

    Before the order has come, nothing says what the line is of, but a shipment of whole kits (``of_kit``). The first
    item that is shipped for it waits on the line itself, any other on a line of its own.

    A reservation is known before anything is shipped for it, and has one line for each stock key: whoever ships for it
    may name any of its lines, or number them in a way of its own.
    """
    name = order_line_of(event)
    if name is None:
        return
    line, part = lines[name], _part_name(name, event.sku)
    is_undecided = not line.applied and line.shipments and line.stock_key.sku != event.sku
    has_own = part in lines and (lines[part].revision or lines[part].shipments or is_undecided)
    target = part if of_kit or line.kit or has_own else name
    legs = order_legs(event)
    if name[0].startswith(PREFIX):
        target = _reserved(name, event.sku, legs[0].location, lines) or target
    known = lines.get(target) or OrderLine(*target, StockKey(event.sku, legs[0].location))
    taken = -sum(leg.quantity for leg in legs)
    lines[target] = add_shipment(known, taken, event.occurred_at, event.key, legs[0].location)


def _reserved(
    name: LineName, sku: Sku, location: LocationId, lines: Mapping[LineName, OrderLine]
) -> LineName | None:
    """Return the line of a reservation that an item is shipped for: the named one, or that of the stock key, or of the item."""
    own = [one for one, line in lines.items() if one[0] == name[0] and _is_of(line, sku)]
    return max(
        own,
        key=lambda one: (one == name, lines[one].place.location == location, len(one[1]), one[1]),
        default=None,
    )


def _explode(
    orders: Orders,
    before: dict[LineName, OrderLine],
    lines: dict[LineName, OrderLine],
    early: Mapping[LineName, Mapping[Sku, Documents]],
) -> None:
    """Derive the lines of components from every kit line that changed."""
    changed = {
        name: line
        for name, line in lines.items()
        if line.kit_from is not None and line is not before.get(name)
    }
    wanted = {
        _part_name(name, sku): StockKey(sku, line.stock_key.location)
        for name, line in changed.items()
        for sku in _components_of(name, line, before, early)
    }
    missing = {name: key for name, key in wanted.items() if name not in before}
    if missing:
        found = orders.lines(missing)
        before.update(found)
        lines.update(found)
    for name, line in changed.items():
        per_kit = {component.sku: component.quantity for component in line.kit}
        for sku in _components_of(name, line, before, early):
            part = _part_name(name, sku)
            early_ones = early.get(name, {}).get(sku, {})
            lines[part] = component_line(lines[part], line, per_kit.get(sku, 0), early_ones)


def _components_of(
    name: LineName,
    line: OrderLine,
    before: Mapping[LineName, OrderLine],
    early: Mapping[LineName, Mapping[Sku, Documents]],
) -> list[Sku]:
    """Return every SKU that a kit line has or had a line for, or has shipments of."""
    known = before.get(name)
    was = () if known is None else known.kit
    return sorted({c.sku for c in (*line.kit, *was)} | set(early.get(name, {})))


def _note_sales(
    plan: LinePlan, changed: Sequence[tuple[OrderLine, OrderLine]], channels: Mapping[ChannelId, Channel]
) -> None:
    """Count what a channel has sold on its listings.

    Where a channel has sold, the key is marked dirty even if the same batch makes up for the units: the channel
    has lowered its own number, and must be told the right one.
    """
    sold: defaultdict[tuple[ChannelId, StockKey], Quantity] = defaultdict(int)
    for was, line in changed:
        if line.part_of:
            continue  # the channel sold the kit, and its component's listing shows what it showed
        if line.channel is not None and line.channel in channels and channels[line.channel].sells_down:
            if line.place == was.place or not was.kept:
                changes = {line.place: line.kept - was.kept}
            else:
                changes = {was.place: -was.kept, line.place: line.kept}
            for key, units in changes.items():
                if units or line.cancellations != was.cancellations:
                    sold[line.channel, key] += units
    plan.actions += [sold_action(*listing, units) for listing, units in sold.items()]
    plan.sold = {key for _, key in sold}
    for key in plan.sold:
        plan.available[key] += 0
