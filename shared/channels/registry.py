"""Which module speaks to which channel.

A connector is found by the name declared in ``network.yaml`` and imported only then, so that a function pays
for the channels it serves and no other. To add one, see ``infra/guides/write-a-channel.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import cast

from shared.channels.contract import ChannelConnector, Transport
from shared.channels.options import ChannelOptionError, Secret, read_secret
from shared.domain.network import Channel

__all__ = ["CONNECTORS", "ChannelOptionError", "UnknownConnectorError", "build_channel", "channel_options"]


class UnknownConnectorError(Exception):
    """A channel names a connector that does not exist; ``known`` lists those that do."""

    def __init__(self, channel: str, connector: str) -> None:
        self.channel = channel
        self.connector = connector
        self.known = tuple(sorted(CONNECTORS))
        super().__init__(
            f"channel {channel!r}: connector {connector!r} does not exist; "
            f"set it to one of {', '.join(self.known)} in network.yaml"
        )


def _shopify(options: Mapping[str, object], secret: Secret, transport: Transport) -> ChannelConnector:
    from shared.channels.shopify import ShopifyChannel

    return ShopifyChannel.from_options(options, secret, transport)


def _signed_webhook(options: Mapping[str, object], secret: Secret, transport: Transport) -> ChannelConnector:
    from shared.channels.signed_webhook import SignedWebhookChannel

    return SignedWebhookChannel.from_options(options, secret, transport)


CONNECTORS: Mapping[str, Callable[[Mapping[str, object], Secret, Transport], ChannelConnector]] = {
    "shopify": _shopify,
    "signed_webhook": _signed_webhook,
}


_OPTIONS: Mapping[str, str] = {
    "shopify": "shared.channels.shopify",
    "signed_webhook": "shared.channels.signed_webhook",
}


def channel_options(connector: str) -> frozenset[str] | None:
    """Return the names of a connector's options; None where there is no such connector."""
    if connector not in _OPTIONS:
        return None
    return cast("frozenset[str]", import_module(_OPTIONS[connector]).OPTIONS)


def build_channel(channel: Channel, secret: str, transport: Transport) -> ChannelConnector:
    """Build the connector that ``channel`` declares.

    Parameters
    ----------
    secret
        The secret's text as stored: JSON with ``current`` and, while it rotates, ``previous``.

    Raises
    ------
    UnknownConnectorError
    ChannelOptionError
        An option or the secret is unusable; it names which one and the remedy.
    """
    build = CONNECTORS.get(channel.connector)
    if build is None:
        raise UnknownConnectorError(channel.id, channel.connector)
    return build(channel.options, read_secret(secret), transport)
