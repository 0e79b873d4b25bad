"""A fake channel server for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.local.fake_channels.server import FakeChannels
from tests.channels.arrange import Bench, shopify_bench, webhook_bench


@pytest.fixture
def fake() -> Iterator[FakeChannels]:
    """The fake channels, serving on free ports of 127.0.0.1."""
    with FakeChannels() as channels:
        yield channels


@pytest.fixture
def shop(fake: FakeChannels) -> Bench:
    """The Shopify connector facing the fake shop."""
    return shopify_bench(fake)


@pytest.fixture
def partner(fake: FakeChannels) -> Bench:
    """The signed webhook connector facing a fake receiver."""
    return webhook_bench(fake)


@pytest.fixture(params=[shopify_bench, webhook_bench], ids=["shopify", "signed_webhook"])
def bench(request: pytest.FixtureRequest, fake: FakeChannels) -> Bench:
    """Each connector in turn: what they share must hold for both."""
    made: Bench = request.param(fake)
    return made
