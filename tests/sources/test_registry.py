"""Connectors are found by name, and only what is used is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from shared.sources.registry import (
    FILE_CONNECTORS,
    WEBHOOK_CONNECTORS,
    UnknownConnectorError,
    file_connector,
    webhook_connector,
)


def test_every_registered_connector_can_be_loaded() -> None:
    for name in WEBHOOK_CONNECTORS:
        assert callable(webhook_connector(name).translate)
    for name in FILE_CONNECTORS:
        assert callable(file_connector(name).read)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownConnectorError, match="shopify, standard_webhooks") as unknown:
        webhook_connector("csv_snapshot")
    assert unknown.value.known == ("shopify", "standard_webhooks")
    with pytest.raises(UnknownConnectorError, match="csv_snapshot"):
        file_connector("shopify")


def test_a_webhook_handler_loads_nothing_that_reads_files_or_keys() -> None:
    program = (
        "import sys\n"
        "from shared.sources.registry import webhook_connector\n"
        "webhook_connector('standard_webhooks'), webhook_connector('shopify')\n"
        "print(sorted({'shared.sources.csv_snapshot', 'pydantic', 'cryptography'} & set(sys.modules)))\n"
    )
    loaded = subprocess.run(  # noqa: S603 - our own interpreter and program
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "[]"
