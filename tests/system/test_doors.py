"""Every bad input has its stated answer, over real HTTP and S3, and nothing that was accepted is lost."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.local.demo.stage import Answer, Stage, send, signed

pytestmark = pytest.mark.system

NOW = "2026-01-05T10:00:00Z"


def post(world: Stage, raw: bytes, delivery: str, *, source: str = "modern-wms", **headers: str) -> Answer:
    secret = world.runtime.secret("source", source)
    named = signed(raw, secret, delivery, datetime.now(UTC))
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    return send("POST", world.runtime.webhook_url(source), raw, named)


def receipt(document: str, **line: object) -> bytes:
    told = {"line": "1", "sku": "SKU-00100", "location": "east", "quantity": 5, **line}
    data = {"document": document, "occurred_at": NOW, "lines": [told]}
    return json.dumps({"type": "stock.receipt", "timestamp": NOW, "data": data}).encode()


def case_of(world: Stage, message_id: str) -> dict[str, Any] | None:
    found = world.api("GET", "/v1/cases?limit=200").body["cases"]
    return next((case for case in found if case["message_id"] == message_id), None)


def until_a_case(world: Stage, message_id: str) -> dict[str, Any]:
    world.until("the case", lambda: case_of(world, message_id) is not None, True, within_s=20)
    found = case_of(world, message_id)
    assert found is not None
    return found


def test_a_wrong_signature_is_401_and_says_what_to_do(world: Stage) -> None:
    raw = receipt("BAD-1")
    headers = signed(raw + b" ", world.runtime.secret("source", "modern-wms"), "d-bad-1", datetime.now(UTC))
    answer = send("POST", world.runtime.webhook_url("modern-wms"), raw, headers)
    assert answer.status == 401
    assert answer.body["type"] == "urn:onecount:problem:not_authentic"
    assert "sign the raw body" in answer.body["remedy"]


def test_a_replayed_timestamp_is_401(world: Stage) -> None:
    raw = receipt("BAD-2")
    then = datetime.now(UTC) - timedelta(minutes=6)
    headers = signed(raw, world.runtime.secret("source", "modern-wms"), "d-bad-2", then)
    assert send("POST", world.runtime.webhook_url("modern-wms"), raw, headers).status == 401


def test_an_unknown_source_is_404(world: Stage) -> None:
    raw = receipt("BAD-3")
    headers = signed(raw, world.runtime.secret("source", "modern-wms"), "d-bad-3", datetime.now(UTC))
    answer = send("POST", world.runtime.webhook_url("nobody"), raw, headers)
    assert (answer.status, answer.body["type"]) == (404, "urn:onecount:problem:unknown_source")


def test_an_oversized_body_is_413(world: Stage) -> None:
    answer = post(world, b"{" + b" " * 5_000_001 + b"}", "d-bad-4")
    assert (answer.status, answer.body["type"]) == (413, "urn:onecount:problem:body_too_large")


def test_a_gzip_bomb_is_413_without_being_inflated_whole(world: Stage) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    answer = post(world, bomb, "d-bad-5", Content_Encoding="gzip")
    assert (answer.status, answer.body["type"]) == (413, "urn:onecount:problem:body_too_large")


def test_malformed_json_that_is_signed_is_accepted_and_becomes_a_case_with_its_message(world: Stage) -> None:
    answer = post(world, b'{"type": "stock.receipt", ', "d-bad-6")
    assert answer.status == 202
    case = until_a_case(world, answer.body["message_id"])
    assert case["kind"] == "bad_message"
    message = world.api("GET", f"/v1/messages/{answer.body['message_id']}").body
    assert message["body"] == '{"type": "stock.receipt", '


@pytest.mark.parametrize(("number", "quantity"), list(enumerate([-5, 0, 1.5, "5", True, None])))
def test_a_quantity_that_cannot_be_meant_becomes_a_case_that_names_the_field(
    world: Stage, number: int, quantity: object
) -> None:
    answer = post(world, receipt(f"BAD-7-{number}", quantity=quantity), f"d-bad-7-{number}")
    assert answer.status == 202
    case = until_a_case(world, answer.body["message_id"])
    assert "quantity" in case["title"]
    assert case["remedy"]


def test_an_unknown_sku_waits_in_a_case_and_posts_by_itself_once_mapped(world: Stage) -> None:
    answer = post(world, receipt("BAD-8", sku="WHO-KNOWS"), "d-bad-8")
    case = until_a_case(world, answer.body["message_id"])
    assert case["kind"] == "unknown_code"
    mapped = world.api("POST", f"/v1/cases/{case['id']}/map", {"sku": "SKU-00101"})
    assert mapped.body["case"]["status"] == "resolved"
    world.until("on hand", lambda: world.stock("SKU-00101")["on_hand"], 5, within_s=20)


def test_a_file_that_is_no_csv_becomes_a_case(world: Stage) -> None:
    world.drop("legacy-wms", "stock_20260105T1000.csv", "PK\x03\x04 this is a workbook")

    def cases() -> list[str]:
        found = world.api("GET", "/v1/cases?limit=200").body["cases"]
        return [case["kind"] for case in found if case["facts"].get("source") == "legacy-wms"]

    world.until("the case", lambda: bool(cases()), True, within_s=30)


def test_a_file_where_nobody_drops_files_becomes_a_case(world: Stage) -> None:
    bucket = world.runtime.info.bucket
    world.runtime.client("s3").put_object(Bucket=bucket, Key="nobody/x.csv", Body=b"a,b\n")

    def told() -> bool:
        found = world.api("GET", "/v1/cases?limit=200").body["cases"]
        return any("nobody/x.csv" in case["title"] for case in found)

    world.until("the case", told, True, within_s=30)


def test_a_missing_or_bad_token_is_401_and_one_of_too_few_scopes_403(world: Stage) -> None:
    url = f"{world.runtime.api_url}/v1/dead-letters/redrive"
    assert send("POST", url, {}, {}).status == 401
    assert send("POST", url, {}, {"Authorization": "Bearer nonsense"}).status == 401
    expired = world.runtime.token(["admin"], lifetime=timedelta(minutes=-5))
    assert send("POST", url, {}, {"Authorization": f"Bearer {expired}"}).status == 401
    viewer = world.runtime.token(["viewer"])
    answer = send("POST", url, {}, {"Authorization": f"Bearer {viewer}"})
    assert (answer.status, answer.body["type"]) == (403, "urn:onecount:problem:insufficient_scope")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/stock", "location"),
        ("/v1/stock?location=east&limit=0", "limit"),
        ("/v1/stock/SKU-00100?as_of=yesterday", "as_of"),
        ("/v1/stock/SKU-00100?as_of=2026-01-05T10:00:00", "as_of"),
        ("/v1/cases?status=lost", "status"),
        ("/v1/availability?channel=nobody&sku=SKU-00100", "channel"),
    ],
)
def test_a_bad_query_names_the_field(world: Stage, path: str, field: str) -> None:
    answer = world.api("GET", path)
    assert (answer.status, answer.body["field"]) == (400, field)
    assert answer.body["remedy"]


def test_an_unknown_sku_case_message_or_path_is_404(world: Stage) -> None:
    for path in (
        "/v1/stock/NOBODY",
        "/v1/cases/drift:x",
        "/v1/messages/0",
        "/v1/nothing",
        "/v1/reservations/0",
    ):
        assert world.api("GET", path).status == 404, path
