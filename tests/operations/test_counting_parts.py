"""A number about one bin or lot says nothing of the whole location: nobody is found wrong by it."""

from __future__ import annotations

from datetime import datetime

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.stock import SourceId
from shared.operations.message_view import MessageView
from shared.store.layout import believed_key, heard_key
from tests.operations.deliveries import body
from tests.operations.house import EAST, KEY, WMS, House, at, count
from tests.operations.test_match_rate import desk
from tests.operations.test_undoing import bins


def said(
    house: House, document: str, when: datetime, *parts: dict[str, object], source: str = "wms"
) -> House:
    """Let a source count some parts of the tea at an instant, and apply it."""
    lines = [{"sku": "TEA", **part} for part in parts]
    house.applier.apply(house.store(source, body("count", document, *lines, occurred_at=when)))
    house.settle()
    return house


def moved_between_bins(house: House, times: int) -> None:
    """Put ten from bin A to bin B so many times; the WMS tells it by counting both."""
    said(house, "O", at(0), {"quantity": 50, "bin": "A"}, {"quantity": 50, "bin": "B"})
    for number in range(1, times + 1):
        house.clock.now = at(30 * number)
        said(house, f"A{number}", at(30 * number - 2), {"quantity": 50 - 10 * number, "bin": "A"})
        said(house, f"B{number}", at(30 * number - 1), {"quantity": 50 + 10 * number, "bin": "B"})


def test_bins_counted_right_one_by_one_open_no_case_and_are_not_held_against_the_total() -> None:
    house = bins()
    house.clock.now = at(60)
    said(house, "O", at(0), {"quantity": 50, "bin": "A"}, {"quantity": 50, "bin": "B"})
    said(house, "P", at(55), {"quantity": 50, "bin": "A"})
    house.clock.advance(days=1)
    house.sweep.run()
    house.settle()
    assert (house.on_hand(), house.open_cases()) == (100, [])
    systems = desk(house).report(at(0).date(), house.clock().date()).systems
    assert [one for one in systems if one.source == WMS and one.matches.matched < one.matches.compared] == []


def test_goods_moved_from_bin_to_bin_by_counts_are_no_correction_loop() -> None:
    house = bins()
    moved_between_bins(house, 4)
    assert (house.on_hand(), house.open_cases()) == (100, [])
    house.assert_exact()


def test_one_bin_that_is_corrected_back_and_forth_is_a_loop_also_while_others_are_counted() -> None:
    house = bins()
    said(house, "O", at(0), {"quantity": 50, "bin": "A"}, {"quantity": 50, "bin": "B"})
    for number in range(1, 6):
        house.clock.now = at(30 * number)
        off = 3 if number % 2 else 0
        said(house, f"A{number}", at(30 * number - 2), {"quantity": 50 - off, "bin": "A"})
        said(house, f"B{number}", at(30 * number - 1), {"quantity": 50 - number, "bin": "B"})
    [loop] = [one for one in house.cases.list(CaseStatus.OPEN) if one.kind is CaseKind.CORRECTION_LOOP]
    assert loop.title == "A/- of TEA@east was corrected 5 times by wms, back and forth: -3 in all"
    assert loop.facts["leaf"] == "A/-"
    house.clock.advance(hours=23)
    said(house, "B9", house.clock(), {"quantity": 40, "bin": "B"})
    house.clock.now = at(1600)
    house.sweep.run()
    assert str(CaseKind.CORRECTION_LOOP) not in house.open_cases()


def test_a_system_that_is_only_compared_and_names_bins_says_nothing_of_the_total() -> None:
    house = House()
    house.clock.now = at(60)
    house.post(count("wms/o/1/count/", 0, 100))
    said(house, "E", at(50), {"quantity": 60, "bin": "A"}, {"quantity": 40, "bin": "B"}, source="erp")
    said(house, "L", at(51), {"quantity": 30, "lot": "L7"}, source="erp")
    house.clock.advance(hours=1)
    house.sweep.run()
    house.settle()
    assert house.open_cases() == []
    assert house.view.item(KEY.sku).locations[0].comparisons == ()


def test_what_a_system_last_said_of_the_total_stands_beside_the_numbers_of_its_bins() -> None:
    house = House()
    house.clock.now = at(60)
    house.post(count("wms/o/1/count/", 0, 100))
    said(house, "E", at(50), {"quantity": 90}, source="erp")
    said(house, "F", at(55), {"quantity": 60, "bin": "A"}, source="erp")
    [found] = house.view.item(KEY.sku).locations[0].comparisons
    assert (found.observation.quantity, found.observation.as_of, found.drift) == (90, at(50), -10)
    assert house.open_cases() == ["drift"]


def test_a_bin_that_the_location_does_not_tell_apart_is_the_total_by_the_authoritys_word() -> None:
    house = House()
    house.clock.now = at(60)
    said(house, "O", at(50), {"quantity": 100, "bin": "A-3-2"})
    [found] = house.view.item(KEY.sku).locations[0].comparisons
    assert (found.observation.quantity, found.drift) == (100, 0)


def test_a_count_of_a_bin_shows_that_its_source_has_spoken() -> None:
    house = bins()
    house.clock.now = at(60)
    said(house, "P", at(55), {"quantity": 50, "bin": "A"})
    heard = house.stock.get(heard_key(WMS, EAST)), house.stock.get(believed_key(WMS, EAST))
    assert [one and one["as_of"] for one in heard] == ["2026-11-01T12:55:00.000000Z"] * 2


def test_what_became_of_a_number_of_a_bin_that_is_not_believed_is_said() -> None:
    house = House()
    house.clock.now = at(60)
    name = house.store(
        "erp", body("count", "E", {"sku": "TEA", "quantity": 60, "bin": "A"}, occurred_at=at(50))
    )
    house.applier.apply(name)
    found = MessageView(house.stock, house.registry, house.clock).events(house.inbox.load(name))
    assert found is not None
    [one] = found.events
    assert (one.outcome, one.reason) == (
        "noted",
        "it names a bin or a lot: only numbers of a whole location are compared",
    )
    assert one.stock_keys == (KEY,)
    assert house.inbox.outcomes(name) == {"of_a_part": 1}


def test_a_day_of_bin_counts_leaves_the_instant_of_the_last_total_alone() -> None:
    house = bins()
    house.clock.now = at(60)
    said(house, "T", at(10), {"quantity": 100})
    said(house, "P", at(55), {"quantity": 0, "bin": "A"})
    [seen] = house.observations.find([(KEY, SourceId("wms"), "on_hand")])
    assert (seen.quantity, seen.as_of) == (100, at(10))
