"""Answers of the HTTP doors: JSON, and RFC 9457 problems that name the field, the reason and the remedy."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Event: TypeAlias = "Mapping[str, Any]"
"""A REST API proxy event, as Lambda receives it."""

Answer: TypeAlias = "dict[str, Any]"
"""A proxy integration's answer."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong with a request.

    ``name`` is stable and becomes the problem's ``type``; ``more`` carries the figures.
    """

    status: int
    name: str
    title: str
    detail: str
    remedy: str = ""
    field: str = ""
    more: Mapping[str, Any] | None = None


def answer(status: int, body: object, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with JSON."""
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", **(headers or {})},
        "body": json.dumps(body, separators=(",", ":")),
        "isBase64Encoded": False,
    }


def problem(found: Problem) -> Answer:
    """Answer with a problem."""
    said: dict[str, Any] = {
        "type": f"urn:onecount:problem:{found.name}",
        "title": found.title,
        "status": found.status,
        "detail": found.detail,
    }
    if found.field:
        said["field"] = found.field
    if found.remedy:
        said["remedy"] = found.remedy
    said |= found.more or {}
    return answer(found.status, said, {"Content-Type": "application/problem+json"})


def headers_of(event: Event) -> dict[str, str]:
    """Return the request's headers with lower-case names."""
    return {name.lower(): value for name, value in (event.get("headers") or {}).items()}


def body_of(event: Event) -> bytes:
    """Return the request body's raw bytes."""
    body = event.get("body") or ""
    return base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
