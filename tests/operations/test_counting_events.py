"""Counters of the day: exactly what the journal says, whatever is delivered twice, lost or cut short."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import permutations

import pytest

from shared.domain.drift import Observation
from shared.domain.events import Count, MovementKind, instant
from shared.domain.network import MANUAL
from shared.domain.stock import Leaf, LocationId, Sku, SourceId, StockKey
from shared.domain.tallies import durations_of
from shared.operations.counting_events import ENTRIES
from shared.store.layout import tallied_key
from shared.store.table import Action, ThrottledError, UnknownOutcomeError, Update, WriteConflictError
from shared.store.tallies import Tallies
from tests.operations.house import (
    EAST,
    ERP,
    KEY,
    NOON,
    WEST,
    Crash,
    House,
    Interruption,
    at,
    count,
    movement,
)
from tests.operations.test_losses_any_history import undo
from tests.operations.test_undoing import bins

DAY = NOON.date()
MUG = StockKey(Sku("MUG"), EAST)


@pytest.fixture
def house() -> House:
    """A house whose tea is known: 100 since noon."""
    house = House()
    house.post(count("wms/opening/1/count/", 0, 100))
    house.clock.advance(minutes=5)
    return house


def tallies(house: House, location: LocationId = EAST, day: date = DAY) -> dict[str, Counter[str]]:
    """Return the counters of a day by source."""
    return {
        place.source: Counter({name: n for name, n in tally.items() if not name[1:].isdecimal()})
        for place, tally in Tallies(house.stock).between(location, day, day)
        if tally
    }


def counts_of(house: House, source: str = "wms") -> tuple[int, int, int, int]:
    tally = tallies(house).get(source, Counter())
    return tally["counted"], tally["matched"], tally["off"], tally["net"]


def lost(house: House, location: LocationId = EAST) -> int:
    """Return the units that are gone for good, all sources and days together."""
    found = Tallies(house.stock).between(location, date.min, date.max)
    return sum(tally["lost_"] - tally["gained_"] for _, tally in found)


def test_a_count_that_says_what_the_book_says_matches_and_another_is_off_by_so_many(house: House) -> None:
    house.post(movement("wms/s/1/shipment/", 1, -3))
    house.post(count("wms/c/1/count/", 2, 97), count("wms/c/2/count/", 3, 90))
    house.post(count("wms/c/3/count/", 4, 92))
    house.settle()
    assert counts_of(house) == (3, 1, 7 + 2, -7 + 2)


def test_the_first_counts_of_a_stock_key_are_compared_with_nothing_whatever_moved_before(
    house: House,
) -> None:
    house.settle()
    assert counts_of(house) == (0, 0, 0, 0)
    house.post(movement("wms/r/1/receipt/", 1, 5, key=MUG), count("wms/c/1/count/", 2, 7, key=MUG))
    house.settle()
    assert counts_of(house) == (0, 0, 0, 0)
    house.post(count("wms/c/2/count/", 3, 9, key=MUG))
    house.settle()
    assert counts_of(house) == (1, 0, 2, 2)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_counts_that_arrive_in_any_order_are_compared_but_for_the_earliest_and_lose_the_same(
    order: tuple[int, ...],
) -> None:
    house = House()
    house.clock.advance(minutes=5)
    counts = [count(f"wms/c/{n}/count/", n, said) for n, said in enumerate((100, 90, 93))]
    for number in order:
        house.post(counts[number])
        house.settle()
    assert counts_of(house)[0] == 2
    assert lost(house) == 7


def test_counts_of_one_batch_are_compared_by_what_they_come_to_together() -> None:
    house = House()
    house.post(count("wms/c/2/count/", 2, 98), count("wms/c/1/count/", 1, 100))
    house.settle()
    assert (counts_of(house), lost(house)) == ((1, 0, 2, -2), 2)


def in_bin(bin_: str, document: str, minute: float, quantity: int) -> Count:
    return replace(count(f"wms/{document}/1/count/", minute, quantity), leaf=Leaf(bin_))


def binned() -> House:
    """A house that keeps the bins of its east apart, three hours later."""
    house = bins()
    house.clock.advance(hours=3)
    return house


@pytest.mark.parametrize("order", [range(10), range(9, -1, -1), (4, 0, 9, 2, 1, 8, 3, 7, 5, 6)])
def test_bins_that_are_counted_for_the_first_time_one_after_the_other_are_compared_with_nothing(
    order: Sequence[int],
) -> None:
    house = binned()
    for number in order:
        house.post(in_bin(f"B{number}", f"o{number}", number, 50))
        house.settle()
    assert (counts_of(house), lost(house), house.on_hand()) == ((0, 0, 0, 0), 0, 500)
    house.post(in_bin("B3", "c1", 20, 49), in_bin("B4", "c2", 20, 50))
    house.settle()
    assert (counts_of(house), lost(house)) == ((2, 1, 1, -1), 1)


def test_what_moved_in_a_bin_before_its_first_count_is_no_loss() -> None:
    house = binned()
    house.post(in_bin("A", "a", 0, 50))
    for bin_, units in (("B", -5), ("C", 10)):
        moved = movement(f"wms/{bin_}/1/x/", 2, units)
        house.post(replace(moved, legs=(replace(moved.legs[0], leaf=Leaf(bin_)),)))
    house.post(in_bin("B", "b", 5, 50), in_bin("C", "c", 6, 9))
    house.settle()
    assert (counts_of(house), lost(house)) == ((0, 0, 0, 0), 0)


def test_an_opening_of_a_bin_that_is_undone_makes_its_next_count_the_opening_and_no_other_bins() -> None:
    house = binned()
    wrong = in_bin("B", "wrong", 1, 1000)
    house.post(in_bin("A", "a", 0, 50), wrong, in_bin("B", "b", 2, 40), in_bin("A", "a2", 3, 48))
    house.settle()
    assert (counts_of(house), lost(house)) == ((2, 0, 962, -962), 962)
    assert undo(house, wrong)
    house.settle()
    assert lost(house) == 2
    house.post(in_bin("B", "b0", -1, 41))
    house.settle()
    assert (counts_of(house)[0], lost(house)) == (3, 3)


def test_a_count_of_the_whole_says_what_every_bin_holds_and_a_count_of_a_bin_says_nothing_of_the_others() -> (
    None
):
    house = binned()
    house.post(in_bin("A", "a", 0, 50))
    house.post(count("wms/w1/1/count/", 1, 90))
    house.settle()
    assert (counts_of(house), lost(house)) == ((0, 0, 0, 0), 0)
    house.post(in_bin("B", "b", 2, 1))
    house.settle()
    assert (counts_of(house), lost(house)) == ((1, 0, 1, 1), -1)
    house.post(count("wms/w2/1/count/", 3, 90))
    house.settle()
    assert (counts_of(house), lost(house)) == ((2, 0, 2, 0), 0)


def test_a_count_of_the_whole_that_comes_late_makes_the_first_counts_of_bins_after_it_comparable() -> None:
    house = binned()
    whole = count("wms/w/1/count/", 0, 50)
    house.post(in_bin("A", "a", 1, 50), in_bin("B", "b", 2, 40))
    house.settle()
    house.post(whole)
    house.settle()
    assert (counts_of(house), lost(house)) == ((2, 0, 90, 90), -90)
    assert undo(house, whole)
    house.settle()
    assert lost(house) == 0


def test_how_much_of_a_journal_of_bins_is_counted_at_once_changes_nothing() -> None:
    def counted(step: int) -> dict[str, Counter[str]]:
        house = binned()
        said = [("A", 5, 90), ("B", 4, 7), ("A", 3, 95), ("A", 1, 100), ("B", 6, 6), ("C", 2, 1), ("A", 0, 9)]
        for number, (bin_, minute, quantity) in enumerate(said):
            house.post(in_bin(bin_, f"c{number}", minute, quantity))
        for length in range(step, len(said) + step, step):
            house.event_counter.grown({KEY: min(length, len(said))})
        return tallies(house)

    assert counted(1) == counted(2) == counted(3) == counted(7)
    assert sum(tally["counted"] for tally in counted(1).values()) == 4


def test_what_was_told_before_bins_had_openings_of_their_own_stays_and_is_gone_on_with() -> None:
    house = binned()
    house.post(in_bin("A", "a", 0, 50), in_bin("B", "b", 1, 40))
    house.stock.write([Update(tallied_key(KEY), set={"entries": 1, "opening": instant(at(0))})])
    house.post(in_bin("B", "b2", 2, 39))
    house.settle()
    assert (counts_of(house), lost(house)) == ((1, 0, 1, -1), 1)


def test_hundreds_of_bins_fit_the_transactions_and_are_known_each_by_itself() -> None:
    house = binned()
    for number in range(250):
        house.post(in_bin(f"B{number}", f"o{number}", number / 10, 1))
    house.event_counter.all_of([KEY])
    for number in range(250):
        house.post(in_bin(f"B{number}", f"c{number}", 60, 1))
    house.event_counter.all_of([KEY])
    assert (counts_of(house), lost(house)) == ((250, 250, 0, 0), 0)


def test_how_much_of_a_journal_is_counted_at_once_changes_nothing() -> None:
    def counted(step: int) -> dict[str, Counter[str]]:
        house = House()
        said = [(5, 90), (3, 95), (1, 100), (3.5, 94), (0, 99)]
        for number, (minute, quantity) in enumerate(said):
            house.post(count(f"wms/c/{number}/count/", minute, quantity))
        for length in range(step, len(said) + step, step):
            house.event_counter.grown({KEY: min(length, len(said))})
        return tallies(house)

    assert counted(1) == counted(2) == counted(5)
    assert sum(tally["counted"] for tally in counted(1).values()) == 4


def test_late_movements_restate_a_snapshot_and_an_opening_and_nothing_is_lost(house: House) -> None:
    house.post(count("files/snapshot/b", 4, 70))
    house.post(movement("wms/s/1/shipment/", 3, -10), movement("wms/s/2/shipment/", -1, -10))
    house.settle()
    assert lost(house) == 0
    assert not {"gained_", "lost_"} & set().union(*tallies(house).values())


@pytest.mark.parametrize("source", ["wms", "files"])
def test_an_opening_that_is_undone_lost_nothing_and_the_next_count_is_the_opening(source: str) -> None:
    house = House()
    house.clock.advance(minutes=5)
    wrong = count(f"{source}/o/1/count/", 0, 1000)
    house.post(wrong)
    assert undo(house, wrong)
    house.post(count("wms/c/1/count/", 1, 100), count("wms/c/2/count/", 2, 98))
    house.settle()
    assert (counts_of(house), lost(house)) == ((1, 0, 2, -2), 2)


def test_what_an_undone_count_took_off_is_gained_again_and_what_an_undone_snapshot_did_is_not(
    house: House,
) -> None:
    snapshot, shelf = count("files/snapshot/b", 2, 40), count("wms/c/1/count/", 3, 30)
    house.post(snapshot)
    house.post(shelf)
    house.settle()
    assert lost(house) == 10
    assert undo(house, shelf)
    assert undo(house, snapshot)
    house.settle()
    assert (lost(house), house.on_hand()) == (0, 100)


@pytest.mark.parametrize("teller", ["wms", "shopify", "files"])
def test_what_a_late_movement_explains_is_gained_again_whoever_tells_it(house: House, teller: str) -> None:
    house.post(count("wms/c/1/count/", 3, 90))
    house.settle()
    assert lost(house) == 10
    house.post(movement(f"{teller}/f/1/shipment/", 2, -10, kind=MovementKind.SHIPMENT))
    house.settle()
    assert (lost(house), tallies(house)["wms"]["gained_"]) == (0, 10)


def test_a_movement_that_comes_too_late_to_explain_a_count_does_not_make_it_a_match(house: House) -> None:
    house.post(count("wms/c/1/count/", 3, 95))
    house.settle()
    house.post(movement("wms/s/1/shipment/", 1, -5))
    house.settle()
    assert counts_of(house) == (1, 0, 5, -5)


def test_rows_of_a_snapshot_are_apart_from_counts_of_the_shelf(house: House) -> None:
    house.post(
        count("files/snapshot/a", 1, 100), count("files/snapshot/b", 2, 99), count("wms/c/1/count/", 3, 99)
    )
    house.settle()
    assert tallies(house)["files"] == {"read": 2, "agreed": 1, "read_off": 1}
    assert counts_of(house) == (1, 1, 0, 0)


def test_files_that_are_declared_to_be_counted_by_hand_are_counts_of_the_shelf(house: House) -> None:
    declared = house.registry.network()
    files = replace(declared.sources[SourceId("files")], counted_by_hand=True)
    house.declare(replace(declared, sources={**declared.sources, files.id: files}))
    house.post(count("files/snapshot/a", 1, 100))
    house.settle()
    assert counts_of(house, "files") == (1, 1, 0, 0)


def test_adjustments_by_hand_and_what_somebody_had_taken_back_are_counted_as_such(house: House) -> None:
    house.post(
        movement("manual/m1/movement", 1, 4),
        movement("manual/m2/movement", 2, -6),
        movement("onecount/undo/wms/x", 3, -1),
        movement("wms/s/1/shipment/", 3, -1),
    )
    house.settle()
    by_hand = {"adjusted": 2, "up": 4, "down": 6, "gained_": 4, "lost_": 6}
    assert tallies(house)[MANUAL.id] == by_hand
    assert tallies(house)["onecount"] == {"taken_back": 1}
    assert tallies(house)["wms"] == {"events": 1}


def test_how_long_events_took_is_kept_by_source_and_the_day_is_that_of_posting(house: House) -> None:
    house.clock.now = NOON + timedelta(days=1)
    house.post(movement("wms/s/1/shipment/", 0, -1))
    house.clock.advance(seconds=10)
    house.post(movement("wms/s/2/shipment/", 24 * 60, -1))
    house.settle()
    [(place, tally)] = Tallies(house.stock).between(EAST, DAY, DAY + timedelta(days=1))
    assert (place.day, place.source) == (DAY + timedelta(days=1), "wms")
    took = durations_of(tally)
    assert took.count == 2
    assert 10_000 <= (took.at_most_ms(50) or 0) < 12_500
    assert 86_400_000 <= (took.at_most_ms(100) or 0) < 108_000_000


def test_what_is_delivered_again_adds_nothing(house: House) -> None:
    house.post(movement("wms/s/1/shipment/", 1, -1), count("wms/c/1/count/", 2, 99))
    lengths = {KEY: 2}
    first = house.event_counter.grown(lengths)
    assert first
    before = tallies(house)
    assert house.event_counter.grown(lengths) == []
    assert house.event_counter.grown({KEY: 1}) == []
    assert tallies(house) == before


def test_what_adds_nothing_is_not_written_and_the_next_posting_begins_there_again() -> None:
    house = House()
    house.post(count("wms/opening/1/count/", 0, 100))
    house.settle()
    assert house.stock.get(tallied_key(KEY)) is None
    house.post(movement("wms/s/1/shipment/", 1, -1))
    house.settle()
    assert tallies(house)["wms"] == {"events": 1}


def test_what_the_stream_lost_is_made_up_for_by_the_next_posting_or_the_daily_sweep(house: House) -> None:
    house.post(movement("wms/s/1/shipment/", 1, -1))
    house.lose_stream()
    house.settle()
    assert tallies(house) == {}
    house.post(movement("wms/s/2/shipment/", 1, -1))
    house.settle()
    assert tallies(house)["wms"]["events"] == 2
    house.post(movement("wms/s/3/shipment/", 1, -1))
    house.lose_stream()
    house.drift_sweep.run()
    assert tallies(house)["wms"]["events"] == 3


def test_a_long_journal_is_counted_whole(house: House) -> None:
    for number in range(ENTRIES + 5):
        house.post(movement(f"wms/s/{number}/shipment/", 1, -1))
    house.event_counter.all_of([KEY])
    assert tallies(house)["wms"]["events"] == ENTRIES + 5


def test_a_history_of_many_days_and_sources_fits_the_transactions(house: House) -> None:
    for number in range(150):
        house.clock.advance(days=1)
        house.post(movement(f"s{number}/s/1/shipment/", 1, -1))
    house.event_counter.all_of([KEY])
    found = Tallies(house.stock).between(EAST, DAY, DAY + timedelta(days=200))
    assert sum(tally["events"] for _, tally in found) == 150


@pytest.mark.parametrize("seed", range(20))
def test_however_writes_fail_each_event_is_counted_once(house: House, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a test's own dice

    def fail(_: int, actions: Sequence[Action]) -> None:
        if any(action.key.pk.startswith("TALLIED#") for action in actions) and chance.random() < 0.3:
            raise chance.choice([Crash, WriteConflictError, ThrottledError, UnknownOutcomeError])("now")

    for number in range(40):
        key = chance.choice([KEY, MUG])
        house.post(movement(f"wms/s/{number}/shipment/", 1, 1, key=key))
        house.stock.faults = Interruption(before=fail, after=fail)
        try:
            house.settle()
        except Crash:
            house.lose_stream()
        finally:
            house.stock.faults = None
    house.event_counter.all_of([KEY, MUG])
    assert tallies(house)["wms"]["events"] == 40
    house.assert_exact()


def test_stock_keys_whose_counts_do_not_match_are_named_with_their_units(house: House) -> None:
    odd = StockKey(Sku("50#1 %"), WEST)
    house.post(count("wms/o/1/count/", 0, 10, key=odd))
    house.post(count("wms/c/1/count/", 1, 7, key=odd), count("wms/c/2/count/", 1, 100))
    house.post(count("wms/c/3/count/", 2, 9, key=odd))
    house.settle()
    [off] = Tallies(house.stock).off(WEST, DAY, DAY)
    assert (off.key, off.counts, off.units) == (odd, 2, 3 + 2)
    assert list(Tallies(house.stock).off(EAST, DAY, DAY)) == []


def test_a_sweep_measures_how_many_numbers_of_each_system_agree(house: House) -> None:
    for sku, quantity in (("TEA", 100), ("MUG", 3)):
        house.observations.record(
            [Observation(ERP, Sku(sku), EAST, "on_hand", quantity, at(1))], house.clock()
        )
    house.post(movement("wms/r/1/receipt/", 0, 5, key=MUG))
    house.settle()
    house.drift_sweep.run()
    [(place, found)] = Tallies(house.stock).agreement(EAST, DAY, DAY)
    assert (place.source, found) == ("erp", {"compared": 2, "agreed": 1, "equal": 1})
    house.drift_sweep.run()
    [(_, again)] = Tallies(house.stock).agreement(EAST, DAY, DAY)
    assert again == found


def test_two_sweeps_at_once_measure_each_number_once(house: House) -> None:
    house.observations.record([Observation(ERP, Sku("TEA"), EAST, "on_hand", 100, at(1))], house.clock())
    house.settle()
    begun: list[bool] = []

    def another(_: int, actions: Sequence[Action]) -> None:
        if not begun and any("AGREED#" in action.key.pk for action in actions):
            begun.append(True)
            house.drift_sweep.run()

    house.stock.faults = Interruption(before=another)
    house.drift_sweep.run()
    [(_, found)] = Tallies(house.stock).agreement(EAST, DAY, DAY)
    assert begun
    assert found["compared"] == 1
