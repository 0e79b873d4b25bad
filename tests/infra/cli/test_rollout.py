"""``rollout`` and the modes of a network file: one command forward and back, and a file that says nothing moves none."""

from __future__ import annotations

import pytest

from shared.domain.network import Listing
from shared.domain.rollout import Mode
from shared.domain.stock import ChannelId, LocationId, Sku, SourceId
from tests.infra.cli.arrange import NETWORK, Bench

SHOP, EAST = ChannelId("shop"), LocationId("east")
IN_SHADOW = (
    "    safety_stock: 2\n    rollout: [{mode: shadow}, {mode: live, skus: [M*, A], locations: [east]}]"
)


def mode(bench: Bench, sku: str, channel: str = SHOP) -> Mode:
    return bench.registry.rollouts.of("channel", channel).mode_at(Sku(sku), EAST)


def listed(bench: Bench, *skus: str) -> None:
    bench.registry.add_items(Sku(sku) for sku in skus)
    bench.registry.add_listings(Listing(SHOP, Sku(sku), f"id-{sku}") for sku in skus)


def with_modes(bench: Bench, text: str = IN_SHADOW) -> str:
    return bench.file("network.yaml", NETWORK.replace("    safety_stock: 2", text))


def test_a_channel_goes_to_shadow_and_back_to_live_with_every_listing_queued(bench: Bench) -> None:
    listed(bench, "A", "B")

    assert bench.run("rollout", "shop", "--mode", "shadow").exit_code == 0
    assert mode(bench, "A") is Mode.SHADOW
    bench.lanes.sent.clear()
    said = bench.json("rollout", "shop", "--mode", "live")

    assert (mode(bench, "A"), said["queued"], bench.lanes.skus) == (Mode.LIVE, 2, ["A", "B"])


def test_only_the_scope_is_switched_and_queued(bench: Bench) -> None:
    listed(bench, "A", "MUG-1", "MUG-2")
    bench.run("rollout", "shop", "--mode", "shadow")
    bench.lanes.sent.clear()

    said = bench.json("rollout", "shop", "--mode", "live", "--sku", "MUG*", "--location", "east")

    assert said["rules"] == {"every SKU": "shadow", "MUG* at east": "live"}
    assert bench.lanes.skus == ["MUG-1", "MUG-2"]


def test_looks_that_could_not_be_queued_are_told_and_queued_by_the_same_command(bench: Bench) -> None:
    listed(bench, "A")
    bench.lanes.broken = True
    failed = bench.run("rollout", "shop", "--mode", "shadow")
    assert failed.exit_code == 1
    assert "run the same command again" in failed.stderr

    bench.lanes.broken = False
    assert bench.json("rollout", "shop", "--mode", "shadow")["queued"] == 1


def test_a_source_that_goes_live_is_told_how_to_post_what_came_before(bench: Bench) -> None:
    bench.run("rollout", "erp", "--mode", "shadow")
    said = bench.run("rollout", "erp", "--mode", "live")

    assert "onecount replay --source erp --since " in said.stdout
    assert bench.registry.network(fresh=True).sources[SourceId("erp")].mode_at(Sku("A"), EAST) is Mode.LIVE


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nobody", "--mode", "live"], "declared: erp, shopify, wms, shop"),
        (["shop"], "add --mode observe"),
        (["--mode", "live"], "nobody is named"),
        (["shop", "--mode", "live", "--sku", "NOPE"], "import it first"),
        (["shop", "--mode", "live", "--location", "moon"], "declared: east"),
        (["shop", "--mode", "live", "--as", "source"], "not a declared source"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_do(
    bench: Bench, arguments: list[str], told: str
) -> None:
    result = bench.run("rollout", *arguments)
    assert result.exit_code == 1
    assert told in result.stderr
    assert bench.registry.rollouts.all() == {}


def test_a_name_that_is_both_asks_which_is_meant(bench: Bench) -> None:
    bench.declare(NETWORK.replace("  erp: {", "  shop: {"))

    assert "--as source, or --as channel" in bench.run("rollout", "shop", "--mode", "shadow").stderr
    assert bench.run("rollout", "shop", "--as", "source", "--mode", "shadow").exit_code == 0
    assert list(bench.registry.rollouts.all()) == [("source", "shop")]


def test_a_file_declares_modes_and_its_diff_names_them(bench: Bench) -> None:
    said = bench.json("apply", with_modes(bench), "--yes")

    [entry] = said["changed"]
    assert {change["field"]: change["becomes"] for change in entry["fields"]} == {
        "rollout.every SKU": "shadow",
        "rollout.A at east": "live",
        "rollout.M* at east": "live",
    }
    assert (mode(bench, "A"), mode(bench, "MUG"), mode(bench, "TEA")) == (Mode.LIVE, Mode.LIVE, Mode.SHADOW)


def test_the_same_file_again_changes_nothing(bench: Bench) -> None:
    bench.run("apply", with_modes(bench), "--yes")
    assert "nothing to change" in bench.run("apply", with_modes(bench)).stdout


def test_a_file_that_says_no_mode_moves_none(bench: Bench) -> None:
    bench.run("rollout", "shop", "--mode", "observe")

    said = bench.json("apply", with_modes(bench, "    safety_stock: 9"), "--yes")

    assert [change["field"] for change in said["changed"][0]["fields"]] == ["safety_stock"]
    assert mode(bench, "A") is Mode.OBSERVE


def test_a_new_channel_that_is_declared_in_shadow_is_never_live(bare: Bench) -> None:
    bare.run("apply", with_modes(bare), "--yes")
    assert mode(bare, "TEA") is Mode.SHADOW


def test_a_source_of_orders_is_not_switched_back_under_a_live_channel(bench: Bench) -> None:
    result = bench.run("rollout", "shopify", "--mode", "shadow")
    assert result.exit_code == 1
    assert "shop would be live for every SKU at east while shopify" in result.stderr
    assert "put shop into shadow there first" in result.stderr


def test_a_file_that_puts_a_source_of_orders_into_shadow_under_a_live_channel_is_not_applied(
    bench: Bench,
) -> None:
    shopify = "  shopify: {connector: shopify,"
    in_shadow = NETWORK.replace(shopify, f"{shopify} rollout: [{{mode: shadow}}],")
    result = bench.run("apply", bench.file("network.yaml", in_shadow), "--yes")
    assert result.exit_code == 1
    assert "say mode: shadow there in channels.shop.rollout too" in result.stderr
    assert bench.registry.rollouts.all() == {}

    bench.run("rollout", "shop", "--mode", "shadow")
    assert bench.run("apply", bench.file("network.yaml", in_shadow), "--yes").exit_code == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("    rollout: [{mode: off}]", "channels.shop.rollout.0.mode"),
        ("    rollout: [{mode: live, skus: ['*A']}]", "channels.shop.rollout.0.skus.0"),
        ("    rollout: [{mode: live, locations: [moon]}]", "'moon' is not a declared location"),
        ("    rollout: [{mode: live}, {mode: shadow}]", "says the mode of every SKU a second time"),
    ],
)
def test_a_mode_that_cannot_be_meant_is_a_mistake_of_the_file(bench: Bench, text: str, told: str) -> None:
    result = bench.run("apply", with_modes(bench, text), "--yes")
    assert result.exit_code == 1
    assert told in result.stderr


def test_the_stock_of_an_item_says_where_a_channel_is_sent_nothing(bench: Bench) -> None:
    listed(bench, "A")
    bench.count("A", 5)
    bench.run("rollout", "shop", "--mode", "shadow", "--sku", "A")

    assert bench.json("stock", "A")["channels"][0]["mode"] == "shadow"
    assert "shop is in shadow mode at east: it is sent nothing" in bench.run("stock", "A").stdout

    bench.run("rollout", "shop", "--mode", "live")
    assert "it is sent nothing" not in bench.run("stock", "A").stdout
