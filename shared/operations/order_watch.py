"""Watching over open orders: what nobody may overlook is a case, and each case closes by itself.

===============  ==================================================================================================
order_disputed   one version of an order was told with two contents; the larger stands until a fetch, or a newer
                 version, decides
posting_delay    somebody says that units were shipped, and the authority has said nothing of them for longer than
                 the location's limit
oversold         a stock key owes more than it has; the case names the orders that wait, by priority
===============  ==================================================================================================

Everything is judged from how the tables stand now, so a run that is lost, doubled or cut short costs a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from shared.domain.backorder import Cover, cover_backorders
from shared.domain.cases import Case, CaseKind, Fact, case_id
from shared.domain.events import instant
from shared.domain.reservation import OrderLine
from shared.domain.stock import LocationId, Quantity, Sku, StockKey
from shared.operations.reservation_items import PREFIX
from shared.store.cases import Cases
from shared.store.orders import Orders
from shared.store.promises import short_keys, standings
from shared.store.registry import Network, Registry
from shared.store.table import Table

WATCHED = (CaseKind.ORDER_DISPUTED, CaseKind.POSTING_DELAY, CaseKind.OVERSOLD)
SHOWN = 20
"""Orders that a case spells out; the rest are counted."""


class OrderWatch:
    """Keeps the cases of open orders true."""

    def __init__(self, table: Table, registry: Registry, cases: Cases, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._orders = Orders(table)
        self._registry = registry
        self._cases = cases
        self._clock = clock

    def run(self) -> dict[str, int]:
        """Look at everything once; return how many cases were filed anew, and how many closed."""
        network, now = self._registry.network(), self._clock()
        due = {case.id: case for case in self._due(network, now)}
        closed = 0
        for known in self._cases.open_of(WATCHED):
            found = due.pop(known.id, None) or self._judge_again(known, network, now)
            if found is None:
                closed += self._cases.close(known.id, _RESOLUTIONS[known.kind], now)
            elif found.facts != known.facts:
                self._cases.file(found)
        for case in due.values():
            self._cases.file(case)
        return {"filed": len(due), "closed": closed}

    def _due(self, network: Network, now: datetime) -> Iterator[Case]:
        for line in self._orders.disputed():
            yield from _cases_of(line, network, now)
        shortest = min((place.posting_delay for place in network.locations.values()), default=None)
        if shortest is not None:
            for line in self._orders.claimed_before(now - shortest):
                yield from _cases_of(line, network, now)
        for key in short_keys(self._table):
            yield from self._oversold(key, network, now)

    def _judge_again(self, known: Case, network: Network, now: datetime) -> Case | None:
        """Judge by itself what an index did not list, or not yet: it may lag behind the table."""
        key = StockKey(Sku(str(known.facts["sku"])), LocationId(str(known.facts["location"])))
        if known.kind is CaseKind.OVERSOLD:
            found: Iterable[Case] = self._oversold(key, network, now)
        else:
            name = (str(known.facts["order"]), str(known.facts["line"]))
            found = _cases_of(self._orders.lines({name: key})[name], network, now)
        return next((case for case in found if case.id == known.id), None)

    def _oversold(self, key: StockKey, network: Network, now: datetime) -> Iterator[Case]:
        available = standings(self._table, [key])[key].available
        if available >= 0:
            return
        covers = self.backorders(key)
        yield _oversold_case(key, -available, [cover for cover in covers if cover.missing], now)

    def backorders(self, key: StockKey) -> list[Cover]:
        """Return the open order lines of a stock key in the order in which stock covers them."""
        lines = self._orders.of_stock_key(key)
        available = standings(self._table, [key])[key].available
        return cover_backorders(lines, key.location, available, self._registry.network().channels)


_RESOLUTIONS = {
    CaseKind.ORDER_DISPUTED: "a fetch, or a newer version, has decided",
    CaseKind.POSTING_DELAY: "the authority has shipped what was claimed, or it was called off",
    CaseKind.OVERSOLD: "there is enough for every open order again",
}


def _cases_of(line: OrderLine, network: Network, now: datetime) -> Iterator[Case]:
    place = line.place
    about: dict[str, Fact] = {
        "order": line.order,
        "line": line.line,
        "sku": place.sku,
        "location": place.location,
    }
    if line.disputed:
        yield Case(
            case_id(CaseKind.ORDER_DISPUTED, line.order, line.line),
            CaseKind.ORDER_DISPUTED,
            f"order {line.order}, line {line.line}: one version was told with two contents; "
            f"the larger stands ({line.ordered} ordered, {line.open} open)",
            "have the order fetched again (push its SKU), or save it once more in its own system: a newer version decides",
            now,
            now,
            {**about, "documents": ", ".join(line.disputed)},
        )
    claimed = line.claimed
    location = None if claimed is None else network.locations.get(claimed.location)
    if claimed is not None and location is not None and claimed.since + location.posting_delay <= now:
        authority = location.movements or "nobody"
        takes_it_back = (
            "whoever said so calls it off" if line.order.startswith(PREFIX) else "the order is cancelled"
        )
        yield Case(
            case_id(CaseKind.POSTING_DELAY, line.order, line.line),
            CaseKind.POSTING_DELAY,
            f"order {line.order}, line {line.line}: {claimed.units} of {place.sku} are said to have left "
            f"{claimed.location} at {instant(claimed.since)}, and {authority} has not shipped them",
            f"ask {authority} whether they left; the units stay reserved until it says so, or {takes_it_back}",
            now,
            now,
            {**about, "units": claimed.units, "since": instant(claimed.since), "authority": authority},
        )


def _oversold_case(key: StockKey, short: Quantity, waiting: list[Cover], now: datetime) -> Case:
    orders: dict[str, Fact] = {
        f"order_{number}": f"{cover.line.order} line {cover.line.line}: {cover.missing} of "
        f"{cover.covered + cover.missing} missing"
        for number, cover in enumerate(waiting[:SHOWN], start=1)
    }
    return Case(
        case_id(CaseKind.OVERSOLD, key.sku, key.location),
        CaseKind.OVERSOLD,
        *_said(key, short, len(waiting)),
        now,
        now,
        {"sku": key.sku, "location": key.location, "exposure": short, "lines": len(waiting), **orders},
    )


def _said(key: StockKey, short: Quantity, waiting: int) -> tuple[str, str]:
    """Say what is short, and what can be done about it: where no order waits, nobody can be moved or called off."""
    if waiting:
        lines = "1 order line waits" if waiting == 1 else f"{waiting} order lines wait"
        return (
            f"{key.sku} at {key.location} owes {short} more than it has; {lines}",
            "bring stock in, move the orders to another location, or cancel; what arrives covers them in this order",
        )
    title = (
        f"{key.sku} at {key.location} is {short} below zero, and no order waits for it: "
        "more left, or is on hold or damaged, than the ledger knew of"
    )
    remedy = (
        f"have {key.sku} counted at {key.location}, or find the receipt that is missing; "
        "see its journal for what took it below zero, and undo that if it was wrong"
    )
    return title, remedy
