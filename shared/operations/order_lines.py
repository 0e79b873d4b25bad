"""Order lines as a batch of facts changes them: read, merged by the pure rules, and written back in the same
transaction as the stock that moves with them.

A line is its own idempotency item: it knows the order documents applied to it, so a repetition is decided here by
reading alone. What a line lets go becomes available; what it holds back more is no longer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shared.domain.events import Demand, Movement
from shared.domain.network import Channel
from shared.domain.reservation import OrderLine, knows, merge_demand, ship
from shared.domain.stock import ChannelId, Quantity, StockKey
from shared.operations.facts import Fact, Result, compare, order_line_of, stock_keys
from shared.store.listings import sold_action
from shared.store.orders import Orders, line_puts
from shared.store.table import Action

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
    """

    actions: list[Action] = field(default_factory=list)
    decided: list[Result] = field(default_factory=list)
    pending: list[Fact] = field(default_factory=list)
    available: defaultdict[StockKey, Quantity] = field(default_factory=lambda: defaultdict(int))
    sold: set[StockKey] = field(default_factory=set)


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
    wanted = {
        name: key for fact in facts if (name := order_line_of(fact.event)) for key in stock_keys(fact.event)
    }
    before = orders.lines(wanted) if wanted else {}
    lines = dict(before)
    for fact in facts:
        event, name = fact.event, order_line_of(fact.event)
        if name is not None and isinstance(event, Demand):
            if knows(lines[name], event, fact.effect):
                plan.decided.append(compare(fact, fact.effect, uncertain=uncertain))
                continue
            lines[name] = merge_demand(lines[name], event, fact.effect)
        elif name is not None and isinstance(event, Movement):
            taken = -sum(leg.quantity for leg in event.legs)
            place = event.legs[0].location
            lines[name] = ship(lines[name], taken, event.occurred_at, event.key, place)
        plan.pending.append(fact)
    changed = [(before[name], line) for name, line in lines.items() if line is not before[name]]
    for was, line in changed:
        plan.actions += line_puts(line, now)
        for sign, state in ((1, was), (-1, line)):
            for place, units in state.holds.items():
                plan.available[StockKey(state.stock_key.sku, place)] += sign * units
    _note_sales(plan, changed, channels)
    return plan


def _note_sales(
    plan: LinePlan, changed: Sequence[tuple[OrderLine, OrderLine]], channels: Mapping[ChannelId, Channel]
) -> None:
    """Count what a channel has sold on its listings.

    Where a channel has sold, the key is marked dirty even if the same batch makes up for the units: the channel
    has lowered its own number, and must be told the right one.
    """
    sold: defaultdict[tuple[ChannelId, StockKey], Quantity] = defaultdict(int)
    for was, line in changed:
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
