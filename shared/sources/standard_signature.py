"""Signatures in the Standard Webhooks form (https://www.standardwebhooks.com), for every source that uses it.

Three headers: ``webhook-id``, ``webhook-timestamp`` (Unix seconds) and ``webhook-signature``, a space-separated
list of ``v1,<base64 HMAC-SHA256>`` (secret ``whsec_<base64>``) and ``v1a,<base64 ed25519>`` (public key
``whpk_<base64>``) over ``{id}.{timestamp}.{raw body}``. Every secret handed in is valid, and one signature that
fits is enough, so that either side may rotate without a pause. The id stays the same across retries; the
timestamp does not, and must be within ``REPLAY_WINDOW`` of now, before or after.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.sources.contract import REPLAY_WINDOW, AuthenticationError, Delivery, Request


def verify(request: Request, secrets: Sequence[str], now: datetime) -> Delivery:
    """Prove a request by any of its signatures under any of the secrets.

    Raises
    ------
    AuthenticationError
        When a header is missing or garbled, the time is outside the window, or no signature fits.
    """
    delivery_id = _header(request, "webhook-id")
    if len(delivery_id) > 256 or not delivery_id.isascii() or not delivery_id.isprintable():
        raise AuthenticationError("webhook-id is not a printable ASCII text of at most 256 characters")
    if "." in delivery_id:
        raise AuthenticationError("webhook-id holds a full stop, which separates the parts that are signed")
    timestamp = _header(request, "webhook-timestamp")
    _check_window(timestamp, now)
    signatures = _header(request, "webhook-signature").split()
    signed = b".".join([delivery_id.encode(), timestamp.encode(), request.body])
    verifiers = [verifier for secret in secrets if (verifier := _verifier(secret)) is not None]
    if not verifiers:
        raise AuthenticationError("the source has no usable secret: declare one that begins with whsec_")
    if not any(verifier.fits(signed, signature) for verifier in verifiers for signature in signatures):
        raise AuthenticationError("no signature in webhook-signature fits a secret of this source")
    return Delivery(delivery_id, {"webhook-id": delivery_id, "webhook-timestamp": timestamp})


def _header(request: Request, name: str) -> str:
    value = request.headers.get(name, "").strip()
    if not value:
        raise AuthenticationError(f"header {name} is missing")
    return value


def _check_window(timestamp: str, now: datetime) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise AuthenticationError("webhook-timestamp is not a whole number of Unix seconds")
    age = now.timestamp() - int(timestamp)
    window = REPLAY_WINDOW.total_seconds()
    if age > window:
        raise AuthenticationError(
            f"webhook-timestamp is {age:.0f} s old; at most {window:.0f} s are accepted"
        )
    if age < -window:
        raise AuthenticationError(
            f"webhook-timestamp is {-age:.0f} s in the future; check the sender's clock"
        )


@dataclass(frozen=True, slots=True)
class _Hmac:
    key: bytes

    def fits(self, signed: bytes, signature: str) -> bool:
        expected = base64.b64encode(hmac.digest(self.key, signed, hashlib.sha256))
        return hmac.compare_digest(b"v1," + expected, signature.encode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class _Ed25519:
    public_key: bytes

    def fits(self, signed: bytes, signature: str) -> bool:
        version, _, encoded = signature.partition(",")
        given = _decoded(encoded) if version == "v1a" else None
        if given is None:
            return False
        # Imported here: a source with a shared secret must not pay for loading OpenSSL at a cold start.
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(given, signed)
        except InvalidSignature:
            return False
        return True


def _verifier(secret: str) -> _Hmac | _Ed25519 | None:
    if secret.startswith("whpk_"):
        public_key = _decoded(secret.removeprefix("whpk_"))
        return _Ed25519(public_key) if public_key is not None and len(public_key) == 32 else None
    key = _decoded(secret.removeprefix("whsec_"))
    return _Hmac(key) if key else None


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
