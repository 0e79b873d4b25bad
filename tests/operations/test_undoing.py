"""Undoing a message: as if it had never been, by entries of its own, once, whatever interrupts it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.events import Demand, DemandEffect, Leg, Movement, MovementKind, Origin
from shared.domain.messages import Message
from shared.domain.network import Grain, Source, Tolerance
from shared.domain.stock import Counter, EventKey, LocationId, MessageId, Sku, SourceId, StockKey
from shared.operations.count_desk import DECIDED_HERE
from shared.operations.count_desk import tell as tell_of_counts
from shared.operations.undo import Undone
from shared.sources.contract import Fault, Report
from shared.sources.registry import webhook_connector
from shared.store.registry import Network
from shared.store.table import Action
from tests.operations.deliveries import body
from tests.operations.house import (
    EAST,
    KEY,
    SHOP,
    WMS,
    Crash,
    House,
    Interruption,
    at,
    count,
    demand,
    network,
)
from tests.operations.test_kits import kit, post
from tests.operations.waiting_counts import LIMIT, careful, hasty_clocks


def bins() -> House:
    plain = network()
    place = replace(plain.locations[EAST], grain=Grain.BIN)
    return House(replace(plain, locations={**plain.locations, EAST: place}))


def told(house: House, kind: str, document: str, minute: float, units: int, **more: object) -> MessageId:
    house.clock.now = at(180)
    line = {"sku": "TEA", "quantity": units, **more}
    message = house.store("wms", body(kind, document, line, occurred_at=at(minute)))
    house.applier.apply(message)
    house.settle()
    return message


def undo(house: House, message: MessageId, *, dry_run: bool = False) -> Undone:
    stored = house.inbox.load(message).message
    source = house.registry.network().sources[WMS]
    reports = webhook_connector(source.connector).translate(stored, source)
    return house.undoer.undo(reports, source, stored, "ann", "sent twice", dry_run=dry_run)


def test_an_undone_receipt_leaves_the_balance_and_the_history_as_if_it_had_never_been() -> None:
    house = House()
    told(house, "receipt", "R1", 0, 10)
    mistake = told(house, "receipt", "R2", 1, 7)
    told(house, "shipment", "S1", 2, 3)

    done = undo(house, mistake)

    assert (done.events, house.on_hand(), house.available()) == (1, 7, 7)
    assert house.ledger.as_of(KEY, at(1))[Counter.ON_HAND] == 10
    house.assert_exact()


def test_a_dry_run_says_what_would_change_and_changes_nothing() -> None:
    house = House()
    mistake = told(house, "receipt", "R1", 0, 10)

    done = undo(house, mistake, dry_run=True)

    assert [(m.key, m.counter, m.before, m.after) for m in done.moved] == [(KEY, Counter.ON_HAND, 10, 0)]
    assert house.on_hand() == 10


def test_what_a_count_has_seen_since_stays_counted() -> None:
    house = House()
    mistake = told(house, "receipt", "R1", 0, 10)
    told(house, "count", "C1", 5, 8)
    undo(house, mistake)
    assert house.on_hand() == 8
    assert house.ledger.as_of(KEY, at(1))[Counter.ON_HAND] == 0
    house.assert_exact()


def test_an_undone_count_gives_way_to_what_moved() -> None:
    house = House()
    told(house, "receipt", "R1", 0, 10)
    mistake = told(house, "count", "C1", 5, 4)
    told(house, "receipt", "R2", 6, 1)
    undo(house, mistake)
    assert house.on_hand() == house.available() == 11
    house.assert_exact()


def test_an_undone_shipment_owes_the_order_its_units_again() -> None:
    house = House()
    told(house, "receipt", "R1", 0, 10)
    house.post(demand("d", 1, 3, "1001"))
    mistake = told(house, "shipment", "S1", 2, 3, order="1001", order_line="1")
    assert (house.on_hand(), house.available()) == (7, 7)
    undo(house, mistake)
    assert (house.on_hand(), house.available()) == (10, 7)
    house.assert_exact()


def test_undoing_again_and_replaying_the_message_change_nothing_more() -> None:
    house = House()
    mistake = told(house, "receipt", "R1", 0, 10)
    undo(house, mistake)
    again = undo(house, mistake)
    house.sweep.apply_again(mistake)
    assert (again.events, again.already, house.on_hand()) == (0, 1, 0)


def test_what_another_message_brought_first_stays() -> None:
    house = House()
    told(house, "receipt", "R1", 0, 10)
    same = house.store(
        "wms", body("receipt", "R1", {"sku": "TEA", "quantity": 10}, occurred_at=at(0)), note="x"
    )
    house.applier.apply(same)
    done = undo(house, same)
    assert done.events == 0
    assert "brought it first" in next(iter(done.kept.values()))
    assert house.on_hand() == 10


def test_undoing_a_count_that_waits_closes_its_case() -> None:
    plain = network()
    place = replace(plain.locations[EAST], approve_beyond=Tolerance(percent_hundredths=1_000))
    house = House(replace(plain, locations={**plain.locations, EAST: place}))
    told(house, "receipt", "R1", 0, 100)
    mistake = told(house, "count", "C1", 5, 50)
    assert house.open_cases() != []
    undo(house, mistake)
    assert (house.on_hand(), house.open_cases()) == (100, [])


def test_a_surprise_that_the_undone_count_had_covered_waits_for_an_approver_and_the_dry_run_says_so() -> None:
    house = House(careful(approve_beyond=LIMIT))
    told(house, "receipt", "R1", 0, 100)
    told(house, "count", "MONDAY", 5, 500)
    tuesday = told(house, "count", "TUESDAY", 10, 100)
    assert (house.on_hand(), house.open_cases()) == (100, [])

    would = undo(house, tuesday, dry_run=True)
    assert (would.moved, house.open_cases()) == ([], [])
    assert would.waits == undo(house, tuesday).waits != []

    assert (house.on_hand(), house.available()) == (100, 100)
    [case] = house.cases.list(CaseStatus.OPEN)
    assert (case.kind, case.facts["event_key"]) == (CaseKind.COUNT_APPROVAL, would.waits[0])
    house.assert_exact()
    house.case_desk.approve_count(case.id, "ann", seen=100)
    assert (house.on_hand(), house.open_cases()) == (500, [])
    house.assert_exact()


def two_versions() -> tuple[House, MessageId, MessageId]:
    """Return a house where a count says 95 and stands, and its newer version says 5 and waits for an approver."""
    house = House(careful(approve_beyond=LIMIT))
    told(house, "receipt", "R1", 0, 90)
    first, second = (
        house.store("wms", body("count", "C1", {"sku": "TEA", "quantity": n}, occurred_at=at(5), version=v))
        for v, n in (("1", 95), ("2", 5))
    )
    for message in (first, second):
        house.applier.apply(message)
    return house, first, second


def test_undoing_a_version_that_waits_lets_the_accepted_one_stand() -> None:
    house, _, second = two_versions()
    undo(house, second)
    assert (house.on_hand(), house.open_cases()) == (95, [])
    house.assert_exact()


def test_undoing_the_accepted_version_leaves_the_newer_waiting() -> None:
    house, first, _ = two_versions()
    undo(house, first)
    assert (house.on_hand(), house.open_cases()) == (90, [CaseKind.COUNT_APPROVAL])
    [case] = house.cases.list(CaseStatus.OPEN)
    house.case_desk.approve_count(case.id, "ann", seen=90)
    assert house.on_hand() == 5
    house.assert_exact()


def test_a_version_that_was_approved_later_stays_as_nothing_would_stand_in_its_place() -> None:
    house, first, second = two_versions()
    [case] = house.cases.list(CaseStatus.OPEN)
    house.case_desk.approve_count(case.id, "ann", seen=90)
    for message in (first, second):
        assert list(undo(house, message).kept.values())
    assert house.on_hand() == 5
    house.assert_exact()


@pytest.mark.parametrize("first", [50, 100], ids=["changed the balance", "confirmed it"])
def test_a_count_that_corrected_another_stays_because_nothing_would_stand_in_its_place(first: int) -> None:
    house = House()
    told(house, "receipt", "R1", 0, 100)
    for version, units in (("1", first), ("2", 40)):
        line = {"sku": "TEA", "quantity": units}
        said = body("count", "C1", line, occurred_at=at(5), version=version)
        mistake = house.store("wms", said)
        house.applier.apply(mistake)
    done = undo(house, mistake)
    assert (done.events, house.on_hand()) == (0, 40)
    assert "earlier version" in next(iter(done.kept.values()))


# ---- versions that are kept to stand again ------------------------------------------------------------------------

DRY, REAL = True, False


def versions(house: House, *numbers: int, first_at: float = 3) -> dict[int, MessageId]:
    """Let the WMS tell versions of one count: the first of 10 units, at minute 8 the second of 12."""
    said = {1: (first_at, 10), 2: (8, 12)}
    found = {}
    for number in numbers:
        minute, units = said[number]
        line = {"sku": "TEA", "quantity": units}
        told_of = body("count", "C1", line, occurred_at=at(minute), version=str(number))
        found[number] = house.store("wms", told_of)
        house.applier.apply(found[number])
        house.settle()
    return found


def leave_open(house: House) -> None:
    """Let the OMS, whose clock may be off, ship so near version 2 that nobody knows what that had seen."""
    legs, origin = (Leg(EAST, -3),), Origin(SourceId("oms"), MessageId("m"))
    shipped = Movement(EventKey("oms/S1"), KEY.sku, MovementKind.ADJUSTMENT, legs, at(7), origin)
    tell_of_counts(house.post(shipped), house.poster, house.cases, house.clock())


def hasty_house() -> House:
    house = House(hasty_clocks())
    told(house, "receipt", "R1", 0, 11)
    return house


def looks(house: House) -> object:
    waiting = [(w.mark.event_key, w.why, w.known, w.outcomes, w.spare) for w in house.ledger.waiting(KEY)]
    history = [house.ledger.as_of(KEY, at(minute))[Counter.ON_HAND] for minute in range(10)]
    asked = sorted(DECIDED_HERE.intersection(house.open_cases()))
    return house.on_hand(), house.available(), history, waiting, asked


@pytest.mark.parametrize("opens_after", [0, 1, 2, 3, 4], ids="open after {}".format)
@pytest.mark.parametrize("undone", [(1,), (2,), (1, 2), (2, 1), (1, 1, 2)], ids=str)
@pytest.mark.parametrize("order", [(1, 2), (2, 1)], ids=str)
def test_an_undone_version_never_stands_again_whatever_becomes_of_the_other(
    order: tuple[int, int], undone: tuple[int, ...], opens_after: int
) -> None:
    house, without = hasty_house(), hasty_house()
    if opens_after == 0:
        leave_open(house)
    found = versions(house, *order)
    if opens_after == 1:
        leave_open(house)
    for number, version in enumerate(undone):
        is_repeated = version in undone[:number]
        for dry_run in (DRY, REAL):
            before = house.on_hand()
            done = undo(house, found[version], dry_run=dry_run)
            assert (done.events, done.already, done.kept) == (not is_repeated, is_repeated, {})
            foreseen = next((m.after for m in done.moved if m.counter is Counter.ON_HAND), before)
            if dry_run:
                would, will = done, foreseen
        assert (done, house.on_hand()) == (would, will)
        house.assert_exact()
        if opens_after == number + 2:
            leave_open(house)
    if opens_after > len(undone) + 1:
        leave_open(house)

    versions(without, *(version for version in order if version not in undone))
    leave_open(without)
    assert looks(house) == looks(without)
    house.assert_exact()


@pytest.mark.parametrize("order", [(1, 2), (2, 1)], ids=str)
def test_a_version_is_undone_wherever_in_time_the_one_is_that_it_is_kept_beside(
    order: tuple[int, int],
) -> None:
    house, without = hasty_house(), hasty_house()
    undo(house, versions(house, *order, first_at=100)[1])
    versions(without, 2)
    for each in (house, without):
        leave_open(each)
    assert looks(house) == looks(without)
    house.assert_exact()


@pytest.mark.parametrize("undone", [(1, 2), (2, 1)], ids=str)
@pytest.mark.parametrize("order", [(1, 2), (2, 1)], ids=str)
def test_an_undone_version_that_waited_waits_no_more_whatever_becomes_of_the_other(
    order: tuple[int, int], undone: tuple[int, int]
) -> None:
    house = House(careful(approve_beyond=LIMIT))
    told(house, "receipt", "R1", 0, 100)
    found = versions(house, *order)
    assert house.open_cases() == [CaseKind.COUNT_APPROVAL]
    for version in undone:
        assert undo(house, found[version], dry_run=True).events == undo(house, found[version]).events == 1
        assert (undo(house, found[version]).already, house.on_hand()) == (1, 100)
        house.assert_exact()
    assert (house.open_cases(), house.ledger.waiting(KEY)) == ([], [])


def test_once_the_older_version_is_undone_rejecting_the_newer_leaves_nothing() -> None:
    house = House(careful(approve_beyond=LIMIT))
    told(house, "receipt", "R1", 0, 100)
    found = versions(house, 1, 2)
    undo(house, found[1])
    [case] = house.cases.list(CaseStatus.OPEN)
    house.case_desk.reject_count(case.id, "the wrong shelf", "ann")
    assert (house.on_hand(), house.open_cases()) == (100, [])
    house.assert_exact()


KINDS = ["receipt", "shipment", "count", "hold", "damage", "release"]
drawn_messages = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.sampled_from([0, 1, 2, 2.5, 61, 3]),
        st.integers(1, 20),
        st.sampled_from([None, "A"]),
    ),
    min_size=1,
    max_size=7,
)


@settings(max_examples=80)
@given(drawn_messages, st.data())
def test_undone_histories_equal_those_in_which_it_never_happened(
    drawn: list[tuple[str, float, int, str | None]], data: st.DataObject
) -> None:
    undone = data.draw(st.integers(0, len(drawn) - 1))
    house, without = bins(), bins()
    mistake = MessageId("")
    for number, (kind, minute, units, bin_) in enumerate(drawn):
        more = {} if bin_ is None else {"bin": bin_}
        message = told(house, kind, f"D{number}", minute, units, **more)
        if number == undone:
            mistake = message
        else:
            told(without, kind, f"D{number}", minute, units, **more)
    if data.draw(st.booleans()):

        def crash(_n: int, _actions: Sequence[Action]) -> None:
            raise Crash

        house.stock.faults = Interruption(after=crash)
        with pytest.raises(Crash):
            undo(house, mistake)
        house.stock.faults = None
    undo(house, mistake)

    house.assert_exact()
    assert house.available() == without.available()
    for minute in (-1, 0, 1, 2, 2.5, 3, 61, 99):
        assert house.ledger.as_of(KEY, at(minute)) == without.ledger.as_of(KEY, at(minute))


def test_a_count_that_waited_because_of_what_is_undone_waits_no_more_and_its_case_closes() -> None:
    plain = network()
    place = replace(plain.locations[EAST], approve_beyond=Tolerance(percent_hundredths=1_000, units=2))
    house = House(replace(plain, locations={**plain.locations, EAST: place}))
    told(house, "receipt", "R1", 0, 60)
    mistake = told(house, "receipt", "R2", 1, 40)
    told(house, "count", "C1", 2, 60)
    assert house.open_cases() == [CaseKind.COUNT_APPROVAL]

    undo(house, mistake)

    assert house.on_hand() == 60
    assert house.open_cases() == []
    house.assert_exact()


# ---- kits -------------------------------------------------------------------------------------------------------


BOX = Sku("BOX")
MUG_KEY = StockKey(Sku("MUG"), EAST)


def boxed(declared: Network | None = None) -> House:
    """Return a house with 100 TEA, 50 MUG, and a box of two TEA and one MUG."""
    house = House(declared, skus=("TEA", "MUG"))
    house.post(count("c1", -60, 100), count("c2", -60, 50, key=MUG_KEY))
    kit(house, {"TEA": 2, "MUG": 1})
    return house


def order_of_boxes(house: House, units: int) -> None:
    post(house, demand("d", 1, units, "1001", key=StockKey(BOX, EAST)))


def test_an_undone_shipment_of_a_component_owes_the_kit_s_line_its_units_again() -> None:
    house = boxed()
    order_of_boxes(house, 3)
    told(house, "shipment", "S1", 2, 2, order="1001", order_line="1")
    mistake = told(house, "shipment", "S2", 3, 4, order="1001", order_line="1")
    assert (house.on_hand(), house.available()) == (94, 94)

    assert undo(house, mistake).events == 1
    assert undo(house, mistake).already == 1

    assert (house.on_hand(), house.available(), house.available(MUG_KEY)) == (98, 94, 47)
    house.assert_exact()


def sold_boxes(house: House, units: int) -> tuple[list[Report | Fault], Source, Message]:
    """Let the storefront, which says what moves here, ship boxes of order 1001."""
    source = house.registry.network().sources[SourceId("shopify")]
    message = Message(MessageId("fulfilled"), source.id, b"", house.clock(), {})
    said = Demand(
        EventKey("shopify/f1"), BOX, SHOP, "1001", "1", DemandEffect.FULFILLED, units, at(5),
        Origin(source.id, message.id), LocationId("77"), "f1", "1",
    )  # fmt: skip
    reports: list[Report | Fault] = [Report(said)]
    house.clock.now = at(180)
    house.recorder.record(reports, source, message)
    return reports, source, message


@pytest.mark.parametrize("crashes_after", [None, 0, 1])
def test_a_shipment_of_whole_kits_is_undone_for_each_component_whatever_interrupts_it(
    crashes_after: int | None,
) -> None:
    plain = network()
    ours = replace(plain.locations[EAST], movements=SourceId("shopify"))
    house = boxed(replace(plain, locations={**plain.locations, EAST: ours}))
    shipped = sold_boxes(house, 3)
    assert (house.on_hand(), house.on_hand(MUG_KEY)) == (94, 47)

    def crash(number: int, _: Sequence[Action]) -> None:
        if number == crashes_after:
            raise Crash

    house.stock.faults = Interruption(after=crash)
    with suppress(Crash):
        house.undoer.undo(*shipped, "ann", "sent twice", dry_run=False)
    house.stock.faults = None
    house.undoer.undo(*shipped, "ann", "sent twice", dry_run=False)
    again = house.undoer.undo(*shipped, "ann", "sent twice", dry_run=False)

    assert (again.events, again.already) == (0, 1)
    assert (house.on_hand(), house.on_hand(MUG_KEY)) == (100, 50)
    assert (house.available(), house.available(MUG_KEY)) == (100, 50)
    house.assert_exact()


def test_a_kit_that_changed_since_is_undone_by_what_moved_then() -> None:
    plain = network()
    ours = replace(plain.locations[EAST], movements=SourceId("shopify"))
    house = boxed(replace(plain, locations={**plain.locations, EAST: ours}))
    shipped = sold_boxes(house, 3)
    kit(house, {"TEA": 5})

    house.undoer.undo(*shipped, "ann", "sent twice", dry_run=False)

    assert (house.on_hand(), house.on_hand(MUG_KEY)) == (100, 50)
    house.assert_exact()


def test_what_moved_of_an_item_before_it_became_a_kit_is_its_own_stock_and_undone_as_such() -> None:
    house = House(skus=("TEA", "MUG", "BOX"))
    kit(house, {"TEA": 2}, effective_from=at(100))

    receipt = told(house, "receipt", "R1", 10, 5, sku="BOX")
    assert house.on_hand(StockKey(BOX, EAST)) == 5

    undo(house, receipt)
    assert house.on_hand(StockKey(BOX, EAST)) == 0
    house.assert_exact()
