"""Building a channel from its declaration: every wrong option is named with its remedy, and no secret is told."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from shared.channels.contract import ChannelConnector
from shared.channels.registry import ChannelOptionError, UnknownConnectorError, build_channel
from shared.domain.network import Channel
from shared.domain.stock import ChannelId
from tests.channels.arrange import CannedTransport, answered

TOKEN = json.dumps({"current": "shpat_secret"})
SIGNING = json.dumps({"current": "whsec_b25lY291bnQtdGVzdC1zZWNyZXQtMDE="})
SHOP = {"shop_domain": "demo.myshopify.com"}
HOOK = {"url": "https://partner.example/stock"}


def build(connector: str, options: dict[str, object], secret: str) -> ChannelConnector:
    channel = Channel(ChannelId("web"), connector, options=options)
    return build_channel(channel, secret, CannedTransport([answered(204)]))


def test_a_declared_channel_is_built() -> None:
    shop = build("shopify", dict(SHOP), TOKEN)
    hook = build("signed_webhook", {**HOOK, "batch_size": 20, "fenced": True}, SIGNING)

    assert (shop.batch_size, shop.fenced, shop.reads_back) == (250, True, True)
    assert (hook.batch_size, hook.fenced, hook.reads_back) == (20, True, False)


def test_an_unknown_connector_is_told_which_exist() -> None:
    with pytest.raises(UnknownConnectorError) as failed:
        build("shopfy", {}, TOKEN)

    assert failed.value.known == ("shopify", "signed_webhook")
    assert "'web'" in str(failed.value)
    assert "shopify, signed_webhook" in str(failed.value)


@pytest.mark.parametrize(
    ("connector", "options", "named"),
    [
        ("shopify", {}, "shop_domain"),
        ("shopify", {"shop_domain": "https://demo.myshopify.com"}, "shop_domain"),
        ("shopify", {"shop_domain": "shop.example.com"}, "shop_domain"),
        ("shopify", {**SHOP, "api_version": "2026-01"}, "api_version"),
        ("shopify", {**SHOP, "api_version": "latest"}, "api_version"),
        ("shopify", {**SHOP, "reason": "because"}, "reason"),
        ("shopify", {**SHOP, "timeout_s": 0}, "timeout_s"),
        ("shopify", {**SHOP, "timeout_s": "5"}, "timeout_s"),
        ("shopify", {"admin_url": "http://shop.example.com"}, "admin_url"),
        ("signed_webhook", {}, "url"),
        ("signed_webhook", {"url": 5}, "url"),
        ("signed_webhook", {"url": "http://partner.example/stock"}, "url"),
        ("signed_webhook", {"url": "http://127.0.0.1.evil.example/"}, "url"),
        ("signed_webhook", {"url": "http://localhost.example/"}, "url"),
        ("signed_webhook", {"url": "https://me:pw@partner.example/"}, "url"),
        ("signed_webhook", {"url": "https://partner.example/#x"}, "url"),
        ("signed_webhook", {"url": "https://[::1/"}, "url"),
        ("signed_webhook", {"url": "partner.example"}, "url"),
        ("signed_webhook", {**HOOK, "read_back_url": "http://partner.example"}, "read_back_url"),
        ("signed_webhook", {**HOOK, "fenced": "yes"}, "fenced"),
        ("signed_webhook", {**HOOK, "batch_size": True}, "batch_size"),
        ("signed_webhook", {**HOOK, "batch_size": 5000}, "batch_size"),
    ],
)
def test_a_wrong_option_is_named_with_its_remedy(
    connector: str, options: dict[str, object], named: str
) -> None:
    with pytest.raises(ChannelOptionError) as failed:
        build(connector, options, TOKEN if connector == "shopify" else SIGNING)

    assert failed.value.option == named
    assert failed.value.reason
    assert failed.value.remedy


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://localhost/x", "http://[::1]:9/x"])
def test_the_machine_itself_may_be_reached_without_encryption(url: str) -> None:
    assert build("signed_webhook", {"url": url}, SIGNING).batch_size == 100


@pytest.mark.parametrize(
    "secret",
    [
        "shpat_secret",
        "[]",
        "{}",
        '{"current": ""}',
        '{"current": 5}',
        '{"current": "shpat_secret\\n"}',
        '{"current": "shpat_sécret"}',
        '{"current": "ok", "previous": "shpat_secret "}',
    ],
)
def test_an_unusable_secret_is_refused_without_quoting_it(secret: str) -> None:
    with pytest.raises(ChannelOptionError) as failed:
        build("shopify", dict(SHOP), secret)

    assert failed.value.option.startswith("secret")
    assert "cret" not in str(failed.value).replace("secret", "")
    assert "shpat" not in str(failed.value)


@pytest.mark.parametrize("secret", ["plain", "whsec_%%%", "whsec_c2hvcnQ="])
def test_a_signing_secret_must_be_of_the_standard_form(secret: str) -> None:
    with pytest.raises(ChannelOptionError) as failed:
        build("signed_webhook", dict(HOOK), json.dumps({"current": secret}))

    assert failed.value.option == "secret.current"
    assert "whsec_" in failed.value.remedy


def test_only_the_declared_connector_is_imported() -> None:
    script = """
import sys
from shared.channels.registry import build_channel
from shared.channels.transport import HttpTransport
from shared.domain.network import Channel
build_channel(Channel("web", "shopify", options={"shop_domain": "d.myshopify.com"}), sys.argv[1], HttpTransport())
print("shared.channels.shopify" in sys.modules, "shared.channels.signed_webhook" in sys.modules)
"""
    ran = subprocess.run(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-c", script, TOKEN], capture_output=True, text=True, check=True
    )

    assert ran.stdout.split() == ["True", "False"]
