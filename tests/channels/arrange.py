"""What the channel tests arrange: offers, a bench for each connector on the real HTTP server, canned answers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from infra.local.fake_channels import control
from infra.local.fake_channels.server import FakeChannels
from shared.channels.contract import (
    ChannelConnector,
    HttpRequest,
    HttpResponse,
    ListingAt,
    Offer,
    Outcome,
)
from shared.channels.registry import build_channel
from shared.channels.transport import HttpTransport
from shared.domain.network import Channel
from shared.domain.stock import ChannelId, LocationId, Sku

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
LOCATION = "77"


def listing(number: int, location: str = LOCATION) -> ListingAt:
    """Return the listing of item ``1000 + number``."""
    item = str(1000 + number)
    return ListingAt(ChannelId("web"), Sku(f"SKU-{number}"), LocationId("EAST"), item, location)


def offer(number: int, quantity: int, expected: int | None = None, location: str = LOCATION) -> Offer:
    """Return an offer with a key of its own."""
    return Offer(listing(number, location), quantity, expected, str(uuid.uuid4()), NOON)


def by_listing(outcomes: Sequence[Outcome]) -> dict[ListingAt, Outcome]:
    """Index outcomes, insisting that each listing has exactly one."""
    indexed = {outcome.listing: outcome for outcome in outcomes}
    assert len(indexed) == len(outcomes)
    return indexed


@dataclass
class Bench:
    """One connector facing its fake channel, and what a person at that channel can see and do."""

    name: str
    fake: FakeChannels
    connector: ChannelConnector
    with_secret: Callable[[str], ChannelConnector]

    def stock(self, *quantities: int) -> None:
        """Give item 0, 1, 2 ... these levels."""
        items = [
            {"item_id": 1000 + n, "location_id": LOCATION, "sku": f"SKU-{n}", "quantity": quantity}
            for n, quantity in enumerate(quantities)
        ]
        if self.name == "shopify":
            self.tell("create_items", items=items)
        else:
            self.tell("set_levels", channel=self.name, levels=items)
            self.tell("behave", channel=self.name, knows_items=True)

    def levels(self, count: int) -> list[int | None]:
        """Return what the channel itself holds for item 0, 1, 2 ..."""
        held: Mapping[tuple[str, str], int | None] = self.fake.shop.levels
        if self.name != "shopify":
            held = self.fake.receiver(self.name).levels
        return [held.get((str(1000 + n), LOCATION)) for n in range(count)]

    def fail(self, mode: str, **facts: Any) -> None:
        """Make the channel misbehave."""
        self.tell("fail", channel=self.name, mode=mode, **facts)

    def tell(self, do: str, **facts: Any) -> dict[str, object]:
        """Give the fake channels a command."""
        return control.carry_out(self.fake, {"do": do, **facts})

    def writes(self) -> list[str]:
        """Return what became of each write, in order."""
        return [call.outcome for call in self.fake.calls_of(self.name) if call.operation == "write"]


def shopify_bench(fake: FakeChannels, **options: object) -> Bench:
    """Return a bench for the Shopify connector."""
    declared = {"admin_url": fake.shopify_url, "timeout_s": 2, **options}

    def build(secret: str) -> ChannelConnector:
        channel = Channel(ChannelId("web"), "shopify", options=declared)
        return build_channel(channel, json.dumps({"current": secret}), HttpTransport())

    return Bench("shopify", fake, build(fake.token), build)


def webhook_bench(fake: FakeChannels, **options: object) -> Bench:
    """Return a bench for the signed webhook connector."""
    url = fake.webhook_url("partner")
    declared = {"url": url, "read_back_url": f"{url}/levels", "fenced": True, "timeout_s": 2, **options}

    def build(secret: str) -> ChannelConnector:
        channel = Channel(ChannelId("web"), "signed_webhook", options=declared)
        return build_channel(channel, json.dumps({"current": secret}), HttpTransport())

    return Bench("partner", fake, build(fake.webhook_secret), build)


@dataclass
class CannedTransport:
    """A transport that gives prepared answers, the last one for ever, and keeps what was sent."""

    answers: list[HttpResponse | Exception]
    sent: list[HttpRequest] = field(default_factory=list)

    def send(self, request: HttpRequest) -> HttpResponse:
        """Return or raise the next prepared answer."""
        self.sent.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def answered(status: int, body: object = None, **headers: str) -> HttpResponse:
    """Return an answer; ``body`` is bytes as they are, or something to write as JSON."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return HttpResponse(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)
