"""The edge of the API: every legal name is reached, and whatever else comes is refused by its name."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

import pytest

from shared.domain.events import Count, Leg, Movement, MovementKind, Origin, effect_hash
from shared.domain.network import Listing
from shared.domain.stock import ChannelId, EventKey, MessageId, Sku
from shared.operations.facts import Fact
from shared.store.registry import Network
from tests.functions.calls import api
from tests.functions.conftest import EAST, WMS, Aws

NOW = datetime.now(UTC)
ODD_SKUS = [
    "A/B #1",
    "50% off",
    "a?b&c=d+e",
    "\N{TEAPOT} tea",
    "..",
    "%2F",
    "A%41",
    "journal",
    "A/journal",
    "caf\N{LATIN SMALL LETTER E WITH ACUTE}",
    "'\"<>\\",
    "x" * 200,
    "\N{TEAPOT}" * 200,
]
RESERVE = {"channel": "shop", "lines": [{"sku": "TEA", "quantity": 5}]}


def stocked(aws: Aws, units: int, sku: str = "TEA") -> None:
    event = Movement(
        EventKey(f"opening-{len(sku)}-{sku[:20]}"),
        Sku(sku),
        MovementKind.RECEIPT,
        (Leg(EAST, units),),
        NOW - timedelta(hours=1),
        Origin(WMS, MessageId("m")),
    )
    aws.poster.post([Fact(event, effect_hash(event))], Network({}, {}, {}))


def counted(aws: Aws, units: int, at: datetime) -> None:
    event = Count(EventKey(f"count-{at}"), Sku("TEA"), EAST, units, at, Origin(WMS, MessageId("m")))
    aws.poster.post([Fact(event, effect_hash(event))], Network({}, {}, {}))


# ---- every legal SKU is reached ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sku", ODD_SKUS)
def test_an_item_of_any_legal_sku_is_reached_by_its_query_form(aws: Aws, sku: str) -> None:
    stocked(aws, 20, sku)
    said = api("GET /v1/stock", query={"sku": sku})
    assert (said.status, said.body["sku"], said.body["locations"][0]["on_hand"]) == (200, sku, 20)
    journal = api("GET /v1/journal", query={"sku": sku, "location": "east"})
    assert [line["quantity"] for line in journal.body["entries"][0]["lines"]] == [20]
    promised = api("GET /v1/availability", query={"sku": sku, "channel": "shop"})
    assert (promised.status, promised.body["available_to_promise"]) == (200, 18)
    listed = api("GET /v1/stock", query={"location": "east"})
    assert [row["sku"] for row in listed.body["stock"]] == [sku]


@pytest.mark.parametrize("sku", ODD_SKUS)
def test_an_item_is_reached_by_a_path_that_the_gateway_hands_on_encoded(aws: Aws, sku: str) -> None:
    stocked(aws, 20, sku)
    path = quote(sku, safe="")
    assert api(f"GET /v1/stock/{path}").body["sku"] == sku
    assert len(api(f"GET /v1/stock/{path}/journal", query={"location": "east"}).body["entries"]) == 1


@pytest.mark.parametrize("sku", [sku for sku in ODD_SKUS if "/" not in sku and unquote(sku) == sku])
def test_an_item_is_reached_by_a_path_that_was_decoded_on_the_way(aws: Aws, sku: str) -> None:
    stocked(aws, 20, sku)
    assert api(f"GET /v1/stock/{sku}").body["sku"] == sku


def test_an_item_and_a_list_are_not_asked_for_at_once(aws: Aws) -> None:
    said = api("GET /v1/stock", query={"sku": "TEA", "location": "east"})
    assert (said.status, said.body["field"]) == (400, "location")
    said = api("GET /v1/stock", query={"as_of": NOW.isoformat(), "location": "east"})
    assert (said.status, said.body["field"]) == (400, "as_of")


# ---- what cannot be meant ---------------------------------------------------------------------------------------

LONG = "x" * 3000


@pytest.mark.parametrize(
    ("call", "query", "field"),
    [
        (f"GET /v1/stock/{LONG}", {}, "sku"),
        (f"GET /v1/stock/{LONG}/journal", {"location": "east"}, "sku"),
        ("GET /v1/stock/TEA/journal", {"location": LONG}, "location"),
        ("GET /v1/stock", {"sku": LONG}, "sku"),
        ("GET /v1/stock", {"location": LONG}, "location"),
        ("GET /v1/stock", {"location": "east", "cursor": LONG}, "cursor"),
        ("GET /v1/journal", {"sku": LONG, "location": "east"}, "sku"),
        ("GET /v1/availability", {"channel": LONG, "sku": "TEA"}, "channel"),
        ("GET /v1/availability", {"channel": "shop", "sku": LONG}, "sku"),
        (f"GET /v1/cases/{LONG}", {}, "case"),
        (f"POST /v1/cases/{LONG}/retry", {}, "case"),
        (f"GET /v1/messages/{LONG}", {}, "message"),
        (f"POST /v1/messages/{LONG}/replay", {}, "message"),
        (f"GET /v1/reservations/{LONG}", {}, "reservation"),
        (f"DELETE /v1/reservations/{LONG}", {}, "reservation"),
        ("GET /v1/stock/%00", {}, "sku"),
        ("GET /v1/stock", {"sku": "\ud800"}, "sku"),
        ("GET /v1/availability", {"channel": "shop", "sku": "T\x00"}, "sku"),
        ("GET /v1/cases/%0A", {}, "case"),
        ("GET /v1/stock", {"location": "east", "limit": "\u0663"}, "limit"),
        ("GET /v1/stock", {"location": "east", "limit": "9" * 5000}, "limit"),
        ("GET /v1/stock", {"location": "east", "limit": "-1"}, "limit"),
        ("GET /v1/stock", {"location": "east", "limit": "1.0"}, "limit"),
        ("GET /v1/cases", {"limit": "\u0663"}, "limit"),
        ("GET /v1/stock/TEA/journal", {"location": "east", "cursor": "\u0663"}, "cursor"),
        ("GET /v1/stock/TEA/journal", {"location": "east", "cursor": "9" * 5000}, "cursor"),
        ("GET /v1/cases", {"cursor": "garbage"}, "cursor"),
        ("GET /v1/cases", {"cursor": "9" * 5000}, "cursor"),
        ("GET /v1/cases", {"cursor": "\ud800"}, "cursor"),
        ("GET /v1/cases", {"kind": "unheard_of"}, "kind"),
        ("GET /v1/messages/none", {"offset": "-1"}, "offset"),
        ("GET /v1/stock/TEA", {"as_of": "0001-01-01T00:00:00+14:00"}, "as_of"),
        ("GET /v1/stock/TEA", {"as_of": "9999-12-31T23:59:59-14:00"}, "as_of"),
        ("GET /v1/stock/TEA", {"as_of": "2026-01-01T00:00:00+99:99"}, "as_of"),
        ("GET /v1/stock/TEA", {"as_of": "\ud800"}, "as_of"),
        ("GET /v1/stock/TEA", {"as_of": LONG}, "as_of"),
        ("GET /v1/stock/TEA", {"as-of": "2026-01-01T00:00:00Z"}, "'as-of'"),
        ("GET /v1/stock", {"location": "moon"}, "location"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(
    aws: Aws, call: str, query: dict[str, str], field: str
) -> None:
    said = api(call, query=query)
    assert (said.status, said.body.get("field")) == (400, field)
    assert said.body["remedy"]
    assert len(json.dumps(said.body)) < 1000


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("[" * 50_000, "body"),
        ('{"channel": ' + "[" * 50_000, "body"),
        ('{"channel": "shop", "channel": "moon", "lines": [{"sku": "TEA", "quantity": 1}]}', "channel"),
        ('{"channel": "shop", "lines": [{"sku": "TEA", "sku": "OIL", "quantity": 1}]}', "sku"),
        ('{"channel": "\\ud800", "lines": [{"sku": "TEA", "quantity": 1}]}', "body"),
        ("\ud800", "body"),
        ('{"channel": "sh\\u0000op", "lines": [{"sku": "TEA", "quantity": 1}]}', "channel"),
        ('{"channel": "shop", "lines": [{"sku": "T\\u0000", "quantity": 1}]}', "lines.0.sku"),
        ('{"channel": "shop", "lines": [{"sku": "TEA", "quantity": ' + "9" * 5000 + "}]}", "body"),
        ('{"channel": "shop", "lines": [{"sku": "TEA", "quantity": 1e400}]}', "lines.0.quantity"),
        ('{"channel": "shop", "lines": [{"sku": "TEA", "quantity": NaN}]}', "lines.0.quantity"),
        ({"channel": "shop", "lines": [{"sku": "x" * 201, "quantity": 1}]}, "lines.0.sku"),
        ({"channel": "shop", "lines": [], "y" * 3000: 1}, "lines"),
    ],
)
def test_a_body_that_cannot_be_meant_is_refused_by_its_field(aws: Aws, body: object, field: str) -> None:
    said = api("POST /v1/reservations", body, Idempotency_Key="k")
    assert (said.status, said.body.get("field")) == (400, field)
    assert len(json.dumps(said.body)) < 1000


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1969-12-31T00:00:00Z"]
)
@pytest.mark.parametrize(
    ("call", "field", "body", "query"),
    [
        ("PUT /v1/registry/items", "effective_from", {}, {"sku": "TEA"}),
        ("PUT /v1/registry/cross-references", "effective_from", {"sku": "TEA"}, {"source": "wms", "kind": "sku", "code": "C"}),
        ("POST /v1/cases/none/assign", "due_at", {"owner": "ben"}, {}),
        ("POST /v1/cases/none/approve", "at", {}, {}),
        ("POST /v1/transfers/none/ship", "at", {}, {}),
    ],
)  # fmt: skip
def test_an_instant_that_no_calendar_reckons_with_is_refused_by_its_field(
    aws: Aws, call: str, field: str, body: dict[str, str], query: dict[str, str], at: str
) -> None:
    said = api(call, {**body, field: at}, query=query, Idempotency_Key="k")
    assert (said.status, said.body.get("field")) == (400, field)
    assert "not of our time" in said.body["detail"]


@pytest.mark.parametrize("key", ["\ud800", "a\x00b", "x" * 201])
def test_an_idempotency_key_that_cannot_be_kept_is_refused(aws: Aws, key: str) -> None:
    said = api("POST /v1/reservations", RESERVE, Idempotency_Key=key)
    assert (said.status, said.body["field"]) == (400, "Idempotency-Key")


# ---- items that do not exist ------------------------------------------------------------------------------------


def test_what_may_be_sold_of_no_item_is_not_zero_but_not_found(aws: Aws) -> None:
    said = api("GET /v1/availability", query={"channel": "shop", "sku": "TEEE"})
    assert (said.status, said.body["type"]) == (404, "urn:onecount:problem:not_found")
    assert api("GET /v1/availability", query={"channel": "shop", "sku": "TEA"}).status == 200


def test_the_journal_of_no_item_is_not_empty_but_not_found(aws: Aws) -> None:
    assert api("GET /v1/journal", query={"sku": "TEEE", "location": "east"}).status == 404
    assert api("GET /v1/journal", query={"sku": "TEA", "location": "east"}).body["entries"] == []


def test_an_item_that_does_not_exist_is_not_a_shortage(aws: Aws) -> None:
    wanted = {"channel": "shop", "lines": [{"sku": "TEEE", "quantity": 1}, {"sku": "TEA", "quantity": 1}]}
    said = api("POST /v1/reservations", wanted, Idempotency_Key="k")
    assert (said.status, said.body["type"]) == (422, "urn:onecount:problem:unknown_item")
    assert said.body["skus"] == ["TEEE"]
    assert said.body["field"] == "lines"


def test_a_reservation_may_have_as_many_lines_as_the_reserver_takes(aws: Aws) -> None:
    lines = [{"sku": f"S{number}", "quantity": 1} for number in range(501)]
    most = api("POST /v1/reservations", {"channel": "shop", "lines": lines[:500]}, Idempotency_Key="k")
    assert (most.status, most.body["type"]) == (422, "urn:onecount:problem:unknown_item")
    more = api("POST /v1/reservations", {"channel": "shop", "lines": lines}, Idempotency_Key="k")
    assert (more.status, more.body["field"]) == (400, "lines")


def test_an_item_without_stock_is_a_shortage(aws: Aws) -> None:
    said = api("POST /v1/reservations", RESERVE, Idempotency_Key="k")
    assert (said.status, said.body["type"]) == (409, "urn:onecount:problem:insufficient_stock")


# ---- reservations belong to who made them -----------------------------------------------------------------------


def test_a_reservation_is_released_by_who_made_it_or_an_operator(aws: Aws) -> None:
    stocked(aws, 20)
    mine = api("POST /v1/reservations", RESERVE, scopes="reserver", subject="ann", Idempotency_Key="k")
    path = mine.headers["Location"]
    other = api(f"DELETE {path}", scopes="reserver", subject="bob")
    assert (other.status, other.body["type"]) == (403, "urn:onecount:problem:not_yours")
    assert api(f"GET {path}", scopes="reserver", subject="bob").body["status"] == "confirmed"
    assert api(f"DELETE {path}", scopes="reserver", subject="ann").body["status"] == "released"

    again = api("POST /v1/reservations", RESERVE, scopes="reserver", subject="ann", Idempotency_Key="k2")
    done = api(f"DELETE {again.headers['Location']}", scopes="operator", subject="cem")
    assert (done.status, done.body["status"]) == (200, "released")


def test_a_reservation_that_there_is_not_is_not_found_whoever_asks(aws: Aws) -> None:
    assert api("DELETE /v1/reservations/none", scopes="reserver").status == 404


# ---- as of an instant -------------------------------------------------------------------------------------------


def test_the_stock_of_an_earlier_instant_says_nothing_of_today(aws: Aws) -> None:
    aws.registry.add_listings([Listing(ChannelId("shop"), Sku("TEA"), "9001")])
    first, second = NOW - timedelta(hours=3), NOW - timedelta(hours=1)
    counted(aws, 5, first)
    counted(aws, 9, second)
    then = api("GET /v1/stock", query={"sku": "TEA", "as_of": (NOW - timedelta(hours=2)).isoformat()}).body
    assert then["locations"][0]["on_hand"] == 5
    assert "channels" not in then
    assert datetime.fromisoformat(then["locations"][0]["counted_as_of"]) == first
    now = api("GET /v1/stock", query={"sku": "TEA"}).body
    assert datetime.fromisoformat(now["locations"][0]["counted_as_of"]) == second
    assert [channel["available_to_promise"] for channel in now["channels"]] == [7]
    before = api("GET /v1/stock", query={"sku": "TEA", "as_of": "2020-01-01T00:00:00Z"}).body
    assert (before["locations"][0]["on_hand"], before["locations"][0]["counted_as_of"]) == (0, None)


def every(call: str, key: str, **query: str) -> list[Any]:
    """Return the rows of all pages."""
    rows, cursor = [], None
    for _ in range(100):
        page = api(call, query=query | ({"cursor": cursor} if cursor else {})).body
        rows += page[key]
        cursor = page["cursor"]
        if cursor is None:
            return rows
    raise AssertionError("the pages have no end")


def test_the_journal_is_read_page_by_page_to_its_end(aws: Aws) -> None:
    for number in range(7):
        counted(aws, number, NOW - timedelta(minutes=60 - number))
    rows = every("GET /v1/journal", "entries", sku="TEA", location="east", limit="2")
    assert [row["seq"] for row in rows] == list(reversed(range(len(rows))))
    assert len(rows) == 7


_WIDE = "\U0001f600" * 600


@pytest.mark.parametrize(
    ("asked", "query", "field"),
    [(f"GET /v1/cases/{quote(_WIDE)}", {}, "case"), ("GET /v1/trace", {"event": _WIDE}, "event")],
)
def test_an_id_that_is_too_long_in_bytes_for_any_key_is_refused_and_no_fault_of_ours(
    aws: Aws, asked: str, query: dict[str, str], field: str
) -> None:
    answer = api(asked, query=query)
    assert (answer.status, answer.body["field"]) == (400, field)
    assert "2400 bytes" in answer.body["detail"]
    assert "at most 1000" in answer.body["remedy"]
