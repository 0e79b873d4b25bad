"""Whatever a channel answers, ``push`` never raises and every offer gets exactly one outcome."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.channels.contract import (
    ChannelConnector,
    ChannelError,
    Confirmed,
    HttpResponse,
    NoAnswerError,
    NotSentError,
    Transport,
)
from shared.channels.options import Secret
from shared.channels.shopify import ShopifyChannel
from shared.channels.signed_webhook import SignedWebhookChannel
from tests.channels.arrange import NOON, CannedTransport, listing, offer

Builder = Callable[[Transport], ChannelConnector]


def shopify(transport: Transport) -> ChannelConnector:
    return ShopifyChannel.from_options({"shop_domain": "demo.myshopify.com"}, Secret("shpat_x"), transport)


def signed_webhook(transport: Transport) -> ChannelConnector:
    options = {"url": "https://partner.example", "read_back_url": "https://partner.example"}
    secret = Secret("whsec_b25lY291bnQtdGVzdC1zZWNyZXQtMDE=")
    return SignedWebhookChannel.from_options(options, secret, transport)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
words = st.sampled_from(
    [
        "data",
        "errors",
        "extensions",
        "code",
        "userErrors",
        "inventorySetQuantities",
        "field",
        "message",
        "cost",
        "throttleStatus",
        "restoreRate",
        "requestedQueryCost",
        "nodes",
        "orders",
        "results",
        "status",
        "levels",
        "external_id",
        "location",
        "quantity",
        "observed",
        "pageInfo",
        "id",
        "inventoryAdjustmentGroup",
    ]
)
codes = st.sampled_from(
    [
        "CHANGE_FROM_QUANTITY_STALE",
        "THROTTLED",
        "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED",
        "INVALID_REASON",
        "BAD_REQUEST",
        "IDEMPOTENCY_CONCURRENT_REQUEST",
        "NON_MUTABLE_INVENTORY_ITEM",
        "INTERNAL_SERVER_ERROR",
    ]
)
anything = st.recursive(
    scalars | codes,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
paths = st.none() | st.lists(
    st.sampled_from(["input", "quantities", "0", "1", "9", "x", "-1", "²"]), max_size=4
)
user_errors = st.lists(
    st.fixed_dictionaries({"code": codes | scalars, "field": paths | scalars, "message": scalars}) | anything,
    max_size=4,
)
shopify_bodies = st.fixed_dictionaries(
    {},
    optional={
        "data": st.fixed_dictionaries(
            {
                "inventorySetQuantities": st.fixed_dictionaries(
                    {"userErrors": user_errors | anything}, optional={"inventoryAdjustmentGroup": anything}
                )
                | anything
            }
        )
        | anything,
        "errors": st.lists(st.fixed_dictionaries({"extensions": st.fixed_dictionaries({"code": codes})})),
        "extensions": anything,
    },
)
results = st.lists(
    st.fixed_dictionaries(
        {
            "external_id": st.sampled_from(["1000", "1001", "9"]) | scalars,
            "location": st.just("77") | scalars,
            "status": st.sampled_from(["ok", "stale", "refused"]) | scalars,
        },
        optional={"observed": scalars, "code": scalars, "reason": scalars},
    ),
    max_size=5,
)
bodies = st.binary(max_size=40) | (
    anything | shopify_bodies | st.fixed_dictionaries({"results": results})
).map(lambda body: json.dumps(body).encode())
responses = st.builds(
    HttpResponse,
    status=st.just(200) | st.sampled_from([201, 204, 301, 400, 401, 403, 408, 409, 429, 500, 503, 599]),
    headers=st.dictionaries(st.sampled_from(["retry-after", "date"]), st.text(max_size=30)),
    body=bodies,
)
failures = st.sampled_from([NotSentError("refused"), NoAnswerError("reset")])
exchanges = st.lists(responses | failures, min_size=1, max_size=6)


@pytest.mark.parametrize("build", [shopify, signed_webhook])
@settings(max_examples=300)
@given(answers=exchanges)
def test_every_offer_gets_exactly_one_outcome(
    build: Builder, answers: list[HttpResponse | Exception]
) -> None:
    offers = [offer(n, n + 1, expected=None if n % 2 else n) for n in range(5)]

    outcomes = build(CannedTransport(list(answers))).push(offers)

    assert sorted(one.listing.sku for one in outcomes) == sorted(one.listing.sku for one in offers)


@pytest.mark.parametrize("build", [shopify, signed_webhook])
@settings(max_examples=150)
@given(answers=exchanges)
def test_nothing_is_confirmed_unless_an_answer_in_the_two_hundreds_came(
    build: Builder, answers: list[HttpResponse | Exception]
) -> None:
    outcomes = build(CannedTransport(list(answers))).push([offer(0, 1)])

    taken = any(isinstance(answer, HttpResponse) and 200 <= answer.status < 300 for answer in answers)
    assert taken or not any(isinstance(outcome, Confirmed) for outcome in outcomes)


@pytest.mark.parametrize("build", [shopify, signed_webhook])
@settings(max_examples=150)
@given(answers=exchanges)
def test_a_reading_either_states_every_number_or_fails_as_a_channel_error(
    build: Builder, answers: list[HttpResponse | Exception]
) -> None:
    channel = build(CannedTransport(list(answers)))

    shown: object = None
    with contextlib.suppress(ChannelError):
        shown = set(channel.read_back([listing(0), listing(1)]))
        channel.recent_orders(NOON)

    assert shown in (None, {listing(0), listing(1)})
