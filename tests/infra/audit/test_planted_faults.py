"""What the audit says of three exports with known faults: the kind, the system, and how many keys."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.audit.findings import Report
from infra.audit.spill import shards_for
from tests.infra.audit.look import look, named
from tests.infra.audit.planted import FAULTS, World, world, write

ITEMS = 400
EVERYTHING = tuple(kind for kind in FAULTS if kind != "constant_offset")
"""Definition mismatch and constant offset are both of the whole shop; they are not planted together."""


def audited(made: World, folder: Path) -> Report:
    return look(write(made, folder), prices=folder / "prices.csv", earlier=[folder / "yesterday.csv"])


def misses(made: World, report: Report) -> Iterator[str]:
    """Yield what was planted and is not named, or with a number of keys that is off by a tenth or more."""
    for (kind, system), keys in made.planted.items():
        cause = named(report, kind, system)
        if cause is None:
            yield f"{kind} of {system} is not named"
        elif abs(cause.keys - keys) * 10 > max(keys, 10):
            yield f"{kind} of {system}: {cause.keys} keys, planted {keys}"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_named_with_its_system_and_its_keys(kind: str, seed: int, tmp_path: Path) -> None:
    made = world(seed, ITEMS, (kind,), noise=8)

    assert list(misses(made, audited(made, tmp_path))) == []


@pytest.mark.parametrize("kind", FAULTS)
def test_nothing_else_is_named_beside_a_fault(kind: str, tmp_path: Path) -> None:
    made = world(7, ITEMS, (kind,), noise=0)

    report = audited(made, tmp_path)

    assert {(cause.kind.value, cause.system) for cause in report.causes} == set(made.planted)


@pytest.mark.parametrize("seed", range(5))
def test_single_differences_without_a_pattern_are_called_unexplained(seed: int, tmp_path: Path) -> None:
    report = audited(world(seed, ITEMS, (), noise=25), tmp_path)

    assert {cause.kind.value for cause in report.causes} == {"unexplained"}
    assert sum(cause.keys for cause in report.causes) <= 25


def test_exports_that_agree_have_no_cause(tmp_path: Path) -> None:
    report = audited(world(1, 50, ()), tmp_path)

    assert (report.rate, report.causes, report.worst) == ("100.00 %", [], [])


def test_all_faults_at_once_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score: dict[str, int] = dict.fromkeys(EVERYTHING, 0)
    seeds = 4
    for seed in range(seeds):
        folder = tmp_path / str(seed)
        folder.mkdir()
        made = world(seed, 1500, EVERYTHING, noise=40)
        report = audited(made, folder)
        for kind, system in made.planted:
            score[kind] += named(report, kind, system) is not None
    with capsys.disabled():
        sys.stdout.write(f"\naudit, all faults at once, named in {seeds} worlds: {score}\n")

    assert score == dict.fromkeys(EVERYTHING, seeds)


def test_the_exposure_is_the_difference_at_its_price(tmp_path: Path) -> None:
    made = world(2, ITEMS, ("pack_factor",))
    report = audited(made, tmp_path)
    cause = named(report, "pack_factor", "erp")

    cents = sum(abs(value - made.says["erp"][key]) * made.prices[key[0]] for key, value in made.truth.items())
    assert cause is not None
    assert cause.exposure is not None
    assert cause.exposure * 100 == cents
    assert cause.priced == cause.keys


def test_a_world_larger_than_a_shard_is_audited_in_shards(tmp_path: Path) -> None:
    made = world(3, 26_000, EVERYTHING, noise=50)
    files = write(made, tmp_path)
    assert shards_for(sum(path.stat().st_size for path in files)).count > 1

    report = look(files, earlier=[tmp_path / "yesterday.csv"])

    assert made.planted.keys() <= {(cause.kind.value, cause.system) for cause in report.causes}
    assert report.keys == len(made.truth)
