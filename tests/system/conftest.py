"""One deployed template for all system tests: the demo's stage, with fewer items."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.local.demo.stage import Stage, import_items, stage
from infra.local.demo.story import ROOT
from infra.local.fake_channels.control import carry_out

SKUS, IN_SHOP, IN_MARKETPLACE = 150, 80, 10


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(ROOT, lambda _: None, folder=tmp_path_factory.mktemp("stage")) as made:
        import_items(made, SKUS, IN_SHOP, IN_MARKETPLACE)
        yield made


@pytest.fixture
def world(deployed: Stage) -> Iterator[Stage]:
    """The stage with every channel well."""
    yield deployed
    carry_out(deployed.channels, {"do": "recover"})
