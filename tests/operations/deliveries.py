"""Signed deliveries and dropped files, as their senders make them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import datetime
from typing import Any

from shared.domain.events import instant
from shared.operations.ingest import Drop
from tests.operations.house import NOON, FixedSecrets, House


def body(
    kind: str, document: str, *lines: dict[str, Any], occurred_at: datetime = NOON, **more: Any
) -> dict[str, Any]:
    """Return a body of the generic signed webhook."""
    numbered = [{"line": str(n), "location": "east", **line} for n, line in enumerate(lines, start=1)]
    data = {"document": document, "occurred_at": instant(occurred_at), "lines": numbered, **more}
    return {"type": f"stock.{kind}", "timestamp": instant(occurred_at), "data": data}


def receipt(document: str, sku: str = "TEA", units: int = 10, **more: Any) -> dict[str, Any]:
    return body("receipt", document, {"sku": sku, "quantity": units}, **more)


def signed(raw: bytes, delivery: str, now: datetime, secret: str = FixedSecrets().secret) -> dict[str, str]:
    """Return the headers that sign a body in the Standard Webhooks form."""
    timestamp = str(int(now.timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{delivery}.{timestamp}.".encode() + raw, hashlib.sha256)
    return {
        "webhook-id": delivery,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
        "content-type": "application/json",
    }


def deliver(house: House, said: object, delivery: str = "msg-1", source: str = "wms") -> bool:
    """Let a source deliver a body; return whether it was a duplicate."""
    raw = said if isinstance(said, bytes) else json.dumps(said).encode()
    return house.receiver.receive(source, signed(raw, delivery, house.clock()), raw).duplicate


def drop(house: House, name: str, text: str, *, sequencer: str = "01", prefix: str = "files/") -> Drop:
    """Put a file into the drop bucket and return what S3 announces."""
    key = prefix + name
    house.archive.put(key, text.encode())
    return Drop(key, f"v{sequencer}", sequencer, len(text.encode()), house.clock())


def rows(*cells: tuple[str, object], site: str = "west") -> str:
    """Return a snapshot file of (SKU, quantity)."""
    return "\n".join(["sku,site,qty", *(f"{sku},{site},{quantity}" for sku, quantity in cells)]) + "\n"
