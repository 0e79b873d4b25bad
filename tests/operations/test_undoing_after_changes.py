"""Undoing after a mapping, an authority or a code was put right: by what the ledger wrote, whatever is declared now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from shared.domain.cases import CaseKind
from shared.domain.events import Demand, DemandEffect, Origin
from shared.domain.messages import Message
from shared.domain.network import Grain, Tolerance
from shared.domain.stock import EventKey, LocationId, MessageId, Sku, SourceId, StockKey
from shared.operations.message_view import MessageView
from shared.sources.contract import Fault, Report
from shared.store.registry import Code
from tests.operations.deliveries import body
from tests.operations.house import EAST, ERP, SHOP, TEA, WMS, House, at, count, demand, network
from tests.operations.test_kits import kit
from tests.operations.test_undoing import undo

MUG = Sku("MUG")
X_1 = Code(WMS, "sku", "X-1")

Change = Callable[[House], None]


def remapped(house: House) -> None:
    house.registry.map_codes({X_1: MUG}, "ann")


def other_authority(house: House) -> None:
    declared = house.registry.network(fresh=True)
    place = replace(declared.locations[EAST], movements=ERP, counts=ERP)
    house.declare(replace(declared, locations={**declared.locations, EAST: place}))


def code_of_location_gone(house: House) -> None:
    declared = house.registry.network(fresh=True)
    house.declare(
        replace(declared, sources={**declared.sources, WMS: replace(declared.sources[WMS], locations={})})
    )


def other_grain(house: House) -> None:
    declared = house.registry.network(fresh=True)
    place = replace(declared.locations[EAST], grain=Grain.BIN)
    house.declare(replace(declared, locations={**declared.locations, EAST: place}))


def became_a_kit(house: House) -> None:
    kit(house, {"MUG": 2}, sku="TEA")


CHANGES: list[Change] = [remapped, other_authority, code_of_location_gone, other_grain, became_a_kit]


def house_with_codes() -> House:
    """Return a house of 100 TEA at east, which the WMS calls E-1, and whose X-1 was mapped to TEA by mistake."""
    declared = network()
    wms = replace(declared.sources[WMS], locations={"E-1": EAST})
    house = House(replace(declared, sources={**declared.sources, WMS: wms}), skus=("TEA", "MUG"))
    house.post(count("wms/open", -60, 100))
    house.registry.map_codes({X_1: TEA}, "ann")
    return house


def told(house: House, kind: str, document: str, units: int, **more: object) -> MessageId:
    line = {"sku": "X-1", "location": "E-1", "bin": "A", "quantity": units, **more}
    message = house.store("wms", body(kind, document, line, occurred_at=at(0)))
    house.clock.now = at(5)
    house.applier.apply(message)
    house.settle()
    return message


def now_declared(house: House, change: Change) -> None:
    change(house)
    house.clock.advance(seconds=60)


@pytest.mark.parametrize("change", CHANGES)
def test_a_movement_is_undone_where_it_was_posted_once(change: Change) -> None:
    house = house_with_codes()
    mistake = told(house, "receipt", "R1", 10)
    now_declared(house, change)

    done = undo(house, mistake)
    again = undo(house, mistake)

    assert (done.events, done.kept, house.on_hand()) == (1, {}, 100)
    assert (again.events, again.already) == (0, 1)
    assert house.on_hand(StockKey(MUG, EAST)) == 0
    house.assert_exact()


@pytest.mark.parametrize("change", CHANGES)
def test_undone_before_and_after_the_change_it_is_compensated_once(change: Change) -> None:
    house = house_with_codes()
    mistake = told(house, "receipt", "R1", 10)
    undo(house, mistake)
    now_declared(house, change)

    again = undo(house, mistake)

    assert (again.events, again.already, house.on_hand()) == (0, 1, 100)
    house.assert_exact()


@pytest.mark.parametrize("units", [7, 100])
@pytest.mark.parametrize("change", CHANGES)
def test_a_count_is_undone_where_it_was_posted_also_one_that_changed_nothing(
    change: Change, units: int
) -> None:
    house = house_with_codes()
    mistake = told(house, "count", "C1", units)
    now_declared(house, change)

    done = undo(house, mistake)

    assert (done.events, done.kept, house.on_hand()) == (1, {}, 100)
    assert undo(house, mistake).already == 1
    house.assert_exact()


@pytest.mark.parametrize("change", CHANGES)
def test_a_count_that_waits_is_undone_and_its_case_closes(change: Change) -> None:
    house = house_with_codes()
    declared = house.registry.network(fresh=True)
    strict = replace(declared.locations[EAST], approve_beyond=Tolerance(percent_hundredths=1_000))
    house.declare(replace(declared, locations={**declared.locations, EAST: strict}))
    mistake = told(house, "count", "C1", 7)
    assert CaseKind.COUNT_APPROVAL in house.open_cases()
    now_declared(house, change)

    done = undo(house, mistake)

    assert (done.events, house.on_hand()) == (1, 100)
    assert CaseKind.COUNT_APPROVAL not in house.open_cases()
    house.assert_exact()


def test_a_shipment_under_a_wrong_code_owes_its_order_the_units_again() -> None:
    house = house_with_codes()
    house.post(demand("d", 1, 3, "1001"))
    mistake = told(house, "shipment", "S1", 3, order="1001", order_line="1")
    assert (house.on_hand(), house.available()) == (97, 97)
    now_declared(house, remapped)

    undo(house, mistake)

    assert (house.on_hand(), house.available()) == (100, 97)
    house.assert_exact()


def test_a_fulfilment_that_moved_stock_is_undone_when_its_storefront_is_no_authority_any_more() -> None:
    plain = network()
    theirs = replace(plain.locations[EAST], movements=SourceId("shopify"))
    house = House(replace(plain, locations={**plain.locations, EAST: theirs}))
    house.post(count("wms/open", -60, 100))
    house.post(demand("d", 1, 3, f"{SHOP}/1001"))
    source = house.registry.network().sources[SourceId("shopify")]
    message = Message(MessageId("fulfilled"), source.id, b"", house.clock(), {})
    said = Demand(
        EventKey("shopify/f1"), TEA, SHOP, "1001", "1", DemandEffect.FULFILLED, 3, at(5),
        Origin(source.id, message.id), LocationId("77"), "f1", "1",
    )  # fmt: skip
    reports: list[Report | Fault] = [Report(said)]
    house.clock.now = at(180)
    house.recorder.record(reports, source, message)
    assert (house.on_hand(), house.available()) == (97, 97)
    now_declared(house, other_authority)

    for _ in range(2):
        house.undoer.undo(reports, source, message, "ann", "sent twice", dry_run=False)

    assert (house.on_hand(), house.available()) == (100, 97)
    house.assert_exact()


@pytest.mark.parametrize(
    ("line", "kind", "reason"),
    [
        ({"sku": "NEW"}, "receipt", "'NEW' stands for nothing of ours"),
        ({"location": "west"}, "receipt", "not the authority for movements"),
        ({"location": "west"}, "count", "not the authority for counts"),
        ({"location": "nowhere"}, "receipt", "'nowhere' stands for nothing of ours"),
    ],
)
def test_what_never_reached_the_ledger_is_named_with_the_reason(
    line: dict[str, object], kind: str, reason: str
) -> None:
    house = house_with_codes()
    declared = house.registry.network(fresh=True)
    west = LocationId("west")
    place = replace(declared.locations[west], movements=ERP, counts=ERP)
    house.declare(replace(declared, locations={**declared.locations, west: place}))
    message = told(house, kind, "D1", 10, **line)

    done = undo(house, message)

    assert done.events == 0
    (said,) = done.kept.values()
    assert "it is not in the ledger" in said
    assert reason in said


def test_what_became_of_a_message_is_read_from_the_ledger_too() -> None:
    house = house_with_codes()
    message = told(house, "receipt", "R1", 10)
    view = MessageView(house.stock, house.registry, house.clock)
    now_declared(house, other_authority)
    now_declared(house, remapped)

    for outcome in ("posted", "undone"):
        shown = view.events(house.inbox.load(message))
        assert shown is not None
        assert [(event.outcome, event.stock_keys) for event in shown.events] == [
            (outcome, (StockKey(TEA, EAST),))
        ]
        undo(house, message)
