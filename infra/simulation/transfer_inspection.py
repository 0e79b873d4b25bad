"""Compares transfers with the oracle once all is quiet: what became of the units, and what nobody may overlook."""

from __future__ import annotations

from datetime import datetime, timedelta

from infra.simulation.auditor import Auditor
from infra.simulation.house import House
from infra.simulation.transfer_audit import UNDONE, Document
from infra.simulation.verdicts import Invariant, Violation
from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.stock import StockKey

UNEXPLAINED_FOR = timedelta(hours=1)
"""How long more may have arrived than is said to have left, before that is a case."""


def inspect_transfers(house: House, auditor: Auditor) -> None:
    """Raise the first violation about a transfer that is left when nothing moves any more."""
    for name, known in sorted(auditor.transfers.documents.items()):
        if known.item is not None:
            _reads_as_it_moved(house, name, known)
            _ended(name, known)
    house.transfer_watch.run()  # what was decided last, after it had looked this minute
    _cases(house, auditor)
    _rebuilt(house, auditor)


def _reads_as_it_moved(house: House, name: str, known: Document) -> None:
    """What left has arrived, is lost or is on its way: as people read it."""
    transfer = house.transfers.get(name)
    for sku in known.lines:
        read = transfer.figures(sku)
        must = tuple(known.total(sku, effect) for effect in ("shipped", "received", "lost"))
        found = (read.shipped, read.received, read.lost)
        if found != must or read.in_transit != known.in_transit(sku):
            raise Violation(
                Invariant.CONSERVED,
                f"of {sku} {found} of transfer {name} left, arrived and are lost, and {read.in_transit} are in transit; "
                f"the facts say {must}",
                read.in_transit - known.in_transit(sku),
            )


def _ended(name: str, known: Document) -> None:
    """Of a transfer that is closed nothing is in transit, but for what was told after its end; and nothing is held."""
    for sku in known.lines:
        units = known.in_transit(sku)
        if known.has("closed") and units and not known.told_since:
            raise Violation(
                Invariant.CONSERVED, f"transfer {name} is closed, and {units} {sku} are in transit", units
            )


def _cases(house: House, auditor: Auditor) -> None:
    """A case is open exactly where units are late or unexplained, or named a transfer that there is none of."""
    now, transfers = house.scheduler.now(), auditor.transfers
    must = {
        (CaseKind.TRANSFER_OVERDUE, name)
        for name, known in transfers.documents.items()
        if (due_at := _due_at(known)) is not None and due_at <= now
    }
    must |= {
        (CaseKind.TRANSFER_OVER_RECEIVED, name)
        for name, known in transfers.documents.items()
        if (since := _unexplained_since(known)) is not None and since + UNEXPLAINED_FOR <= now
    }
    misnamed = {key for facts in transfers.misnamed.values() for key in facts}
    undone = {key.removeprefix(UNDONE) for key in misnamed if key.startswith(UNDONE)}
    must |= {
        (CaseKind.TRANSFER_MISNAMED, name)
        for name, facts in transfers.misnamed.items()
        if any(not key.startswith(UNDONE) for key in facts.keys() - undone)
    }
    kinds = {CaseKind.TRANSFER_OVERDUE, CaseKind.TRANSFER_OVER_RECEIVED, CaseKind.TRANSFER_MISNAMED}
    found = {
        (case.kind, str(case.facts["transfer"]))
        for case in house.cases.list(CaseStatus.OPEN)
        if case.kind in kinds
    }
    for kind, name in sorted(must ^ found):
        what = "has no open case" if (kind, name) in must else "has an open case, and no reason for it"
        raise Violation(Invariant.NOTHING_LOST, f"{kind} of transfer {name} {what}", 1)


def _due_at(known: Document) -> datetime | None:
    """Return when what is on its way should have arrived; None where nothing is, or nobody said how long it takes."""
    if all(known.in_transit(sku) <= 0 for sku in known.lines):
        return None
    if known.closed_at is not None:
        return known.closed_at
    left = [one.at for one in known.moves.values() if one.effect == "shipped"]
    return None if known.lead_time is None or not left else min(left) + known.lead_time


def _unexplained_since(known: Document) -> datetime | None:
    """Return since when more has arrived, or is lost, than is said to have left."""
    if all(known.in_transit(sku) >= 0 for sku in known.lines):
        return None
    return max(one.at for one in known.moves.values() if one.effect != "shipped")


def _rebuilt(house: House, auditor: Auditor) -> None:
    """Rebuilding the stock of transfers would put nothing right."""
    for known in auditor.transfers.documents.values():
        for sku in known.lines:
            for place in (known.origin, known.destination):
                found = house.rebuilder.rebuild(StockKey(sku, place)).found
                if found:
                    raise Violation(
                        Invariant.CONSERVED, f"rebuilding {sku}@{place} would put right: {found[0]}"
                    )
