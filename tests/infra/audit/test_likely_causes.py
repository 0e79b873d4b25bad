"""Single causes by small examples: what is proven, what is left unexplained, what fits equally."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from infra.audit.html_report import html_report
from tests.infra.audit.look import look, named


def export(folder: Path, name: str, header: str, rows: Iterable[tuple[object, ...]]) -> Path:
    path = folder / name
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
    return path


def stock(count: int) -> list[tuple[str, int]]:
    """Items with quantities that are far apart, so that chance explains nothing."""
    return [(f"T-{number:03d}", 1000 + 137 * number + number * number) for number in range(1, count + 1)]


def test_an_affix_on_every_code_of_a_system_is_named_and_the_rest_is_still_compared(tmp_path: Path) -> None:
    wms = export(tmp_path, "wms.csv", "sku,qty", stock(20))
    rows = [(f"ERP-{sku}", value + 7 * (sku == "T-020")) for sku, value in stock(20)]

    report = look([wms, export(tmp_path, "erp.csv", "sku,qty", rows)])
    cause = named(report, "sku_code_format", "erp")

    assert (report.rate, report.keys) == ("0.00 %", 20)
    assert cause is not None
    assert "then 19 of 20 (95.00 %) say the same number" in cause.evidence[0]
    assert [shown.sku for shown in report.worst] == ["T-020"]


def test_codes_that_could_be_several_are_left_apart(tmp_path: Path) -> None:
    wms = export(tmp_path, "wms.csv", "sku,qty", [("0012", 5), ("00-12", 6), ("X", 1)])
    erp = export(tmp_path, "erp.csv", "sku,qty", [("12", 5), ("X", 1)])

    report = look([wms, erp])

    assert report.keys == 4
    assert any("could be several others" in note for note in report.notes)


def test_a_code_that_matches_as_it_is_is_never_matched_otherwise(tmp_path: Path) -> None:
    wms = export(tmp_path, "wms.csv", "sku,qty", [("0012", 5), ("12", 6)])
    erp = export(tmp_path, "erp.csv", "sku,qty", [("12", 6)])

    report = look([wms, erp])

    assert [(shown.sku, shown.values) for shown in report.worst] == [("0012", (5, None))]


def test_two_explanations_that_fit_equally_are_both_shown(tmp_path: Path) -> None:
    rows = [(sku, value, 10 + 3 * at, 10 + 3 * at) for at, (sku, value) in enumerate(stock(12))]
    wms = export(tmp_path, "wms.csv", "sku,on hand,reserved,damaged", rows)
    shop = export(tmp_path, "shop.csv", "sku,qty", [(sku, value - less) for sku, value, less, _ in rows])

    cause = named(look([wms, shop]), "definition_mismatch", "shop")

    assert cause is not None
    assert cause.title == "definition mismatch: shop leaves out 'reserved' (wms)"
    assert cause.alternatives == ("fits equally: definition mismatch: shop leaves out 'damaged' (wms)",)


@pytest.mark.parametrize(
    ("offset", "title", "remedy"),
    [
        (-5, "lower (a safety stock or buffer?)", "look for a safety stock or channel buffer"),
        (5, "higher", "a buffer lowers a number: see whether the others take one off"),
    ],
)
def test_a_system_that_is_higher_is_not_told_to_look_for_a_buffer_of_its_own(
    tmp_path: Path, offset: int, title: str, remedy: str
) -> None:
    paths = [export(tmp_path, f"{name}.csv", "sku,qty", stock(40)) for name in ("wms", "erp")]
    rows = [(sku, value + offset) for sku, value in stock(40)]

    cause = named(look([*paths, export(tmp_path, "shop.csv", "sku,qty", rows)]), "constant_offset", "shop")

    assert cause is not None
    assert cause.title == f"constant offset: shop is exactly 5 {title}"
    assert cause.remedy.startswith(remedy)


def test_what_two_columns_say_together_is_found(tmp_path: Path) -> None:
    rows = [(sku, value, 3 + at, 50 + 5 * at) for at, (sku, value) in enumerate(stock(12))]
    wms = export(tmp_path, "wms.csv", "sku,on hand,reserved,damaged", rows)
    shop = export(tmp_path, "shop.csv", "sku,qty", [(sku, value - a - b) for sku, value, a, b in rows])

    cause = named(look([wms, shop]), "definition_mismatch", "shop")

    assert cause is not None
    assert "'reserved + damaged'" in cause.title


def test_a_system_that_follows_a_rule_as_a_whole_still_votes(tmp_path: Path) -> None:
    rows = [(sku, value, 5 + at) for at, (sku, value) in enumerate(stock(30))]
    wrong = [(sku, value + 400 * (sku == "T-009"), less) for sku, value, less in rows]
    wms = export(tmp_path, "wms.csv", "sku,on hand,reserved", wrong)
    erp = export(tmp_path, "erp.csv", "sku,qty", [(sku, value) for sku, value, _ in rows])
    shop = export(tmp_path, "shop.csv", "sku,qty", [(sku, value - less) for sku, value, less in rows])

    report = look([wms, erp, shop])
    cause = named(report, "unexplained", "wms")

    assert cause is not None
    assert [shown.sku for shown in cause.examples] == ["T-009"]
    assert named(report, "unexplained", "erp") is None


def test_a_place_by_another_name_is_found_by_what_lies_there(tmp_path: Path) -> None:
    wms = [
        (sku, place, value + 17 * at) for sku, value in stock(20) for at, place in enumerate(("EAST", "WEST"))
    ]
    names = {"EAST": "WH1", "WEST": "WEST"}
    erp = [(sku, names[place], value) for sku, place, value in wms]

    report = look(
        [
            export(tmp_path, "wms.csv", "sku,location,qty", wms),
            export(tmp_path, "erp.csv", "sku,location,qty", erp),
        ]
    )

    assert report.rate == "100.00 %"
    assert [cause.title for cause in report.causes] == ["location mapping: erp calls EAST 'WH1'"]


def test_a_place_that_is_left_out_of_a_sum_is_named(tmp_path: Path) -> None:
    wms = [
        (sku, place, value + 29 * at) for sku, value in stock(15) for at, place in enumerate(("MAIN", "QC"))
    ]
    shop = [(sku, value) for sku, value in stock(15)]

    report = look(
        [
            export(tmp_path, "wms.csv", "sku,location,qty", wms),
            export(tmp_path, "shop.csv", "sku,qty", shop),
        ]
    )

    assert report.causes[0].title == "location mapping: shop leaves out the stock at 'QC' (wms)"
    assert report.causes[0].keys == 15


def test_a_place_that_one_system_does_not_have_is_named_apart_from_missing_items(tmp_path: Path) -> None:
    wms = [(sku, place, value) for sku, value in stock(5) for place in ("MAIN", "OUTLET")]
    erp = [row for row in wms if row[1] == "MAIN"]

    report = look(
        [
            export(tmp_path, "wms.csv", "sku,location,qty", wms),
            export(tmp_path, "erp.csv", "sku,location,qty", erp),
        ]
    )

    assert [(cause.title, cause.keys) for cause in report.causes] == [
        ("place not carried: erp has nothing at OUTLET", 5)
    ]


def test_rows_of_bins_are_added_up_where_that_fits(tmp_path: Path) -> None:
    bins = [(sku, part) for sku, value in stock(6) for part in (value - 40, 40)]

    report = look(
        [export(tmp_path, "wms.csv", "sku,qty", bins), export(tmp_path, "erp.csv", "sku,qty", stock(6))]
    )

    assert report.rate == "100.00 %"
    assert report.notes[0].startswith(
        "wms: 6 keys have several rows, which were summed (summed, that fits another system on 6"
    )


def test_two_units_of_a_thousand_items_are_no_pattern(tmp_path: Path) -> None:
    few = [(f"T-{number}", number % 5 + 1) for number in range(60)]
    noise = [(sku, value + (at * 7 % 5 - 2 if at % 4 == 0 else 0)) for at, (sku, value) in enumerate(few)]

    report = look(
        [export(tmp_path, "wms.csv", "sku,qty", few), export(tmp_path, "erp.csv", "sku,qty", noise)]
    )

    assert {cause.kind.value for cause in report.causes} <= {"unexplained", "negative_stock"}


@pytest.mark.parametrize("order", [("wms", "erp"), ("erp", "wms")])
def test_of_two_files_the_one_that_is_below_zero_is_named_whichever_comes_first(
    order: tuple[str, str], tmp_path: Path
) -> None:
    below = {"wms": -2, "erp": 0}
    paths = [export(tmp_path, f"{name}.csv", "sku,qty", [*stock(6), ("C", below[name])]) for name in order]

    report = look(paths)

    [cause] = report.causes
    said = ", where erp says 0" if order[0] == "wms" else ""
    assert (cause.kind, cause.system) == ("negative_stock", "wms")
    assert cause.title == f"negative stock: wms is below zero{said}"
    assert [shown.note for shown in report.worst] == ["wms: negative stock"]


def test_where_most_files_are_below_zero_the_one_that_says_nothing_is_left_is_not_called_negative(
    tmp_path: Path,
) -> None:
    below = {"wms": -2, "erp": -2, "shop": 0}
    paths = [
        export(tmp_path, f"{name}.csv", "sku,qty", [*stock(6), ("C", is_)]) for name, is_ in below.items()
    ]

    report = look(paths)

    assert [cause.title for cause in report.causes] == [
        "negative stock: the others are below zero, where shop says 0"
    ]
    assert [shown.note for shown in report.worst] == ["the others: negative stock"]


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "&lt;"])
def test_nothing_of_an_export_becomes_markup(tmp_path: Path, text: str) -> None:
    wms = tmp_path / "wms.csv"
    cell = '"' + text.replace('"', '""') + '"'
    wms.write_text(f"sku,on hand,reserved\n{cell},5,1\n", encoding="utf-8")
    erp = tmp_path / "erp.csv"
    erp.write_text(f"sku,qty\n{cell},4\n", encoding="utf-8")

    page = html_report(look([wms, erp]))

    assert text not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
