"""The audit on the command line: what it prints, asks, refuses, and how it exits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.cli.app import onecount
from infra.cli.console import Session
from tests.infra.cli.arrange import Bench, refused

WMS = "sku,on hand\n00123,5\n1E3,7\nNA,0\n0x1F,2\n1_000,9\n"
SHOP = "SKU;Qty\n00123;5\n1E3;7\nNA;0\n0x1F;2\n1_000;4\n"


@pytest.fixture
def wms(bench: Bench) -> str:
    return bench.file("wms.csv", WMS)


@pytest.fixture
def shop(bench: Bench) -> str:
    return bench.file("shop.csv", SHOP)


def test_it_says_the_match_rate_the_worst_keys_and_what_it_took_for_what(
    bench: Bench, wms: str, shop: str
) -> None:
    result = bench.run("audit", wms, shop)

    assert result.exit_code == 0, result.output
    assert "match rate: 80.00 % (4 of 5 keys are the same in all 2 systems)" in result.stdout
    assert "SKU is 'sku' (its heading)" in result.stdout
    assert "delimiter semicolon" in result.stdout
    assert "1_000  9    4     5" in result.stdout


def test_no_target_is_needed(bench: Bench, wms: str, shop: str) -> None:
    session = Session(refused("nothing runs"), bench.runtime)

    assert CliRunner().invoke(onecount, ["audit", wms, shop], obj=session).exit_code == 0


def test_json_has_every_number_and_no_float_but_the_time(bench: Bench, wms: str, shop: str) -> None:
    prices = bench.file("prices.csv", "sku,price\n1_000,0.10\n")

    answer = json.loads(bench.run("audit", wms, shop, "--prices", prices, "--json").stdout, parse_float=str)

    assert answer["match"] == {"keys": 5, "equal": 4, "rate": "80.00 %"}
    assert answer["exposure"] == "0.50"
    assert answer["worst"][0]["quantities"] == {"wms": 9, "shop": 4}
    assert [cause["kind"] for cause in answer["causes"]] == ["unexplained"]


def test_what_cannot_be_proven_is_refused_with_what_to_declare(bench: Bench, shop: str) -> None:
    unclear = bench.file("wms.csv", "code A,amount\nX-1,5\nX-2,6\n")

    result = bench.run("audit", unclear, shop)

    assert result.exit_code == 1
    assert "no heading says which column is the SKU" in result.stderr
    assert "declare --sku-column 'wms.csv=code A'" in result.stderr


def test_what_is_declared_is_taken(bench: Bench) -> None:
    unclear = bench.file("wms.csv", "code A,amount\n00123,5\n")
    shop = bench.file("shop.csv", "SKU,Qty\n00123,5\n")

    result = bench.run(
        "audit", unclear, shop, "--sku-column", "wms.csv=code A", "--quantity-column", "wms.csv=#2"
    )

    assert result.exit_code == 0, result.output
    assert "match rate: 100.00 %" in result.stdout
    assert "sku column 'code A' (declared)" in result.stdout


def test_at_a_terminal_it_asks_and_takes_a_number_or_a_name(bench: Bench) -> None:
    unclear = bench.file("wms.csv", "code A,amount\n00123,5\n")
    shop = bench.file("shop.csv", "SKU,Qty\n00123,5\n")

    result = bench.run("audit", unclear, shop, "--ask", stdin="1\namount\n")

    assert result.exit_code == 0, result.output
    assert "wms.csv: no heading says which column is the SKU" in result.stderr
    assert "match rate: 100.00 %" in result.stdout


def test_a_report_is_written_to_forward(bench: Bench, wms: str, shop: str, tmp_path: Path) -> None:
    report = tmp_path / "report.html"

    assert bench.run("audit", wms, shop, "--html", str(report)).exit_code == 0
    assert "80.00 %" in report.read_text(encoding="utf-8")


@pytest.mark.parametrize(("percent", "code"), [("80", 0), ("80.01", 3)])
def test_a_match_rate_below_the_limit_exits_with_3(
    bench: Bench, wms: str, shop: str, percent: str, code: int
) -> None:
    assert bench.run("audit", wms, shop, "--fail-below", percent).exit_code == code


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["wms"], "two exports or more"),
        (["wms", "shop", "--sku-column", "erp.csv=Item"], "'erp.csv' is none of the files"),
        (["wms", "shop", "--sku-column", "wms.csv=Item"], "wms.csv: has no column 'Item'"),
        (["wms", "shop", "--decimal", "wms.csv=dot"], "'dot' is no way to write numbers"),
        (["wms", "shop", "--encoding", "wms.csv=klingon"], "the encoding 'klingon' is not known"),
        (["wms", "shop", "--fail-below", "nan"], "'nan' is no number; give one from 0 to 100"),
        (["wms", "shop", "--fail-below", "inf"], "not in the range 0<=x<=100"),
        (["wms", "shop", "--fail-below", "-1"], "not in the range 0<=x<=100"),
        (["wms", "shop", "--fail-below", "100.1"], "not in the range 0<=x<=100"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(
    bench: Bench, wms: str, shop: str, arguments: list[str], said: str
) -> None:
    paths = {"wms": wms, "shop": shop}

    result = bench.run("audit", *(paths.get(argument, argument) for argument in arguments))

    assert result.exit_code in (1, 2)
    assert said in result.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("<html><body>Sign in</body></html>", "HTML or XML"),
        ('{"stock": []}', "is JSON"),
        ("sku,qty\n", "holds no table"),
        ("PK\x03\x04 not a zip", "no workbook"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_what_it_is(
    bench: Bench, shop: str, content: str, said: str
) -> None:
    result = bench.run("audit", bench.file("wms.csv", content), shop)

    assert result.exit_code == 1
    assert said in result.stderr
    assert "remedy:" in result.stderr


def test_codes_that_differ_in_zeros_alone_are_told_apart_from_numbers_that_differ(bench: Bench) -> None:
    ours = bench.file("erp.csv", "sku,qty\n" + "".join(f"{n:06d},{n}\n" for n in range(1, 201)))
    theirs = bench.file(
        "web.csv",
        "sku,qty\n" + "".join(f"{n},{n + 7 * n * n % 97 if n % 4 == 0 else n}\n" for n in range(1, 201)),
    )

    said = bench.run("audit", ours, theirs).stdout

    assert "(0 of 200 keys are the same in all 2 systems)" in said
    assert "200 keys are written differently: compared as one, but not the same for that alone" in said
    assert " numbers differ or are missing beside that; " in said
    assert "likely causes, and what has none:" in said
