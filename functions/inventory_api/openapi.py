"""The OpenAPI document of ``/v1``, made from the declarations of the calls themselves, so that it cannot drift.

``GET /v1/openapi.json`` answers it to whoever bears a token.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic.json_schema import models_json_schema

from functions.inventory_api.edge import CALLS, OPERATORS, RESERVERS, WATCHERS, Asked, Call, call
from functions.inventory_api.requests import LARGEST_PAGE, LONGEST_CASE_ID, LONGEST_NAME
from shared.domain.cases import CaseKind, CaseStatus
from shared.runtime.http import Answer, answer

Json = dict[str, Any]

_COMPONENT = "#/components/schemas/{model}"
_NAME: Json = {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME}
_QUERY: dict[str, tuple[str, Json]] = {
    "as_of": ("The instant that is asked about, in ISO 8601 with a time zone.", {"type": "string", "format": "date-time"}),
    "since": ("Only what was so at this instant or later, in ISO 8601 with a time zone.", {"type": "string", "format": "date-time"}),
    "from": ("The first day (UTC), such as 2026-01-31.", {"type": "string", "format": "date"}),
    "to": ("The last day (UTC), included; default: today.", {"type": "string", "format": "date"}),
    "limit": ("Rows of a page.", {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": 50}),
    "offset": ("Bytes of the body to pass over: next_offset of the answer before.", {"type": "integer", "minimum": 0}),
    "status": ("Where the cases stand.", {"type": "string", "enum": [*CaseStatus], "default": "open"}),
    "kind": ("Only cases of this kind.", {"type": "string", "enum": [*CaseKind]}),
    "minutes": ("How long it lasts.", {"type": "integer", "minimum": 1, "maximum": 10_080, "default": 60}),
    "cursor": ("Where the page begins: cursor of the answer before.", {"type": "string"}),
    "code": ("The source's own code.", _NAME),
    "sku": ("Our SKU; this form takes any character, the path does not.", _NAME),
}  # fmt: skip
_ONCE_FOR_EACH_KEY = ("/v1/reservations", "/v1/movements", "/v1/counts", "/v1/transfers")
_PROBLEM: Json = {
    "description": "Refused (RFC 9457)",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_PROBLEM_SCHEMA: Json = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "urn:onecount:problem:NAME; NAME is stable"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "field": {"type": "string", "description": "The field at fault"},
        "remedy": {"type": "string", "description": "What to do"},
    },
}


@call("GET /v1/openapi.json", (*RESERVERS, *WATCHERS, *OPERATORS))
def get_openapi(_: Asked[Any]) -> Answer:
    """Describe every call in OpenAPI 3.1."""
    return answer(200, document())


def document() -> Json:
    """Return the OpenAPI 3.1 document of every declared call."""
    calls = [declared for declared in CALLS if "<action>" not in declared.path]  # that one only says 404
    models = {declared.body for declared in calls if declared.body is not None}
    in_order = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema([(model, "validation") for model in in_order], ref_template=_COMPONENT)
    paths: dict[str, Json] = {}
    for declared in calls:
        path = re.sub(r"<(\w+)>", r"{\1}", declared.path)
        paths.setdefault(path, {})[declared.method.lower()] = _operation(declared)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Onecount", "version": "1"},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {"Problem": _PROBLEM_SCHEMA, **schemas.get("$defs", {})},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _operation(declared: Call) -> Json:
    summary, rest = declared.says.partition("\n")[::2]
    scopes = sorted({*declared.scopes, "admin"})
    said: Json = {
        "operationId": _operation_id(declared),
        "summary": summary,
        "description": " ".join([*rest.split(), f"Needs one of the scopes: {', '.join(scopes)}."]),
        "security": [{"token": []}],
        "x-scopes": scopes,
        "parameters": _parameters(declared),
        "responses": {
            "200": {"description": "Done", "content": {"application/json": {"schema": {"type": "object"}}}},
            "4XX": _PROBLEM,
            "5XX": _PROBLEM,
        },
    }
    if declared.body is not None:
        schema = {"$ref": _COMPONENT.format(model=declared.body.__name__)}
        said["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return said


def _operation_id(declared: Call) -> str:
    words = re.findall(r"\w+", declared.path.removeprefix("/v1"))
    return "_".join([declared.method.lower(), *words])


def _parameters(declared: Call) -> list[Json]:
    found: list[Json] = []
    for name in re.findall(r"<(\w+)>", declared.path):
        longest = LONGEST_CASE_ID if name == "case" else LONGEST_NAME
        schema = {**_NAME, "maxLength": longest}
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    for name in declared.query:
        says, schema = _QUERY.get(name, (f"Only what concerns this {name}.", _NAME))
        found.append({"name": name, "in": "query", "schema": schema, "description": says})
    is_said_once = declared.method == "POST" and declared.path.startswith(_ONCE_FOR_EACH_KEY)
    if is_said_once or (declared.method == "DELETE" and declared.path.endswith("/fulfil")):
        found.append({"name": "Idempotency-Key", "in": "header", "required": True, "schema": _NAME})
    return found
