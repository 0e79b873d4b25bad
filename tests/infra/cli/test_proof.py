"""``verify`` and ``rebuild``: what they say, what they leave behind, and how an interrupted run goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.cli.console import CommandError
from infra.cli.verify_folder import FolderSpool
from shared.domain.stock import LocationId, Sku, StockKey
from shared.operations.verify import Verifier
from shared.store.layout import balance_key, entry_key, event_key, promise_key
from shared.store.table import Delete, Item, Update
from tests.infra.cli.arrange import Bench
from tests.operations.corruptions import BAD, DERIVED, TOLD_ONCE, Corruption, furnished
from tests.operations.house import House, demand, movement, shipment
from tests.operations.test_kits import BOX_KEY, kit, post

A = StockKey(Sku("A"), LocationId("east"))


@pytest.fixture
def spoilt(bench: Bench) -> Bench:
    bench.declare()
    bench.count("A", 5)
    bench.count("B", 7)
    bench.stock.write([Update(balance_key(A), add={"on_hand": 1})])
    return bench


def test_verify_proves_a_ledger_that_adds_up(bench: Bench) -> None:
    bench.count("A", 5)

    said = bench.json("verify")

    assert (said["proven"], said["stock_keys"], said["journal_lines"], said["events"]) == (True, 1, 1, 1)


def test_verify_names_what_does_not_add_up_and_exits_1(spoilt: Bench) -> None:
    spoken, in_json = spoilt.run("verify"), spoilt.run("verify", "--json")

    assert (spoken.exit_code, in_json.exit_code) == (1, 1)
    assert "A at east: on_hand against its journal must be 5, is 6 (the balance item)" in spoken.stderr
    assert json.loads(in_json.stdout)["proven"] is False


def test_one_item_is_verified_by_itself(spoilt: Bench) -> None:
    assert spoilt.json("verify", "--sku", "B")["stock_keys"] == 1
    assert spoilt.run("verify", "--sku", "B").exit_code == 0
    assert spoilt.run("verify", "--sku", "A", "--location", "east").exit_code == 1
    assert spoilt.run("verify", "--location", "east").exit_code == 2


def test_an_item_of_which_nothing_was_found_is_not_called_proven(spoilt: Bench) -> None:
    spoken, in_json = spoilt.run("verify", "--sku", "NIX"), spoilt.run("verify", "--sku", "NIX", "--json")
    elsewhere = spoilt.run("verify", "--sku", "B", "--location", "nowhere")

    assert (spoken.exit_code, in_json.exit_code, elsewhere.exit_code) == (1, 1, 1)
    assert "nothing of NIX was found" in spoken.stderr
    assert "nothing of B was found at nowhere" in elsewhere.stderr
    assert "proven" not in spoken.stdout
    assert json.loads(in_json.stdout)["proven"] is False


def test_the_folder_is_named_and_gone_when_all_is_said(spoilt: Bench) -> None:
    said = spoilt.run("verify").stderr
    folder = Path(said.split("--from ")[1].split(" ")[0])

    assert folder.name.startswith("onecount-verify-")
    assert not folder.exists()


def test_a_folder_that_is_not_there_is_an_error(bench: Bench) -> None:
    result = bench.run("verify", "--from", str(bench.folder / "nowhere"))

    assert result.exit_code == 1
    assert "there is no folder" in result.stderr


def test_a_folder_of_something_else_is_not_written_into(bench: Bench) -> None:
    bench.file("mine.txt", "mine")

    result = bench.run("verify", "--from", str(bench.folder))

    assert result.exit_code == 1
    assert {"mine.txt", "verify.json"} & {path.name for path in bench.folder.iterdir()} == {"mine.txt"}


@pytest.mark.parametrize("manifest", ["", "x", "{}", "[]", '{"stage": "local", "parts": null, "shares": 64}'])
def test_a_folder_whose_manifest_says_nothing_is_none_of_ours(bench: Bench, manifest: str) -> None:
    bench.file("verify.json", manifest)

    result = bench.run("verify", "--from", str(bench.folder))

    assert (result.exit_code, "is no folder that verify filled" in result.stderr) == (1, True)


def test_what_was_read_of_another_stage_is_not_gone_on_with(tmp_path: Path) -> None:
    FolderSpool(tmp_path, "prod", 2)
    with pytest.raises(CommandError, match="'prod'"):
        FolderSpool(tmp_path, "local", 2)


class Interrupted:
    """A table whose connection breaks in the middle of a part of the scan."""

    def __init__(self, table: object, breaks_at: int | None) -> None:
        self._table = table
        self._breaks_at = breaks_at
        self.parts: list[int] = []

    def scan(self, *, segment: int = 0, segments: int = 1) -> Iterator[Item]:
        self.parts.append(segment)
        for number, item in enumerate(self._table.scan(segment=segment, segments=segments)):  # type: ignore[attr-defined]
            if segment == self._breaks_at and number == 2:
                raise ConnectionError
            yield item

    def __getattr__(self, name: str) -> object:
        return getattr(self._table, name)


@pytest.mark.parametrize("corruption", [*DERIVED[:3], *TOLD_ONCE[:2]], ids=str)
def test_an_interrupted_run_goes_on_and_says_the_same(corruption: Corruption, tmp_path: Path) -> None:
    house = furnished()
    corruption.spoil(house)
    must = house.verifier.verify()
    broken = Interrupted(house.stock, breaks_at=2)
    with pytest.raises(ConnectionError):
        Verifier(broken).verify(spool=FolderSpool(tmp_path, "local", 4))  # type: ignore[arg-type]

    mended = Interrupted(house.stock, breaks_at=None)
    said = Verifier(mended).verify(spool=FolderSpool(tmp_path, "local", 4))  # type: ignore[arg-type]

    assert (broken.parts, mended.parts) == ([0, 1, 2], [2, 3])
    assert said == must
    assert Verifier(mended).verify(spool=FolderSpool(tmp_path, "local", 4)) == must  # type: ignore[arg-type]
    assert mended.parts == [2, 3]


def test_an_event_of_several_items_is_asked_for_where_each_lies(tmp_path: Path) -> None:
    house = House(skus=["TEA", "MUG"])
    kit(house, {"TEA": 2, "MUG": 1})
    mug = StockKey(Sku("MUG"), LocationId("east"))
    house.post(movement("r", -60, 50), movement("r2", -60, 10, key=mug))
    post(house, demand("k", 1, 3, "O1", key=BOX_KEY))
    post(house, shipment("s", 2, 3, "O1", key=BOX_KEY))
    lost = entry_key(mug, 1)
    assert house.stock.get(lost) is not None
    house.stock.write([Delete(lost)])

    found = house.verifier.verify(spool=FolderSpool(tmp_path, "local", 1)).discrepancies

    named = [(one.key, one.where) for one in found if one.what == "journal entry 1"]
    assert named == [(mug, "event s")]


def test_rebuild_says_what_differs_and_writes_only_when_told(spoilt: Bench) -> None:
    dry = spoilt.run("rebuild")

    assert dry.exit_code == 1
    assert "A at east: would be put right" in dry.stdout
    assert "on_hand against its journal: 6 -> 5 (the balance item)" in dry.stdout
    assert "--write" in dry.stderr
    assert spoilt.run("verify").exit_code == 1

    written = spoilt.json("rebuild", "--write")

    assert (written["adds_up"], [one["written"] for one in written["stock_keys"]]) == (True, [True])
    assert spoilt.run("verify").exit_code == 0
    assert "nothing to rebuild" in spoilt.run("rebuild", "--write").stdout


def test_one_item_is_rebuilt_by_itself(spoilt: Bench) -> None:
    spoilt.stock.write(
        [Update(promise_key(StockKey(Sku("B"), A.location)), add={"available": 4, "spare": 4})]
    )

    assert spoilt.run("rebuild", "--sku", "A", "--write").exit_code == 0

    wrong = spoilt.json("verify")["discrepancies"]
    assert [(one["sku"], one["what"]) for one in wrong] == [("B", "available")]


def test_an_item_of_which_nothing_was_found_is_not_called_right(spoilt: Bench) -> None:
    spoken, in_json = spoilt.run("rebuild", "--sku", "NIX"), spoilt.run("rebuild", "--sku", "NIX", "--json")
    elsewhere = spoilt.run("rebuild", "--sku", "A", "--location", "nowhere", "--write")

    assert (spoken.exit_code, in_json.exit_code, elsewhere.exit_code) == (1, 1, 1)
    assert "nothing of NIX was found" in spoken.stderr
    assert "nothing of A was found at nowhere" in elsewhere.stderr
    assert "adds up" not in spoken.stdout + elsewhere.stdout


def test_a_location_that_is_not_declared_any_more_is_rebuilt_too(spoilt: Bench) -> None:
    spoilt.count("C", 3, at="west")
    west = StockKey(Sku("C"), LocationId("west"))
    spoilt.stock.write([Update(balance_key(west), add={"on_hand": 1})])

    assert "C at west: put right" in spoilt.run("rebuild", "--sku", "C", "--write").stdout
    assert spoilt.run("verify", "--sku", "C", "--location", "west").exit_code == 0


def test_a_rebuild_names_no_folder_that_could_be_gone_on_with(spoilt: Bench) -> None:
    assert "--from" not in spoilt.run("rebuild").stderr


def test_what_cannot_be_rebuilt_is_named_with_what_to_do(spoilt: Bench) -> None:
    spoilt.stock.write([Delete(entry_key(A, 0))])

    result = spoilt.run("rebuild", "--write")

    assert result.exit_code == 1
    assert "A at east: refused" in result.stdout
    assert "A at east: journal entries must be 1, is 0 (missing: entry 0)" in result.stderr
    assert "restore" in result.stderr


def test_units_that_a_lost_line_may_hold_are_given_back_only_when_somebody_has_compared(
    spoilt: Bench,
) -> None:
    spoilt.stock.write([Update(promise_key(A), add={"available": -2, "spare": -2})])

    refused, found = spoilt.run("rebuild", "--write"), spoilt.json("verify")["discrepancies"]

    assert refused.exit_code == 1
    assert "A at east: available must be 5, is 3" in refused.stderr
    assert ("available", "compare") in {(one["what"], one["mend"]) for one in found}
    assert spoilt.run("rebuild", "--compared", "--write").exit_code == 2
    assert spoilt.run("rebuild", "--sku", "A", "--compared", "--write").exit_code == 0
    assert spoilt.run("verify").exit_code == 0


def test_what_rebuilding_does_not_mend_is_left_and_said(bench: Bench) -> None:
    bench.declare()
    bench.count("A", 5)
    [item] = [item for item in bench.stock.scan() if str(item["pk"]).startswith("EVENT#")]
    bench.stock.write([Delete(event_key(str(item["pk"]).removeprefix("EVENT#")))])  # type: ignore[arg-type]

    result = bench.run("rebuild", "--write")

    assert result.exit_code == 1
    assert "rebuilding does not mend everything" in result.stderr


def test_every_byte_of_a_journal_survives_the_folder(tmp_path: Path) -> None:
    spool = FolderSpool(tmp_path, "local", 1)
    entry: Item = {"pk": f"JRN#{BAD.sku}", "sk": "0", "lines": bytes(range(256)), "name": "\u2028\ud55c\n"}
    spool.put(3, entry)
    spool.keep(0)

    assert list(spool.items(3)) == [entry]
    assert list(spool.items(4)) == []
