"""What a message says: what is good posts, and what is bad, unknown or early becomes a case and holds nobody up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.stock import Counter, MessageId, Sku
from shared.operations.case_desk import NotPossibleError
from shared.operations.record import unknown_code_case
from shared.store.inbox import MessageStatus
from shared.store.registry import Code
from shared.store.table import Action
from tests.operations.deliveries import body, deliver, receipt
from tests.operations.house import ERP, KEY, NOON, TEA, WMS, House, Interruption, at
from tests.operations.open_cases import case_ids


def status(house: House, message: MessageId) -> MessageStatus:
    return house.inbox.load(message).status


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"type": "stock.dance"}', b"9" * 5000]
)
def test_a_malformed_body_is_kept_and_becomes_a_case_while_its_neighbours_post(raw: bytes) -> None:
    house = House()
    deliver(house, receipt("GR-1"), "msg-1")
    deliver(house, raw, "msg-2")
    deliver(house, receipt("GR-2"), "msg-3")
    house.settle()

    assert house.on_hand() == 20
    [case] = house.cases.list(CaseStatus.OPEN)
    assert case.kind is CaseKind.BAD_MESSAGE
    assert case.message_id is not None
    assert house.inbox.load(case.message_id).message.body == raw


def test_a_message_that_breaks_us_becomes_a_case_while_its_neighbours_post() -> None:
    house = House()
    deliver(house, receipt("GR-1"), "msg-1")
    poison = house.store("files", {"not": "a webhook"})  # no translator of that name: a fault of ours
    deliver(house, receipt("GR-2"), "msg-3")
    house.settle()

    assert house.on_hand() == 20
    assert status(house, poison) is MessageStatus.PARKED
    assert house.open_cases() == ["message_failed"]


def test_a_good_line_posts_although_another_line_of_its_message_is_bad() -> None:
    house = House()
    said = body(
        "receipt",
        "GR-1",
        {"sku": "TEA", "quantity": 5},
        {"sku": "TEA", "quantity": -1},
        {"sku": "NEW", "quantity": 3},
        {"sku": "TEA", "quantity": 2, "location": "moon"},
    )
    deliver(house, said)
    house.settle()

    assert house.on_hand() == 5
    assert house.open_cases() == ["bad_message", "unknown_code", "unknown_code"]


def test_an_unknown_code_parks_its_message_and_the_mapping_posts_it() -> None:
    house = House()
    deliver(house, receipt("GR-1", sku="NEW"), "msg-1")
    deliver(house, receipt("GR-2", sku="NEW", units=4), "msg-2")
    house.settle()
    [case] = case_ids(house, CaseKind.UNKNOWN_CODE)

    assert house.case_desk.map(case, TEA, "ann") == 2

    assert house.on_hand() == 14
    assert house.open_cases() == []
    assert list(house.cases.parked(case)) == []
    house.assert_exact()


def test_a_code_cannot_be_mapped_to_what_is_no_item() -> None:
    house = House()
    deliver(house, receipt("GR-1", sku="NEW"))
    house.settle()
    [case] = case_ids(house, CaseKind.UNKNOWN_CODE)
    with pytest.raises(NotPossibleError):
        house.case_desk.map(case, Sku("NOTHING"), "ann")
    assert house.open_cases() == ["unknown_code"]


@pytest.mark.parametrize("code", ["A#1", "50%/2", "a:b c", "茶", "é" * 200, "#" * 200, "x" * 200])
def test_any_code_can_be_parked_and_mapped(code: str) -> None:
    house = House()
    deliver(house, receipt("GR-1", sku=code))
    house.settle()
    [case] = case_ids(house, CaseKind.UNKNOWN_CODE)
    assert len(case) <= 1000
    house.case_desk.map(case, TEA, "ann")
    assert house.on_hand() == 10
    assert house.open_cases() == []


def test_a_mapping_made_while_the_message_is_being_parked_posts_it_and_leaves_no_case() -> None:
    house = House()
    deliver(house, receipt("GR-1", sku="NEW"))

    def map_meanwhile(_n: int, _actions: Sequence[Action]) -> None:
        house.cases_table.faults = None
        house.registry.map_codes({Code(WMS, "sku", "NEW"): TEA}, "ann")

    house.cases_table.faults = Interruption(before=map_meanwhile)
    house.settle()

    assert house.on_hand() == 10
    assert house.open_cases() == []
    assert list(house.cases.parked(unknown_code_case(Code(WMS, "sku", "NEW")))) == []


def test_what_is_dated_in_the_future_is_held_and_posts_once_its_time_has_come() -> None:
    house = House()
    deliver(house, receipt("GR-1", occurred_at=at(30)))
    house.settle()
    [case] = case_ids(house, CaseKind.HELD)
    assert house.on_hand() == 0

    house.case_desk.retry(case)
    assert house.open_cases() == ["held"]
    house.clock.advance(minutes=31)
    house.case_desk.retry(case)

    assert house.on_hand() == 10
    assert house.open_cases() == []


def test_the_same_document_with_another_quantity_is_a_conflict_case_and_does_not_post() -> None:
    house = House()
    deliver(house, receipt("GR-1", units=10), "msg-1")
    deliver(house, receipt("GR-1", units=11), "msg-2")
    house.settle()

    assert house.on_hand() == 10
    [case] = house.cases.list(CaseStatus.OPEN)
    assert case.kind is CaseKind.CONFLICT
    assert case.message_id is not None
    for said in (case.title, case.remedy):
        assert "a correction is an adjustment under a document of its own" in said
        assert "version" not in said


def test_a_conflict_of_the_longest_names_is_a_case_too() -> None:
    house = House()
    document, line = "文" * 200, "行" * 60
    for units in (10, 11):
        said = body("receipt", document, {"line": line, "sku": "TEA", "quantity": units})
        deliver(house, said, f"msg-{units}")
    house.settle()
    assert house.on_hand() == 10
    assert house.open_cases() == ["conflict"]


def test_a_count_by_someone_without_authority_is_an_observation() -> None:
    house = House()
    deliver(house, receipt("GR-1"), "msg-1")
    count = body("count", "C-1", {"sku": "TEA", "quantity": 7}, occurred_at=at(1))
    house.clock.advance(minutes=2)
    deliver(house, count, "msg-2", source="erp")
    house.settle()

    assert house.on_hand() == 10
    assert [(said.last.source, said.last.quantity) for said in house.observations.of_sku(KEY.sku)] == [
        (ERP, 7)
    ]


def test_a_movement_by_someone_without_authority_changes_nothing_and_is_noted() -> None:
    house = House()
    deliver(house, receipt("GR-1"), "msg-1", source="erp")
    house.settle()
    assert house.on_hand() == 0
    assert house.open_cases() == []


def test_a_clock_that_runs_ahead_within_its_declared_skew_is_believed() -> None:
    house = House()
    deliver(house, receipt("GR-1", occurred_at=NOON + timedelta(minutes=4)))
    house.settle()
    assert house.on_hand() == 10
    assert house.ledger.as_of(KEY, NOON)[Counter.ON_HAND] == 0
