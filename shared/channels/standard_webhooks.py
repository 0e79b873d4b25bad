"""Signing what we send, in the Standard Webhooks form.

``webhook-signature`` is a space-separated list of ``v1,<base64>``; each is an HMAC-SHA256 over
``{webhook-id}.{webhook-timestamp}.{raw body}`` with the base64-decoded part of a ``whsec_`` secret. While a
secret rotates, both secrets sign, so that the receiver may change over whenever it likes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime

from shared.channels.options import ChannelOptionError, Secret

SECRET_PREFIX = "whsec_"  # noqa: S105 - the public prefix of the form, not a secret
SHORTEST_KEY_BYTES = 16


class WebhookSigner:
    """Signs messages with a channel's secret, and with the previous one while it rotates.

    Raises
    ------
    ChannelOptionError
        When a secret is not ``whsec_`` and base64.
    """

    def __init__(self, secret: Secret) -> None:
        self._keys = [signing_key(secret.current, "secret.current")]
        if secret.previous is not None:
            self._keys.append(signing_key(secret.previous, "secret.previous"))

    def headers(self, message_id: str, sent_at: datetime, body: bytes) -> Mapping[str, str]:
        """Return the three headers of a message.

        ``message_id`` stays the same over retries, ``sent_at`` does not: receivers refuse old timestamps.
        """
        timestamp = str(int(sent_at.timestamp()))
        return {
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": " ".join(sign(key, message_id, timestamp, body) for key in self._keys),
        }


def signing_key(secret: str, name: str) -> bytes:
    """Return the key inside a secret, with or without its ``whsec_``; ``name`` says in an error which it was.

    Raises
    ------
    ChannelOptionError
    """
    remedy = "store a secret of the form whsec_<base64>, of 24 to 64 bytes"
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as malformed:
        raise ChannelOptionError(name, "is not base64", remedy) from malformed
    if len(key) < SHORTEST_KEY_BYTES:
        raise ChannelOptionError(name, f"is shorter than {SHORTEST_KEY_BYTES} bytes", remedy)
    return key


def sign(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """Return one symmetric signature, ``v1,...``."""
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
