"""Taking a source or a channel out of the network: nothing of it is half alive, and nothing of it is lost."""

from __future__ import annotations

import json

import pytest

from shared.domain.cases import CaseKind, CaseStatus
from shared.operations.case_desk import NotPossibleError
from shared.operations.dead_letters import DeadLetter, push_failed_case
from shared.operations.receive import UnknownSourceError
from shared.operations.set_aside import SetAside
from shared.operations.withdraw import withdraw
from shared.store.inbox import MessageStatus
from shared.store.promises import standings
from shared.store.registry import Network
from tests.operations.deliveries import receipt
from tests.operations.house import ERP, KEY, SHOP, TEA, WMS, House, count, movement


@pytest.fixture
def house() -> House:
    house = House()
    house.list_on(SHOP, "TEA")
    return house


def without(house: House, *names: str) -> None:
    """Take systems out of the network, and let what the functions remember of it grow old."""
    declared = house.registry.network(fresh=True)
    gone = Network(
        {name: one for name, one in declared.sources.items() if name in names},
        {},
        {name: one for name, one in declared.channels.items() if name in names},
    )
    withdraw(gone, house.stock, house.registry, house.clock)
    house.clock.advance(seconds=60)


def test_the_door_of_a_removed_source_is_unknown(house: House) -> None:
    without(house, ERP)

    with pytest.raises(UnknownSourceError):
        house.receiver.receive(ERP, {}, b"{}")


def test_its_history_is_still_readable(house: House) -> None:
    house.post(movement("wms/r1", 0, 7))

    without(house, WMS)

    assert house.view.item(TEA).locations[0].quantities["on_hand"] == 7
    assert [line.event_key for entry in house.ledger.journal(KEY) for line in entry.lines] == ["wms/r1"]


def test_a_message_of_it_that_was_still_to_be_applied_is_a_case_that_says_so(house: House) -> None:
    message = house.store(WMS, receipt("r1", units=5))
    without(house, WMS)

    assert house.applier.apply(message) is MessageStatus.PARKED

    (case,) = house.cases.list(CaseStatus.OPEN)
    assert case.kind is CaseKind.MESSAGE_FAILED
    assert case.message_id == message
    assert "source wms is not declared any more" in case.title
    assert "declare the source again" in case.remedy


def test_what_is_posted_and_delivered_again_by_a_stream_stays_posted(house: House) -> None:
    message = house.store(WMS, receipt("r1", units=5))
    house.settle()
    assert house.on_hand() == 5
    without(house, WMS)

    assert house.applier.apply(message) is MessageStatus.POSTED

    assert house.inbox.load(message).status is MessageStatus.POSTED
    assert house.open_cases() == []


def test_a_message_of_a_source_that_is_declared_again_posts_by_a_retry(house: House) -> None:
    declared = house.registry.network(fresh=True)
    message = house.store(WMS, receipt("r1", units=5))
    without(house, WMS)
    house.applier.apply(message)
    house.declare(declared)
    (case,) = house.cases.list(CaseStatus.OPEN)

    house.case_desk.retry(case.id)

    assert house.view.quantities(KEY)["on_hand"] == 5


def test_no_listing_of_a_removed_channel_is_looked_at(house: House) -> None:
    without(house, SHOP)

    house.post(movement("wms/r1", 0, 7))
    house.settle()

    assert house.lanes.waiting == []
    assert house.view.item(TEA).channels == ()


def test_units_set_aside_for_a_removed_channel_are_everyones_again(house: House) -> None:
    house.post(count("wms/c", 0, 10))
    SetAside(house.stock, house.registry, house.clock).keep(SHOP, KEY, 4)

    without(house, SHOP)

    assert standings(house.stock, [KEY])[KEY].set_aside == {}


def test_what_comes_back_to_a_removed_channel_can_be_given_back_by_hand(house: House) -> None:
    house.post(count("wms/c", 0, 10))
    aside = SetAside(house.stock, house.registry, house.clock)
    aside.keep(SHOP, KEY, 4)
    declared = house.registry.network(fresh=True)
    house.registry.undeclare(Network({}, {}, {SHOP: declared.channels[SHOP]}))

    assert aside.keep(SHOP, KEY, 0) == 4

    assert standings(house.stock, [KEY])[KEY].set_aside == {}


def test_a_push_that_failed_before_cannot_be_retried_and_its_case_is_still_shown(house: House) -> None:
    house.letters.queues["push"] = [DeadLetter("1", json.dumps({"channel": SHOP, "sku": TEA}))]
    house.desk.file()
    case = push_failed_case(SHOP, TEA)
    without(house, SHOP)

    with pytest.raises(NotPossibleError, match="channel shop is not declared any more"):
        house.case_desk.retry(case)

    assert house.cases.get(case).status is CaseStatus.OPEN
