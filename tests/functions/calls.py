"""Events as Lambda hands them over: REST API calls, stream batches, queue batches."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from functions.inventory_api.handler import handle
from functions.receive_webhook.handler import handle as receive
from tests.functions.conftest import SECRET


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, parsed."""

    status: int
    body: Any
    headers: Mapping[str, str]


def _read(answer: Mapping[str, Any]) -> Said:
    headers = {name: str(value) for name, value in (answer.get("headers") or {}).items()}
    for name, values in (answer.get("multiValueHeaders") or {}).items():
        headers[name] = values[0]
    return Said(answer["statusCode"], json.loads(answer["body"]), headers)


def api(
    call: str,
    body: object = None,
    *,
    scopes: str = "admin",
    subject: str = "ann",
    query: Mapping[str, str] | None = None,
    **headers: Any,
) -> Said:
    """Make a call such as ``GET /v1/stock/TEA``."""
    method, path = call.split(" ", 1)
    event = {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
        "multiValueHeaders": {},
        "queryStringParameters": dict(query) if query else None,
        "multiValueQueryStringParameters": {k: [v] for k, v in query.items()} if query else None,
        "pathParameters": None,
        "requestContext": {
            "authorizer": {"subject": subject, "scopes": scopes},
            "requestId": "r",
            "stage": "test",
            "path": path,
        },
        "body": body if body is None or isinstance(body, str) else json.dumps(body),
        "isBase64Encoded": False,
    }
    return _read(handle(event, None))


def webhook(source: str, body: object, *, secret: str = SECRET, encode: bool = False, **headers: Any) -> Said:
    """Deliver a signed webhook."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    timestamp, delivery = str(int(time.time())), hashlib.sha256(raw).hexdigest()[:20]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{delivery}.{timestamp}.".encode() + raw, hashlib.sha256)
    event = {
        "pathParameters": {"source": source},
        "headers": {
            "Webhook-Id": delivery,
            "WEBHOOK-TIMESTAMP": timestamp,
            "webhook-signature": "v1," + base64.b64encode(digest).decode(),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
        "body": base64.b64encode(raw).decode() if encode else raw.decode(),
        "isBase64Encoded": encode,
    }
    return _read(receive(event, None))


def queue_record(body: object, number: int = 1, queue: str = "push-shop-bulk") -> dict[str, Any]:
    """Return one record of an SQS batch."""
    return {
        "messageId": f"m{number}",
        "receiptHandle": f"r{number}",
        "body": body if isinstance(body, str) else json.dumps(body),
        "eventSourceARN": f"arn:aws:sqs:eu-west-1:123456789012:{queue}",
    }
