"""Transfers of which systems tell their part: believed as it comes, followed by the document, and a case where it cannot be."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from shared.domain.cases import Case, CaseKind, CaseStatus
from shared.domain.network import Location
from shared.domain.stock import LocationId
from shared.domain.transfer import TransferStatus
from shared.operations.transfer_calls import (
    RefusedTransferError,
)
from tests.operations.house import (
    ERP,
    KEY,
    TEA,
    WEST,
    WMS,
    Crash,
    House,
    Interruption,
    movement,
    network,
)
from tests.operations.transferring import (
    AT_WEST,
    approved,
    figures,
    quantities,
    requested,
    shipped,
    stocked,
    told,
    undone,
)


def test_a_system_whose_clock_is_behind_may_receive_before_it_was_shipped() -> None:
    house = stocked()
    made = approved(house)
    house.clock.advance(hours=1)
    house.transfers.ship(made.id, "cat", "s")

    told(house, "transfer_receive", 6, transfer=made.id)  # it says half past twelve

    assert house.transfers.get(made.id).status is TransferStatus.RECEIVED


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
