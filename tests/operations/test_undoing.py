"""Undoing a message: as if it had never been, by entries of its own, once, whatever interrupts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.cases import CaseKind
from shared.domain.network import Grain, Tolerance
from shared.domain.stock import Counter, MessageId
from shared.operations.undo import Undone
from shared.sources.registry import webhook_connector
from shared.store.table import Action
from tests.operations.deliveries import body
from tests.operations.house import EAST, KEY, WMS, Crash, House, Interruption, at, demand, network


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


def test_a_count_that_corrected_another_stays_because_nothing_would_stand_in_its_place() -> None:
    house = House()
    told(house, "receipt", "R1", 0, 100)
    for version, units in (("1", 50), ("2", 40)):
        line = {"sku": "TEA", "quantity": units}
        said = body("count", "C1", line, occurred_at=at(5), version=version)
        mistake = house.store("wms", said)
        house.applier.apply(mistake)
    done = undo(house, mistake)
    assert (done.events, house.on_hand()) == (0, 40)
    assert "earlier version" in next(iter(done.kept.values()))


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


@settings(max_examples=80, deadline=None)
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
