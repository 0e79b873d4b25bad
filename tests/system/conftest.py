"""One deployed template for all system tests: the demo's stage and the scenarios' systems, with fewer items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.demo.stage import Stage, import_items, stage
from infra.local.demo.story import ROOT
from infra.local.fake_channels.control import carry_out
from infra.local.fake_channels.server import DEMO_TOKEN, DEMO_WEBHOOK_SECRET

SKUS, IN_SHOP, IN_MARKETPLACE = 150, 80, 10
SCENARIOS = Path(__file__).with_name("scenarios.yaml")
SECRETS = {"outlet": DEMO_TOKEN, "bazaar": DEMO_WEBHOOK_SECRET, "grocer": DEMO_WEBHOOK_SECRET}


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(ROOT, lambda _: None, tmp_path_factory.mktemp("stage"), SCENARIOS) as made:
        for channel, secret in SECRETS.items():
            made.runtime.set_secret("channel", channel, secret)
        import_items(made, SKUS, IN_SHOP, IN_MARKETPLACE)
        yield made


@pytest.fixture
def world(deployed: Stage) -> Iterator[Stage]:
    """The stage with every channel well."""
    yield deployed
    carry_out(deployed.channels, {"do": "recover"})
