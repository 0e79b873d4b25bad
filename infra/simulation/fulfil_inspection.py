"""Compares fulfilled reservations with the oracle once all is quiet: as callers read them, and what nobody may overlook."""

from __future__ import annotations

from infra.simulation.auditor import Auditor
from infra.simulation.house import House
from infra.simulation.network import KIOSK
from infra.simulation.verdicts import Invariant, Violation
from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.stock import StockKey


def inspect_fulfilments(house: House, auditor: Auditor) -> None:
    """Raise the first violation about a fulfilled reservation that is left when nothing moves any more."""
    _read(house, auditor)
    house.order_watch.run()  # what was said last, after it had looked this minute
    _claims(house, auditor)
    for sku in auditor.skus:
        found = house.rebuilder.rebuild(StockKey(sku, KIOSK)).found
        if found:
            raise Violation(Invariant.CONSERVED, f"rebuilding {sku}@{KIOSK} would put right: {found[0]}")


def _read(house: House, auditor: Auditor) -> None:
    """What is open of a reservation, and what could still be released or fulfilled, as its caller reads it."""
    for order in sorted({order for order, _ in auditor.fulfilments.lines}):
        for line in house.reserver.get(order.removeprefix("reservation/")).lines:
            known = auditor.fulfilments.lines[order, line.line]
            found, must = (line.open, line.releasable), (known.open, known.free)
            if found != must:
                raise Violation(
                    Invariant.CONSERVED,
                    f"{found} of {order}/{line.line} are open and free, and must be {must}",
                )


def _claims(house: House, auditor: Auditor) -> None:
    """A case is open of what is said to have left for too long, and of nothing that has shipped."""
    opened = {
        (str(case.facts["order"]), str(case.facts["line"]))
        for case in house.cases.list(CaseStatus.OPEN)
        if case.kind is CaseKind.POSTING_DELAY
    }
    limits = {place.id: place.posting_delay for place in house.registry.network().locations.values()}
    for name, line in sorted(auditor.fulfilments.lines.items()):
        since = auditor.fulfilments.claimed_last(name)
        is_owed = line.open > line.free and since is not None
        if name in opened and not is_owed:
            raise Violation(
                Invariant.NOTHING_LOST, f"a case says that {name} has not shipped: nobody said it had"
            )
        limit = limits[line.stock_key.location]
        if is_owed and since is not None and since + limit <= house.scheduler.now() and name not in opened:
            raise Violation(
                Invariant.NOTHING_LOST, f"{name} has not shipped since {since}, without a case", 1
            )
