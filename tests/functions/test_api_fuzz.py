"""Whatever is asked of the API is answered: random paths, queries, headers and bodies never make it fail.

An exception that leaves the handler is a 502 to the caller and an alarm to the operator, so it must mean a fault of
ours and nothing that a caller can bring about.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from functions.inventory_api.edge import CALLS
from functions.inventory_api.handler import handle
from shared.domain.events import Leg, Movement, MovementKind, Origin, effect_hash
from shared.domain.stock import EventKey, MessageId, Sku
from shared.operations.facts import Fact
from tests.functions.conftest import EAST, WMS, Aws

ANSWERS = {200, 201, 400, 403, 404, 409, 422}
MEANT_WORDS = ["TEA", "east", "shop", "wms", "drift", "open", "1", "2026-01-01T00:00:00Z"]
ODD_WORDS = [
    "0",
    "-1",
    "9" * 5000,
    "\u0663",
    "x" * 3000,
    "0001-01-01T00:00:00+14:00",
    "2026-01-01T00:00:00.000000Z#0123456789abcdef",
    "\x00",
    "\ud800",
    "#",
    "%",
    "%ff",
    "..",
    "",
]
ANY_CHARACTER = st.characters(min_codepoint=0, max_codepoint=0x10FFFF, exclude_categories=())
TEXTS = st.one_of(
    st.sampled_from(MEANT_WORDS),
    st.sampled_from(MEANT_WORDS),
    st.sampled_from(ODD_WORDS),
    st.text(ANY_CHARACTER, max_size=10),
)
FIELDS = sorted({name for call in CALLS if call.body for name in call.body.model_fields} | {"quantity"})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.just(10**4000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=8,
)
LINE = st.fixed_dictionaries(
    {"sku": st.just("TEA") | TEXTS, "quantity": st.integers(1, 2000)},
    optional={"location": st.just("east") | TEXTS},
)
RESERVATION = st.fixed_dictionaries(
    {"channel": st.just("shop"), "lines": st.lists(LINE, min_size=1, max_size=3)}
)
MEANT = st.one_of(
    RESERVATION,
    st.fixed_dictionaries(
        {"action": st.sampled_from(["retry", "ignore"]), "kind": st.sampled_from(["drift", "held"])},
        optional={"reason": TEXTS, "cursor": TEXTS, "source": TEXTS, "dry_run": st.booleans()},
    ),
    st.fixed_dictionaries({"reason": TEXTS}),
    st.fixed_dictionaries({"sku": TEXTS}),
    st.fixed_dictionaries({"queue": TEXTS}),
)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A call that there is, or nearly is, with anything in it."""
    call = draw(st.sampled_from(CALLS))
    filled = [draw(TEXTS) if part.startswith("<") else part for part in call.path.split("/")]
    if draw(st.booleans()):  # encoded as API Gateway hands it on, or decoded as the local runtime does
        filled = [quote(part, safe="", errors="replace") for part in filled]
    known = st.dictionaries(st.sampled_from(call.query), TEXTS, max_size=4) if call.query else st.none()
    query = draw(st.one_of(known, known, known, st.dictionaries(TEXTS, TEXTS, max_size=2)))
    meant = RESERVATION if call.path == "/v1/reservations" else MEANT
    told = draw(st.one_of(st.none(), JSON.map(json.dumps), meant.map(json.dumps), TEXTS))
    is_odd = draw(st.integers(0, 15)) == 0
    return {
        "path": draw(TEXTS) if is_odd else "/".join(filled),
        "httpMethod": "PATCH" if draw(st.integers(0, 15)) == 0 else call.method,
        "headers": {"Idempotency-Key": draw(st.sampled_from(MEANT_WORDS) | TEXTS)},
        "queryStringParameters": query,
        "requestContext": {"authorizer": {"subject": "ann", "scopes": "admin reserver"}},
        "body": told,
        "isBase64Encoded": draw(st.integers(0, 7)) == 0,
    }


@pytest.fixture
def stocked(aws: Aws) -> Aws:
    """A house where the calls may succeed."""
    event = Movement(
        EventKey("opening"),
        Sku("TEA"),
        MovementKind.RECEIPT,
        (Leg(EAST, 1000),),
        datetime.now(UTC),
        Origin(WMS, MessageId("m")),
    )
    aws.poster.post([Fact(event, effect_hash(event))], aws.registry.network())
    return aws


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=requests())
@example(
    asked={
        "path": "/v1/reservations",
        "httpMethod": "POST",
        "requestContext": {"authorizer": {"subject": "ann", "scopes": "reserver"}},
        "headers": None,
        "body": "?",
        "isBase64Encoded": True,
    }
)
def test_every_request_is_answered(stocked: Aws, asked: dict[str, Any]) -> None:
    said = handle(asked, None)
    assert said["statusCode"] in ANSWERS
    body = json.loads(said["body"])
    if said["statusCode"] >= 400:
        assert body["type"].startswith("urn:onecount:problem:")
        assert len(said["body"]) < 4000
