"""Each stage is synthesized once for the whole run: importing and running the CDK costs seconds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.infra.templates import Templates

NETWORK = """\
sources:
  legacy-wms:
    connector: csv_snapshot
    drop: legacy-wms/
    meaning: {on_hand: on_hand}
    options:
      sku_column: sku
      quantity_column: units
      location: dc1
      as_of: {from: file_name, pattern: '(?P<stamp>\\d{8})', format: '%Y%m%d', time_zone: UTC}
  shop: {connector: shopify, channel: shop, options: {shop: tea.myshopify.com}}
channels:
  shop:
    connector: shopify
    locations: {dc1: gid://shopify/Location/1}
    options: {admin_url: https://tea.myshopify.com/admin, api_version: 2026-10}
  partner-feed:
    connector: signed_webhook
    locations: {dc1: DC1}
    options: {url: https://partner.example/stock}
locations:
  dc1: {counts: legacy-wms}
"""


@pytest.fixture(scope="session")
def network_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of two sources and two channels."""
    path = tmp_path_factory.mktemp("network") / "network.yaml"
    path.write_text(NETWORK, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def synthesized(tmp_path_factory: pytest.TempPathFactory, network_file: Path) -> Callable[[str], Path]:
    """Synthesize a stage without its code, once; returns the folder. Fails on an unacknowledged nag finding."""
    from infra.app import build_app

    @cache
    def synthesize(stage: str) -> Path:
        folder = tmp_path_factory.mktemp(f"cdk-{stage}")
        build_app(
            stage=stage,
            network=network_file,
            outdir=folder,
            bundling=False,
            issuer="https://issuer.example",
            audience="onecount",
            jwks_url="https://issuer.example/keys",
            alarm_email="operator@example.com",
        ).synth()
        return folder

    return synthesize


@pytest.fixture(scope="session")
def prod(synthesized: Callable[[str], Path]) -> Templates:
    """The templates of production."""
    return Templates.read(synthesized("prod"))


@pytest.fixture(scope="session")
def dev(synthesized: Callable[[str], Path]) -> Templates:
    """The templates of a development stage."""
    return Templates.read(synthesized("dev"))
