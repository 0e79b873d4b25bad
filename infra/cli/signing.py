"""Signing a webhook as its source would, so that a delivery can be made or repeated by hand."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from datetime import UTC, datetime

from infra.cli.console import CommandError
from shared.channels.standard_webhooks import SECRET_PREFIX, sign
from shared.domain.network import Source

PUBLIC_PREFIX = "whpk_"
PUBLIC_KEY_BYTES = 32
LEAST_KEY_BYTES = 24


def current_secret(text: str) -> str | None:
    """Return the current secret out of the stored JSON, None where it holds none."""
    try:
        current = json.loads(text)["current"]
    except (ValueError, KeyError, TypeError):
        return None
    return current if isinstance(current, str) and current else None


def require_secret(text: str, kind: str, name: str) -> str:
    """Return the current secret out of the stored JSON.

    Raises
    ------
    CommandError
        When there is none.
    """
    current = current_secret(text)
    if current is None:
        remedy = f"deploy the network that declares it, or store one: `onecount secret set {kind} {name}`"
        raise CommandError(f"{kind} {name} has no usable secret", remedy)
    return current


def check_signing_secret(source: Source, secret: str) -> None:
    """Refuse a secret under which anybody could sign as ``source``, or nobody.

    Standard Webhooks want keys of 24 to 64 bytes; what a shop or another system of its own kind gives out is taken.

    Raises
    ------
    CommandError
    """
    if source.connector != "standard_webhooks":
        return
    remedy = (
        'make one and give it to the sender too: printf "whsec_%s" "$(openssl rand -base64 32)" | '
        f"onecount secret set source {source.id}"
    )
    is_public = secret.startswith(PUBLIC_PREFIX)
    try:
        key = base64.b64decode(
            secret.removeprefix(PUBLIC_PREFIX if is_public else SECRET_PREFIX), validate=True
        )
    except binascii.Error as error:
        reason = f"the secret of source {source.id} is not base64, so it verifies no signature"
        raise CommandError(reason, remedy) from error
    size = "1 byte" if len(key) == 1 else f"{len(key)} bytes"
    if is_public and len(key) != PUBLIC_KEY_BYTES:
        reason = f"the public key of source {source.id} has {size}; one of ed25519 has {PUBLIC_KEY_BYTES}"
        raise CommandError(reason, f"store the sender's own whpk_..., or a shared secret: {remedy}")
    if not is_public and len(key) < LEAST_KEY_BYTES:
        reason = (
            f"the secret of source {source.id} holds a key of {size}, which can be guessed; "
            f"Standard Webhooks want {LEAST_KEY_BYTES} to 64"
        )
        raise CommandError(reason, remedy)


def signed_headers(
    source: Source, secret: str, body: bytes, *, delivery_id: str | None, topic: str | None
) -> dict[str, str]:
    """Return the headers of a delivery of ``body``, signed as the source's connector demands.

    Parameters
    ----------
    delivery_id
        The sender's id of this delivery; by default a digest of topic and body, so that the same file sent again
        is the same delivery.
    topic
        What the delivery is about, where the connector says that in a header.

    Raises
    ------
    CommandError
        When the connector takes no webhooks, something it needs is missing, or the secret cannot sign.
    """
    name = delivery_id or "cli-" + hashlib.sha256(f"{topic or ''}\n".encode() + body).hexdigest()[:32]
    now = datetime.now(UTC)
    if source.connector == "standard_webhooks":
        return _standard(secret, name, now, body)
    if source.connector == "shopify":
        return _shopify(source, secret, name, now, body, topic)
    raise CommandError(
        f"source {source.id} takes no webhooks: its connector is {source.connector}",
        f"give it files instead: `onecount drop {source.id} FILE`",
    )


def _standard(secret: str, delivery_id: str, now: datetime, body: bytes) -> dict[str, str]:
    timestamp = str(int(now.timestamp()))
    return {
        "Content-Type": "application/json",
        "webhook-id": delivery_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": sign(_key(secret), delivery_id, timestamp, body),
    }


def _key(secret: str) -> bytes:
    """Return the key inside a Standard Webhooks secret, which the source's side takes with or without its prefix."""
    if secret.startswith(PUBLIC_PREFIX):
        raise CommandError(
            "this source signs with a key pair, and only its public half is stored here",
            "send from the source itself",
        )
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        remedy = "store one of the form whsec_<base64>: `onecount secret set source <name>`"
        raise CommandError(
            "the source's secret is not base64, so nothing can be signed with it", remedy
        ) from error


def _shopify(
    source: Source, secret: str, delivery_id: str, now: datetime, body: bytes, topic: str | None
) -> dict[str, str]:
    if topic is None:
        raise CommandError(
            "a Shopify delivery names its topic in a header", "pass it, for example --topic orders/create"
        )
    shop = source.options.get("shop")
    if not isinstance(shop, str):
        remedy = "declare options.shop (like name.myshopify.com) in the network file and apply it"
        raise CommandError(f"source {source.id} does not say which shop it is", remedy)
    return {
        "Content-Type": "application/json",
        "X-Shopify-Topic": topic,
        "X-Shopify-Shop-Domain": shop,
        "X-Shopify-Webhook-Id": delivery_id,
        "X-Shopify-Triggered-At": now.isoformat(),
        "X-Shopify-Hmac-Sha256": base64.b64encode(
            hmac.digest(secret.encode(), body, hashlib.sha256)
        ).decode(),
    }
