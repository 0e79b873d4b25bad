"""Compares everything with the oracle once all is quiet: every instant of every slot, every message, every channel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import cast

from infra.simulation.auditor import Auditor
from infra.simulation.bins import BinnedSlot
from infra.simulation.fulfil_inspection import inspect_fulfilments
from infra.simulation.house import House
from infra.simulation.lot_audit import inspect_lots
from infra.simulation.network import SHOPFRONT
from infra.simulation.oracle import SlotName, promised
from infra.simulation.transfer_inspection import inspect_transfers
from infra.simulation.verdicts import Invariant, Violation
from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.ledger import Slot
from shared.domain.stock import ChannelId, Counter, LocationId, Quantity, Sku, StockKey, parse_leaf
from shared.operations.reconcile import drift_case

SAMPLED = 3
"""Instants of each slot at which history is also read the way the API reads it, through balances and buckets."""

MOMENT = timedelta(microseconds=1)


def inspect(house: House, auditor: Auditor, random: Random) -> None:
    """Raise the first violation that is left when nothing moves any more."""
    for check in (_messages, _history, _decisions, _verified, _reservations, _unconfirmed, _bins):
        check(house, auditor)
    if auditor.transfers.documents:
        inspect_transfers(house, auditor)
    if auditor.fulfilments.is_used:
        inspect_fulfilments(house, auditor)
    inspect_lots(auditor.lots, house.scheduler.now())
    _history_as_read(house, auditor, random)
    for channel, key, shown, must in wrong_listings(house, auditor):
        raise Violation(
            Invariant.NEVER_STALE_OUT,
            f"all is quiet, and {channel} shows {shown} of {key} instead of {must}",
            abs(shown - must),
        )


def wrong_listings(
    house: House, auditor: Auditor
) -> Iterator[tuple[ChannelId, StockKey, Quantity, Quantity]]:
    """Yield what a channel shows that differs from the promise: channel, stock key, shown, must.

    A number that somebody edited by hand is noticed when it is pushed next. Until then an open drift case must say
    what the channel reports of itself.
    """
    for name, channel in house.channels.items():
        for sku in auditor.skus:
            for key in channel.places(sku):
                set_aside = auditor.claims.set_aside[key]
                must = promised(auditor.oracle.available(key), set_aside, channel.declared)
                shown = channel.shows.get(key, 0)
                told = key in channel.edited and auditor.is_open(drift_case(SHOPFRONT, key, "available"))
                if shown != must and not told:
                    yield name, key, shown, must


def _messages(house: House, auditor: Auditor) -> None:
    """Whatever was acknowledged is in the ledger or in an open case; and each event once."""
    for told in auditor.messages.values():
        if not told.acknowledged and auditor.status(told.id) != "nowhere":
            told.acknowledged = True  # kept, and only the answer was lost
        if told.acknowledged and not auditor.settled(told) and not auditor.in_a_case(told.id):
            raise Violation(
                Invariant.NOTHING_LOST,
                f"all is quiet, and message {told.id} is {auditor.status(told.id)} without a case: {told.keys}",
                len(told.keys),
            )
    said = {key for told in auditor.messages.values() if told.acknowledged for key in told.keys}
    missing = said - auditor.oracle.posted.keys() - auditor.oracle.applied
    if missing:
        raise Violation(Invariant.NOTHING_LOST, f"never posted: {sorted(missing)[:5]}", len(missing))


def _history(house: House, auditor: Auditor) -> None:
    """as_of(T) of every slot at every instant at which anything happened: the sum of the journal's lines."""
    for key in sorted({key for key, _ in auditor.oracle.slots}):
        lines: defaultdict[Counter, list[tuple[datetime, Quantity]]] = defaultdict(list)
        balance = house.ledger.balances([key])[key]
        for entry in house.ledger.entries(key, 0, balance.seq - 1):
            for line in entry.lines:
                lines[line.slot.counter].append((line.valid_at, line.quantity))
        for counter in Counter:
            _compare_history((key, counter), sorted(lines[counter]), auditor)


def _compare_history(name: SlotName, lines: list[tuple[datetime, Quantity]], auditor: Auditor) -> None:
    slot = auditor.oracle.slots.get(name)
    instants = sorted({*(slot.instants() if slot else ()), *(at for at, _ in lines)})
    total, position = 0, 0
    for at in instants:
        while position < len(lines) and lines[position][0] <= at:
            total += lines[position][1]
            position += 1
        must = 0 if slot is None else slot.as_of(at)
        if total != must:
            raise Violation(
                Invariant.ORDER_DOES_NOT_MATTER,
                f"{name[1]} of {name[0]} as of {at:%d %H:%M:%S} is {total}, and must be {must}",
                total - must,
            )


def _history_as_read(house: House, auditor: Auditor, random: Random) -> None:
    """The same at a few instants of each stock key, read as the API reads it."""
    for key in sorted({key for key, _ in auditor.oracle.slots}):
        instants = sorted(
            {
                at
                for (other, _), slot in auditor.oracle.slots.items()
                if other == key
                for at in slot.instants()
            }
        )
        for at in random.sample(instants, min(SAMPLED, len(instants))):
            for moment in (at, at - MOMENT):
                read = house.ledger.as_of(key, moment)
                for counter, found in read.items():
                    slot = auditor.oracle.slots.get((key, counter))
                    must = 0 if slot is None else slot.as_of(moment)
                    if found != must:
                        raise Violation(
                            Invariant.ORDER_DOES_NOT_MATTER,
                            f"{counter} of {key} as of {moment:%d %H:%M:%S.%f} reads {found}, and must be {must}",
                            found - must,
                        )


def _decisions(house: House, auditor: Auditor) -> None:
    """Whatever waits for a decision is in an open case; and whoever opens one of those cases finds that it waits."""
    waiting = {name for slot in auditor.oracle.slots.values() for name in slot.waiting}
    kinds = {CaseKind.COUNT_APPROVAL, CaseKind.COUNT_SUSPENDED}
    told = {str(case.facts["event_key"]) for case in house.cases.list(CaseStatus.OPEN) if case.kind in kinds}
    for name in sorted(waiting ^ told):
        what = "waits without a case" if name in waiting else "has a case, and waits for nothing"
        raise Violation(Invariant.NOTHING_LOST, f"count {name} {what}", 1)


def _unconfirmed(house: House, auditor: Auditor) -> None:
    """No reservation is still being taken, and what was not confirmed, or is over, holds nothing."""
    for item in house.stock.items():
        name = str(item["pk"])
        if not name.startswith("ORDER#reservation/") or item["sk"] != "-":
            continue
        if item.get("status") == "pending" or "expiring_pk" in item:
            raise Violation(Invariant.NEVER_OVER_PROMISED, f"all is quiet, and {name} is not done")
        is_over = any(known in item for known in ("released_at", "expired_at", "settled_at"))
        if is_over and (held := auditor.fulfilments.free(name.removeprefix("ORDER#"))):
            raise Violation(Invariant.CONSERVED, f"all is quiet, and {name} is over and holds {held}", held)


def _verified(house: House, auditor: Auditor) -> None:
    """The ledger proves itself."""
    for wrong in house.verifier.verify().discrepancies:
        raise Violation(
            Invariant.CONSERVED,
            f"verify: {wrong.what} of {wrong.key} is {wrong.found}, and must be {wrong.expected}",
            wrong.found - wrong.expected,
        )


def _reservations(house: House, auditor: Auditor) -> None:
    """What is reserved and available is what the documents leave open."""
    for key in sorted({key for key, _ in auditor.oracle.slots}):
        found = house.view.quantities(key)
        withheld = auditor.oracle.withheld(key)
        must = {
            "reserved": auditor.oracle.reserved(key),
            "withheld": withheld,
            "available": auditor.oracle.available(key) + withheld,
        }
        for name, quantity in must.items():
            if found[name] != quantity:
                raise Violation(
                    Invariant.CONSERVED, f"{name} of {key} reads {found[name]}, and must be {quantity}"
                )


def _bins(house: House, auditor: Auditor) -> None:
    """What lies on each bin or lot, and a case exactly where units may be there twice."""
    for (key, counter), slot in sorted(auditor.oracle.slots.items(), key=lambda named: named[0]):
        if isinstance(slot, BinnedSlot):
            clocks = house.ledger.leaf_clocks(key)
            for name in sorted(slot.bins()):
                clock = clocks.get(Slot(parse_leaf(name), counter))
                found, must = 0 if clock is None else clock.balance, slot.lies(name).units
                if found != must:
                    what = f"{found} {counter} of {key} lie on {name}, and must be {must}"
                    raise Violation(Invariant.CONSERVED, what, found - must)
    opened = {
        StockKey(Sku(str(case.facts["sku"])), LocationId(str(case.facts["location"])))
        for case in house.cases.list(CaseStatus.OPEN)
        if case.kind is CaseKind.UNBINNED_STOCK
    }
    for key in sorted(auditor.bins.owed() - opened):
        raise Violation(Invariant.NOTHING_LOST, f"{key} may be there twice, and no case says so")
    for key in sorted(opened - auditor.bins.allowed()):
        raise Violation(
            Invariant.ORDER_DOES_NOT_MATTER, f"a case says that {key} may be there twice: it cannot"
        )


def unfinished(house: House, auditor: Auditor) -> dict[str, int]:
    """Count what still moves or waits for nobody but us, by what it is; empty when all is quiet."""
    stock = list(house.stock.items())
    counts = {
        **house.outstanding,
        "pending messages": sum("pending_pk" in item for item in house.inbox_table.items()),
        "dirty promises": sum("dirty_pk" in item for item in stock),
        "observations not compared": sum(
            str(item.get("observed_pk", "")).startswith("observed#") for item in stock
        ),
        "slots taken": sum("inflight" in item for item in stock if str(item["pk"]).startswith("LISTING#")),
        "wrong listings": sum(1 for _ in wrong_listings(house, auditor)),
        "dead letters": sum(len(queue.dead) for queue in house.lanes.queues.values())
        + len(house.file_queue.dead),
    }
    return {name: count for name, count in counts.items() if count}


def open_cases(house: House) -> list[str]:
    """Name the cases that are open."""
    return [
        str(item["case_id"])
        for item in house.cases_table.items()
        if cast("str | None", item.get("status")) == CaseStatus.OPEN
    ]
