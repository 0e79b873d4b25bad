"""The trace of what was undone: what it had moved, who took it back, when and why, and what an undoing moved back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.stock import EventKey, LocationId, MessageId, SourceId, StockKey
from shared.domain.trace import Chain, Stage
from shared.sources.registry import translator
from tests.operations.deliveries import body, drop, rows
from tests.operations.house import EAST, TEA, House, at, movement, network
from tests.operations.test_undoing import undo, versions
from tests.operations.tracing import posted, stages, told, tracer
from tests.operations.waiting_counts import LIMIT, careful, hasty_clocks


def undoing_of(house: House, key: str) -> Chain:
    [chain] = tracer(house).event(EventKey(f"onecount/undo/{key}")).chains
    return chain


@pytest.mark.parametrize(
    ("kind", "units", "moved", "back"),
    [
        ("receipt", 10, "on_hand +10", "on_hand -10"),
        ("count", 10, "on_hand +7", "on_hand -7"),
        ("hold", 2, "quality_hold +2", "quality_hold -2"),
        ("damage", 2, "damaged +2", "damaged -2"),
    ],
)
def test_an_event_that_was_undone_says_what_it_moved_by_whom_it_was_undone_when_and_why(
    kind: str, units: int, moved: str, back: str
) -> None:
    house = House()
    told(house, "receipt", "R0", -60, 3)
    message = told(house, kind, "R1", -1, units)
    [before] = tracer(house).message(message).chains
    house.clock.advance(minutes=5)

    undo(house, message)

    at_ = "2026-11-01T12:05:04.000000Z"
    name = f"onecount/undo/{before.event}"
    note = f"it was undone by ann at {at_}, which moved TEA@east: {back} (event {name}): sent twice"
    [by_message] = tracer(house).message(message).chains
    [by_event] = tracer(house).event(EventKey(before.event)).chains
    assert before.notes == ()
    assert by_message.notes == by_event.notes == (note,)
    assert posted(by_message) == posted(by_event) == [f"TEA@east: {moved}"]
    assert posted(by_message, Stage.UNDONE) == [f"TEA@east: {back}"]
    assert by_message.whole == before.whole


@pytest.mark.parametrize(("kind", "back"), [("receipt", -10), ("count", -7)])
def test_an_undoing_says_what_it_moved_back_and_links_what_it_took_back(kind: str, back: int) -> None:
    house = House()
    told(house, "receipt", "R0", -60, 3)
    message = told(house, kind, "R1", -1, 10)
    house.clock.advance(minutes=5)
    undo(house, message)

    key = f"wms/R1/1/{kind}/"
    chain = undoing_of(house, key)

    assert posted(chain) == [f"TEA@east: on_hand {back:+d}"]
    assert chain.notes == (f"ann took back {key}, which message {message} had brought: sent twice",)
    assert chain.message == message
    assert stages(chain) == [("occurred", "onecount", None), ("posted", "ledger", None)]


def test_what_a_later_count_had_seen_already_is_said_to_change_nothing_now() -> None:
    house = House()
    told(house, "count", "C0", -60, 100)
    mistake = told(house, "shipment", "S", -30, 3)
    told(house, "count", "C1", -1, 90)
    undo(house, mistake)
    back = "TEA@east: on_hand +3 (+0 in all: a count since had seen it)"
    assert posted(undoing_of(house, "wms/S/1/shipment/")) == [back]
    assert posted(tracer(house).message(mistake).chains[0]) == ["TEA@east: on_hand -3"]


def test_a_count_that_waited_says_what_its_approval_moved_and_its_undoing_moved_back() -> None:
    house = House(careful(approve_beyond=LIMIT))
    told(house, "receipt", "R0", -60, 100)
    message = told(house, "count", "C", -1, 50)
    [waits] = [case for case in house.cases.list(CaseStatus.OPEN) if case.kind is CaseKind.COUNT_APPROVAL]
    house.case_desk.approve_count(waits.id, "ben", seen=100)
    assert posted(tracer(house).message(message).chains[0]) == ["TEA@east: on_hand -50"]

    undo(house, message)

    [chain] = tracer(house).message(message).chains
    assert posted(chain) == ["TEA@east: on_hand -50"]
    assert posted(chain, Stage.UNDONE) == posted(undoing_of(house, chain.event)) == ["TEA@east: on_hand +50"]


def test_a_count_that_was_undone_while_it_waited_moved_nothing_and_says_so() -> None:
    house = House(careful(approve_beyond=LIMIT))
    told(house, "receipt", "R0", -60, 100)
    message = told(house, "count", "C", -1, 50)
    undo(house, message)
    [chain] = tracer(house).message(message).chains
    assert posted(chain) == ["TEA@east: nothing moved"]
    assert "by ann at" in chain.notes[0]
    assert "which moved nothing (event " in chain.notes[0]


def test_an_undone_version_of_a_count_says_what_stands_again_in_its_place() -> None:
    house = House(hasty_clocks())
    told(house, "receipt", "R0", -60, 11)
    house.clock.now = at(60)
    found = versions(house, 1, 2)
    undo(house, found[2])
    [chain] = tracer(house).message(found[2]).chains
    assert (posted(chain), posted(chain, Stage.UNDONE)) == (
        ["TEA@east: on_hand +2"],
        ["TEA@east: on_hand -2"],
    )
    assert posted(undoing_of(house, chain.event)) == ["TEA@east: on_hand -2"]


def test_a_row_of_a_file_that_was_undone_is_followed_like_any_count() -> None:
    house = House()
    west = StockKey(TEA, LocationId("west"))
    house.ingester.ingest(drop(house, "stock_20261101T0600.csv", rows(("TEA", 40))))
    house.settle()
    [line] = house.ledger.journal(west)[0].lines
    message = MessageId(tracer(house).event(line.event_key).chains[0].message)
    stored = house.inbox.load(message).message
    source = house.registry.network().sources[stored.source]
    reports = house.ingester.reports(stored, source)
    house.undoer.undo(reports, source, stored, "ann", "wrong file", dry_run=False)

    [chain] = tracer(house).event(line.event_key).chains

    assert (posted(chain), posted(chain, Stage.UNDONE)) == (
        ["TEA@west: on_hand +40"],
        ["TEA@west: on_hand -40"],
    )
    assert chain.notes[0].startswith("it was undone by ann at ")
    assert chain.notes[0].endswith(": wrong file")
    assert undoing_of(house, line.event_key).message == message


def test_both_ends_of_a_transfer_that_was_undone_are_told() -> None:
    house = House()
    house.post(movement("R", -60, 30))
    asked = house.transfers.request("ann", "r", EAST, LocationId("west"), [(TEA, 20)], "west runs out", None)
    house.transfers.approve(asked.id, "ben", "a")
    line = {"sku": "TEA", "quantity": 20, "to_location": "west", "transfer": asked.id}
    message = house.store("wms", body("transfer_ship", "T1", line, occurred_at=at(-1)))
    house.settle()
    undo(house, message)
    [chain] = tracer(house).message(message).chains
    assert posted(chain) == ["TEA@east: on_hand -20", "TEA@west: in_transit +20"]
    assert posted(chain, Stage.UNDONE) == ["TEA@east: on_hand +20", "TEA@west: in_transit -20"]


@pytest.mark.parametrize("is_authority_still", [True, False])
def test_a_fulfilment_that_was_undone_says_so_whoever_is_believed_by_now(is_authority_still: bool) -> None:
    plain, shopify = network(), SourceId("shopify")
    theirs = replace(
        plain, locations={**plain.locations, EAST: replace(plain.locations[EAST], movements=shopify)}
    )
    house = House(theirs)
    told(house, "count", "O", -60, 100)
    when = {"created_at": at(0).isoformat(), "updated_at": at(0).isoformat()}
    sent = {
        "id": 77,
        "status": "success",
        "location_id": 77,
        **when,
        "line_items": [{"id": 1, "quantity": 3}],
    }
    line = {"id": 1, "sku": "TEA", "quantity": 4, "variant_id": 5}
    order = {"id": 1001, **when, "line_items": [line], "fulfillments": [sent]}
    message = house.store("shopify", order, x_shopify_topic="orders/updated", delivery="1")
    house.settle()
    stored, source = house.inbox.load(message).message, house.registry.network().sources[shopify]
    reports = list(translator(source.connector).translate(stored, source))
    house.undoer.undo(reports, source, stored, "ann", "sent twice", dry_run=False)
    if not is_authority_still:
        house.declare(plain)

    chain = tracer(house).message(message).chains[-1]

    [note] = [one for one in chain.notes if one.startswith("it was undone by ann at ")]
    assert "TEA@east: on_hand +3" in note
    assert note.endswith(": sent twice")
    assert posted(chain, Stage.UNDONE) == ["TEA@east: on_hand +3"]
