"""Transfers of any size: long ones go all the way, and what there is no room for is refused before anything fails."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.events import Leg, Movement, MovementKind
from shared.domain.stock import Counter as StockCounter
from shared.domain.stock import EventKey, Leaf, Sku
from shared.domain.transfer import Transfer, TransferLine, TransferStatus, Word, add_movement
from shared.operations.facts import Outcome
from shared.operations.transfer_calls import (
    Part,
    RefusedTransferError,
)
from shared.operations.transfer_request import LONGEST
from shared.store.transfers import transfer_put
from tests.operations.house import (
    EAST,
    KEY,
    NOON,
    ORIGIN,
    TEA,
    WEST,
    House,
    movement,
)
from tests.operations.transferring import (
    approved,
    figures,
    least_in_transit,
    once_written,
    quantities,
    receipts,
    requested,
    shipped,
    stocked,
    told,
    undone,
    written_off,
)


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


def size(transfer: Transfer) -> int:
    """Return how many bytes its item takes, roughly."""
    return len(json.dumps(transfer_put(transfer).attributes, ensure_ascii=False, default=str).encode())


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
