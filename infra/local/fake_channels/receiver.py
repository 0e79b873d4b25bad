"""The fake receiver of signed availability: the far side of ``shared/channels/signed_webhook.py``.

It verifies what it receives on its own, from the Standard Webhooks specification, rather than with the code that
signs: two readings of one specification catch what one reading cannot.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

TOLERANCE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; no body where ``body`` is None."""

    status: int
    body: Mapping[str, object] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Receiver:
    """One receiving system.

    Attributes
    ----------
    compares
        Whether it compares ``expected`` before it sets.
    knows_items
        Whether it refuses an item that it was not given a level for.
    states_results
        Whether it states one result an offer, or answers 204 with nothing.
    """

    secret: str
    clock: Callable[[], datetime]
    compares: bool = True
    knows_items: bool = False
    states_results: bool = True
    levels: dict[tuple[str, str], int | None] = field(default_factory=dict)
    kept: dict[str, tuple[bytes, Reply]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def receive(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """Take one batch of offers."""
        trouble = self.verify(headers, body)
        if trouble is not None:
            return Reply(HTTPStatus.UNAUTHORIZED, {"error": trouble})
        key = headers.get("idempotency-key", "")
        if not key:
            return Reply(HTTPStatus.BAD_REQUEST, {"error": "Idempotency-Key is missing; send one"})
        with self.lock:
            if key in self.kept:
                kept_body, reply = self.kept[key]
                mismatch = {"error": "this Idempotency-Key came with another body"}
                return reply if kept_body == body else Reply(HTTPStatus.UNPROCESSABLE_ENTITY, mismatch)
            try:
                offers = json.loads(body)["data"]["offers"]
                results = [self._take(offer) for offer in offers]
            except (ValueError, KeyError, TypeError) as malformed:
                return Reply(HTTPStatus.BAD_REQUEST, {"error": f"not stock.availability: {malformed}"})
            reply = Reply(HTTPStatus.OK, {"results": results}) if self.states_results else Reply(204)
            self.kept[key] = (body, reply)
            return reply

    def show(self, headers: Mapping[str, str], query: str) -> Reply:
        """Answer a reading back."""
        trouble = self.verify(headers, b"")
        if trouble is not None:
            return Reply(HTTPStatus.UNAUTHORIZED, {"error": trouble})
        asked = parse_qsl(query)
        if [name for name, _ in asked] != ["external_id", "location"] * (len(asked) // 2):
            return Reply(HTTPStatus.BAD_REQUEST, {"error": "send pairs of external_id and location"})
        pairs = [(asked[n][1], asked[n + 1][1]) for n in range(0, len(asked), 2)]
        with self.lock:
            levels = [
                {"external_id": item, "location": location, "quantity": self.levels.get((item, location))}
                for item, location in pairs
            ]
        return Reply(HTTPStatus.OK, {"levels": levels})

    def verify(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """Return what is wrong with a signature, None when it holds."""
        message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not message_id or not timestamp.isdigit():
            return "webhook-id or webhook-timestamp is missing"
        if abs(self.clock().timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
            return "webhook-timestamp is outside the tolerance"
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        signed = f"{message_id}.{timestamp}.".encode() + body
        wanted = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
        stated = headers.get("webhook-signature", "").split()
        if any(hmac.compare_digest(one.encode(), wanted) for one in stated):
            return None
        return "no signature in webhook-signature fits"

    def _take(self, offer: Mapping[str, Any]) -> Mapping[str, object]:
        pair = (offer["external_id"], offer["location"])
        result: dict[str, object] = {"external_id": pair[0], "location": pair[1], "status": "ok"}
        expected, shown = offer["expected"], self.levels.get(pair)
        if self.knows_items and pair not in self.levels:
            return {**result, "status": "refused", "code": "unknown_item", "reason": "we do not sell it"}
        if self.compares and expected is not None and shown != expected:
            return {**result, "status": "stale", "observed": shown}
        self.levels[pair] = int(offer["quantity"])
        return result


def offers_in(body: bytes) -> Sequence[Mapping[str, object]]:
    """Return the offers of a request for the log; none if it is not one."""
    try:
        offers = json.loads(body)["data"]["offers"]
    except (ValueError, KeyError, TypeError):
        return ()
    return offers if isinstance(offers, list) else ()


def summary(body: Mapping[str, object] | None) -> str:
    """Say in a word what an answer says, for the log."""
    errors: Any = (body or {}).get("errors") or (body or {}).get("error")
    if isinstance(errors, list):
        return ",".join(error["extensions"]["code"] for error in errors)
    results: Any = (body or {}).get("results")
    if isinstance(results, list):
        return ",".join(str(result["status"]) for result in results)
    return str(errors) if errors else "ok"
