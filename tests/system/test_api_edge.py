"""Any legal SKU is reached through the gateway, and a token that is not good is 401, as the template deploys them."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from infra.local.demo.stage import Stage, registry, send
from shared.domain.stock import Sku

pytestmark = pytest.mark.system

ODD = ["A/B #1", "50% off", "a?b&c=d+e", "\N{TEAPOT} tea", "..", "%2F", "A%41", "A/journal"]


@pytest.mark.parametrize("sku", ODD)
def test_an_item_of_any_sku_is_reached_by_its_query_form(world: Stage, sku: str) -> None:
    registry(world).add_items([Sku(sku)])
    asked = quote(sku, safe="")
    answer = world.api("GET", f"/v1/stock?sku={asked}")
    assert (answer.status, answer.body["sku"]) == (200, sku)
    journal = world.api("GET", f"/v1/journal?sku={asked}&location=east")
    assert (journal.status, journal.body["entries"]) == (200, [])
    promised = world.api("GET", f"/v1/availability?sku={asked}&channel=shopify")
    assert (promised.status, promised.body["sku"]) == (200, sku)


@pytest.mark.parametrize("sku", ["50% off", "\N{TEAPOT} tea", "#7"])
def test_an_item_is_reached_by_its_path_where_the_path_can_carry_its_sku(world: Stage, sku: str) -> None:
    registry(world).add_items([Sku(sku)])
    answer = world.api("GET", f"/v1/stock/{quote(sku, safe='')}")
    assert (answer.status, answer.body["sku"]) == (200, sku)


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "." * 3000, "W3tbW3tb" * 300 + ".e30.e30"])
def test_a_token_that_is_not_good_is_a_401_problem(world: Stage, token: str) -> None:
    url = f"{world.runtime.api_url}/v1/cases"
    answer = send("GET", url, None, {"Authorization": f"Bearer {token}"})
    assert (answer.status, answer.body["type"]) == (401, "urn:onecount:problem:unauthorized")


def test_what_is_too_long_is_refused_by_its_name(world: Stage) -> None:
    answer = world.api("GET", f"/v1/messages/{'x' * 3000}")
    assert (answer.status, answer.body["field"]) == (400, "message")
