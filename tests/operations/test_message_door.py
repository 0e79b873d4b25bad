"""The door of deliveries: who may come in, how often it counts, and how much work a body may make."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import sys
import zlib
from collections.abc import Callable
from types import FrameType

import pytest

from shared.domain.network import Source
from shared.domain.stock import SourceId
from shared.operations.receive import (
    MOST_MEMBERS,
    PIECE,
    BadEncodingError,
    BodyTooLargeError,
    Receiver,
    UnknownSourceError,
    inflate,
)
from shared.sources.contract import AuthenticationError
from shared.store.registry import Network
from tests.operations.deliveries import body, deliver, receipt, signed
from tests.operations.house import FixedSecrets, House, network


def receive(house: House, raw: bytes, **changes: str) -> bool:
    headers = signed(raw, "msg-1", house.clock()) | {k.replace("_", "-"): v for k, v in changes.items()}
    return house.receiver.receive("wms", headers, raw).duplicate


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
