"""``apply``: what a network file changes, what it does not, and every mistake at once."""

from __future__ import annotations

import json
from datetime import time, timedelta

import pytest

from infra.cli.network_commands import RULES_SETTLE_S
from shared.channels.registry import CONNECTORS, channel_options
from shared.domain.cases import CaseKind
from shared.domain.digest import DigestTime
from shared.domain.handoffs import DeclaredPath
from shared.domain.money import parse_money
from shared.domain.network import Listing, Replenishment, Route, Tolerance
from shared.domain.rules import FourEyes, Rules
from shared.domain.stock import ChannelId, LocationId, Sku, SourceId, StockKey
from shared.operations.fan_out import Lane
from shared.operations.set_aside import SetAside
from shared.sources.registry import FILE_CONNECTORS, WEBHOOK_CONNECTORS, source_options
from shared.store.promises import standings
from shared.store.registry import REMEMBERED_S
from tests.infra.cli.arrange import NETWORK, NOON, Bench


def edited(bench: Bench, *changes: tuple[str, str]) -> str:
    text = NETWORK
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return bench.file("network.yaml", text)


def test_the_first_file_is_all_added(bare: Bench) -> None:
    said = bare.json("apply", edited(bare), "--yes")

    assert [f"{entry['kind']} {entry['id']}" for entry in said["added"]] == [
        "source wms",
        "source erp",
        "source shopify",
        "location east",
        "channel shop",
    ]
    assert bare.registry.network(fresh=True).sources[SourceId("wms")].options["drop"] == "wms/"


def test_the_same_file_again_changes_nothing_and_asks_nothing(bench: Bench) -> None:
    result = bench.run("apply", edited(bench))

    assert result.exit_code == 0
    assert "nothing to change" in result.stdout
    assert bench.lanes.sent == []


def test_a_change_is_shown_field_by_field_in_the_words_of_the_file(bench: Bench) -> None:
    file = edited(
        bench, ("safety_stock: 2", "safety_stock: 3\n    lateness_s: 9"), ("drop: wms/", "drop: wms/daily/")
    )

    said = bench.json("apply", file, "--yes")

    fields = {(e["id"], f["field"]): (f["was"], f["becomes"]) for e in said["changed"] for f in e["fields"]}
    assert fields == {
        ("wms", "drop"): ("wms/", "wms/daily/"),
        ("shop", "safety_stock"): (2, 3),
        ("shop", "lateness_s"): (30, 9),
    }


def test_what_is_not_in_the_file_stays_and_is_said(bench: Bench) -> None:
    file = edited(bench, ("  erp: {connector: standard_webhooks, meaning: {on_hand: on_hand}}\n", ""))

    result = bench.run("apply", file, "--yes")

    assert "source erp is not in the file; it stays as it is" in result.stdout
    assert SourceId("erp") in bench.registry.network(fresh=True).sources


WITHOUT_ERP = ("  erp: {connector: standard_webhooks, meaning: {on_hand: on_hand}}\n", "")
WITHOUT_SHOP = (NETWORK[NETWORK.index("channels:") :], "")


def test_with_remove_what_is_not_in_the_file_is_shown_and_taken_off(bench: Bench) -> None:
    file = edited(bench, WITHOUT_ERP, (", channel: shop", ""), WITHOUT_SHOP)

    result = bench.run("apply", file, "--remove", stdin="y\n")

    assert result.exit_code == 0
    assert result.stdout.index("- source erp") < result.stdout.index("2 removed")
    assert "- channel shop" in result.stdout
    left = bench.registry.network(fresh=True)
    assert (SourceId("erp") in left.sources, ChannelId("shop") in left.channels) == (False, False)
    assert SourceId("wms") in left.sources


def test_a_channel_that_is_put_back_is_looked_at_and_then_nothing_differs(bench: Bench) -> None:
    bench.registry.add_listings([Listing(ChannelId("shop"), Sku("S1"), "1")])
    bench.run("apply", edited(bench, (", channel: shop", ""), WITHOUT_SHOP), "--remove", "--yes")

    said = bench.json("apply", edited(bench), "--yes")

    assert said["queued"] == {"shop": 1}
    assert "nothing to change" in bench.run("apply", edited(bench)).stdout


def test_what_a_channel_alone_could_sell_at_a_location_that_is_taken_off_it_is_everyones_again(
    bench: Bench,
) -> None:
    west = ("  east: {counts: wms}", "  east: {counts: wms}\n  west: {counts: wms}")
    both = ("{east: EAST}", "{east: EAST, west: WEST}")
    bench.run("apply", edited(bench, west, both), "--yes")
    kept = {"east": StockKey(Sku("A"), LocationId("east")), "west": StockKey(Sku("B"), LocationId("west"))}
    for place, key in kept.items():
        bench.count(key.sku, 5, at=place)
        SetAside(bench.stock, bench.registry, lambda: NOON).keep(ChannelId("shop"), key, 2)

    bench.run("apply", edited(bench, west), "--yes")

    found = standings(bench.stock, kept.values())
    assert [found[kept[place]].set_aside for place in ("east", "west")] == [{"shop": 2}, {}]


def test_a_removal_asks_first_and_a_no_removes_nothing(bench: Bench) -> None:
    result = bench.run("apply", edited(bench, WITHOUT_ERP), "--remove", stdin="n\n")

    assert result.exit_code == 1
    assert "- source erp" in result.stdout
    assert SourceId("erp") in bench.registry.network(fresh=True).sources


def test_a_location_with_history_stays_and_one_without_goes(bench: Bench) -> None:
    bench.declare(NETWORK.replace("  east:", "  nowhere: {}\n  old: {counts: wms}\n  east:"))
    bench.count("A", 5, at="old")

    said = bench.json("apply", edited(bench), "--remove", "--yes")

    assert said["removed"] == [{"kind": "location", "id": "nowhere", "fields": []}]
    assert [entry["id"] for entry in said["not_in_file"]] == ["old"]
    assert set(bench.registry.network(fresh=True).locations) == {"east", "old"}


def test_it_asks_first_and_a_no_writes_nothing(bench: Bench) -> None:
    result = bench.run("apply", edited(bench, ("safety_stock: 2", "safety_stock: 3")), stdin="n\n")

    assert result.exit_code == 1
    assert "safety_stock: 2 -> 3" in result.stdout
    assert bench.registry.network(fresh=True).channels[ChannelId("shop")].safety_stock == 2


def test_where_nobody_can_answer_nothing_is_written_and_the_way_is_said(bench: Bench) -> None:
    result = bench.run("apply", edited(bench, ("safety_stock: 2", "safety_stock: 3")), "--json", stdin="")

    assert result.exit_code == 1
    assert "--yes" in json.loads(result.stdout)["error"]["remedy"]
    assert bench.registry.network(fresh=True).channels[ChannelId("shop")].safety_stock == 2


def test_when_the_queues_fail_the_rules_are_applied_and_the_way_on_is_said(bench: Bench) -> None:
    bench.registry.add_listings([Listing(ChannelId("shop"), Sku("A"), "S-A")])
    bench.lanes.broken = True

    result = bench.run("apply", edited(bench, ("safety_stock: 2", "safety_stock: 3")), "--yes")

    assert result.exit_code == 1
    assert "onecount push --channel shop --resync" in result.stderr
    assert bench.registry.network(fresh=True).channels[ChannelId("shop")].safety_stock == 3


def test_a_yes_writes(bench: Bench) -> None:
    result = bench.run("apply", edited(bench, ("safety_stock: 2", "safety_stock: 3")), stdin="y\n")

    assert result.exit_code == 0
    assert bench.registry.network(fresh=True).channels[ChannelId("shop")].safety_stock == 3


def test_a_channel_whose_rules_change_is_looked_at_anew_once_nobody_remembers_the_old_ones(
    bench: Bench,
) -> None:
    bench.registry.add_listings([Listing(ChannelId("shop"), Sku(sku), f"S-{sku}") for sku in ("A", "B#1")])

    said = bench.json("apply", edited(bench, ("safety_stock: 2", "safety_stock: 3")), "--yes")

    assert said["queued"] == {"shop": 2}
    assert bench.lanes.skus == ["A", "B#1"]
    assert {(lane, delay) for lane, _, delay in bench.lanes.sent} == {(Lane.BULK, RULES_SETTLE_S)}
    assert RULES_SETTLE_S > REMEMBERED_S


def test_a_channel_whose_rules_stay_is_left_alone(bench: Bench) -> None:
    bench.registry.add_listings([Listing(ChannelId("shop"), Sku("A"), "S-A")])

    said = bench.json("apply", edited(bench, ("meaning: {on_hand: on_hand}}", "maps_codes: true}")), "--yes")

    assert (said["applied"], said["queued"], bench.lanes.sent) == (True, {}, [])


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ("counts: wms", "counts: nobody", "locations.east.counts"),
        ("  erp: {", "  manual: {", "sources.manual"),
        ("sku_column: Item, ", "", "sources.wms.options.sku_column"),
        ("connector: signed_webhook", "connector: carrier_pigeon", "channels.shop.connector"),
        ("'http://127.0.0.1:9/levels'", "ftp://x", "channels.shop.options.url"),
        ("{shop: demo.myshopify.com}", "{shop: 2026-10-01}", "sources.shopify.options.shop"),
        ("{shop: demo.myshopify.com}", "{shop: 5}", "sources.shopify.options.shop"),
        ("{shop: demo.myshopify.com}", "{shpo: a.myshopify.com}", "sources.shopify.options.shpo"),
        ("{shop: demo.myshopify.com}", "{units: {CS: 12}}", "sources.shopify.options.units"),
        ("{shop: demo.myshopify.com}", "{units: [CS]}", "sources.shopify.options.units"),
        ("on_hand}}", "on_hand}, options: {stock_leaves_at: noon}}", "sources.erp.options.stock_leaves_at"),
        ("sku_column: Item", "sku_colum: X, sku_column: Item", "sources.wms.options.sku_colum"),
        (
            "sku_column: Item",
            "skip_blank_sku: perhaps, sku_column: Item",
            "sources.wms.options.skip_blank_sku",
        ),
        ("9/levels'", "9/levels', batch: 5", "channels.shop.options.batch"),
        ("9/levels'", "9/levels', batch_size: ten", "channels.shop.options.batch_size"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_applied(bare: Bench, before: str, after: str, field: str) -> None:
    result = bare.run("apply", edited(bare, (before, after)), "--yes")

    assert result.exit_code == 1
    assert f"  {field}: " in result.stderr
    assert bare.registry.network(fresh=True).sources == {}


@pytest.mark.parametrize("name", ["transfer", "reservation"])
def test_no_channels_orders_may_be_named_like_our_own(bare: Bench, name: str) -> None:
    file = edited(bare, ("  shop:\n", f"  {name}:\n"), ("channel: shop", f"channel: {name}"))

    result = bare.run("apply", file, "--yes")

    assert result.exit_code == 1
    assert f"  channels.{name}: " in result.stderr


def test_an_unknown_option_is_refused_with_what_there_is_and_what_was_probably_meant(bare: Bench) -> None:
    result = bare.run("apply", edited(bare, ("{shop: demo", "{shpo: demo")), "--yes")

    assert "sources.shopify.options.shpo: shopify has no such option, only shop, unit, units; write shop" in (
        result.stderr
    )


def test_what_every_connector_says_of_its_options_can_be_applied() -> None:
    for name in WEBHOOK_CONNECTORS | FILE_CONNECTORS:
        assert source_options(name)
    for name in CONNECTORS:
        assert channel_options(name)


@pytest.mark.parametrize(
    ("rule", "declared", "hours"),
    [
        ("from: file_name, pattern: '(?P<stamp>x)', format: '%Y%m%d'", "", 25),
        ("from: file_name, pattern: '(?P<year>x)(?P<month>y)(?P<day>z)'", "", 25),
        ("from: column, column: at", "", 25),
        ("from: file_name, pattern: '(?P<stamp>x)', format: '%Y%m%d', time_of_day: '06:00'", "", 0),
        ("from: file_name, pattern: '(?P<stamp>x)', format: '%Y%m%dT%H'", "", 0),
        ("from: written_at", "", 0),
        ("from: file_name, pattern: '(?P<stamp>x)', format: '%Y%m%d'", ", coarsest_count_s: 0", 0),
        ("from: written_at", ", coarsest_count_s: 3600", 1),
    ],
)
def test_a_source_that_names_dates_alone_leaves_a_day_open_unless_it_says_otherwise(
    bare: Bench, rule: str, declared: str, hours: int
) -> None:
    file = edited(bare, ("from: written_at", rule), ("drop: wms/", f"drop: wms/{declared}"))

    assert bare.run("apply", file, "--yes").exit_code == 0

    assert bare.registry.network(fresh=True).sources[SourceId("wms")].coarsest_count == timedelta(hours=hours)


def test_all_mistakes_of_all_connectors_are_listed_together(bare: Bench) -> None:
    said = bare.json(
        "apply",
        edited(
            bare,
            ("sku_column: Item, ", ""),
            ("as_of: {from: written_at}", "as_of: {from: moon}"),
            ("{url: 'http://127.0.0.1:9/levels'}", "{url: 'ftp://x', read_back_url: 'http://far.example'}"),
        ),
        "--yes",
    )

    named = [detail.split(": ")[0] for detail in said["error"]["details"]]
    assert {name.rpartition("options.")[0] for name in named} == {"sources.wms.", "channels.shop."}
    assert "channels.shop.options.url" in named
    assert len(named) >= 3
    assert len(named) == len(set(named))


def test_a_system_without_queues_and_secret_is_deployed_before_it_is_applied(bench: Bench) -> None:
    file = edited(bench, ("sources:\n", "sources:\n  tms: {connector: standard_webhooks}\n"))

    result = bench.run("apply", file, "--yes")

    assert result.exit_code == 1
    assert "source tms" in result.stderr
    assert f"onecount up --network {file}" in result.stderr
    assert SourceId("tms") not in bench.registry.network(fresh=True).sources


def test_a_source_whose_stored_secret_could_be_guessed_is_not_applied(bare: Bench) -> None:
    bare.secrets.store("source", "erp", '{"current": "whsec_eA=="}')

    result = bare.run("apply", edited(bare), "--yes")

    assert result.exit_code == 1
    assert "the secret of source erp" in result.stderr
    assert "onecount secret set source erp" in result.stderr
    assert bare.registry.network(fresh=True).sources == {}


def test_a_file_that_is_not_there_is_said(bench: Bench) -> None:
    result = bench.run("apply", str(bench.folder / "none.yaml"), "--yes")

    assert result.exit_code == 1
    assert "file: cannot be read: No such file" in result.stderr


RULES = """
rules:
  four_eyes: {above: 1000 EUR, units_above: 100}
  due_minutes: {drift: 240}
  write_paths: [{from: erp, to: shop, mechanism: batch, every_minutes: 15}]
"""


def test_rules_of_the_house_are_shown_applied_and_kept(bench: Bench) -> None:
    bench.declare()
    file = bench.file("network.yaml", NETWORK + RULES)
    said = bench.run("apply", file, "--yes").stdout
    assert '  four_eyes.above: (none) -> "1000 EUR"' in said.replace("rules.", "")
    kept = bench.registry.network(fresh=True).rules
    assert kept == Rules(
        FourEyes(parse_money("1000 EUR"), 100),
        {CaseKind.DRIFT: timedelta(minutes=240)},
        (DeclaredPath("erp", "shop", "batch", timedelta(minutes=15)),),
    )
    assert "four_eyes" not in bench.run("apply", file, "--yes").stdout


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ("{four_eyes: {above: 1000}}", "rules.four_eyes.above"),
        ("{four_eyes: {above: -5 EUR}}", "rules.four_eyes.above"),
        ("{due_minutes: {drift: 0}}", "rules.due_minutes.drift"),
        ("{due_minutes: {nonsense: 5}}", "rules.due_minutes.nonsense"),
        ("{six_eyes: true}", "rules.six_eyes"),
        ("{write_paths: [{from: erp, to: nowhere}]}", "rules.write_paths[0].to"),
        ("{write_paths: [{to: shop}]}", "rules.write_paths.0.from"),
        ("{damping: {swings: 0}}", "rules.damping.swings"),
        ("{digest: {at: '7 am'}}", "rules.digest.at"),
        ("{digest: {time_zone: Berlin}}", "rules.digest.time_zone"),
    ],
)
def test_a_rule_that_cannot_be_meant_names_its_field(bench: Bench, rules: str, field: str) -> None:
    result = bench.run("apply", bench.file("network.yaml", f"{NETWORK}rules: {rules}\n"), "--yes")
    assert result.exit_code == 1
    assert field in result.stderr


def test_a_drift_that_is_forgiven_by_value_is_shown_in_the_words_of_the_file_applied_and_kept(
    bench: Bench,
) -> None:
    rules = "on_hand}, tolerance: {units: 2, value: 25.50 EUR}, class_tolerances: {bulk: {value: 90 EUR}}}"
    file = edited(
        bench,
        (
            "connector: standard_webhooks, meaning: {on_hand: on_hand}}",
            f"connector: standard_webhooks, meaning: {{on_hand: {rules}",
        ),
    )
    said = bench.json("apply", file, "--yes")
    fields = {field["field"]: field["becomes"] for entry in said["changed"] for field in entry["fields"]}
    assert fields["tolerance.value"] == "25.50 EUR"
    assert fields["class_tolerances.bulk.value"] == "90 EUR"
    erp = bench.registry.network(fresh=True).sources[SourceId("erp")]
    assert erp.tolerance == Tolerance(0, 2, parse_money("25.50 EUR"))
    assert erp.class_tolerances == {"bulk": Tolerance(0, 0, parse_money("90 EUR"))}
    assert bench.json("apply", file, "--yes")["changed"] == []


REPLENISHED = """  east: {counts: wms}
  west:
    replenish:
      cover_days: 10
      minimum: {TEA: 12}
      from: {east: {lead_time_h: 48, cost: 80 EUR, capacity: 400}}
"""


def test_from_where_a_location_is_replenished_is_shown_applied_and_kept(bench: Bench) -> None:
    bench.json("apply", edited(bench, ("  east: {counts: wms}\n", REPLENISHED)), "--yes")
    west = bench.registry.network(fresh=True).locations[LocationId("west")]
    route = Route(LocationId("east"), timedelta(hours=48), parse_money("80 EUR"), 400)
    assert west.replenish == Replenishment(10, {Sku("TEA"): 12}, (route,))

    changed = REPLENISHED.replace("80 EUR", "90 EUR").replace("TEA: 12", "TEA: 15")
    file = edited(bench, ("  east: {counts: wms}\n", changed))
    said = bench.json("apply", file, "--yes")
    fields = {field["field"]: field["becomes"] for entry in said["changed"] for field in entry["fields"]}
    assert fields == {"replenish.from.east.cost": "90 EUR", "replenish.minimum.TEA": 15}
    assert bench.json("apply", file, "--yes")["changed"] == []


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ("from: {east:", "from: {moon:", "locations.west.replenish.from.moon"),
        ("from: {east:", "from: {west:", "locations.west.replenish.from.west"),
        ("lead_time_h: 48, ", "", "locations.west.replenish.from.east.lead_time_h"),
        ("80 EUR", "eighty", "locations.west.replenish.from.east.cost"),
        ("capacity: 400", "capacity: 0", "locations.west.replenish.from.east.capacity"),
        ("TEA: 12", "TEA: few", "locations.west.replenish.minimum.TEA"),
        ("cover_days: 10", "cover_day: 10", "locations.west.replenish.cover_day"),
    ],
)
def test_a_way_that_cannot_be_meant_names_its_field(bare: Bench, before: str, after: str, field: str) -> None:
    file = edited(bare, ("  east: {counts: wms}\n", REPLENISHED.replace(before, after)))

    result = bare.run("apply", file, "--yes")

    assert result.exit_code == 1
    assert f"  {field}: " in result.stderr


@pytest.mark.parametrize("value", ["25", "EUR 25", "-1 EUR", "[25]"])
def test_a_value_that_is_no_amount_of_money_names_its_field(bare: Bench, value: str) -> None:
    rules = f"on_hand}}, tolerance: {{value: {value}}}}}"
    file = edited(
        bare,
        (
            "standard_webhooks, meaning: {on_hand: on_hand}}",
            f"standard_webhooks, meaning: {{on_hand: {rules}",
        ),
    )
    result = bare.run("apply", file, "--yes")
    assert result.exit_code == 1
    assert "sources.erp.tolerance.value: " in result.stderr


def test_rules_that_are_taken_out_of_the_file_are_the_usual_ones_again(bench: Bench) -> None:
    bench.declare()
    some = "rules: {damping: {swings: 5}, digest: {at: '06:30', time_zone: Europe/Berlin}}\n"
    bench.run("apply", bench.file("network.yaml", NETWORK + some), "--yes")
    kept = bench.registry.network(fresh=True).rules
    assert (kept.damping.swings, kept.digest) == (5, DigestTime(time(6, 30), "Europe/Berlin"))
    bench.run("apply", bench.file("network.yaml", f"{NETWORK}rules: {{digest: null}}\n"), "--yes")
    assert bench.registry.network(fresh=True).rules == Rules(digest=None)
    bench.run("apply", bench.file("network.yaml", NETWORK), "--yes")
    assert bench.registry.network(fresh=True).rules == Rules()


def test_a_field_that_does_not_exist_is_answered_with_those_that_do(bare: Bench) -> None:
    file = edited(
        bare,
        ("safety_stock: 2", "safty_stock: 2"),
        ("sources:", "rules: {write_paths: [{from: wms, too: shop}], digest: {hour: 7}}\nsources:"),
    )

    said = bare.run("apply", file, "--yes").stderr

    assert "channels.shop.safty_stock: there is no such field, only buffer_percent, calls_per_minute" in said
    assert "; write safety_stock, or leave it out" in said
    assert "rules.write_paths.0.too: there is no such field, only every_minutes, from, mechanism, to;" in said
    assert "rules.digest.hour: there is no such field, only at, time_zone; leave it out" in said


@pytest.mark.parametrize(
    ("content", "says"),
    [("", "file: is empty; "), ("# nothing\n", "file: is empty; "), ("- a", "is not a mapping; ")],
)
def test_a_file_that_declares_nothing_is_said_to(bare: Bench, content: str, says: str) -> None:
    result = bare.run("apply", bare.file("n.yaml", content), "--yes")

    assert result.exit_code == 1
    assert says in result.stderr
