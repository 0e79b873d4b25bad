"""A delivery from the door to the ledger: nothing is lost, nothing counts twice, and nobody waits for a bad one."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import sys
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from types import FrameType
from typing import Any

import pytest

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import Counter, MessageId, Sku, SourceId, StockKey
from shared.operations.apply_message import failed_case
from shared.operations.case_desk import NotPossibleError
from shared.operations.receive import (
    MOST_MEMBERS,
    PIECE,
    BadEncodingError,
    BodyTooLargeError,
    Receiver,
    UnknownSourceError,
    inflate,
)
from shared.operations.record import unknown_code_case
from shared.sources.contract import AuthenticationError
from shared.store.inbox import MessageStatus
from shared.store.layout import message_key
from shared.store.registry import Code, Network
from shared.store.table import Action, Delete, ThrottledError, Update
from tests.operations.deliveries import body, deliver, receipt, signed
from tests.operations.house import (
    EAST,
    ERP,
    KEY,
    NOON,
    TEA,
    WMS,
    Crash,
    FixedSecrets,
    House,
    Interruption,
    at,
    network,
)


def status(house: House, message: MessageId) -> MessageStatus:
    return house.inbox.load(message).status


def case_ids(house: House, kind: CaseKind) -> list[str]:
    return [case.id for case in house.cases.list(CaseStatus.OPEN) if case.kind is kind]


def receive(house: House, raw: bytes, **changes: str) -> bool:
    headers = signed(raw, "msg-1", house.clock()) | {k.replace("_", "-"): v for k, v in changes.items()}
    return house.receiver.receive("wms", headers, raw).duplicate


# ---- the door ---------------------------------------------------------------------------------------------------


def test_a_delivery_is_stored_once_and_posts_once() -> None:
    house = House()
    assert deliver(house, receipt("GR-1")) is False
    assert deliver(house, receipt("GR-1")) is True
    deliver(house, receipt("GR-1"), delivery="msg-2")  # another delivery of the same document
    house.settle()

    assert house.on_hand() == 10
    house.assert_exact()


def test_a_signature_by_another_secret_is_refused_and_nothing_is_stored() -> None:
    house = House()
    raw = json.dumps(receipt("GR-1")).encode()
    forged = signed(raw, "msg-1", house.clock(), "whsec_" + "QUJD" * 8)
    for headers in (forged, {}, signed(raw + b" ", "msg-1", house.clock())):
        with pytest.raises(AuthenticationError):
            house.receiver.receive("wms", headers, raw)
    assert house.inbox_table.changes_since() == []


def test_a_delivery_signed_six_minutes_ago_is_refused() -> None:
    house = House()
    raw = json.dumps(receipt("GR-1")).encode()
    headers = signed(raw, "msg-1", house.clock())
    house.clock.advance(minutes=6)
    with pytest.raises(AuthenticationError):
        house.receiver.receive("wms", headers, raw)


@pytest.mark.parametrize("source", ["nobody", "files", "", "wms/../erp"])
def test_a_source_that_takes_no_webhooks_is_unknown(source: str) -> None:
    with pytest.raises(UnknownSourceError):
        House().receiver.receive(source, {}, b"{}")


def test_a_source_without_a_secret_lets_nobody_in() -> None:
    house = House()
    declared = network()
    keyless = Source(SourceId("keyless"), "standard_webhooks")
    house.declare(Network({keyless.id: keyless}, declared.locations, declared.channels))
    with pytest.raises(AuthenticationError):
        house.receiver.receive("keyless", signed(b"{}", "m", house.clock()), b"{}")


def compressed(raw: bytes) -> bytes:
    return gzip.compress(raw)


def zlib_calls(work: Callable[[], object]) -> int:
    """Count the calls into zlib's inflater; each is handed at most ``PIECE`` bytes."""
    calls = 0

    def note(_frame: FrameType, event: str, called: object) -> None:
        nonlocal calls
        calls += event == "c_call" and getattr(called, "__name__", "") == "decompress"

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def test_a_body_of_very_many_gzip_members_is_refused_after_little_work() -> None:
    empty = gzip.compress(b"", mtime=0)
    raw = empty * (6_000_000 // len(empty))

    def refused() -> None:
        with pytest.raises(BadEncodingError, match="more than 256 members"):
            inflate(raw, "gzip", 8_000_000)

    assert zlib_calls(refused) == MOST_MEMBERS


def test_the_work_of_inflating_grows_with_what_was_sent() -> None:
    member = gzip.compress(random.Random(1).randbytes(23_000), mtime=0)  # noqa: S311
    raw = member * MOST_MEMBERS
    assert len(raw) > 5_800_000
    assert zlib_calls(lambda: inflate(raw, "gzip", 8_000_000)) <= len(raw) // PIECE + 1 + 2 * MOST_MEMBERS
    assert len(inflate(raw, "gzip", 8_000_000)) == 23_000 * MOST_MEMBERS


def test_a_large_member_is_inflated_across_every_piece() -> None:
    said = random.Random(2).randbytes(300_000)  # noqa: S311
    assert inflate(gzip.compress(said) + gzip.compress(b"end"), "gzip", 1_000_000) == said + b"end"


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", compressed), ("deflate", zlib.compress)])
def test_a_compressed_body_is_inflated(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    house = House()
    raw = json.dumps(receipt("GR-1")).encode()
    headers = signed(raw, "m", house.clock()) | {"content-encoding": encoding}
    house.receiver.receive("wms", headers, pack(raw))
    house.settle()
    assert house.on_hand() == 10


def test_a_body_in_several_gzip_members_is_read_whole() -> None:
    house = House()
    raw = json.dumps(receipt("GR-1")).encode()
    headers = signed(raw, "m", house.clock()) | {"content-encoding": "gzip"}
    house.receiver.receive("wms", headers, gzip.compress(raw[:20]) + gzip.compress(raw[20:]))
    house.settle()
    assert house.on_hand() == 10


@pytest.mark.parametrize(
    ("raw", "encoding", "error"),
    [
        (b"x" * 1_000_001, "", BodyTooLargeError),
        (gzip.compress(b"\0" * 50_000_000), "gzip", BodyTooLargeError),
        (gzip.compress(b"\0" * 600_000) * 2, "gzip", BodyTooLargeError),
        (gzip.compress(b"hello" * 100)[:-9], "gzip", BadEncodingError),
        (gzip.compress(b"hello") + b"trailing", "gzip", BadEncodingError),
        (b"no gzip at all", "gzip", BadEncodingError),
        (b"", "gzip", BadEncodingError),
        (b"{}", "br", BadEncodingError),
    ],
)
def test_a_body_that_cannot_be_taken_is_said_to_be_so(
    raw: bytes, encoding: str, error: type[Exception]
) -> None:
    house = House()
    with pytest.raises(error):
        receive(house, raw, content_encoding=encoding)
    assert house.inbox_table.changes_since() == []


def test_a_body_too_large_for_an_item_is_archived_and_applied() -> None:
    house = House()
    lines = [
        {"sku": "TEA", "quantity": 1 + n % 7, "reason": hashlib.sha512(b"%d" % n).hexdigest()}
        for n in range(9000)
    ]
    said = body("receipt", "GR-BIG", *lines)
    house.receiver = Receiver(house.inbox, house.registry, FixedSecrets(), house.clock, 50_000_000)
    deliver(house, said)
    assert house.archive.bodies
    house.settle()
    assert house.on_hand() == sum(1 + n % 7 for n in range(9000))
    house.assert_exact()


# ---- what a message says ----------------------------------------------------------------------------------------


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
    assert [(seen.source, seen.quantity) for seen in house.observations.of_sku(KEY.sku)] == [(ERP, 7)]


def test_a_movement_by_someone_without_authority_changes_nothing_and_is_noted() -> None:
    house = House()
    deliver(house, receipt("GR-1"), "msg-1", source="erp")
    house.settle()
    assert house.on_hand() == 0
    assert house.open_cases() == []


# ---- crashes ----------------------------------------------------------------------------------------------------

STORY: Sequence[tuple[str, dict[str, Any]]] = [
    ("msg-1", receipt("GR-1")),
    ("msg-2", body("count", "C-1", {"sku": "TEA", "quantity": 8}, {"sku": "MUG", "quantity": 5})),
    ("msg-3", receipt("GR-2", sku="NEW", units=3)),
    ("msg-4", body("receipt", "GR-3", {"sku": "TEA", "quantity": 1}, {"sku": "TEA", "quantity": -1})),
    ("msg-5", receipt("GR-1", units=12)),
]


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


def test_a_clock_that_runs_ahead_within_its_declared_skew_is_believed() -> None:
    house = House()
    deliver(house, receipt("GR-1", occurred_at=NOON + timedelta(minutes=4)))
    house.settle()
    assert house.on_hand() == 10
    assert house.ledger.as_of(KEY, NOON)[Counter.ON_HAND] == 0


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
