"""The signed webhook: what is sent, and how a receiver's answer is read."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from infra.local.fake_channels.server import FakeChannels
from shared.channels.contract import (
    ChannelError,
    Confirmed,
    Deferred,
    HttpResponse,
    Offer,
    Refused,
    Stale,
    Unknown,
)
from shared.channels.options import Secret
from shared.channels.signed_webhook import SignedWebhookChannel
from shared.channels.standard_webhooks import WebhookSigner, sign, signing_key
from shared.channels.transport import HttpTransport
from tests.channels.arrange import NOON, Bench, CannedTransport, answered, listing, offer, webhook_bench

SECRET = "whsec_b25lY291bnQtdGVzdC1zZWNyZXQtMDE="
OLD_SECRET = "whsec_b25lY291bnQtdGVzdC1zZWNyZXQtMDA="
URL = "https://partner.example/stock"


def channel_answered(
    answer: HttpResponse | Exception, secret: Secret | None = None
) -> tuple[SignedWebhookChannel, CannedTransport]:
    transport = CannedTransport([answer])
    signer = WebhookSigner(secret or Secret(SECRET))
    channel = SignedWebhookChannel(URL, signer, transport, read_back_url=URL, clock=lambda: NOON)
    return channel, transport


def result(number: int, **stated: object) -> dict[str, object]:
    return {"external_id": str(1000 + number), "location": "77", **stated}


def outcome_of(answer: HttpResponse, given: Offer | None = None) -> object:
    channel, _ = channel_answered(answer)
    (outcome,) = channel.push([given or offer(0, 3)])
    return outcome


def test_the_signature_is_the_published_vectors() -> None:
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "secret.current")

    signature = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')

    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_message_states_each_offer_in_the_receivers_own_ids() -> None:
    channel, transport = channel_answered(answered(204))
    given = offer(0, 3, expected=5)

    channel.push([given])

    (request,) = transport.sent
    assert (request.method, request.url) == ("POST", URL)
    assert json.loads(request.body) == {
        "type": "stock.availability",
        "timestamp": "2026-11-02T12:00:00.000000Z",
        "data": {
            "offers": [
                {
                    "sku": "SKU-0",
                    "external_id": "1000",
                    "location": "77",
                    "quantity": 3,
                    "expected": 5,
                    "as_of": "2026-11-02T12:00:00.000000Z",
                    "key": given.idempotency_key,
                }
            ]
        },
    }


def test_a_repeated_batch_keeps_its_id_and_key_and_a_new_one_does_not() -> None:
    channel, transport = channel_answered(answered(204))
    first, second = offer(0, 3, expected=5), offer(1, 4)

    channel.push([first, second])
    channel.push([second, first])
    channel.push([first, replace(second, expected=7)])

    ids = [(sent.headers["webhook-id"], sent.headers["Idempotency-Key"]) for sent in transport.sent]
    assert ids[0] == ids[1]
    assert ids[1] != ids[2]


def test_while_a_secret_rotates_both_secrets_sign() -> None:
    channel, transport = channel_answered(answered(204), Secret(SECRET, OLD_SECRET))

    channel.push([offer(0, 3)])

    (request,) = transport.sent
    signed = (
        f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    )
    expected = [
        "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        for key in (b"onecount-test-secret-01", b"onecount-test-secret-00")
    ]
    assert request.headers["webhook-signature"].split(" ") == expected


def test_the_receiver_accepts_the_previous_secret_until_it_changes_over(fake: FakeChannels) -> None:
    fake.webhook_secret = OLD_SECRET
    url = fake.webhook_url("partner")
    channel = SignedWebhookChannel.from_options({"url": url}, Secret(SECRET, OLD_SECRET), HttpTransport())

    assert channel.push([offer(0, 3)]) == [Confirmed(listing(0), 3)]


def test_a_receiver_that_answers_with_nothing_took_everything(partner: Bench) -> None:
    partner.tell("behave", channel="partner", states_results=False)

    assert partner.connector.push([offer(0, 3), offer(1, 4)]) == [
        Confirmed(listing(0), 3),
        Confirmed(listing(1), 4),
    ]


def test_results_may_come_in_any_order_and_each_is_read_by_its_ids() -> None:
    channel, _ = channel_answered(
        answered(
            207,
            {
                "results": [
                    result(2, status="refused", code="blocked", reason="not for sale"),
                    result(1, status="stale", observed=8),
                    result(0, status="ok"),
                ]
            },
        )
    )

    assert channel.push([offer(0, 3), offer(1, 3), offer(2, 3)]) == [
        Confirmed(listing(0), 3),
        Stale(listing(1), 8),
        Refused(listing(2), "blocked", "not for sale", "settle it with the receiver, or correct the listing"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"results": []},
        {"results": None},
        {"ok": True},
        {"results": [result(1, status="ok")]},
        {"results": [result(0, status="ok"), result(0, status="stale")]},
        {"results": [result(0, status="OK?")]},
        {"results": [result(0)]},
        [],
        b"OK",
        b"{",
    ],
)
def test_an_answer_that_does_not_state_this_offers_result_is_unknown(body: object) -> None:
    assert isinstance(outcome_of(answered(200, body)), Unknown)


@pytest.mark.parametrize("observed", [None, "8", 8.5, True])
def test_a_stale_result_with_an_unreadable_number_is_stale_without_one(observed: object) -> None:
    answer = answered(200, {"results": [result(0, status="stale", observed=observed)]})

    assert outcome_of(answer) == Stale(listing(0), None)


def test_unavailable_is_deferred_only_when_the_receiver_says_when_to_come_again() -> None:
    said = outcome_of(answered(503, retry_after="30"))

    assert isinstance(said, Deferred)
    assert said.after == timedelta(seconds=30)
    assert isinstance(outcome_of(answered(503)), Unknown)
    assert isinstance(outcome_of(answered(408)), Unknown)


def test_retry_after_as_a_date_is_measured_by_the_receivers_own_clock() -> None:
    answer = answered(429, date="Mon, 02 Nov 2026 12:00:00 GMT", retry_after="Mon, 02 Nov 2026 12:01:30 GMT")

    outcome = outcome_of(answer)

    assert isinstance(outcome, Deferred)
    assert outcome.after == timedelta(seconds=90)


@pytest.mark.parametrize("text", ["soon", "-5", "nan", "inf", "1e400", "Mon, 99 Nov 2026 12:01:30 GMT"])
def test_an_unreadable_retry_after_still_defers_within_an_hour(text: str) -> None:
    outcome = outcome_of(answered(429, retry_after=text))

    assert isinstance(outcome, Deferred)
    assert timedelta(0) < outcome.after <= timedelta(hours=1)


def test_reading_back_a_channel_that_declares_no_way_is_useless() -> None:
    channel = SignedWebhookChannel(URL, WebhookSigner(Secret(SECRET)), CannedTransport([answered(204)]))

    with pytest.raises(ChannelError) as failed:
        channel.read_back([listing(0)])

    assert failed.value.retry_after is None
    assert "read_back_url" in failed.value.reason


@pytest.mark.parametrize(
    "body",
    [{"levels": []}, {"levels": [result(0, quantity="3")]}, {"levels": [result(0, quantity=2.5)]}, b"", []],
)
def test_a_reading_back_that_does_not_state_the_number_fails_rather_than_guess(body: object) -> None:
    channel, _ = channel_answered(answered(200, body))

    with pytest.raises(ChannelError):
        channel.read_back([listing(0)])


def test_ids_with_odd_characters_survive_reading_back(partner: Bench) -> None:
    odd = replace(listing(0), external_id="A&B=1 #ü/ö?")
    partner.connector.push([replace(offer(0, 3), listing=odd)])

    assert partner.connector.read_back([odd]) == {odd: 3}


def test_it_takes_no_orders() -> None:
    channel, transport = channel_answered(answered(204))

    assert channel.recent_orders(datetime.now(UTC)) == ()
    assert transport.sent == []


def test_a_receiver_that_does_not_compare_is_not_fenced(fake: FakeChannels) -> None:
    bench = webhook_bench(fake, fenced=False)
    bench.stock(5)
    bench.tell("behave", channel="partner", compares=False)

    assert not bench.connector.fenced
    assert bench.connector.push([offer(0, 3, expected=99)]) == [Confirmed(listing(0), 3)]


def test_an_old_timestamp_is_refused_by_the_receiver(fake: FakeChannels) -> None:
    url = fake.webhook_url("partner")
    channel = SignedWebhookChannel(
        url,
        WebhookSigner(Secret(fake.webhook_secret)),
        HttpTransport(),
        clock=lambda: datetime.now(UTC) - timedelta(minutes=6),
    )

    (outcome,) = channel.push([offer(0, 3)])

    assert isinstance(outcome, Refused)
    assert "clock" in outcome.remedy
