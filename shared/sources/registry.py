"""Every connector by the name that ``network.yaml`` uses for it: a new source is one module and one line here.

A module is imported when its connector is first asked for, so that a webhook handler never loads what reads
files. Each module offers its connector as ``CONNECTOR``, and the options of its own as ``OPTIONS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from shared.sources.contract import FileConnector, Translator, WebhookConnector
from shared.sources.options import OF_EVERY_SOURCE, OptionCheck

_WEBHOOKS: Mapping[str, str] = {
    "shopify": "shared.sources.shopify",
    "standard_webhooks": "shared.sources.standard_webhooks",
}
_FILES: Mapping[str, str] = {
    "csv_snapshot": "shared.sources.csv_snapshot",
}

_BY_HAND: Mapping[str, str] = {
    "manual": "shared.sources.manual",
}

WEBHOOK_CONNECTORS = frozenset(_WEBHOOKS)
"""Names of the connectors that call our webhook URL."""

FILE_CONNECTORS = frozenset(_FILES)
"""Names of the connectors that read dropped files."""


class UnknownConnectorError(Exception):
    """No connector of this kind has that name; ``known`` lists those that exist."""

    def __init__(self, name: str, kind: str, known: Mapping[str, str]) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        super().__init__(
            f"there is no {kind} connector {name!r}; declare one of: {', '.join(self.known)}",
        )


def webhook_connector(name: str) -> WebhookConnector:
    """Return the connector that authenticates and translates a source's webhooks.

    Raises
    ------
    UnknownConnectorError
        When no webhook connector has that name.
    """
    if name not in _WEBHOOKS:
        raise UnknownConnectorError(name, "webhook", _WEBHOOKS)
    return cast(WebhookConnector, import_module(_WEBHOOKS[name]).CONNECTOR)


def translator(name: str) -> Translator:
    """Return the connector that translates a source's stored messages: those of its webhooks, or entries by hand.

    Raises
    ------
    UnknownConnectorError
        When no connector of that name translates messages.
    """
    return (
        cast(Translator, import_module(_BY_HAND[name]).CONNECTOR)
        if name in _BY_HAND
        else webhook_connector(name)
    )


def source_options(name: str) -> Mapping[str, OptionCheck] | None:
    """Return the options of a connector of either kind, each with its check; None where there is no such connector."""
    module = {**_WEBHOOKS, **_FILES}.get(name)
    if module is None:
        return None
    return {**OF_EVERY_SOURCE, **getattr(import_module(module), "OPTIONS", {})}


def file_connector(name: str) -> FileConnector:
    """Return the connector that reads a source's files.

    Raises
    ------
    UnknownConnectorError
        When no file connector has that name.
    """
    if name not in _FILES:
        raise UnknownConnectorError(name, "file", _FILES)
    return cast(FileConnector, import_module(_FILES[name]).CONNECTOR)
