"""Hints, dead letters and the sweep's last net: one broken part never holds up another."""

from __future__ import annotations

import pytest

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.network import Channel
from shared.domain.stock import ChannelId, LocationId, Sku, StockKey
from shared.operations.dead_letters import DeadLetter, DeadLetterDesk
from shared.operations.fan_out import Change
from shared.operations.parts import PartsFailedError
from tests.operations.house import EAST, KEY, SHOP, TEA, WEST, House, Interruption, movement, network

SECOND = ChannelId("second")
FAR = Channel(SECOND, "scripted", {WEST: "2", EAST: "1"}, EAST, safety_stock=5)


@pytest.fixture
def house() -> House:
    house = House(network(FAR))
    house.list_on(SHOP, "TEA")
    house.list_on(SECOND, "TEA")
    house.post(movement("opening", 0, 20))
    house.settle()
    house.lanes.due()
    return house


def hints(house: House) -> list[tuple[str, str]]:
    waiting, house.lanes.waiting = house.lanes.waiting, []
    return sorted((str(hint.channel), str(lane)) for _, lane, hint in waiting)


def test_a_change_reaches_every_channel_that_sells_it_there(house: House) -> None:
    house.post(movement("r", 1, 3))
    house.settle()
    assert hints(house) == [("second", "bulk"), ("shop", "bulk")]
    house.post(movement("w", 1, 3, key=StockKey(TEA, WEST)))
    house.settle()
    assert hints(house) == [("second", "urgent")]


def test_what_a_channel_does_not_sell_reaches_nobody(house: House) -> None:
    house.post(movement("r", 1, 3, key=StockKey(Sku("MUG"), EAST)))
    house.settle()
    assert hints(house) == []


def test_to_zero_and_back_takes_the_urgent_lane_of_the_channel_that_it_concerns(house: House) -> None:
    house.post(movement("out", 1, -16))  # 4 left: the second channel withholds 5
    house.settle()
    assert hints(house) == [("second", "urgent"), ("shop", "bulk")]
    house.post(movement("back", 2, 16))
    house.settle()
    assert hints(house) == [("second", "urgent"), ("shop", "bulk")]


def test_changes_that_come_twice_and_in_the_wrong_order_end_in_one_look(house: House) -> None:
    house.post(movement("a", 1, 1))
    house.post(movement("b", 2, 1))
    records = [Change(KEY, 21, 22, 3), Change(KEY, 20, 21, 2), Change(KEY, 20, 21, 2)]
    house.fan_out.changed(records, house.clock())
    assert hints(house) == [("second", "bulk"), ("shop", "bulk")]
    assert list(house.fan_out.dirty_since(house.clock())) == []


def test_a_change_that_came_after_the_record_keeps_its_mark(house: House) -> None:
    house.post(movement("a", 1, 1))
    house.post(movement("b", 2, 1))
    house.fan_out.changed([Change(KEY, 20, 21, 2)], house.clock())
    [change] = house.fan_out.dirty_since(house.clock())
    assert change.after == 22


def test_a_channel_whose_queue_is_broken_holds_up_no_other(house: House) -> None:
    house.lanes.broken.add(SHOP)
    house.post(movement("r", 1, 3))
    with pytest.raises(OSError, match="queue"):
        house.settle()
    assert hints(house) == [("second", "bulk")]
    assert [change.key for change in house.fan_out.dirty_since(house.clock())] == [KEY]

    house.lanes.broken.clear()
    house.clock.advance(seconds=61)
    house.sweep.run()
    assert ("shop", "urgent") in hints(house)
    assert list(house.fan_out.dirty_since(house.clock())) == []


def test_many_dirty_keys_are_all_found_though_each_sweep_takes_some() -> None:
    skus = [f"S{n}" for n in range(900)]
    house = House(skus=skus)
    house.list_on(SHOP, *skus)
    house.post(*(movement(f"m{sku}", 0, 1, key=StockKey(Sku(sku), EAST)) for sku in skus))
    house.lose_stream()
    house.clock.advance(seconds=61)
    for _ in range(4):
        house.sweep.run()
    assert len({hint.sku for hint in house.lanes.due()}) == 900


# ---- dead letters -----------------------------------------------------------------------------------------------


def letter(number: int, body: str) -> DeadLetter:
    return DeadLetter(str(number), body)


def hint_of(channel: str, sku: str) -> str:
    return f'{{"channel":"{channel}","sku":"{sku}","since":"2026-11-01T12:00:00.000000Z"}}'


def test_letters_of_any_kind_become_cases_and_none_holds_up_another(house: House) -> None:
    house.letters.queues["push-dead"] = [
        letter(1, hint_of("no-such-channel", "TEA")),
        letter(2, "not json"),
        letter(3, "[1, 2]"),
        letter(4, '{"channel": 5, "sku": ["x"]}'),
        letter(5, "null"),
        letter(6, hint_of("shop", "TEA")),
    ]
    house.letters.queues["drop-dead"] = [letter(7, '{"Records": []}')]
    house.sweep.run()
    kinds = sorted(str(case.kind) for case in house.cases.list(CaseStatus.OPEN))
    assert kinds == ["dead_letter"] * 6 + ["push_failed"]


def test_a_letter_is_filed_once_and_an_operators_word_about_it_stands(house: House) -> None:
    house.letters.queues["push-dead"] = [letter(1, "not json"), letter(2, hint_of("shop", "TEA"))]
    for _ in range(3):
        house.sweep.run()
    found = house.cases.list(CaseStatus.OPEN)
    assert [case.occurrences for case in found] == [1, 1]
    for case in found:
        house.case_desk.ignore(case.id, "known", "ann")
    house.sweep.run()
    assert house.open_cases() == []


def test_more_letters_of_one_sku_than_one_would_count_are_each_filed_once(house: House) -> None:
    house.letters.queues["push-dead"] = [letter(n, hint_of("shop", "TEA")) for n in range(70)]
    for _ in range(3):
        house.sweep.run()

    (case,) = house.cases.list(CaseStatus.OPEN)
    assert case.occurrences == 70


def test_two_sweeps_that_file_letters_of_one_sku_at_once_forget_none(house: House) -> None:
    house.letters.queues["push-dead"] = [letter(1, hint_of("shop", "TEA"))]
    meanwhile = DeadLetterDesk(house.letters, house.cases, house.listings, house.registry, house.clock)

    def another_sweep(number: int, _: object) -> None:
        if number == 0:
            house.cases_table.faults = None
            house.letters.queues["push-dead"] = [letter(2, hint_of("shop", "TEA"))]
            meanwhile.file()

    house.cases_table.faults = Interruption(before=another_sweep)
    house.desk.file()
    house.letters.queues["push-dead"] = [letter(1, hint_of("shop", "TEA")), letter(2, hint_of("shop", "TEA"))]
    house.desk.file()

    (case,) = house.cases.list(CaseStatus.OPEN)
    assert case.occurrences == 2


def test_redriving_says_how_many_it_moved(house: House) -> None:
    house.letters.queues["a-dead"] = [letter(1, "x"), letter(2, "y")]
    house.letters.queues["b-dead"] = [letter(3, "z")]
    assert house.desk.redrive("a-dead") == {"a-dead": 2}
    assert house.desk.redrive() == {"b-dead": 1}
    assert house.desk.redrive() == {}


def test_one_part_of_the_sweep_that_fails_does_not_stop_the_others(house: House) -> None:
    house.post(movement("r", 1, 3))
    house.lose_stream()
    house.lanes.broken.add(SHOP)
    house.letters.queues["push-dead"] = [letter(1, "x")]
    house.clock.advance(seconds=61)
    with pytest.raises(PartsFailedError):
        house.sweep.run()
    assert house.open_cases() == [str(CaseKind.DEAD_LETTER)]
    assert ("second", "urgent") in hints(house)


def test_a_listing_at_a_location_that_is_not_sold_from_gets_no_hint(house: House) -> None:
    house.post(movement("r", 1, 3, key=StockKey(TEA, LocationId("moon"))))
    house.settle()
    assert hints(house) == []
