"""``rebuild``: what follows from the journal is worked out anew; what is told once and lost is refused and named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.domain.events import Count, Demand, Movement, Origin
from shared.domain.stock import MessageId, Sku, SourceId, StockKey
from shared.operations.proof import Mend
from shared.operations.rebuild import RebuildBusyError, Rebuilder, Rebuilt
from shared.store.allotments import filling
from shared.store.layout import balance_key, entry_key, line_key, promise_key
from shared.store.memory import MemoryTable
from shared.store.table import Action, Delete, Item, Key, UnknownOutcomeError, Update, WriteConflictError
from tests.operations.corruptions import (
    APART,
    BAD,
    DAMAGED,
    DERIVED,
    DOUBTS,
    TOLD_ONCE,
    Corruption,
    furnished,
    unlist,
)
from tests.operations.house import EAST, KEY, House, Interruption, at, count, demand, movement, shipment
from tests.operations.test_kits import BOX_KEY, kit, post
from tests.operations.waiting_counts import hasty_clocks


def rebuilder(house: House) -> Rebuilder:
    return Rebuilder(house.stock, house.clock, house.clock.sleep)


def rebuild(house: House, *, dry_run: bool = False) -> list[Rebuilt]:
    """Rebuild every stock key that does not add up."""
    keys = {wrong.key for wrong in house.verifier.verify().discrepancies}
    return [rebuilder(house).rebuild(key, "ann", dry_run=dry_run) for key in sorted(keys, reverse=True)]


def numbers(house: House) -> dict[Key, Item]:
    """Return everything that is stored, less when it was written and how often; none available is nothing."""
    passing = {"change_seq", "changed_at", "dirty_pk", "dirty_sk", "posted_at", "revision", "order_lines_sk"}
    passing |= {"brought"}  # which message brought an event, and when that was posted
    return {
        Key(cast(str, item["pk"]), cast(str, item["sk"])): {
            name: value for name, value in item.items() if name not in passing and value not in (0, None)
        }
        for item in house.stock.scan()
        if not cast(str, item["pk"]).startswith("REPAIR#") and item.get("available") != 0
    }


def contents(house: House) -> list[Item]:
    return sorted(house.stock.scan(), key=lambda item: (str(item["pk"]), str(item["sk"])))


@pytest.mark.parametrize("corruption", DERIVED, ids=str)
def test_what_follows_from_the_journal_is_put_right_and_posting_goes_on(corruption: Corruption) -> None:
    house, sound = furnished(), furnished()
    corruption.spoil(house)

    assert all(rebuilt.written and not rebuilt.left for rebuilt in rebuild(house))

    house.assert_exact()
    assert _without_idle_counters(numbers(house)) == _without_idle_counters(numbers(sound))
    for each in (house, sound):
        each.post(
            movement("wms/after", 2, -1, key=BAD),
            count("wms/recount", 40, 9, key=BAD),
            demand("after", 41, 2, "O9", key=BAD),
        )
    assert house.on_hand(BAD) == sound.on_hand(BAD) == 9
    assert claimable(house) == claimable(sound)
    house.assert_exact()


def claimable(house: House) -> int:
    """Return what all promise counters have together."""
    return sum(cast(int, item["available"]) for item in house.stock.query(promise_key(BAD).pk))


def _without_idle_counters(stored: dict[Key, Item]) -> dict[Key, Item]:
    """Leave out the numbers of promise counters, which only count together."""
    return {
        key: {name: value for name, value in item.items() if name != "available"}
        for key, item in stored.items()
        if not key.pk.startswith("PROMISE#") or key.sk == "0"
    }


@pytest.mark.parametrize("corruption", DERIVED, ids=str)
def test_a_dry_run_says_it_all_and_writes_nothing(corruption: Corruption) -> None:
    house = furnished()
    corruption.spoil(house)
    before = contents(house)

    said = rebuild(house, dry_run=True)

    assert corruption.what in {part.what[: len(corruption.what)] for one in said for part in one.found}
    assert not any(one.written or one.refused for one in said)
    assert contents(house) == before


@pytest.mark.parametrize("corruption", TOLD_ONCE, ids=str)
def test_what_is_told_once_and_lost_is_refused_and_named(corruption: Corruption) -> None:
    house = furnished()
    corruption.spoil(house)
    house.stock.write([Update(promise_key(BAD), add={"available": 1})])
    before = contents(house)

    refused = rebuild(house)

    named = [one for each in refused for one in each.refused]
    assert any(corruption.what in one.what and corruption.where in one.where for one in named)
    assert not any(each.written for each in refused)
    assert contents(house) == before


@pytest.mark.parametrize("corruption", DAMAGED, ids=str)
def test_beside_an_item_that_cannot_be_read_nothing_is_rebuilt(corruption: Corruption) -> None:
    house = furnished()
    corruption.spoil(house)
    before = contents(house)

    refused = rebuild(house)

    named = [one for each in refused for one in each.refused]
    assert any(corruption.what in one.what and corruption.where in one.where for one in named)
    assert contents(house) == before


@pytest.mark.parametrize("corruption", DOUBTS, ids=str)
def test_what_may_be_lost_is_rebuilt_only_when_somebody_says_that_it_is_not(corruption: Corruption) -> None:
    house = furnished()
    corruption.spoil(house)
    before = contents(house)

    [refused] = rebuild(house)

    assert any(
        (corruption.what, Mend.COMPARE) == (one.what, one.mend) and corruption.where in one.where
        for one in refused.refused
    )
    assert contents(house) == before

    rebuilt = rebuilder(house).rebuild(BAD, "ann", compared=True, dry_run=False)

    assert (rebuilt.written, rebuilt.refused, rebuilt.left) == (True, (), [])
    house.assert_exact()


def test_the_units_of_an_order_line_that_is_lost_are_not_given_back_to_sale() -> None:
    house = House()
    house.post(movement("r", 0, 10))
    house.post(demand("d", 1, 6, "O1"))
    house.stock.write([Delete(line_key("O1", "1"))])

    [refused] = rebuild(house)

    assert [(one.what, one.expected, one.mend) for one in refused.refused] == [
        ("available", 10, Mend.COMPARE)
    ]
    assert house.available() == 4


def test_a_wrong_counter_does_not_hide_that_an_order_line_is_lost() -> None:
    house = House()
    house.post(movement("r", 0, 10))
    house.post(demand("d", 1, 6, "O1"))
    house.stock.write([Delete(line_key("O1", "1")), Update(promise_key(KEY), add={"available": -1})])

    [refused] = rebuild(house)

    assert not refused.written
    assert house.available() == 3


def test_an_allotment_that_is_lost_is_made_up_from_what_counter_0_says_of_it() -> None:
    house = House()
    house.post(movement("r", 0, 100))
    main = house.stock.get(promise_key(KEY))
    assert main is not None
    house.stock.write(filling(main, 3, 40, 0, house.clock()) or [])
    house.assert_exact()
    house.stock.write([Delete(promise_key(KEY, 3))])

    [rebuilt] = rebuild(house)

    assert rebuilt.written
    assert house.available() == 100
    house.assert_exact()


def test_a_component_line_of_a_kit_that_is_lost_is_named() -> None:
    house = House(skus=["TEA", "MUG"])
    kit(house, {"TEA": 2, "MUG": 1})
    house.post(movement("r", -60, 10), movement("r2", -60, 10, key=StockKey(Sku("MUG"), EAST)))
    post(house, demand("k", 1, 3, "O1", key=BOX_KEY))
    house.assert_exact()
    house.stock.write([Delete(line_key("O1", "1/TEA"))])

    refused = [one for rebuilt in rebuild(house) for one in rebuilt.refused]

    assert {(one.key, one.what, one.where, one.mend) for one in refused} == {
        (BOX_KEY, "what belongs to order O1 line 1", "ORDER#O1 LINE#1/TEA", Mend.RESTORE),
        (KEY, "available", "1 promise counters; 0 reserved", Mend.COMPARE),
    }
    assert house.available() == 4


@pytest.mark.parametrize("corruption", APART, ids=str)
def test_what_follows_from_nothing_is_said_and_the_rest_is_put_right(corruption: Corruption) -> None:
    house = furnished()
    corruption.spoil(house)
    house.stock.write([Update(balance_key(BAD), add={"on_hand": 1})])

    [rebuilt] = rebuild(house)

    assert rebuilt.written
    assert [(one.what, one.mend) for one in rebuilt.left] == [(corruption.what, Mend.APART)]
    assert house.on_hand(BAD) == 12


def test_a_balance_that_is_lost_with_its_last_entry_is_not_made_up_without_it() -> None:
    house = furnished()
    house.stock.write([Delete(balance_key(BAD)), Delete(entry_key(BAD, 3)), Delete(entry_key(BAD, 4))])

    [refused] = rebuild(house)

    assert "missing: entry 3" in {one.where for one in refused.refused}
    assert not refused.written


def test_what_was_put_right_is_written_down() -> None:
    house = furnished()
    for units in (1, 2):
        house.stock.write([Update(balance_key(BAD), add={"on_hand": units})])
        rebuild(house)

    newest, first = rebuilder(house).trail(BAD)
    assert (first.version, newest.version, newest.actor) == (1, 2, "ann")
    assert newest.changes == (("on_hand against its journal (the balance item)", "14", "12"),)
    assert rebuild(house) == []


def test_an_available_number_that_was_put_right_is_told_to_channels() -> None:
    house = furnished()
    house.settle()
    house.stock.write([Update(promise_key(BAD), add={"available": 50})])
    house.lose_stream()

    rebuild(house)

    assert any("dirty_pk" in item for item in house.stock.query(promise_key(BAD).pk))


def test_whoever_posts_or_reserves_meanwhile_is_not_written_over() -> None:
    house = furnished()
    house.stock.write(
        [Update(balance_key(BAD), add={"on_hand": 5}), Update(promise_key(BAD), add={"available": 5})]
    )
    rivals: list[Movement | Demand] = [
        movement("wms/rival", 45, -2, key=BAD),
        demand("rival", 46, 1, "R1", key=BAD),
    ]

    def interfere(_: int, actions: Sequence[Action]) -> None:
        house.stock.faults = None
        if rivals:
            house.post(rivals.pop())
        house.stock.faults = faults

    faults = house.stock.faults = Interruption(before=interfere)
    rebuilt = rebuilder(house).rebuild(BAD, "ann", dry_run=False)

    assert rebuilt.written
    assert rivals == []
    assert (house.on_hand(BAD), house.available(BAD)) == (10, 3)
    house.assert_exact()


@pytest.mark.parametrize("is_alone", [True, False])
def test_units_of_lines_that_the_index_does_not_show_yet_are_not_promised_again(is_alone: bool) -> None:
    house = House()
    house.post(movement("r", 0, 10))
    house.post(demand("d", 1, 6, "O1"))
    house.stock.write([Update(balance_key(KEY), add={"on_hand": 1})])
    lagging = Rebuilder(Lagging(house.stock), house.clock, house.clock.sleep)  # type: ignore[arg-type]
    known = None if is_alone else next(house.verifier.accounts())

    rebuilt = lagging.rebuild(KEY, "ann", known=known, dry_run=False)

    assert [wrong.what for wrong in rebuilt.found] == ["on_hand against its journal"]
    assert (rebuilt.written, rebuilt.left) == (True, [])
    assert (house.on_hand(), house.available()) == (10, 4)


def test_units_of_a_line_that_is_listed_nowhere_are_not_promised_again() -> None:
    house = House()
    house.post(movement("r", 0, 10))
    house.post(demand("d", 1, 6, "O1"))
    unlist(line_key("O1", "1"))(house)
    house.stock.write([Update(promise_key(KEY), add={"available": 1})])

    rebuilder(house).rebuild(KEY, "ann", dry_run=False)

    assert house.available() == 4
    assert house.verifier.verify_key(KEY).discrepancies == []


class Lagging:
    """The stock table, whose indexes have not heard of anything yet."""

    def __init__(self, table: MemoryTable) -> None:
        self._table = table

    def query_index(self, *_: object, **_more: object) -> Iterator[Key]:
        return iter(())

    def __getattr__(self, name: str) -> object:
        return getattr(self._table, name)


def test_a_key_that_never_holds_still_is_left_alone() -> None:
    house = furnished()
    house.stock.write([Update(balance_key(BAD), add={"on_hand": 5})])

    def conflict(_: int, actions: Sequence[Action]) -> None:
        raise WriteConflictError

    house.stock.faults = Interruption(before=conflict)
    with pytest.raises(RebuildBusyError):
        rebuilder(house).rebuild(BAD, "ann", dry_run=False)


def test_an_answer_that_never_came_is_found_to_be_a_success() -> None:
    house = furnished()
    house.stock.write([Update(balance_key(BAD), add={"on_hand": 5})])

    def silence(number: int, actions: Sequence[Action]) -> None:
        raise UnknownOutcomeError

    house.stock.faults = Interruption(after=silence)
    rebuilt = rebuilder(house).rebuild(BAD, "ann", dry_run=False)

    assert rebuilt.written
    assert [wrong.what for wrong in rebuilt.found] == ["on_hand against its journal"]
    house.assert_exact()


@pytest.mark.parametrize("crash_at", [0, 1, 2])
def test_more_than_one_transaction_takes_is_put_right_in_steps_that_may_stop_anywhere(crash_at: int) -> None:
    house = House(skus=["S1"])
    for n in range(250):
        house.post(movement(f"m{n}", n * 60, 1, key=BAD))
    sound = numbers(house)
    _drop_derived(house, BAD)

    def stop(number: int, actions: Sequence[Action]) -> None:
        if number == crash_at:
            raise KeyboardInterrupt

    house.stock.faults = Interruption(before=stop)
    with pytest.raises(KeyboardInterrupt):
        rebuild(house)
    house.stock.faults = None
    rebuild(house)

    assert numbers(house) == sound
    house.assert_exact()


def _drop_derived(house: House, key: StockKey) -> None:
    """Lose everything that follows from the journal, and spoil the variances."""
    for item in list(house.stock.scan()):
        at_key = Key(cast(str, item["pk"]), cast(str, item["sk"]))
        family, *rest = at_key.pk.split("#")
        if family == "ORDER" and at_key.sk.startswith("LINE#"):
            house.stock.write([Update(at_key, set={"history": [], "open": 77})])
        if family not in ("BAL", "BKT", "CNT", "CNTDOC", "PROMISE") or rest[:2] != [key.sku, key.location]:
            continue
        if family == "CNT":
            if _can_be_told(house, item):
                house.stock.write([Update(at_key, set={"variance": 1234})])
        elif family == "PROMISE":
            house.stock.write([Update(at_key, set={"available": -99})])
        elif at_key.sk != "WAITING":
            house.stock.write([Delete(at_key)])


def _can_be_told(house: House, item: Item) -> bool:
    """Whether a count's variance follows from the journal: of several at one instant, where clocks are exact."""
    together = [
        other for other in house.stock.query(cast(str, item["pk"])) if other["as_of"] == item["as_of"]
    ]
    return len(together) == 1 or all(other["said"] == 2 * [other["as_of"]] for other in together)


def test_of_two_counts_at_one_instant_each_gets_its_own_variance_back() -> None:
    house = House(skus=["S1"])
    house.post(movement("m", 0, 5, key=BAD))
    house.post(count("c1", 3, 9, key=BAD, version="1"), count("c2", 3, 7, key=BAD, version="2"))
    house.post(movement("late", 1, 4, key=BAD))
    sound = numbers(house)
    assert [item["variance"] for item in sound.values() if "variance" in item] == [-2]  # the other's is 0
    _drop_derived(house, BAD)

    rebuild(house)

    assert numbers(house) == sound
    house.assert_exact()


Drawn = tuple[str, int, int, str]
drawn = st.lists(
    st.tuples(
        st.sampled_from(["move", "oms", "count", "document", "order", "ship"]),
        st.integers(0, 12),
        st.integers(-6, 12),
        st.sampled_from(["1", "2"]),
    ),
    min_size=1,
    max_size=14,
)


def event_of(number: int, fact: Drawn) -> Movement | Count | Demand:
    kind, minute, units, name = fact
    if kind == "order":
        return demand(f"d{number}", minute, abs(units), f"O{name}", key=BAD, version=str(number))
    if kind == "ship":
        return shipment(f"wms/s{number}", minute, abs(units), f"O{name}", key=BAD)
    if kind in ("move", "oms"):
        source = "wms" if kind == "move" else "oms"
        origin = Origin(SourceId(source), MessageId("m"))
        return replace(movement(f"{source}/m{number}", minute, units, key=BAD), origin=origin)
    counted = count(f"wms/c{number}", minute, abs(units), key=BAD, version=f"{number:02d}")
    return counted if kind == "count" else replace(counted, document=f"sheet-{name}")


OPEN_AT_ONCE: list[Drawn] = [("count", 1, 0, "1"), ("document", 0, 0, "1"), ("oms", 0, 1, "1")]
"""What the OMS ships leaves a count open, and so the document's that stood as history before it."""


@given(drawn, drawn, st.integers(0, 14))
@example(OPEN_AT_ONCE, [("move", 0, 0, "1")], 0)
@example(OPEN_AT_ONCE, [("document", 0, 3, "1")], 2)
@settings(max_examples=60)
def test_any_history_is_the_same_after_everything_that_follows_from_it_was_lost(
    history: list[Drawn], afterwards: list[Drawn], split: int
) -> None:
    house, twin = House(hasty_clocks(), skus=["S1"]), House(hasty_clocks(), skus=["S1"])
    events = [event_of(number, fact) for number, fact in enumerate(history)]
    later = [event_of(number, fact) for number, fact in enumerate(afterwards, start=len(history))]
    for each in (house, twin):
        each.post(*events[:split])
        each.post(*events[split:])
    assert numbers(house) == numbers(twin)
    _drop_derived(house, BAD)

    if any(not rebuilt.written or rebuilt.left for rebuilt in rebuild(house)):
        raise AssertionError(rebuild(house, dry_run=True))

    assert numbers(house) == numbers(twin)
    for each in (house, twin):
        for event in later:
            each.post(event)
    assert numbers(house) == numbers(twin)
    for minute in range(-1, 14):
        assert house.view.quantities(BAD, at(minute)) == twin.view.quantities(BAD, at(minute))
    house.assert_exact()
