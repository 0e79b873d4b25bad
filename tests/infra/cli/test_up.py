"""``up``: which network file is deployed, and which is refused before anything is touched."""

from __future__ import annotations

from pathlib import Path

from infra.cli.target import ROOT
from tests.infra.cli.arrange import NETWORK, Bench


def test_without_a_file_it_deploys_the_one_of_the_last_time(bench: Bench) -> None:
    mine = Path(bench.file("mine.yaml", NETWORK))
    bench.runtime.last_network = mine

    result = bench.run("up")

    assert bench.runtime.ups == [(mine, False)]
    assert f"onecount apply {mine}" in result.stdout


def test_the_hint_names_the_file_that_was_deployed(bench: Bench) -> None:
    mine = bench.file("mine.yaml", NETWORK)

    assert f"onecount apply {mine}\n" in bench.run("up", "--network", mine).stdout
    assert bench.json("up", "--network", mine)["network"] == mine


def test_the_hint_can_be_pasted_in_any_folder(bench: Bench) -> None:
    said = bench.run("up").stdout

    assert f"  {ROOT}/.venv/bin/onecount apply " in said
    assert f"$({ROOT}/.venv/bin/onecount token --scope viewer)" in said


def test_a_file_with_mistakes_is_refused_before_anything_is_deployed(bench: Bench) -> None:
    wrong = NETWORK.replace("counts: wms", "counts: nobody").replace("sku_column: Item, ", "")

    result = bench.run("up", "--network", bench.file("wrong.yaml", wrong))

    assert result.exit_code == 1
    assert "locations.east.counts: " in result.stderr
    assert bench.runtime.ups == []


def test_every_mistake_of_its_connectors_is_named_too(bench: Bench) -> None:
    wrong = NETWORK.replace("sku_column: Item, ", "").replace("'http://127.0.0.1:9/levels'", "ftp://x")

    result = bench.run("up", "--network", bench.file("wrong.yaml", wrong))

    assert result.exit_code == 1
    assert "2 mistakes; nothing was deployed" in result.stderr
    assert "sources.wms.options.sku_column: " in result.stderr
    assert "channels.shop.options.url: " in result.stderr
    assert bench.runtime.ups == []


def test_a_remembered_file_that_has_gone_is_named(bench: Bench) -> None:
    bench.runtime.last_network = bench.folder / "gone.yaml"

    result = bench.run("up")

    assert result.exit_code == 1
    assert "gone.yaml, which was deployed last, is gone" in result.stderr
    assert "--network" in result.stderr
    assert bench.runtime.ups == []


def test_removing_what_is_applied_must_be_said(bench: Bench) -> None:
    mine = bench.file("mine.yaml", NETWORK)

    bench.run("up", "--network", mine)
    bench.run("up", "--network", mine, "--remove")

    assert bench.runtime.ups == [(Path(mine), False), (Path(mine), True)]
