"""What the audit must not say, and what it must not leave unsaid: chance is no cause, and an order is no cut."""

from __future__ import annotations

import random
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pytest

from infra.audit.html_report import html_report
from infra.cli.audit_command import told
from tests.infra.audit.look import look, named

Row = tuple[object, ...]


def export(folder: Path, name: str, header: str, rows: Iterable[Row]) -> Path:
    path = folder / name
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
    return path


def in_sixes(seed: int, count: int) -> tuple[dict[str, int], dict[str, int]]:
    """Stock of everyday size in whole cases of six, and the same some days ago: no number misses another by one."""
    chance = random.Random(seed)  # noqa: S311 - a test world, not a secret
    now = {f"T-{number:05d}": 6 * chance.randint(30, 80) for number in range(count)}
    return now, {
        sku: value + 6 * chance.choice((-1, 1)) * chance.randint(1, 20) for sku, value in now.items()
    }


def with_swaps(
    now: dict[str, int], says: dict[str, int], pairs: int
) -> tuple[dict[str, int], dict[str, int]]:
    """Add pairs of items of far larger stock whose numbers are the wrong way round."""
    true = {f"S-{at:02d}": 10_000 + 971 * at + at * at for at in range(2 * pairs)}
    crossed = {f"S-{at:02d}": true[f"S-{at ^ 1:02d}"] for at in range(2 * pairs)}
    return {**now, **true}, {**says, **crossed}


@pytest.mark.parametrize("seed", range(4))
def test_pairs_that_a_stale_file_makes_by_chance_are_no_swapped_codes(seed: int, tmp_path: Path) -> None:
    now, before = in_sixes(seed, 250)
    wms = export(tmp_path, "wms.csv", "sku,qty", now.items())
    erp = export(tmp_path, "erp.csv", "sku,qty", before.items())

    report = look([wms, erp])

    assert named(report, "swapped_mapping", "erp") is None


@pytest.mark.parametrize("seed", range(4))
def test_swapped_codes_are_told_from_the_chance_pairs_of_a_stale_file(seed: int, tmp_path: Path) -> None:
    true, says = with_swaps(*in_sixes(seed, 250), pairs=13)
    wms = export(tmp_path, "wms.csv", "sku,qty", true.items())
    erp = export(tmp_path, "erp.csv", "sku,qty", says.items())

    cause = named(look([wms, erp]), "swapped_mapping", "erp")

    assert cause is not None
    assert cause.keys == 26
    assert cause.evidence == ("13 pairs say each other's number exactly; about 0 would by chance",)


def test_what_an_older_export_explains_is_not_paired(tmp_path: Path) -> None:
    now, before = in_sixes(9, 250)
    true, says = with_swaps(now, before, pairs=13)
    files = [
        export(tmp_path, f"{name}.csv", "sku,qty", of.items()) for name, of in (("wms", true), ("erp", says))
    ]

    report = look(files, earlier=[export(tmp_path, "monday.csv", "sku,qty", before.items())])
    swapped, stale = named(report, "swapped_mapping", "erp"), named(report, "stale_copy", "erp")

    assert swapped is not None
    assert stale is not None
    assert (swapped.keys, stale.keys) == (26, 250)


def numbered(prefix: str, count: int) -> list[tuple[str, int]]:
    return [(f"{prefix}-{number:05d}", 100 + 7 * number) for number in range(1, count + 1)]


def test_a_whole_file_in_no_order_is_not_said_to_be_cut_off(tmp_path: Path) -> None:
    whole = [*numbered("TEA", 500), *numbered("BOX", 500)]
    wms = export(tmp_path, "wms.csv", "sku,qty", whole)
    erp = export(tmp_path, "erp.csv", "sku,qty", [*whole, *numbered("ZZZ", 500)])

    report = look([wms, erp])
    missing = named(report, "missing", "wms")

    assert named(report, "truncated_export", "wms") is None
    assert missing is not None
    assert missing.keys == 500


def test_a_file_with_gaps_before_its_last_row_is_not_said_to_be_cut_off(tmp_path: Path) -> None:
    whole = [*numbered("BOX", 500), *numbered("TEA", 500)]
    wms = export(tmp_path, "wms.csv", "sku,qty", [row for row in whole if row[0] != "BOX-00250"])
    erp = export(tmp_path, "erp.csv", "sku,qty", [*whole, *numbered("ZZZ", 500)])

    report = look([wms, erp])

    assert {cause.kind.value: cause.keys for cause in report.causes} == {"missing": 501}


@pytest.mark.parametrize(("backwards", "last"), [(False, "TEA-00460"), (True, "TEA-00041")])
def test_a_file_in_order_that_ends_early_is_cut_off_in_either_direction(
    backwards: bool, last: str, tmp_path: Path
) -> None:
    whole = sorted(numbered("TEA", 500), reverse=backwards)
    wms = export(tmp_path, "wms.csv", "sku,qty", whole)
    erp = export(tmp_path, "erp.csv", "sku,qty", whole[:-40])

    cause = named(look([wms, erp]), "truncated_export", "erp")

    assert cause is not None
    assert (cause.title, cause.keys) == (f"truncated export: erp ends at {last}", 40)
    order = "descending" if backwards else "ascending"
    assert cause.evidence == (
        f"its rows are in {order} order of their SKUs, and every key it lacks comes after its last row",
    )


def test_a_wide_file_is_in_order_by_its_rows(tmp_path: Path) -> None:
    whole = [(sku, value, value + 3) for sku, value in numbered("TEA", 300)]
    wms = export(tmp_path, "wms.csv", "sku,Qty WEST,Qty EAST", whole)
    erp = export(tmp_path, "erp.csv", "sku,Qty WEST,Qty EAST", whole[:-20])

    cause = named(look([wms, erp]), "truncated_export", "erp")

    assert cause is not None
    assert cause.keys == 40


def test_two_rows_in_order_are_no_proof_of_an_order(tmp_path: Path) -> None:
    wms = export(tmp_path, "wms.csv", "sku,qty", numbered("BOX", 3))
    erp = export(tmp_path, "erp.csv", "sku,qty", [*numbered("BOX", 3), *numbered("ZZZ", 40)])

    assert named(look([wms, erp]), "truncated_export", "wms") is None


def with_losses(folder: Path, priced: Iterable[str]) -> tuple[list[Path], Path]:
    """Make an ERP that lacks five of ten items in no order, and prices of two each for some of the items."""
    rows = numbered("TEA", 10)
    files = [
        export(folder, "wms.csv", "sku,qty", rows),
        export(folder, "erp.csv", "sku,qty", rows[::2]),
    ]
    return files, export(folder, "prices.csv", "sku,price", [(sku, "2.00") for sku in priced])


def test_exposure_says_how_many_keys_have_no_price(tmp_path: Path) -> None:
    files, prices = with_losses(tmp_path, ["TEA-00002", "TEA-00004", "TEA-00006", "TEA-00008"])

    report = look(files, prices=prices)
    text = "\n".join(told(report))

    assert report.exposure == Decimal(2) * (114 + 128 + 142 + 156)
    assert "exposure of all differences: 1,080.00 (1 of 5 keys has no price)" in text
    assert "5 keys (50.00 %), 710 units, 1,080.00 (1 of 5 keys has no price)" in text
    assert html_report(report).count("1 of 5 keys has no price") == 2


def test_no_amount_is_said_where_no_key_has_a_price(tmp_path: Path) -> None:
    files, prices = with_losses(tmp_path, ["TEA-00001"])

    report = look(files, prices=prices)
    text, page = "\n".join(told(report)), html_report(report)

    assert report.exposure is None
    assert report.causes[0].exposure is None
    assert "exposure of all differences: unknown (none of the 5 keys has a price)" in text
    assert "710 units, exposure unknown (none of the 5 keys has a price)" in text
    assert "none of the 5 keys has a price" in page
    assert "0.00</" not in text + page


def test_what_one_system_lacks_and_the_others_have_none_of_is_the_same(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "wms.csv", tmp_path / "shop.csv"
    ours.write_text("sku,qty\nA,5\nB,0\nC,7\nD,0\nE,2\n")
    theirs.write_text("sku,qty\nA,5\nC,7\nE,2\n")

    report = look([ours, theirs])

    assert (report.keys, report.equal, report.rate, report.causes, report.worst) == (5, 5, "100.00 %", [], [])
    [pair] = report.pairs
    assert (pair.both, pair.equal, pair.only_one) == (3, 3, 2)
    assert any(note.startswith("2 keys are 0 in some systems and missing in others") for note in report.notes)


def test_every_key_that_is_no_match_is_listed(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.csv", "b.csv", "c.csv")]
    files[0].write_text("sku,qty\nA,5\nB,0\nC,7\nD,0\nE,-2\n")
    files[1].write_text("sku,qty\nA,5\nB,3\nC,7\n")
    files[2].write_text("sku,qty\nA,5\nC,7\nD,0\nE,-2\n")

    report = look(files)

    assert (report.keys, report.equal) == (5, 3)
    assert {shown.sku for shown in report.worst} == {"B", "E"}


def test_equal_files_with_prices_have_nothing_in_question(tmp_path: Path) -> None:
    files, prices = with_losses(tmp_path, ["TEA-00001"])

    report = look([files[0], export(tmp_path, "shop.csv", "sku,qty", numbered("TEA", 10))], prices=prices)

    assert "exposure of all differences: 0.00" in "\n".join(told(report))


PLACES = ("EAST", "NORTH", "WEST")


def test_keys_missing_at_one_place_only_are_said_to_be_so(tmp_path: Path) -> None:
    rows = [(sku, place, value) for sku, value in numbered("TEA", 40) for place in PLACES]
    erp = [row for row in rows if not (row[1] == "WEST" and int(row[0][-2:]) % 2)]

    report = look(
        [
            export(tmp_path, "wms.csv", "sku,location,qty", rows),
            export(tmp_path, "erp.csv", "sku,location,qty", erp),
        ]
    )
    cause = named(report, "missing", "erp")

    assert cause is not None
    assert cause.keys == 20
    assert cause.evidence == ("all at WEST; erp has these items elsewhere",)


def test_items_missing_in_part_are_told_from_items_missing_altogether(tmp_path: Path) -> None:
    rows = [(sku, place, value) for sku, value in numbered("TEA", 40) for place in PLACES]
    gone = {("TEA-00007", place) for place in PLACES} | {("TEA-00003", "EAST"), ("TEA-00021", "WEST")}
    erp = [row for row in rows if row[:2] not in gone]

    report = look(
        [
            export(tmp_path, "wms.csv", "sku,location,qty", rows),
            export(tmp_path, "erp.csv", "sku,location,qty", erp),
        ]
    )
    cause = named(report, "missing", "erp")

    assert cause is not None
    assert cause.evidence == ("erp has the items of 2 of the 5 keys elsewhere",)
