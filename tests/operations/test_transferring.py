"""Transfers: what left, arrived, is on the way or lost always adds up, and agrees with the ledger."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.cases import Case, CaseKind, CaseStatus
from shared.domain.events import Leg, Movement, MovementKind
from shared.domain.money import parse_money
from shared.domain.network import Location
from shared.domain.rules import FourEyes, Rules
from shared.domain.stock import Counter as StockCounter
from shared.domain.stock import EventKey, Leaf, LocationId, MessageId, Quantity, Sku, StockKey
from shared.domain.transfer import Transfer, TransferLine, TransferStatus, Word, add_movement
from shared.operations.facts import Outcome
from shared.operations.four_eyes import SamePersonError
from shared.operations.reservations import (
    IdempotencyConflictError,
    InsufficientStockError,
    UnknownItemError,
    Wanted,
)
from shared.operations.set_aside import SetAside
from shared.operations.transfer_calls import (
    Part,
    RefusedTransferError,
    TransferBusyError,
    WriteOffNotAllowedError,
)
from shared.operations.transfer_request import LONGEST
from shared.operations.withdraw import withdraw
from shared.sources.registry import translator
from shared.store.registry import Network
from shared.store.table import UnknownOutcomeError
from shared.store.transfers import place_of, transfer_put
from tests.operations.house import (
    EAST,
    ERP,
    KEY,
    NOON,
    ORIGIN,
    SHOP,
    TEA,
    WEST,
    WMS,
    Crash,
    House,
    Interruption,
    movement,
    network,
)

AT_WEST = StockKey(TEA, WEST)
MUG = Sku("MUG")


def stocked(units: int = 10) -> House:
    house = House()
    house.post(movement("opening", 0, units))
    house.clock.advance(hours=1)
    return house


def requested(house: House, units: int = 6, key: str = "r", lead_time: timedelta | None = None) -> Transfer:
    return house.transfers.request("ann", key, EAST, WEST, [(TEA, units)], "west runs out", lead_time)


def approved(house: House, units: int = 6, lead_time: timedelta | None = None) -> Transfer:
    return house.transfers.approve(requested(house, units, lead_time=lead_time).id, "ben", "a")


def shipped(house: House, units: int = 6, lead_time: timedelta | None = None) -> Transfer:
    return house.transfers.ship(approved(house, units, lead_time).id, "cat", "s")


def quantities(house: House, key: StockKey) -> tuple[Quantity, Quantity, Quantity]:
    now = house.view.quantities(key)
    return now["on_hand"], now["in_transit"], now["available"]


def figures(transfer: Transfer) -> tuple[Quantity, ...]:
    all_of_it = transfer.figures()
    return all_of_it.shipped, all_of_it.in_transit, all_of_it.received, all_of_it.lost


def test_from_request_to_receipt_in_parts() -> None:
    house = stocked()
    made = requested(house)
    assert (made.status, quantities(house, KEY)) == (TransferStatus.REQUESTED, (10, 0, 10))

    made = house.transfers.approve(made.id, "ben", "a")
    assert (made.status, quantities(house, KEY)) == (TransferStatus.APPROVED, (10, 0, 4))

    made = house.transfers.ship(made.id, "cat", "s", [Part(TEA, 5)])
    assert (made.status, figures(made)) == (TransferStatus.IN_TRANSIT, (5, 5, 0, 0))
    assert (quantities(house, KEY), quantities(house, AT_WEST)) == ((5, 0, 4), (0, 5, 0))

    made = house.transfers.receive(made.id, "dan", "p1", [Part(TEA, 2)])
    assert (made.status, figures(made)) == (TransferStatus.RECEIVING, (5, 3, 2, 0))
    assert quantities(house, AT_WEST) == (2, 3, 2)

    house.transfers.ship(made.id, "cat", "s2")
    made = house.transfers.receive(made.id, "dan", "p2")
    assert (made.status, figures(made)) == (TransferStatus.RECEIVED, (6, 0, 6, 0))
    assert (quantities(house, KEY), quantities(house, AT_WEST)) == ((4, 0, 4), (6, 0, 6))
    house.assert_exact()


def test_each_call_counts_once_for_its_key_and_another_body_is_a_conflict() -> None:
    house = stocked()
    made = shipped(house)
    for _ in range(2):
        assert requested(house).id == made.id
        house.transfers.approve(made.id, "ben", "a")
        house.transfers.ship(made.id, "cat", "s")
        again = house.transfers.receive(made.id, "dan", "p", [Part(TEA, 2)])
    assert figures(again) == (6, 4, 2, 0)

    with pytest.raises(IdempotencyConflictError):
        house.transfers.receive(made.id, "dan", "p", [Part(TEA, 3)])
    with pytest.raises(IdempotencyConflictError):
        house.transfers.close(made.id, "dan", "p", "over")
    with pytest.raises(IdempotencyConflictError):
        requested(house, 7)
    house.assert_exact()


def test_all_that_is_open_means_what_it_meant_when_it_was_first_said() -> None:
    house = stocked()
    made = approved(house)
    house.transfers.ship(made.id, "cat", "s1", [Part(TEA, 2)])
    house.transfers.receive(made.id, "dan", "p")
    house.transfers.ship(made.id, "cat", "s2")

    made = house.transfers.receive(made.id, "dan", "p")

    assert figures(made) == (6, 4, 2, 0)


def test_what_is_approved_is_promised_to_nobody_else() -> None:
    house = stocked()
    made = approved(house)

    with pytest.raises(InsufficientStockError):
        house.reserver.reserve("k", "bob", SHOP, [Wanted(TEA, 5, EAST)])

    house.transfers.close(made.id, "ann", "c", "not needed")
    house.reserver.reserve("k", "bob", SHOP, [Wanted(TEA, 5, EAST)])
    house.assert_exact()


def test_what_is_promised_already_cannot_be_transferred() -> None:
    house = stocked()
    house.reserver.reserve("k", "bob", SHOP, [Wanted(TEA, 5, EAST)])
    made = requested(house)

    with pytest.raises(InsufficientStockError) as refused:
        house.transfers.approve(made.id, "ben", "a")

    [short] = refused.value.shortfalls
    assert (short.requested, short.available_to_promise) == (6, 5)
    assert house.transfers.get(made.id).status is TransferStatus.REQUESTED
    house.assert_exact()


def test_units_set_aside_for_a_channel_are_not_transferred() -> None:
    house = stocked()
    SetAside(house.stock, house.registry, house.clock).keep(SHOP, KEY, 5)

    with pytest.raises(InsufficientStockError):
        approved(house)
    fits = requested(house, 5, "fits")
    assert house.transfers.approve(fits.id, "ben", "a").status is TransferStatus.APPROVED


def test_a_transfer_of_several_items_is_held_whole_or_not_at_all() -> None:
    house = stocked()
    made = house.transfers.request("ann", "r", EAST, WEST, [(TEA, 6), (MUG, 1)], "west runs out")

    with pytest.raises(InsufficientStockError):
        house.transfers.approve(made.id, "ben", "a")
    assert quantities(house, KEY) == (10, 0, 10)

    house.post(replace(movement("mugs", 1, 3), sku=MUG))
    house.transfers.approve(made.id, "ben", "a")
    house.transfers.ship(made.id, "cat", "s")
    made = house.transfers.receive(made.id, "dan", "p", [Part(TEA, 6)])
    assert (made.status, figures(made)) == (TransferStatus.RECEIVING, (7, 1, 6, 0))
    made = house.transfers.receive(made.id, "dan", "p2")
    assert made.status is TransferStatus.RECEIVED
    house.assert_exact()


def test_more_than_was_asked_for_cannot_be_shipped_and_no_more_than_is_in_transit_received() -> None:
    house = stocked()
    made = approved(house)

    with pytest.raises(RefusedTransferError, match="6 were asked for") as refused:
        house.transfers.ship(made.id, "cat", "s", [Part(TEA, 4), Part(TEA, 3)])
    assert refused.value.field == "lines"
    assert refused.value.remedy.startswith("ship 6 or fewer")

    house.transfers.ship(made.id, "cat", "s", [Part(TEA, 4)])
    with pytest.raises(RefusedTransferError, match="4 are in transit") as refused:
        house.transfers.receive(made.id, "dan", "p", [Part(TEA, 5)])
    assert "adjustment" in refused.value.remedy
    assert figures(house.transfers.get(made.id)) == (4, 4, 0, 0)
    house.assert_exact()


def test_nothing_moves_before_the_approval_and_after_the_end() -> None:
    house = stocked()
    made = requested(house)
    with pytest.raises(RefusedTransferError, match="not approved"):
        house.transfers.ship(made.id, "cat", "s")
    with pytest.raises(RefusedTransferError, match="nothing is in transit"):
        house.transfers.receive(made.id, "dan", "p")

    made = house.transfers.close(made.id, "ann", "c", "not needed")

    assert made.status is TransferStatus.CANCELLED
    with pytest.raises(RefusedTransferError, match="closed"):
        house.transfers.approve(made.id, "ben", "a")
    with pytest.raises(RefusedTransferError, match="closed"):
        house.transfers.ship(made.id, "cat", "s")


def test_closed_short_with_a_loss() -> None:
    house = stocked()
    made = shipped(house)
    house.transfers.receive(made.id, "dan", "p", [Part(TEA, 4)])

    with pytest.raises(RefusedTransferError, match="2 units are still in transit"):
        house.transfers.close(made.id, "ben", "c", "the lorry burnt", may_write_off=True)
    with pytest.raises(WriteOffNotAllowedError):
        house.transfers.close(made.id, "ben", "c", "the lorry burnt", accept_loss=True)
    for _ in range(2):
        made = house.transfers.close(
            made.id, "ben", "c", "the lorry burnt", accept_loss=True, may_write_off=True
        )

    assert (made.status, figures(made)) == (TransferStatus.CLOSED_SHORT, (6, 0, 4, 2))
    assert quantities(house, AT_WEST) == (4, 0, 4)
    house.assert_exact()


def test_closed_with_fewer_units_gives_back_what_was_held() -> None:
    house = stocked()
    made = approved(house)
    house.transfers.ship(made.id, "cat", "s", [Part(TEA, 4)])
    house.transfers.receive(made.id, "dan", "p")

    made = house.transfers.close(made.id, "ann", "c", "enough")

    assert (made.status, quantities(house, KEY)) == (TransferStatus.CLOSED, (6, 0, 6))
    house.assert_exact()


def test_a_closing_that_was_cut_short_is_finished_by_the_watch() -> None:
    house = stocked()
    made = shipped(house)

    def crash(_number: int, _: object) -> None:
        raise Crash

    house.stock.faults = Interruption(after=crash)  # the document is closed, and nothing written off yet
    with pytest.raises(Crash):
        house.transfers.close(made.id, "ben", "c", "burnt", accept_loss=True, may_write_off=True)
    house.stock.faults = Interruption()
    assert figures(house.transfers.get(made.id)) == (6, 6, 0, 0)

    house.transfer_watch.run()

    assert figures(house.transfers.get(made.id)) == (6, 0, 0, 6)
    assert list(house.cases.open_of([CaseKind.TRANSFER_OVERDUE])) == []
    house.assert_exact()


def careful(house: House, above: str = "20 EUR") -> None:
    item = house.registry.items.find([TEA])[TEA]
    house.registry.items.change([(item, replace(item, price=parse_money("10 EUR")))])
    rules = Rules(FourEyes(parse_money(above), None))
    house.declare(replace(network(), rules=rules))
    house.registry.network(fresh=True)


def test_above_the_four_eyes_amount_who_requested_it_cannot_approve_it_nor_write_it_off() -> None:
    house = stocked()
    careful(house)
    small, large = requested(house, 2, "small"), requested(house, 3, "large")

    assert house.transfers.approve(small.id, "ann", "a").approved is not None
    with pytest.raises(SamePersonError, match=r"30(\.00)? EUR"):
        house.transfers.approve(large.id, "ann", "a")
    house.transfers.approve(large.id, "ben", "a")
    house.transfers.ship(large.id, "ann", "s")
    with pytest.raises(SamePersonError, match="write them off"):
        house.transfers.close(large.id, "ann", "c", "burnt", accept_loss=True, may_write_off=True)
    closed = house.transfers.close(large.id, "ben", "c", "burnt", accept_loss=True, may_write_off=True)
    assert closed.status is TransferStatus.CLOSED_SHORT


def test_what_cannot_be_meant_names_its_field() -> None:
    house = stocked()
    ask = house.transfers.request
    with pytest.raises(RefusedTransferError, match="to: "):
        ask("ann", "k", EAST, EAST, [(TEA, 1)], "why")
    with pytest.raises(RefusedTransferError, match=r"lines\[1\].sku"):
        ask("ann", "k", EAST, WEST, [(TEA, 1), (TEA, 2)], "why")
    with pytest.raises(UnknownItemError):
        ask("ann", "k", EAST, WEST, [(Sku("NOPE"), 1)], "why")
    made = approved(house)
    with pytest.raises(RefusedTransferError, match="'MUG' is not in it"):
        house.transfers.ship(made.id, "cat", "s", [Part(MUG, 1)])
    with pytest.raises(RefusedTransferError, match="future"):
        house.transfers.ship(made.id, "cat", "s", at=house.clock() + timedelta(hours=1))


def test_what_had_not_left_by_then_cannot_have_arrived_then() -> None:
    house = stocked()
    made = approved(house)
    house.clock.advance(hours=3)
    hours = [NOON + timedelta(hours=hour) for hour in range(4)]
    house.transfers.ship(made.id, "cat", "s1", [Part(TEA, 4)], at=hours[1])
    house.transfers.ship(made.id, "cat", "s2", [Part(TEA, 2)], at=hours[3])
    receive = house.transfers.receive

    with pytest.raises(
        RefusedTransferError, match="at: TEA: 0 were in transit at 2026-11-01T12:00"
    ) as refused:
        receive(made.id, "dan", "r1", [Part(TEA, 1)], at=hours[0])
    assert (refused.value.field, refused.value.is_about_state) == ("at", False)
    assert "2026-11-01T13:00:00.000000Z, 2026-11-01T15:00:00.000000Z" in refused.value.reason
    with pytest.raises(RefusedTransferError, match="4 were in transit"):
        receive(made.id, "dan", "r2", [Part(TEA, 5)], at=hours[2])

    receive(made.id, "dan", "r3", [Part(TEA, 4)], at=hours[1])
    with pytest.raises(RefusedTransferError, match="0 were in transit"):
        receive(made.id, "dan", "r4", at=hours[2])
    assert receive(made.id, "dan", "r5").status is TransferStatus.RECEIVED
    house.assert_exact()


def least_in_transit(house: House) -> Quantity:
    """Return the fewest units that were ever in transit to the west, by the ledger."""
    changes: defaultdict[datetime, Quantity] = defaultdict(int)
    for entry in house.ledger.journal(AT_WEST):
        for line in entry.lines:
            if line.slot.counter is StockCounter.IN_TRANSIT:
                changes[line.valid_at] += line.quantity
    return min(accumulate(changes[moment] for moment in sorted(changes)))


def shipped_twice(house: House) -> Transfer:
    """Ship four units an hour after noon and six three hours after, of ten; it is four then."""
    made = approved(house, 10)
    house.clock.advance(hours=3)
    house.transfers.ship(made.id, "cat", "s1", [Part(TEA, 4)], at=NOON + timedelta(hours=1))
    return house.transfers.ship(made.id, "cat", "s2", [Part(TEA, 6)], at=NOON + timedelta(hours=3))


def test_a_receipt_dated_back_leaves_enough_for_those_that_came_after_it() -> None:
    house = stocked()
    made = shipped_twice(house)
    house.transfers.receive(made.id, "dan", "p1", [Part(TEA, 3)], at=NOON + timedelta(hours=2.5))
    earlier = NOON + timedelta(hours=2)

    with pytest.raises(RefusedTransferError, match="and 1 of them at 2026-11-01T14:30:00") as refused:
        house.transfers.receive(made.id, "dan", "p2", [Part(TEA, 2)], at=earlier)

    assert refused.value.field == "at"
    assert refused.value.remedy.startswith("receive 1 or fewer at that instant")
    house.transfers.receive(made.id, "dan", "p3", [Part(TEA, 1)], at=earlier)
    house.transfers.receive(made.id, "dan", "p4", [Part(TEA, 6)], at=NOON + timedelta(hours=3))
    assert least_in_transit(house) == 0
    house.assert_exact()


def test_of_two_receipts_dated_back_at_once_the_second_is_judged_after_the_first() -> None:
    house = stocked()
    made = shipped_twice(house)

    def meanwhile() -> None:
        house.transfers.receive(made.id, "eve", "other", [Part(TEA, 4)], at=NOON + timedelta(hours=2.5))

    once_written(house, meanwhile)
    for _ in range(2):
        with pytest.raises(RefusedTransferError, match="and 0 of them at 2026-11-01T14:30:00") as refused:
            house.transfers.receive(made.id, "dan", "p", [Part(TEA, 4)], at=NOON + timedelta(hours=2))
        assert "another key" in refused.value.remedy

    assert figures(house.transfers.get(made.id)) == (10, 6, 4, 0)
    assert least_in_transit(house) == 0
    house.assert_exact()


def test_nothing_is_received_at_an_instant_of_which_only_sums_are_kept() -> None:
    house = stocked(2000)
    made = shipped(house, 2000)
    house.post(*receipts(made, [TEA], 1000))
    made, now = house.transfers.get(made.id), house.clock() + timedelta(hours=1)
    until = max(one.until for one in made.moves.values() if one.until is not None)
    house.clock.advance(hours=1)
    with pytest.raises(RefusedTransferError, match="kept added up"):
        house.transfers.receive(made.id, "dan", "p1", [Part(TEA, 1)], at=until - timedelta(seconds=1))

    house.transfers.receive(made.id, "dan", "p2", [Part(TEA, 1)], at=until)
    made = house.transfers.receive(made.id, "dan", "p3", [Part(TEA, 1)], at=now)

    assert figures(made) == (2000, 998, 1002, 0)
    assert least_in_transit(house) >= 0
    house.assert_exact()


def test_a_system_whose_clock_is_behind_may_receive_before_it_was_shipped() -> None:
    house = stocked()
    made = approved(house)
    house.clock.advance(hours=1)
    house.transfers.ship(made.id, "cat", "s")

    told(house, "transfer_receive", 6, transfer=made.id)  # it says half past twelve

    assert house.transfers.get(made.id).status is TransferStatus.RECEIVED


def test_one_that_is_overdue_is_a_case_with_its_amount_until_it_has_arrived() -> None:
    house = stocked()
    careful(house, "1000 EUR")
    made = shipped(house, lead_time=timedelta(hours=12))
    house.clock.advance(hours=11)
    house.transfer_watch.run()
    assert list(house.cases.open_of([CaseKind.TRANSFER_OVERDUE])) == []

    house.clock.advance(hours=2)
    house.transfer_watch.run()
    [case] = house.cases.open_of([CaseKind.TRANSFER_OVERDUE])
    assert (case.facts["units"], case.facts["value"], case.facts["sku"]) == (6, "60 EUR", "TEA")
    assert made.id in case.title

    house.transfers.receive(made.id, "dan", "p1", [Part(TEA, 4)])
    house.transfer_watch.run()
    assert house.cases.get(case.id).facts["units"] == 2

    house.transfers.receive(made.id, "dan", "p2")
    house.transfer_watch.run()
    assert house.cases.get(case.id).status is CaseStatus.RESOLVED


def test_the_newest_are_listed_first_in_pages() -> None:
    house = stocked()
    made = []
    for number in range(7):
        made.append(requested(house, 1, f"k{number}").id)
        house.clock.advance(minutes=1)

    first = house.transfers.newest(4)
    rest = house.transfers.newest(4, place_of(first[-1]))

    assert [one.id for one in [*first, *rest]] == made[::-1]


def told(house: House, kind: str, units: int, by: str = "wms", **more: object) -> MessageId:
    """Let a system say its part of a transfer."""
    where = {"location": "east", "to_location": "west"} if kind == "transfer_ship" else {"location": "west"}
    body = {
        "type": f"stock.{kind}",
        "timestamp": "2026-11-01T12:30:00Z",
        "data": {
            "document": f"{kind}-{units}-{more['transfer']}",
            "lines": [{"line": "1", "sku": "TEA", "quantity": units, **where, **more}],
        },
    }
    name = house.store(by, body)
    house.applier.apply(name)
    return name


def undone(house: House, name: MessageId) -> None:
    message = house.inbox.load(name).message
    source = house.registry.network().sources[message.source]
    reports = translator(source.connector).translate(message, source)
    house.undoer.undo(reports, source, message, "ann", "sent twice", dry_run=False)


def written_off(house: House, made: Transfer, key: str = "c", by: str = "ben") -> Transfer:
    return house.transfers.close(made.id, by, key, "burnt", accept_loss=True, may_write_off=True)


def test_what_a_source_says_of_a_transfer_stands_in_its_document() -> None:
    house = stocked()
    made = approved(house)

    told(house, "transfer_ship", 5, transfer=made.id)
    told(house, "transfer_receive", 3, transfer=made.id)
    told(house, "adjustment", -1, transfer=made.id, counter="in_transit")

    made = house.transfers.get(made.id)
    assert (made.status, figures(made)) == (TransferStatus.RECEIVING, (5, 1, 3, 1))
    assert quantities(house, KEY) == (5, 0, 4)
    assert quantities(house, AT_WEST) == (3, 1, 3)
    house.assert_exact()


def test_a_source_that_receives_before_anybody_shipped_is_believed_and_the_sum_still_holds() -> None:
    house = stocked()
    made = approved(house)

    told(house, "transfer_receive", 3, transfer=made.id)
    assert figures(house.transfers.get(made.id)) == (0, -3, 3, 0)
    told(house, "transfer_ship", 3, transfer=made.id)

    assert figures(house.transfers.get(made.id)) == (3, 0, 3, 0)
    assert quantities(house, AT_WEST) == (3, 0, 3)
    house.assert_exact()


def test_a_source_that_ships_before_the_approval_leaves_less_to_hold() -> None:
    house = stocked()
    made = requested(house)

    told(house, "transfer_ship", 5, transfer=made.id)
    house.transfers.approve(made.id, "ben", "a")

    assert quantities(house, KEY) == (5, 0, 4)
    house.assert_exact()


def test_an_undone_message_is_undone_in_the_document_too() -> None:
    house = stocked()
    made = approved(house)
    undone(house, told(house, "transfer_ship", 5, transfer=made.id))

    assert figures(house.transfers.get(made.id)) == (0, 0, 0, 0)
    assert quantities(house, KEY) == (10, 0, 4)
    house.assert_exact()


def test_of_two_who_receive_the_same_units_at_once_one_is_refused() -> None:
    house = stocked()
    made = shipped(house)
    began = False

    def meanwhile(_: int, actions: object) -> None:
        nonlocal began
        if not began and "EVENT#" in str(actions):
            began = True
            house.transfers.receive(made.id, "eve", "other", [Part(TEA, 4)])

    house.stock.faults = Interruption(before=meanwhile)
    with pytest.raises(RefusedTransferError, match="2 are in transit"):
        house.transfers.receive(made.id, "dan", "p", [Part(TEA, 4)])

    assert figures(house.transfers.get(made.id)) == (6, 2, 4, 0)
    house.assert_exact()


Step = tuple[str, int, int, int]
BY_HAND = ["approve", "ship", "receive", "receive", "receive", "close"]
FAULT = st.sampled_from(
    ["none", "none", "crash_before", "crash_after", "no_answer", "meanwhile", "meanwhile", "meanwhile"]
)


def histories(kinds: list[str]) -> st.SearchStrategy[list[tuple[Step, str, int, Step]]]:
    """Return steps (what, which transfer, units or 0 for all, key), each with a fault and what is done meanwhile."""
    step = st.tuples(st.sampled_from(kinds), st.sampled_from([0, 0, 1]), st.integers(0, 4), st.integers(0, 5))
    return st.lists(st.tuples(step, FAULT, st.integers(0, 1), step), max_size=12)


@settings(max_examples=200)
@given(st.one_of(histories(BY_HAND), histories([*BY_HAND, "wms_ship", "wms_receive", "wms_undo"])))
def test_after_any_history_what_was_shipped_is_received_in_transit_or_lost_and_the_ledger_agrees(
    history: list[tuple[Step, str, int, Step]],
) -> None:
    house = stocked(20)
    made = [requested(house, 6, "one").id, requested(house, 5, "two").id]
    house.transfers.approve(made[0], "ben", "first")
    house.transfers.ship(made[0], "cat", "first", [Part(TEA, 5)])

    for step, fault, write, other in history:
        house.stock.faults = interruption(house, made, fault, write, other)
        with suppress(Crash, TransferBusyError):
            work(house, made, step)
        house.stock.faults = Interruption()
        conserved(house, made)
    house.transfer_watch.run()
    conserved(house, made)
    house.assert_exact()


def work(house: House, made: list[str], step: Step) -> None:
    what, which, units, key = step
    transfer, parts = made[which], [Part(TEA, units)] if units else []
    try:
        match what:
            case "approve":
                house.transfers.approve(transfer, "ben", f"a{key}")
            case "ship":
                house.transfers.ship(transfer, "cat", f"s{key}", parts)
            case "receive":
                house.transfers.receive(transfer, "dan", f"p{key}", parts)
            case "close":
                house.transfers.close(
                    transfer, "ben", f"c{key}", "over", accept_loss=units > 2, may_write_off=True
                )
            case "wms_undo":
                undone(house, told(house, "transfer_ship", units + 1, transfer=transfer))
            case _:
                kind = "transfer_ship" if what == "wms_ship" else "transfer_receive"
                told(house, kind, units + 1, transfer=transfer)
    except (RefusedTransferError, IdempotencyConflictError, InsufficientStockError):
        pass


def interruption(house: House, made: list[str], fault: str, write: int, other: Step) -> Interruption:
    """Return what happens around the n-th write of a step; what is done meanwhile is not interrupted itself."""
    began = False

    def strike(number: int, _actions: object) -> None:
        nonlocal began
        if began or number != write:
            return
        began = True
        if fault == "no_answer":
            raise UnknownOutcomeError
        if fault == "meanwhile":
            work(house, made, other)
        else:
            raise Crash

    if fault == "none":
        return Interruption()
    if fault in ("crash_before", "meanwhile"):
        return Interruption(before=strike)
    return Interruption(after=strike)


def conserved(house: House, made: list[str]) -> None:
    documents = [house.transfers.get(one) for one in made]
    for one in documents:
        of_it = one.figures()
        assert of_it.shipped == of_it.received + of_it.in_transit + of_it.lost
    on_the_way = sum(one.figures().in_transit for one in documents)
    arrived = sum(one.figures().received for one in documents)
    left = sum(one.figures().shipped for one in documents)
    assert house.view.quantities(AT_WEST)["in_transit"] == on_the_way
    assert house.on_hand(AT_WEST) == arrived
    assert house.on_hand() == 20 - left
    held = [one for one in documents if one.approved is not None and one.closed is None]
    assert house.view.quantities(KEY)["reserved"] == sum(one.figures().unshipped for one in held)
    by_hand = [one for one in documents if not any("wms" in key for key in one.moves)]
    assert all(one.figures().in_transit >= 0 for one in by_hand)


def test_where_two_systems_are_believed_each_says_its_own_half() -> None:
    declared = network()
    places = {**declared.locations, WEST: replace(declared.locations[WEST], movements=ERP)}
    house = House(replace(declared, locations=places))
    house.post(movement("opening", 0, 10))
    house.clock.advance(hours=1)
    made = approved(house)

    told(house, "transfer_ship", 5, transfer=made.id)
    assert figures(house.transfers.get(made.id)) == (5, 5, 0, 0)
    told(house, "transfer_receive", 4, transfer=made.id)
    assert figures(house.transfers.get(made.id)) == (5, 5, 0, 0)  # the origin's system cannot know that
    told(house, "transfer_receive", 3, by="erp", transfer=made.id)

    assert figures(house.transfers.get(made.id)) == (5, 2, 3, 0)
    assert quantities(house, AT_WEST) == (3, 2, 3)
    house.assert_exact()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"transfer": "0000000000000000"}, "there is no such transfer"),
        ({"sku": "MUG"}, "it is of TEA, not of MUG"),
        ({"location": "east"}, "it goes to west, not to east"),
    ],
)
def test_a_message_that_names_a_transfer_wrongly_is_a_case_until_it_is_undone(
    said: dict[str, str], why: str
) -> None:
    house = stocked()
    made = shipped(house)

    wrong = told(house, "transfer_receive", 5, **({"transfer": made.id} | said))

    [case] = house.cases.list(CaseStatus.OPEN)
    named = said.get("transfer", made.id)
    assert case.kind is CaseKind.TRANSFER_MISNAMED
    assert case.title == (
        f"wms/transfer_receive-5-{named}/1/transfer_receive/ says that 5 of {said.get('sku', 'TEA')} "
        f"are received of transfer {named!r}: {why}"
    )
    assert f"onecount undo {wrong}" in case.remedy
    assert (case.facts["units"], case.facts["messages"], case.message_id) == (5, wrong, wrong)
    assert figures(house.transfers.get(made.id)) == (6, 6, 0, 0)
    house.transfer_watch.run()
    assert house.open_cases() == [CaseKind.TRANSFER_MISNAMED]

    undone(house, wrong)
    house.transfer_watch.run()
    house.applier.apply(wrong)

    assert house.open_cases() == []
    house.assert_exact()


def misnamed(house: House) -> Case:
    """Return the only open case."""
    [case] = house.cases.list(CaseStatus.OPEN)
    assert case.kind is CaseKind.TRANSFER_MISNAMED
    return case


def test_all_that_a_source_says_at_a_location_of_a_transfer_that_is_not_there_is_one_case() -> None:
    house = stocked()
    names = [told(house, "transfer_receive", units, transfer="TO-77") for units in range(1, 8)]
    other = told(house, "transfer_ship", 1, transfer="TO-77")
    elsewhere, case = house.cases.list(CaseStatus.OPEN)
    if elsewhere.facts["location"] == "west":
        elsewhere, case = case, elsewhere

    assert (case.facts["events"], case.facts["units"]) == (7, 28)
    assert case.title.endswith("there is no such transfer (and 6 more)")
    assert case.facts["messages"] == ", ".join(names[:1:-1])
    assert list(house.cases.parked(case.id)) == sorted(names)
    undone(house, other)
    for name in names[:-1]:
        undone(house, name)
    house.transfer_watch.run()
    assert (misnamed(house).facts["events"], misnamed(house).facts["units"]) == (1, 7)
    undone(house, names[-1])
    house.transfer_watch.run()

    assert house.open_cases() == []
    house.assert_exact()


def test_what_is_sent_again_opens_no_case_that_was_ignored_and_another_document_does() -> None:
    house = stocked()
    first = told(house, "transfer_receive", 5, transfer="TO-77")
    house.case_desk.ignore(misnamed(house).id, "it is right, and belongs to none", "ann")
    for number in range(2):
        house.clock.advance(minutes=5)
        resent = house.store("wms", house.inbox.load(first).message.body, webhook_id=f"resent-{number}")
        house.applier.apply(resent)
        house.applier.apply(first)
        house.sweep.run()
        house.transfer_watch.run()
        assert house.open_cases() == []

    second = told(house, "transfer_receive", 3, transfer="TO-77")
    house.transfer_watch.run()
    assert (misnamed(house).facts["events"], misnamed(house).facts["units"]) == (1, 3)
    undone(house, second)
    house.transfer_watch.run()

    assert house.open_cases() == []
    house.assert_exact()


@pytest.mark.parametrize("write", range(5))
@pytest.mark.parametrize("when", ["before", "after"])
def test_wherever_the_filing_of_a_misnamed_movement_is_cut_short_repeating_it_files_it(
    when: str, write: int
) -> None:
    house = stocked()
    told(house, "transfer_receive", 1, transfer="TO-77")
    house.case_desk.ignore(misnamed(house).id, "it is right, and belongs to none", "ann")
    house.clock.advance(minutes=5)

    def crash(number: int, _: object) -> None:
        if number == write:
            raise Crash

    house.cases_table.faults = Interruption(**{when: crash})
    with suppress(Crash):
        told(house, "transfer_receive", 5, transfer="TO-77")
    house.cases_table.faults = Interruption()

    told(house, "transfer_receive", 5, transfer="TO-77")
    house.transfer_watch.run()

    assert (misnamed(house).facts["events"], misnamed(house).facts["units"]) == (1, 5)


def test_of_two_misnamed_movements_told_at_once_both_are_in_the_case() -> None:
    house = stocked()

    def meanwhile(number: int, _: object) -> None:
        if number == 0:
            house.cases_table.faults = Interruption()
            told(house, "transfer_receive", 3, transfer="TO-77")

    house.cases_table.faults = Interruption(before=meanwhile)
    second = told(house, "transfer_receive", 5, transfer="TO-77")
    house.transfer_watch.run()
    assert (misnamed(house).facts["events"], misnamed(house).facts["units"]) == (2, 8)

    undone(house, second)
    house.transfer_watch.run()
    assert misnamed(house).facts["units"] == 3


def test_retrying_a_misnamed_movement_leaves_its_case_open() -> None:
    house = stocked()
    told(house, "transfer_receive", 5, transfer="TO-77")

    house.case_desk.retry(misnamed(house).id, "ann")

    house.transfer_watch.run()
    assert (misnamed(house).facts["events"], misnamed(house).facts["units"]) == (1, 5)


def test_a_shipment_from_elsewhere_than_the_origin_is_in_the_document_and_a_case() -> None:
    house, north = stocked(), LocationId("north")
    house.declare(replace(network(), locations={**network().locations, north: Location(north, WMS, WMS)}))
    house.registry.network(fresh=True)
    made = house.transfers.request("ann", "r", north, WEST, [(TEA, 6)], "west runs out")

    wrong = told(house, "transfer_ship", 5, transfer=made.id)

    assert figures(house.transfers.get(made.id)) == (5, 5, 0, 0)
    assert misnamed(house).title.endswith(": it leaves north, not east")
    assert "the transfer has them all the same" in misnamed(house).remedy
    undone(house, wrong)
    house.transfer_watch.run()
    assert house.open_cases() == []
    house.assert_exact()


def test_more_than_left_is_a_case_until_the_shipment_is_told() -> None:
    house = stocked()
    made = approved(house)
    told(house, "transfer_receive", 3, transfer=made.id)
    house.transfer_watch.run()
    assert house.open_cases() == []

    house.clock.advance(hours=2)
    house.transfer_watch.run()
    [case] = house.cases.open_of([CaseKind.TRANSFER_OVER_RECEIVED])
    assert (case.facts["units"], case.facts["sku"]) == (3, "TEA")

    told(house, "transfer_ship", 3, transfer=made.id)
    house.transfer_watch.run()
    assert house.open_cases() == []


def test_more_than_left_is_accepted_by_closing_and_leaves_nothing_in_transit() -> None:
    house = stocked()
    made = approved(house)
    told(house, "transfer_ship", 3, transfer=made.id)
    told(house, "transfer_receive", 5, transfer=made.id)
    with pytest.raises(RefusedTransferError, match="2 units arrived that nobody said had left"):
        house.transfers.close(made.id, "ben", "c", "two more in the box", may_write_off=True)

    made = house.transfers.close(
        made.id, "ben", "c", "two more in the box", accept_loss=True, may_write_off=True
    )

    assert (made.status, figures(made)) == (TransferStatus.CLOSED, (3, 0, 5, -2))
    assert quantities(house, AT_WEST) == (5, 0, 5)
    house.assert_exact()


def test_what_is_approved_is_told_to_the_channels_at_once() -> None:
    house = stocked()
    house.list_on(SHOP, "TEA")
    house.settle()
    house.lanes.due()

    approved(house)
    house.settle()

    assert [(hint.channel, hint.sku) for hint in house.lanes.due()] == [(SHOP, TEA)]


def test_the_longest_transfer_goes_all_the_way() -> None:
    skus = [Sku(f"SKU-{number}") for number in range(LONGEST)]
    house = House(skus=skus)
    house.post(*(replace(movement(f"opening-{sku}", 0, 10), sku=sku) for sku in skus))
    house.clock.advance(hours=1)

    made = house.transfers.request("ann", "r", EAST, WEST, [(sku, 2) for sku in skus], "a new shop")
    house.transfers.approve(made.id, "ben", "a")
    house.transfers.ship(made.id, "cat", "s")
    house.transfers.receive(made.id, "dan", "p", [Part(sku, 1) for sku in skus])
    made = house.transfers.close(made.id, "ben", "c", "burnt", accept_loss=True, may_write_off=True)

    assert figures(made) == (2 * LONGEST, 0, LONGEST, LONGEST)
    house.assert_exact()


def test_a_transfer_of_more_lines_says_how_many_it_may_have() -> None:
    house = stocked()
    wanted = [(Sku(f"SKU-{number}"), 1) for number in range(LONGEST + 1)]
    with pytest.raises(RefusedTransferError, match=f"there are {LONGEST + 1}"):
        house.transfers.request("ann", "r", EAST, WEST, wanted, "a new shop")


@pytest.mark.parametrize("units", [2, 6], ids=["in parts", "whole"])
def test_an_undone_shipment_of_a_closed_transfer_holds_nothing(units: int) -> None:
    house = stocked()
    made = approved(house)
    if units < 6:
        told(house, "transfer_ship", 6 - units, transfer=made.id)
    shipment = told(house, "transfer_ship", units, transfer=made.id)
    written_off(house, made)

    undone(house, shipment)

    assert quantities(house, KEY) == (4 + units, 0, 4 + units)
    assert figures(house.transfers.get(made.id)) == (6 - units, -units, 0, 6)
    house.assert_exact()


def test_what_was_written_off_and_turns_out_never_to_have_left_is_a_case_that_closing_again_ends() -> None:
    house = stocked()
    made = approved(house)
    shipment = told(house, "transfer_ship", 6, transfer=made.id)
    written_off(house, made)
    undone(house, shipment)
    assert house.transfers.get(made.id).status is TransferStatus.IN_TRANSIT
    house.clock.advance(hours=2)
    house.transfer_watch.run()
    [case] = house.cases.open_of([CaseKind.TRANSFER_OVER_RECEIVED])
    assert case.facts["units"] == 6

    made = written_off(house, made, "again")

    assert (made.status, figures(made)) == (TransferStatus.CANCELLED, (0, 0, 0, 0))
    house.transfer_watch.run()
    assert house.open_cases() == []
    assert quantities(house, AT_WEST) == (0, 0, 0)
    house.assert_exact()


def test_what_arrived_and_is_said_never_to_have_left_is_closed_and_not_cancelled() -> None:
    house = stocked()
    made = approved(house)
    shipment = told(house, "transfer_ship", 4, transfer=made.id)
    told(house, "transfer_receive", 4, transfer=made.id)
    house.transfers.close(made.id, "ben", "c", "enough")
    undone(house, shipment)
    assert house.transfers.get(made.id).status is TransferStatus.RECEIVING

    made = written_off(house, made, "again")

    assert (made.status, figures(made)) == (TransferStatus.CLOSED, (0, 0, 4, -4))
    assert quantities(house, KEY) == (10, 0, 10)
    house.assert_exact()


def test_what_is_shipped_after_the_end_can_be_received() -> None:
    house = stocked()
    made = approved(house)
    house.transfers.close(made.id, "ben", "c", "not needed")
    told(house, "transfer_ship", 4, transfer=made.id)
    house.clock.advance(hours=1)
    house.transfer_watch.run()
    assert house.open_cases() == [CaseKind.TRANSFER_OVERDUE]

    made = house.transfers.receive(made.id, "dan", "p")

    assert (made.status, figures(made)) == (TransferStatus.CLOSED, (4, 0, 4, 0))
    house.transfer_watch.run()
    assert house.open_cases() == []
    with pytest.raises(RefusedTransferError, match="closed"):
        house.transfers.receive(made.id, "dan", "p2", [Part(TEA, 1)])
    house.assert_exact()


def test_what_is_shipped_after_the_end_can_be_written_off_too_however_often() -> None:
    house = stocked()
    made = approved(house)
    house.transfers.close(made.id, "ben", "c", "not needed")
    for units in (2, 3):
        told(house, "transfer_ship", units, transfer=made.id)
        with pytest.raises(WriteOffNotAllowedError):
            house.transfers.close(made.id, "ben", f"may-not-{units}", "burnt", accept_loss=True)
        for _ in range(2):
            made = written_off(house, made, f"c{units}")

    assert (made.status, figures(made)) == (TransferStatus.CLOSED_SHORT, (5, 0, 0, 5))
    assert quantities(house, KEY) == (5, 0, 5)
    with pytest.raises(RefusedTransferError, match="closed_short already"):
        written_off(house, made, "c-again")
    house.assert_exact()


def test_what_was_written_off_and_arrives_after_all_is_accepted_by_closing_again() -> None:
    house = stocked()
    made = written_off(house, shipped(house))
    told(house, "transfer_receive", 6, transfer=made.id)
    house.clock.advance(hours=2)
    house.transfer_watch.run()
    assert house.open_cases() == [CaseKind.TRANSFER_OVER_RECEIVED]

    made = written_off(house, made, "found")

    assert (made.status, figures(made)) == (TransferStatus.CLOSED, (6, 0, 6, 0))
    assert quantities(house, AT_WEST) == (6, 0, 6)
    house.transfer_watch.run()
    assert house.open_cases() == []
    house.assert_exact()


def test_nobody_has_accepted_the_loss_of_what_is_shipped_after_the_end() -> None:
    house = stocked()
    made = shipped(house, 3)

    def meanwhile(_number: int, _: object) -> None:
        house.stock.faults = Interruption()
        told(house, "transfer_receive", 3, transfer=made.id)
        told(house, "transfer_ship", 2, transfer=made.id)

    house.stock.faults = Interruption(after=meanwhile)  # the document is closed, and nothing written off yet
    written_off(house, made)

    assert figures(house.transfers.get(made.id)) == (5, 2, 3, 0)
    house.transfer_watch.run()
    assert house.open_cases() == [CaseKind.TRANSFER_OVERDUE]
    house.assert_exact()


def once_written(house: House, then: Callable[[], object], number: int = 0) -> None:
    """Let something happen right after the n-th write from now on."""

    def strike(write: int, _: object) -> None:
        if write == number:
            house.stock.faults = Interruption()
            then()

    house.stock.faults = Interruption(after=strike)


def test_a_call_that_was_refused_posts_nothing_later_and_says_the_same_again() -> None:
    house = stocked()
    made = approved(house)
    house.transfers.ship(made.id, "cat", "s1", [Part(TEA, 3)])
    once_written(house, lambda: house.transfers.receive(made.id, "eve", "other"))
    with pytest.raises(RefusedTransferError, match="0 are in transit"):
        house.transfers.receive(made.id, "dan", "p")
    house.transfers.ship(made.id, "cat", "s2", [Part(TEA, 3)])

    with pytest.raises(RefusedTransferError, match="0 are in transit") as again:
        house.transfers.receive(made.id, "dan", "p")

    assert (again.value.field, figures(house.transfers.get(made.id))) == ("lines", (6, 3, 3, 0))
    assert "another key" in again.value.remedy
    assert figures(house.transfers.receive(made.id, "dan", "p2")) == (6, 0, 6, 0)
    house.assert_exact()


def two_lines(house: House) -> Transfer:
    house.post(replace(movement("mugs", 1, 10), sku=MUG))
    made = house.transfers.request("ann", "r", EAST, WEST, [(TEA, 3), (MUG, 3)], "west runs out")
    house.transfers.approve(made.id, "ben", "a")
    return house.transfers.ship(made.id, "cat", "s")


def test_of_a_call_with_a_line_that_is_refused_nothing_is_posted() -> None:
    house = stocked()
    made = two_lines(house)
    once_written(house, lambda: house.transfers.receive(made.id, "eve", "other", [Part(MUG, 1)]))

    with pytest.raises(RefusedTransferError, match="MUG: 2 are in transit"):
        house.transfers.receive(made.id, "dan", "p")

    assert figures(house.transfers.get(made.id)) == (6, 5, 1, 0)
    house.assert_exact()


def test_the_rest_of_a_call_that_was_cut_short_is_judged_before_it_is_posted() -> None:
    house = stocked()
    made = two_lines(house)

    def crash() -> None:
        raise Crash

    once_written(house, crash)
    with pytest.raises(Crash):
        house.transfers.receive(made.id, "dan", "p")
    house.transfers.receive(made.id, "eve", "other", [Part(MUG, 1)])

    with pytest.raises(RefusedTransferError, match="MUG: 2 are in transit"):
        house.transfers.receive(made.id, "dan", "p")

    assert figures(house.transfers.get(made.id)) == (6, 5, 1, 0)


def test_a_call_too_long_for_one_transaction_says_what_of_it_stands_when_the_rest_is_refused() -> None:
    skus = [Sku(f"SKU-{number}") for number in range(LONGEST)]
    house = House(skus=skus)
    house.post(*(replace(movement(f"opening-{sku}", 0, 10), sku=sku) for sku in skus))
    house.clock.advance(hours=1)
    made = house.transfers.request("ann", "r", EAST, WEST, [(sku, 2) for sku in skus], "a new shop")
    house.transfers.approve(made.id, "ben", "a")
    house.transfers.ship(made.id, "cat", "s")
    # The first write notes the call, the second posts its first lines.
    once_written(house, lambda: house.transfers.receive(made.id, "eve", "other", [Part(skus[-1], 1)]), 1)

    for _ in range(2):
        with pytest.raises(RefusedTransferError, match="SKU-32: 1 are in transit") as refused:
            house.transfers.receive(made.id, "dan", "p")

    stands = [sku for sku in skus[:-1] if house.transfers.get(made.id).figures(sku).received]
    assert 0 < len(stands) < LONGEST - 1
    assert "SKU-0 2, SKU-1 2" in str(refused.value)
    assert f"{len(stands)} lines" in str(refused.value)
    house.assert_exact()


def test_units_of_a_reservation_whose_time_is_over_can_be_transferred() -> None:
    house = stocked()
    house.reserver.reserve("k", "bob", SHOP, [Wanted(TEA, 8, EAST)], timedelta(minutes=1))
    house.clock.advance(minutes=2)

    assert approved(house).status is TransferStatus.APPROVED
    assert quantities(house, KEY) == (10, 0, 4)
    house.assert_exact()


def test_a_location_that_is_declared_no_more_can_neither_ship_nor_receive() -> None:
    house, north = stocked(), LocationId("north")
    house.declare(replace(network(), locations={**network().locations, north: Location(north, WMS, WMS)}))
    house.registry.network(fresh=True)
    gone = Network({}, {north: Location(north)}, {})
    made = house.transfers.request("ann", "r", EAST, north, [(TEA, 6)], "a new shop")
    house.transfers.approve(made.id, "ben", "a")
    house.transfers.ship(made.id, "cat", "s", [Part(TEA, 4)])
    withdraw(gone, house.stock, house.registry, house.clock)
    house.registry.network(fresh=True)

    for act in (house.transfers.ship, house.transfers.receive):
        with pytest.raises(RefusedTransferError, match="'north' is not declared any more") as refused:
            act(made.id, "cat", "again")
        assert "declare it again" in refused.value.remedy
    closed = written_off(house, made)

    assert (closed.status, figures(closed)) == (TransferStatus.CLOSED_SHORT, (4, 0, 0, 4))
    assert quantities(house, KEY) == (6, 0, 6)
    house.assert_exact()


def test_each_run_of_the_watch_says_how_many_are_late() -> None:
    house = stocked()
    shipped(house, lead_time=timedelta(hours=1))
    house.clock.advance(hours=2)

    assert [house.transfer_watch.run() for _ in range(2)] == [{"transfers_late": 1}] * 2


def size(transfer: Transfer) -> int:
    """Return how many bytes its item takes, roughly."""
    return len(json.dumps(transfer_put(transfer).attributes, ensure_ascii=False, default=str).encode())


def receipts(made: Transfer, skus: Sequence[Sku], count: int, key_length: int = 80) -> list[Movement]:
    """Return receipts of one unit each, as a system says them."""
    first = Movement(
        EventKey(""),
        TEA,
        MovementKind.TRANSFER_RECEIVE,
        (),
        NOON + timedelta(hours=1),
        ORIGIN,
        (made.order, ""),
    )
    legs = Leg(WEST, -1, StockCounter.IN_TRANSIT), Leg(WEST, 1)
    return [
        replace(
            first,
            key=EventKey(f"wms/{number}".ljust(key_length, "-")),
            sku=skus[number % len(skus)],
            legs=legs,
            occurred_at=first.occurred_at + timedelta(seconds=number),
        )
        for number in range(count)
    ]


def test_however_much_a_system_says_of_the_longest_transfer_its_document_fits_the_table() -> None:
    skus = [Sku(f"{number}".ljust(200, "ü")) for number in range(LONGEST)]
    lines = tuple(TransferLine(sku, 100) for sku in skus)
    made = Transfer("5f0c2a9be1d34417", EAST, WEST, lines, Word("ann", NOON, "ü" * 1000))
    for count, key_length in ((3000, 80), (3300, 1900)):
        found = made
        for event in receipts(made, skus, count, key_length):
            found = add_movement(found, event)

        assert found.figures().received == count
        assert found.figures(skus[1]).received == count // LONGEST + (count % LONGEST > 1)
        assert max(one.at for one in found.moves.values()) == NOON + timedelta(hours=1, seconds=count - 1)
        assert size(found) < 200_000


def test_a_call_is_known_again_after_its_movements_were_added_up() -> None:
    house = stocked(2000)
    made = shipped(house, 2000)
    for _ in range(2):
        house.transfers.receive(made.id, "dan", "p", [Part(TEA, 5)])
        house.post(*receipts(made, [TEA], 1000))
        made = house.transfers.receive(made.id, "dan", "p", [Part(TEA, 5)])
        assert figures(made) == (2000, 995, 1005, 0)

    assert len(made.moves) < 1000
    assert made.shipped_at == house.clock()
    house.assert_exact()


def keep_receiving(house: House, made: Transfer, parts: Sequence[Part]) -> None:
    for number in range(100, 200):
        house.transfers.receive(made.id, "dan", f"p{number}", parts)


def test_calls_that_name_too_much_are_refused_before_the_document_is_full_and_nobody_else_is() -> None:
    house = stocked(10_000)
    made = shipped(house, 10_000)
    bins = [Part(TEA, 1, Leaf(f"aisle-{number}".ljust(100, "-"), "-")) for number in range(200)]
    for number in range(2):
        made = house.transfers.receive(made.id, "dan", f"p{number}", bins)
    with pytest.raises(RefusedTransferError, match="fills its document") as refused:
        keep_receiving(house, made, bins)
    assert refused.value.is_about_state
    assert "close it" in refused.value.remedy
    before = house.transfers.get(made.id).figures().received
    assert before >= 400

    told(house, "transfer_receive", 7, transfer=made.id)
    made = written_off(house, made)

    assert figures(made) == (10_000, 0, before + 7, 10_000 - before - 7)
    assert size(made) < 200_000
    house.assert_exact()


def shipments(made: Transfer, count: int, name: str = "wms", length: int = 1500) -> list[Movement]:
    """Return shipments of one unit each, as a system with long document names says them."""
    return [
        Movement(
            EventKey(f"{name}/{number}".ljust(length, "-")),
            TEA,
            MovementKind.TRANSFER_SHIP,
            (Leg(EAST, -1), Leg(WEST, 1, StockCounter.IN_TRANSIT)),
            NOON + timedelta(hours=1, seconds=number),
            ORIGIN,
            (made.order, TEA),
        )
        for number in range(count)
    ]


def test_what_a_line_has_no_room_for_is_refused_long_before_it_fits_no_more_and_each_counts_once() -> None:
    house = stocked(1000)
    made = approved(house, 500)
    events = shipments(made, 150)

    results = house.post(*events)

    posted = [one for one in results if one.outcome is Outcome.POSTED]
    refused = [one for one in results if one.outcome is Outcome.REFUSED]
    assert 80 < len(posted) < 120
    assert len(posted) + len(refused) == 150
    assert f"of line 'TEA' of order '{made.order}'" in refused[0].reason
    assert refused[0].remedy.startswith("report it under a document of its own")
    again = house.post(*events)
    assert sorted(one.outcome for one in again) == sorted(
        [*[Outcome.DUPLICATE] * len(posted), *[Outcome.REFUSED] * len(refused)]
    )
    assert figures(house.transfers.get(made.id)) == (len(posted), len(posted), 0, 0)
    assert quantities(house, KEY) == (1000 - len(posted), 0, 500)
    house.assert_exact()


def test_a_message_that_a_line_has_no_room_for_is_a_case_and_a_person_is_told() -> None:
    house = stocked(1000)
    made = approved(house, 500)
    house.post(*shipments(made, 150), *shipments(made, 50, "w", 10))  # not a hundred bytes are left

    told(house, "transfer_ship", 7, transfer=made.id)
    house.transfer_watch.run()

    [case] = house.cases.list(CaseStatus.OPEN)
    assert case.kind is CaseKind.CONFLICT
    assert "no room for another" in case.title
    assert "under a document of its own" in case.remedy
    with pytest.raises(RefusedTransferError, match="no room for another") as refused:
        house.transfers.ship(made.id, "cat", "s", [Part(TEA, 1)])
    assert refused.value.is_about_state
    assert "request what is left as another transfer" in refused.value.remedy
    made = written_off(house, made)
    assert made.status is TransferStatus.CLOSED_SHORT
    assert quantities(house, KEY)[2] == quantities(house, KEY)[0]
    house.assert_exact()


def test_what_takes_a_shipment_back_has_room_where_another_shipment_has_none() -> None:
    house = stocked(1000)
    made = approved(house, 500)
    first = told(house, "transfer_ship", 7, transfer=made.id)
    house.post(*shipments(made, 150))
    before = house.transfers.get(made.id).figures().shipped

    undone(house, first)

    assert house.transfers.get(made.id).figures().shipped == before - 7
    house.assert_exact()


def test_shipments_told_before_the_approval_leave_room_for_it() -> None:
    house = stocked(1000)
    made = requested(house, 500)
    posted = [one for one in house.post(*shipments(made, 150)) if one.outcome is Outcome.POSTED]

    house.transfers.approve(made.id, "ben", "a")

    assert quantities(house, KEY) == (1000 - len(posted), 0, 500)
    house.assert_exact()
