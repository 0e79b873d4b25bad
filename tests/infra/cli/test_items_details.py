"""``items import``: what an item is counted in, what lies in it, who changed it; and the dry run."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.domain.items import BEGINNING, Component, Item, Reference
from shared.domain.network import Listing
from shared.domain.stock import ChannelId, Sku, SourceId
from shared.store.registry import Code
from tests.infra.cli.arrange import Bench

NOW = datetime.now(UTC)


def item(bench: Bench, sku: str) -> Item:
    return bench.registry.items.find([Sku(sku)])[Sku(sku)]


def imported(bench: Bench, content: str, *options: str) -> dict[str, object]:
    result: dict[str, object] = bench.json("items", "import", bench.file("i.csv", content), *options)
    return result


def test_units_details_and_kits_are_imported_and_each_change_says_what_it_changed(bench: Bench) -> None:
    content = (
        "sku,description,class,owner,tracks_lots,base_unit,pack:case,pack:half,components\n"
        "BOX,Gift box,,,,,,,TEA=2; MUG=1\n"
        "TEA,Earl Grey,A,buying,yes,each,12,1/2,\n"
        "MUG,Mug,,,no,,,,\n"
    )

    said = imported(bench, content)

    assert (said["items"], said["new"], said["bad_rows"]) == (3, 3, 0)
    tea = item(bench, "TEA")
    assert (tea.description, tea.item_class, tea.owner, tea.tracks_lots) == ("Earl Grey", "A", "buying", True)
    assert {unit: str(size) for unit, size in tea.at(NOW).packs.items()} == {"case": "12", "half": "1/2"}
    assert item(bench, "BOX").at(NOW).components == (Component(Sku("MUG"), 1), Component(Sku("TEA"), 2))

    imported(bench, "sku,pack:case\nTEA,10\n")
    first, second = bench.registry.items.history(Sku("TEA"))
    assert (first.actor, second.version) == ("items import", 2)
    assert second.changes == (
        (
            f"terms from {BEGINNING.isoformat()}",
            "base unit each; case = 12; half = 1/2",
            "base unit each; case = 10; half = 1/2",
        ),
    )


def test_a_dry_run_says_what_would_change_and_writes_nothing(bench: Bench) -> None:
    imported(bench, "sku,pack:case\nA,12\nB,6\n")
    bench.lanes.sent.clear()
    content = "sku,pack:case,components,channel:shop\nA,10,,S-1\nB,6,,\nC,,,\nKIT,,C=2,\nBAD,x,,\n"

    result = bench.run("items", "import", bench.file("i.csv", content), "--dry-run")

    assert result.exit_code == 1
    expected = "1 items change, 2 are new, 1 stay; 0 codes, 1 listings new or changed, 1 rows refused"
    assert expected in result.stdout
    assert "nothing was written" in result.stdout
    assert item(bench, "A").at(NOW).packs == {"case": 12}
    assert not bench.registry.is_item(Sku("C"))
    assert bench.lanes.skus == []
    assert bench.registry.listings(ChannelId("shop"), [Sku("A")]) == {}


def test_the_same_file_again_changes_nothing(bench: Bench) -> None:
    content = "sku,base_unit,pack:case,code:erp:upc@case\nA,each,12,501\n"
    imported(bench, content)

    said = imported(bench, content)

    assert (said["new"], said["changed"]) == (0, 0)
    assert item(bench, "A").version == 1
    code = Code(SourceId("erp"), "upc", "501")
    assert bench.registry.references.find({code: None})[code].terms == (Reference(Sku("A"), "case"),)
    assert len(bench.registry.references.history(code)) == 1


def test_a_dated_change_leaves_what_was_before(bench: Bench) -> None:
    imported(bench, "sku,pack:case\nA,12\n")
    imported(bench, "sku,pack:case,effective_from\nA,10,2030-01-01T00:00:00Z\n")

    assert item(bench, "A").at(datetime(2029, 12, 31, tzinfo=UTC)).packs == {"case": 12}
    assert item(bench, "A").at(datetime(2030, 1, 1, tzinfo=UTC)).packs == {"case": 10}


def test_a_listing_by_the_pack_stays_so_when_a_later_file_does_not_say_it(bench: Bench) -> None:
    imported(bench, "sku,pack:case,channel:shop,unit:shop\nA,12,S-1,case\n")
    imported(bench, "sku,channel:shop\nA,S-1\n")

    listed = bench.registry.listings(ChannelId("shop"), [Sku("A")])
    assert listed == {Sku("A"): Listing(ChannelId("shop"), Sku("A"), "S-1", "case")}


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ("sku,pack:case\nX,twelve\n", "pack:case"),
        ("sku,tracks_lots\nX,maybe\n", "tracks_lots"),
        ("sku,components\nX,TEA\n", "components"),
        ("sku,components\nX,NOBODY=1\n", "components"),
        ("sku,components\nX,X=1\n", "components"),
        ("sku,components\nX,KIT=1\n", "components"),
        ("sku,components\nPART,MUG=1\n", "components"),
        ("sku,effective_from\nX,2030-01-01\n", "effective_from"),
        ("sku,base_unit\nPART,kg\n", "base_unit"),
        ("sku,channel:shop,unit:shop\nX,S-9,case\n", "unit:shop"),
        ("sku,channel:shop,unit:shop\nPART,S-9,half\n", "unit:shop"),
    ],
)
def test_a_row_that_cannot_be_meant_is_refused_by_its_field(bench: Bench, content: str, field: str) -> None:
    imported(bench, "sku,base_unit,pack:half,components\nPART,each,0.5,\nMUG,,,\nKIT,,,PART=1\n")

    result = bench.run("items", "import", bench.file("bad.csv", content), "--json")

    assert result.exit_code == 1
    (fault,) = bench.json("items", "import", bench.file("bad.csv", content))["faults"]
    assert fault["field"] == field
    assert fault["reason"]
    assert fault["remedy"]
    assert not bench.registry.listings(ChannelId("shop"), [Sku("X"), Sku("PART")])


def test_what_an_item_costs_is_imported_apart_from_its_price_and_a_bad_amount_names_its_column(
    bench: Bench,
) -> None:
    said = imported(bench, "sku,price,cost\nTEA,12.50 EUR,7.123456 EUR\n")
    assert (said["new"], said["bad_rows"]) == (1, 0)
    imported(bench, "sku,cost\nTEA,8 EUR\n")
    assert [str(item(bench, "TEA").price), str(item(bench, "TEA").cost)] == ["12.50 EUR", "8 EUR"]
    assert bench.registry.items.history(Sku("TEA"))[-1].changes == (("cost", "7.123456 EUR", "8 EUR"),)
    result = bench.run("items", "import", bench.file("i.csv", "sku,cost\nMUG,8\n"))
    assert result.exit_code == 1
    assert "cost" in result.output
    assert "12.50 EUR" in result.output
