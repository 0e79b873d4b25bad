"""The outage drill over the API."""

from __future__ import annotations

import pytest

from tests.functions.calls import api
from tests.functions.conftest import Aws


def test_an_outage_is_played_for_whoever_watches(aws: Aws) -> None:
    said = api("GET /v1/drills/outage", query={"source": "wms", "minutes": "90"}, scopes="viewer")
    assert said.status == 200
    assert (said.body["kind"], said.body["name"], said.body["minutes"]) == ("source", "wms", 90)
    assert (said.body["at_risk"], said.body["units"]["oversold"]) == ([], {"usual": 0, "busiest": 0})


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "source"),
        ({"source": "wms", "channel": "shop"}, "source"),
        ({"source": "nobody"}, "source"),
        ({"channel": "nobody"}, "channel"),
        ({"source": "wms", "minutes": "0"}, "minutes"),
        ({"source": "wms", "minutes": "99999"}, "minutes"),
        ({"source": "wms", "minutes": "an hour"}, "minutes"),
    ],
)
def test_what_cannot_be_played_is_refused_by_its_field(aws: Aws, query: dict[str, str], field: str) -> None:
    said = api("GET /v1/drills/outage", query=query)
    assert (said.status, said.body["field"]) == (400, field)
