"""The OpenAPI document names every call with everything that it takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from functions.inventory_api.edge import CALLS
from functions.inventory_api.openapi import document
from tests.functions.calls import api
from tests.functions.conftest import Aws


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def test_the_document_is_answered_to_whoever_bears_a_token(aws: Aws) -> None:
    for scope in ("viewer", "reserver", "operator", "approver", "admin"):
        said = api("GET /v1/openapi.json", scopes=scope)
        assert (said.status, said.body["openapi"]) == (200, "3.1.0")
    assert api("GET /v1/openapi.json", scopes="").status == 403


def test_every_call_stands_in_it_with_its_path_query_body_and_scopes() -> None:
    said = {(method, path): operation for path, method, operation in operations()}
    for declared in CALLS:
        if "<action>" in declared.path:
            continue
        operation = said[declared.method, re.sub(r"<(\w+)>", r"{\1}", declared.path)]
        assert operation["summary"].endswith(".")
        assert set(operation["x-scopes"]) == {"admin", *declared.scopes}
        given = {(p["in"], p["name"]) for p in operation["parameters"] if p["in"] != "header"}
        in_path = {("path", name) for name in re.findall(r"<(\w+)>", declared.path)}
        assert given == in_path | {("query", name) for name in declared.query}
        assert ("requestBody" in operation) == (declared.body is not None)


def test_every_reference_leads_somewhere_and_no_two_operations_have_one_name() -> None:
    whole = document()
    schemas = {f"#/components/schemas/{name}" for name in whole["components"]["schemas"]}
    found = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(whole)))
    assert found
    assert found <= schemas
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)


def test_what_a_body_may_hold_is_said() -> None:
    schemas = document()["components"]["schemas"]
    line = schemas["ReservationLine"]
    assert set(line["required"]) == {"sku", "quantity"}
    assert line["properties"]["quantity"]["minimum"] == 1
    assert line["additionalProperties"] is False
