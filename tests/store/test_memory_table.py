"""What the in-memory table offers beyond the port: its change log, and faults around writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from shared.store.attributes import item_from_image
from shared.store.memory import MemoryTable
from shared.store.table import (
    Action,
    AtLeast,
    Check,
    Delete,
    Exists,
    Key,
    Put,
    ThrottledError,
    Update,
    WriteRefusedError,
)

KEY = Key("p", "s")
KEYS = {"pk": {"S": "p"}, "sk": {"S": "s"}}
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_the_change_log_tells_insert_modify_and_remove_as_a_stream_does() -> None:
    table = MemoryTable(clock=lambda: NOON)
    table.write([Put(KEY, {"n": 1, "b": b"\x00"})])
    table.write([Update(KEY, add={"n": 1})])
    table.write([Delete(KEY)])

    records = table.changes_since(0)

    first = {"n": {"N": "1"}, "b": {"B": "AA=="}, **KEYS}
    second = first | {"n": {"N": "2"}}
    assert [
        (r["eventName"], r["dynamodb"].get("OldImage"), r["dynamodb"].get("NewImage")) for r in records
    ] == [("INSERT", None, first), ("MODIFY", first, second), ("REMOVE", second, None)]
    assert all(r["dynamodb"]["Keys"] == KEYS for r in records)
    assert {r["dynamodb"]["ApproximateCreationDateTime"] for r in records} == {NOON.timestamp()}
    assert [int(r["dynamodb"]["SequenceNumber"]) for r in records] == [1, 2, 3]
    assert len({r["eventID"] for r in records}) == 3


def test_an_image_survives_json_and_reads_as_the_item() -> None:
    table = MemoryTable()
    table.write([Put(KEY, {"n": 10**37, "b": b"\xff", "m": {"l": [b"", None, True, "é"]}})])
    (record,) = json.loads(json.dumps(table.changes_since(0)))
    assert item_from_image(record["dynamodb"]["NewImage"]) == table.get(KEY)


def test_a_write_that_changes_nothing_leaves_no_record() -> None:
    table = MemoryTable()
    table.write([Put(KEY, {"n": 1, "l": [1]})])
    table.write([Put(KEY, {"l": [1], "n": 1})])
    table.write([Update(KEY, set={"n": 1}, append={"l": []}, remove=("x",))])
    table.write([Update(KEY, defaults={"n": 2, "l": []})])
    table.write([Update(KEY, add={"n": 0}), Delete(Key("p", "none")), Update(Key("p", "no"), remove=("x",))])
    table.write([Check(KEY, (Exists(),)), Put(Key("p", "other"), {})])
    assert [r["dynamodb"]["Keys"]["sk"]["S"] for r in table.changes_since(0)] == ["s", "other"]


def test_true_in_place_of_one_is_a_change() -> None:
    table = MemoryTable()
    table.write([Put(KEY, {"v": 1})])
    table.write([Put(KEY, {"v": True})])
    assert [r["eventName"] for r in table.changes_since(0)] == ["INSERT", "MODIFY"]


def test_the_change_log_goes_on_from_a_sequence_number() -> None:
    table = MemoryTable()
    for n in range(5):
        table.write([Put(Key("p", str(n)), {})])
    whole = table.changes_since(0)
    assert table.changes_since(3) == whole[3:]
    assert table.changes_since(5) == []


def test_a_refused_write_leaves_no_record() -> None:
    table = MemoryTable()
    with pytest.raises(WriteRefusedError):
        table.write([Put(KEY, {}), Check(Key("q"), (Exists(),))])
    assert table.changes_since(0) == []


def test_sums_are_exact_to_38_digits_and_refused_beyond() -> None:
    table = MemoryTable()
    table.write([Put(KEY, {"n": 10**38 - 2})])
    table.write([Update(KEY, add={"n": 1}, conditions=(AtLeast("n", 10**38 - 2),))])
    with pytest.raises(ValueError, match="38 digits"):
        table.write([Update(KEY, add={"n": 1})])
    assert (table.get(KEY) or {})["n"] == 10**38 - 1


@pytest.mark.parametrize("update", [Update(KEY, add={"s": 1}), Update(KEY, append={"n": [1]})], ids=str)
def test_adding_to_text_or_appending_to_a_number_is_refused_as_in_dynamodb(update: Update) -> None:
    table = MemoryTable()  # the local runtime lets it pass, so the contract suite cannot ask for it
    table.write([Put(KEY, {"s": "x", "n": 1})])
    with pytest.raises(ValueError, match="cannot"):
        table.write([Put(Key("p", "beside"), {}), update])
    assert table.get(Key("p", "beside")) is None


class Crash(Exception):  # noqa: N818 (the end of a process, no error of ours)
    """The process died."""


class Dying:
    """Dies before or after the writes."""

    def __init__(self, *, late: bool) -> None:
        self._late = late

    def before(self, actions: Sequence[Action]) -> None:
        if not self._late:
            raise ThrottledError("not now")

    def after(self, actions: Sequence[Action]) -> None:
        raise Crash


def test_a_fault_before_a_write_prevents_it() -> None:
    table = MemoryTable(faults=Dying(late=False))
    with pytest.raises(ThrottledError):
        table.write([Put(KEY, {})])
    assert (table.get(KEY), table.changes_since(0)) == (None, [])


def test_a_fault_after_a_write_leaves_it_done() -> None:
    table = MemoryTable(faults=Dying(late=True))
    with pytest.raises(Crash):
        table.write([Put(KEY, {})])
    assert [r["eventName"] for r in table.changes_since(0)] == ["INSERT"]
    table.faults = None
    table.write([Delete(KEY)])
    assert table.get(KEY) is None


def test_a_reader_may_write_while_it_iterates() -> None:
    table = MemoryTable(indexes=["due"])
    for n in range(300):
        table.write([Put(Key("p", f"{n:03}"), {"due_pk": "q", "due_sk": f"{n:03}"})])
    for key in table.query_index("due", "q"):
        table.write([Update(key, remove=("due_pk",))])
    for item in table.query("p"):
        table.write([Delete(Key("p", str(item["sk"])))])
    assert (list(table.query("p")), list(table.query_index("due", "q")), list(table.scan())) == ([], [], [])
