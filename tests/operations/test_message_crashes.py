"""Messages after crashes, busy tables and lost records: the sweep finishes each, and nothing counts twice."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from shared.domain.cases import CaseKind
from shared.domain.messages import Message
from shared.domain.stock import MessageId, Sku, SourceId, StockKey
from shared.operations.apply_message import failed_case
from shared.store.inbox import MessageStatus
from shared.store.layout import message_key
from shared.store.table import Action, Delete, ThrottledError, Update
from tests.operations.deliveries import body, deliver, receipt
from tests.operations.house import EAST, NOON, TEA, Crash, House, Interruption
from tests.operations.open_cases import case_ids

STORY: Sequence[tuple[str, dict[str, Any]]] = [
    ("msg-1", receipt("GR-1")),
    ("msg-2", body("count", "C-1", {"sku": "TEA", "quantity": 8}, {"sku": "MUG", "quantity": 5})),
    ("msg-3", receipt("GR-2", sku="NEW", units=3)),
    ("msg-4", body("receipt", "GR-3", {"sku": "TEA", "quantity": 1}, {"sku": "TEA", "quantity": -1})),
    ("msg-5", receipt("GR-1", units=12)),
]


# ---- crashes ----------------------------------------------------------------------------------------------------


def finish(house: House) -> None:
    """What the minutes after a crash bring: the stream again, and sweeps."""
    for _ in range(7):
        house.clock.advance(seconds=61)
        house.settle()
        house.sweep.run()


def assert_story(house: House) -> None:
    assert house.on_hand() == 8 + 0  # the count of 8 at noon contains the receipts of noon
    assert house.on_hand(StockKey(Sku("MUG"), EAST)) == 5
    assert house.open_cases() == ["bad_message", "conflict", "unknown_code"]
    assert list(house.inbox.pending_since(house.clock())) == []
    house.assert_exact()


def crash_points() -> list[tuple[str, str, int]]:
    """Every write that the story makes to each table, before and after it."""
    points = []
    for table in ("stock", "cases_table", "inbox_table"):
        house = House()
        for delivery, said in STORY:
            deliver(house, said, delivery)
        faults = Interruption()
        getattr(house, table).faults = faults
        house.settle()
        points += [(table, when, number) for when in ("before", "after") for number in range(faults.writes)]
    return points


@pytest.mark.parametrize(("table", "when", "number"), crash_points())
def test_after_a_crash_at_any_write_the_sweep_finishes_the_story(table: str, when: str, number: int) -> None:
    house = House()
    for delivery, said in STORY:
        deliver(house, said, delivery)

    def crash(n: int, _actions: Sequence[Action]) -> None:
        if n == number:
            getattr(house, table).faults = None
            raise Crash

    getattr(house, table).faults = Interruption(**{when: crash})
    with pytest.raises(Crash):
        house.settle()
    house.lose_stream()
    finish(house)

    assert_story(house)


def test_a_crash_between_storing_and_answering_is_a_duplicate_later() -> None:
    house = House()

    def crash(_n: int, _actions: Sequence[Action]) -> None:
        house.inbox_table.faults = None
        raise Crash

    house.inbox_table.faults = Interruption(after=crash)
    with pytest.raises(Crash):
        deliver(house, receipt("GR-1"))
    assert deliver(house, receipt("GR-1")) is True
    house.settle()
    assert house.on_hand() == 10


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("table", ["stock", "cases_table", "inbox_table", "registry_table"])
@pytest.mark.parametrize("number", range(4))
def test_a_crash_while_a_mapping_releases_what_waits_loses_nothing(
    table: str, when: str, number: int
) -> None:
    house = House()
    deliver(house, receipt("GR-1", sku="NEW"), "msg-1")
    deliver(house, receipt("GR-2", sku="NEW", units=4), "msg-2")
    house.settle()
    [case] = case_ids(house, CaseKind.UNKNOWN_CODE)

    def crash(n: int, _actions: Sequence[Action]) -> None:
        if n == number:
            getattr(house, table).faults = None
            raise Crash

    getattr(house, table).faults = Interruption(**{when: crash})
    try:
        house.case_desk.map(case, TEA, "ann")
    except Crash:
        house.lose_stream()
    getattr(house, table).faults = None
    finish(house)
    if house.open_cases():  # it is still waiting, where an operator sees it
        house.case_desk.map(case, TEA, "ann")
        finish(house)

    assert house.on_hand() == 14
    assert house.open_cases() == []
    house.assert_exact()


def test_a_retry_that_meets_a_busy_table_is_tried_again_by_the_sweep() -> None:
    house = House()
    deliver(house, receipt("GR-1", sku="NEW"))
    house.settle()
    [case] = case_ids(house, CaseKind.UNKNOWN_CODE)

    def busy(_n: int, _actions: Sequence[Action]) -> None:
        raise ThrottledError

    house.stock.faults = Interruption(before=busy)
    house.case_desk.map(case, TEA, "ann")
    house.stock.faults = None
    finish(house)

    assert house.on_hand() == 10
    assert house.open_cases() == []


def test_a_table_that_stays_busy_ends_as_a_case_that_can_be_retried() -> None:
    house = House()

    def busy(_n: int, _actions: Sequence[Action]) -> None:
        raise ThrottledError

    house.stock.faults = Interruption(before=busy)
    deliver(house, receipt("GR-1"))
    finish(house)
    [case] = case_ids(house, CaseKind.MESSAGE_FAILED)
    house.stock.faults = None
    house.case_desk.retry(case)

    assert house.on_hand() == 10
    assert house.open_cases() == []


# ---- the sweep --------------------------------------------------------------------------------------------------


def test_one_message_that_cannot_even_be_read_does_not_stop_the_sweep() -> None:
    house = House()
    poison = house.store("wms", receipt("GR-0"))
    house.inbox_table.write([Update(message_key(poison), set={"body": b"not zlib"})])
    deliver(house, receipt("GR-1"))
    house.lose_stream()
    finish(house)

    assert house.on_hand() == 10
    assert house.open_cases() == ["message_failed"]
    assert list(house.inbox.pending_since(house.clock())) == []


def test_an_archived_body_that_is_gone_becomes_a_case() -> None:
    house = House()
    poison = house.store("wms", receipt("GR-0"))
    house.inbox_table.write([Update(message_key(poison), set={"archived": True}, remove=("body",))])
    house.settle()
    finish(house)
    assert house.open_cases() == ["message_failed"]


def test_a_message_that_expired_meanwhile_is_let_go() -> None:
    house = House()
    gone = house.store("wms", receipt("GR-0"))
    house.inbox_table.write([Delete(message_key(gone))])
    deliver(house, receipt("GR-1"))
    house.settle()
    finish(house)
    assert house.on_hand() == 10


def test_a_source_that_is_declared_no_more_becomes_a_case() -> None:
    house = House()
    unknown = Message(MessageId("x"), SourceId("former"), b"{}", NOON, {})
    house.inbox.store(unknown)
    house.settle()
    assert house.open_cases() == ["message_failed"]


def test_a_long_queue_of_pending_messages_is_swept_whole() -> None:
    house = House()
    for number in range(450):
        house.store("wms", receipt(f"GR-{number}", units=1))
    house.lose_stream()
    finish(house)
    assert house.on_hand() == 450
    house.assert_exact()


def test_replaying_every_message_changes_nothing() -> None:
    house = House()
    names = [house.store("wms", said, n=str(n)) for n, (_, said) in enumerate(STORY)]
    house.settle()
    before = house.stock.changes_since()
    for name in names:
        house.applier.apply(name)
    moved = [
        record
        for record in house.stock.changes_since(len(before))
        if record["dynamodb"]["Keys"]["pk"]["S"].startswith(("BAL#", "JRN#", "PROMISE#"))
    ]
    assert moved == []
    house.assert_exact()


def test_a_message_that_ends_its_process_each_time_becomes_a_case_and_no_longer_stops_the_sweep() -> None:
    house = House()
    poison = house.store("wms", receipt("POISON", units=1))
    house.clock.advance(seconds=1)
    good = house.store("wms", receipt("GOOD", units=10))

    def killed(_number: int, actions: Sequence[Action]) -> None:
        if any("POISON" in action.key.pk for action in actions):
            raise Crash

    house.stock.faults = Interruption(before=killed)
    for _ in range(8):
        house.clock.advance(minutes=6)
        with suppress(Crash):
            house.sweep.run()

    assert house.inbox.load(good).status is MessageStatus.POSTED
    assert house.open_cases() == [CaseKind.MESSAGE_FAILED]
    house.stock.faults = None
    house.case_desk.retry(failed_case(poison))
    assert (house.on_hand(), house.open_cases()) == (11, [])
