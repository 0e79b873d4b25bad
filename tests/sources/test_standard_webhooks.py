"""The generic signed webhook: who is let in, and what each type of message becomes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.domain.events import Count, Leg, Movement, MovementKind
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import Counter, Leaf, LocationId, MessageId, SourceId
from shared.sources.contract import AuthenticationError, Fault, Report, Request
from shared.sources.registry import webhook_connector

CONNECTOR = webhook_connector("standard_webhooks")
SOURCE = Source(SourceId("wms"), "standard_webhooks")
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"a key of twenty-four bytes").decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"another key, just as long.").decode()
BODY = b'{"type": "stock.receipt"}'


def sign(body: bytes, *secrets: str, id_: str = "msg_1", at: datetime = NOW) -> Request:
    timestamp = str(int(at.timestamp()))
    signed = f"{id_}.{timestamp}.".encode() + body
    signatures = [
        "v1,"
        + base64.b64encode(
            hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
        ).decode()
        for secret in secrets
    ]
    return Request(
        {"webhook-id": id_, "webhook-timestamp": timestamp, "webhook-signature": " ".join(signatures)}, body
    )


def without(request: Request, header: str) -> Request:
    return Request({name: value for name, value in request.headers.items() if name != header}, request.body)


def with_header(request: Request, header: str, value: str) -> Request:
    return Request({**request.headers, header: value}, request.body)


def refusal(request: Request, *secrets: str, now: datetime = NOW) -> str:
    with pytest.raises(AuthenticationError) as refused:
        CONNECTOR.authenticate(request, secrets, now, SOURCE)
    for secret in secrets:
        assert secret not in refused.value.reason
    return refused.value.reason


class TestAuthentication:
    def test_the_specification_s_own_vector_is_accepted(self) -> None:
        request = Request(
            {
                "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "webhook-timestamp": "1614265330",
                "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            },
            b'{"test": 2432232314}',
        )
        now = datetime.fromtimestamp(1614265330, UTC)
        delivery = CONNECTOR.authenticate(request, ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], now, SOURCE)
        assert delivery.id == "msg_p5jXN8AQM9LWM0D4loKWxJek"
        assert "webhook-signature" not in delivery.headers

    @pytest.mark.parametrize("secrets", [[SECRET, OTHER_SECRET], [OTHER_SECRET, SECRET]])
    def test_while_we_rotate_either_secret_proves_the_request(self, secrets: list[str]) -> None:
        assert CONNECTOR.authenticate(sign(BODY, SECRET), secrets, NOW, SOURCE).id == "msg_1"

    def test_while_the_sender_rotates_one_fitting_signature_in_the_list_is_enough(self) -> None:
        request = sign(BODY, OTHER_SECRET, SECRET)
        assert CONNECTOR.authenticate(request, [SECRET], NOW, SOURCE).id == "msg_1"

    def test_an_ed25519_signature_is_proven_by_the_public_key(self) -> None:
        key = Ed25519PrivateKey.generate()
        public = "whpk_" + base64.b64encode(key.public_key().public_bytes_raw()).decode()
        unsigned = sign(BODY, OTHER_SECRET)
        signed = f"msg_1.{int(NOW.timestamp())}.".encode() + BODY
        good = "v1,AAAA v1a," + base64.b64encode(key.sign(signed)).decode()
        bad = "v1a," + base64.b64encode(key.sign(signed + b" ")).decode()
        assert CONNECTOR.authenticate(
            with_header(unsigned, "webhook-signature", good), [public], NOW, SOURCE
        ).id
        assert "no signature" in refusal(with_header(unsigned, "webhook-signature", bad), public)

    @pytest.mark.parametrize("seconds", [-300, 0, 300])
    def test_a_timestamp_at_the_edge_of_the_window_is_accepted(self, seconds: int) -> None:
        request = sign(BODY, SECRET, at=NOW + timedelta(seconds=seconds))
        assert CONNECTOR.authenticate(request, [SECRET], NOW, SOURCE).id == "msg_1"

    @pytest.mark.parametrize(("seconds", "reason"), [(-301, "s old"), (301, "in the future")])
    def test_a_timestamp_beyond_the_window_is_refused_though_rightly_signed(
        self, seconds: int, reason: str
    ) -> None:
        assert reason in refusal(sign(BODY, SECRET, at=NOW + timedelta(seconds=seconds)), SECRET)

    def test_a_changed_body_is_refused(self) -> None:
        request = sign(BODY, SECRET)
        assert "no signature" in refusal(replace(request, body=BODY + b" "), SECRET)

    def test_a_changed_id_is_refused(self) -> None:
        assert "no signature" in refusal(with_header(sign(BODY, SECRET), "webhook-id", "msg_2"), SECRET)

    def test_a_signature_by_another_secret_is_refused(self) -> None:
        assert "no signature" in refusal(sign(BODY, OTHER_SECRET), SECRET)

    @pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp", "webhook-signature"])
    def test_a_missing_header_is_named(self, header: str) -> None:
        assert refusal(without(sign(BODY, SECRET), header), SECRET) == f"header {header} is missing"

    @pytest.mark.parametrize("timestamp", ["soon", "1.5", "-1", "1e9", "١٢٣", "9" * 400, "1_000"])
    def test_a_garbled_timestamp_is_refused(self, timestamp: str) -> None:
        request = with_header(sign(BODY, SECRET), "webhook-timestamp", timestamp)
        assert "webhook-timestamp is not" in refusal(request, SECRET)

    @pytest.mark.parametrize("signature", ["v1", "v1,", "v1,é", "v2,AAAA", ",", "v1a,%%%", "\x00"])
    def test_a_garbled_signature_is_refused(self, signature: str) -> None:
        refusal(with_header(sign(BODY, SECRET), "webhook-signature", signature), SECRET)

    @pytest.mark.parametrize("id_", ["a.b", "x" * 257, "é", "a\nb"])
    def test_an_id_that_would_blur_what_is_signed_is_refused(self, id_: str) -> None:
        assert "webhook-id" in refusal(sign(BODY, SECRET, id_=id_), SECRET)

    @pytest.mark.parametrize("secrets", [[], [""], ["whsec_"], ["whsec_not base64!"], ["whpk_AAAA"]])
    def test_an_empty_or_broken_secret_lets_nobody_in(self, secrets: list[str]) -> None:
        with pytest.raises(AuthenticationError, match="no usable secret"):
            CONNECTOR.authenticate(sign(BODY, "whsec_"), secrets, NOW, SOURCE)


def message(body: object) -> Message:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Message(MessageId("m-1"), SOURCE.id, raw, NOW, {})


def document(type_: str, *lines: object, **data: Any) -> dict[str, Any]:
    return {
        "type": type_,
        "timestamp": "2026-11-21T08:30:00Z",
        "data": {"document": "D-1", "lines": list(lines), **data},
    }


def line(**fields: Any) -> dict[str, Any]:
    return {"line": "1", "sku": "TEA-EARL-100", "location": "LEEDS", "quantity": 4, **fields}


def translate(body: object, source: Source = SOURCE) -> list[Report | Fault]:
    return list(CONNECTOR.translate(message(body), source))


def only_movement(body: object, source: Source = SOURCE) -> Movement:
    (report,) = translate(body, source)
    assert isinstance(report, Report), report
    assert isinstance(report.event, Movement)
    return report.event


def only_count(body: object, source: Source = SOURCE) -> Count:
    (report,) = translate(body, source)
    assert isinstance(report, Report), report
    assert isinstance(report.event, Count)
    return report.event


def only_fault(body: object, source: Source = SOURCE) -> Fault:
    (fault,) = translate(body, source)
    assert isinstance(fault, Fault), fault
    assert fault.reason
    assert fault.remedy
    return fault


class TestMovements:
    @pytest.mark.parametrize(
        ("type_", "change"),
        [("receipt", 4), ("return", 4), ("shipment", -4), ("pick", 0), ("putaway", 0), ("pack", 0)],
    )
    def test_each_type_moves_on_hand_its_own_way(self, type_: str, change: int) -> None:
        movement = only_movement(document(f"stock.{type_}", line()))
        assert movement.kind == MovementKind(type_)
        assert movement.legs == ((Leg(LocationId("LEEDS"), change),) if change else ())

    def test_where_stock_leaves_at_the_pick_the_shipment_is_progress_only(self) -> None:
        source = replace(SOURCE, options={"stock_leaves_at": "pick"})
        assert only_movement(document("stock.pick", line()), source).legs == (Leg(LocationId("LEEDS"), -4),)
        assert only_movement(document("stock.shipment", line()), source).legs == ()

    def test_an_undeclared_place_for_stock_to_leave_is_a_fault_of_the_declaration(self) -> None:
        source = replace(SOURCE, options={"stock_leaves_at": "dock"})
        fault = only_fault(document("stock.pick", line()), source)
        assert fault.field == "source.options.stock_leaves_at"
        assert "shipment" in fault.remedy

    def test_an_adjustment_moves_the_named_counter_of_the_named_leaf(self) -> None:
        movement = only_movement(
            document(
                "stock.adjustment", line(quantity=-3, counter="damaged", bin="A-1", lot="L/7", reason="fell")
            )
        )
        assert movement.legs == (Leg(LocationId("LEEDS"), -3, Counter.DAMAGED, Leaf("A-1", "L/7")),)
        assert movement.origin.refs == (("document", "D-1"), ("reason", "fell"))

    def test_a_shipment_names_the_order_line_that_it_fulfils(self) -> None:
        movement = only_movement(document("stock.shipment", line(order=1001, order_line="7")))
        assert movement.order_line == ("1001", "7")
        assert movement.origin.refs == (("document", "D-1"), ("order", "1001"))

    def test_the_time_is_the_document_s_own_and_in_utc(self) -> None:
        body = document("stock.receipt", line(), occurred_at="2026-11-21T09:28:12+01:00")
        assert only_movement(body).occurred_at == datetime(2026, 11, 21, 8, 28, 12, tzinfo=UTC)

    def test_without_a_time_of_its_own_the_message_s_is_taken(self) -> None:
        assert only_movement(document("stock.receipt", line())).occurred_at == datetime(
            2026, 11, 21, 8, 30, tzinfo=UTC
        )

    def test_the_key_is_the_business_identity_and_no_part_can_pose_as_two(self) -> None:
        plain = only_movement(document("stock.receipt", line(), document="A"))
        assert plain.key == "wms/A/1/receipt/"
        slashed = only_movement(document("stock.receipt", line(line="1"), document="A/1"))
        shifted = only_movement(document("stock.receipt", line(line="1/1"), document="A"))
        assert slashed.key == "wms/A%2F1/1/receipt/"
        assert slashed.key != shifted.key

    def test_a_movement_with_a_version_is_refused_because_it_would_move_the_stock_twice(self) -> None:
        fault = only_fault(document("stock.receipt", line(), version="2"))
        assert fault.field == "data.version"
        assert "stock.adjustment" in fault.remedy

    @pytest.mark.parametrize(
        ("second", "how"), [({}, "same content: it was taken once"), ({"quantity": 9}, "different")]
    )
    def test_a_line_id_that_is_there_twice_is_a_fault_that_names_the_second(
        self, second: dict[str, Any], how: str
    ) -> None:
        first, fault = translate(document("stock.receipt", line(), line(**second)))
        assert isinstance(first, Report)
        assert isinstance(fault, Fault)
        assert fault.field == "data.lines[1].line"
        assert how in fault.reason

    def test_identifiers_are_kept_to_the_letter(self) -> None:
        for sku in ("00123", "1E3", "NA", "true", "21-4092", "0x1F", "12345678901234567890", "1_000", " a"):
            assert only_movement(document("stock.receipt", line(sku=sku))).sku == sku


class TestCounts:
    def test_a_count_is_absolute_as_of_its_time(self) -> None:
        count = only_count(document("stock.count", line(quantity=0), version="002"))
        assert (count.quantity, count.element, count.version) == (0, "on_hand", "00000000000000000002")
        assert count.as_of == datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
        assert count.key == "wms/D-1/1/count/002"

    def test_a_count_of_something_else_names_its_element(self) -> None:
        assert only_count(document("stock.count", line(counter="damaged"))).element == "damaged"

    def test_an_element_with_a_declared_meaning_may_be_counted(self) -> None:
        source = replace(SOURCE, meaning={"sellable": "available"})
        assert only_count(document("stock.count", line(counter="sellable")), source).element == "sellable"
        assert only_fault(document("stock.count", line(counter="sellable"))).field == "data.lines[0].counter"


class TestFaults:
    @pytest.mark.parametrize("quantity", [True, 1.0, 1.5, "4", None, [], {}, 0, -1, 10**12, 10**400])
    def test_a_quantity_that_is_no_positive_whole_number_is_refused(self, quantity: object) -> None:
        fault = only_fault(document("stock.receipt", line(quantity=quantity)))
        assert fault.field == "data.lines[0].quantity"

    def test_an_adjustment_by_nothing_and_a_negative_count_are_refused(self) -> None:
        assert only_fault(document("stock.adjustment", line(quantity=0))).code == "invalid_field"
        assert only_fault(document("stock.count", line(quantity=-1))).code == "invalid_field"

    @pytest.mark.parametrize("name", ["line", "sku", "location", "quantity"])
    def test_a_missing_field_is_named(self, name: str) -> None:
        fault = only_fault(document("stock.receipt", {k: v for k, v in line().items() if k != name}))
        assert (fault.code, fault.field) == ("missing_field", f"data.lines[0].{name}")

    @pytest.mark.parametrize(
        "sku", ["", "  ", 123, True, "a\x1fb", "a\nb", "x" * 201, "\ud800", "bad\ufffd", ["a"]]
    )
    def test_a_sku_that_cannot_be_an_identifier_is_refused(self, sku: object) -> None:
        assert only_fault(document("stock.receipt", line(sku=sku))).field == "data.lines[0].sku"

    def test_one_bad_line_costs_one_fault_and_the_others_are_read(self) -> None:
        answers = translate(
            document("stock.receipt", line(line="1"), line(line="2", quantity=1.5), 7, line(line="4"))
        )
        assert [type(answer) for answer in answers] == [Report, Fault, Fault, Report]

    def test_an_order_line_without_its_order_is_refused(self) -> None:
        assert only_fault(document("stock.pick", line(order_line="1"))).field == "data.lines[0].order"

    def test_a_bin_with_a_slash_is_refused_because_leaves_are_written_with_one(self) -> None:
        assert only_fault(document("stock.receipt", line(bin="A/1"))).field == "data.lines[0].bin"

    @pytest.mark.parametrize("part", ["bin", "lot"])
    def test_a_dash_is_no_bin_and_no_lot_because_it_would_be_the_whole_location(self, part: str) -> None:
        fault = only_fault(document("stock.count", line(**{part: "-"})))
        assert fault.field == f"data.lines[0].{part}"
        assert "leave it out" in fault.remedy

    def test_a_type_that_is_not_known_is_unsupported_and_the_known_ones_are_told(self) -> None:
        fault = only_fault(document("stock.teleport", line()))
        assert (fault.code, fault.field) == ("unsupported", "type")
        assert "stock.receipt" in fault.remedy
        assert only_fault(document("receipt", line())).code == "unsupported"

    @pytest.mark.parametrize(
        "at", ["2026-11-21T08:30:00", "yesterday", "2026-11-21", "0001-01-01T00:00:00+14:00"]
    )
    def test_a_time_that_is_not_an_instant_is_refused_and_never_guessed(self, at: str) -> None:
        assert only_fault(document("stock.receipt", line(), occurred_at=at)).field == "data.occurred_at"

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"not json",
            b"\xff\xfe",
            b"[]",
            b"null",
            b'"text"',
            b"{",
            b'{"type": NaN}',
            b'{"type": "stock.count", "type": "stock.receipt"}',
            b"[" * 200_000,
            b'{"a":' * 200_000,
            b'{"n": ' + b"9" * 10_000 + b"}",
        ],
        ids=[
            "empty", "words", "utf-16", "list", "null", "text", "cut off", "nan", "duplicate key",
            "deep list", "deep object", "huge number",
        ],
    )  # fmt: skip
    def test_a_body_that_is_not_our_json_is_one_fault(self, body: bytes) -> None:
        assert only_fault(body).code in {"malformed", "invalid_field"}

    def test_a_document_without_lines_is_a_fault_rather_than_silence(self) -> None:
        assert only_fault(document("stock.receipt")).field == "data.lines"
