"""What every table must do, asked of the in-memory table and of the real client over HTTP alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.store.dynamodb import DynamoTable
from shared.store.memory import MemoryTable
from shared.store.table import (
    MAX_ACTIONS,
    Absent,
    Action,
    AnyOf,
    AtLeast,
    AttributeAbsent,
    Check,
    Condition,
    Delete,
    Equals,
    Exists,
    Item,
    Key,
    LessThan,
    Put,
    Table,
    Update,
    Value,
    WriteConflictError,
    WriteRefusedError,
)

ITEM: dict[str, Value] = {"n": 5, "s": "m", "nothing": None, "yes": True, "list": [1, {"a": b"\x00"}]}

HOLDS: list[tuple[Condition, bool, bool]] = [  # condition, on the item above, on an absent item
    (Absent(), False, True),
    (Exists(), True, False),
    (AttributeAbsent("n"), False, True),
    (AttributeAbsent("nothing"), False, True),
    (AttributeAbsent("other"), True, True),
    (Equals("n", 5), True, False),
    (Equals("n", 6), False, False),
    (Equals("n", "5"), False, False),
    (Equals("yes", True), True, False),
    (Equals("yes", 1), False, False),
    (Equals("n", True), False, False),
    (Equals("nothing", None), True, False),
    (Equals("other", None), False, False),
    (Equals("list", [1, {"a": b"\x00"}]), True, False),
    (Equals("list", [1]), False, False),
    (AtLeast("n", 5), True, False),
    (AtLeast("n", 6), False, False),
    (AtLeast("n", -(10**20)), True, False),
    (AtLeast("s", "m"), True, False),
    (AtLeast("s", "n"), False, False),
    (AtLeast("s", 1), False, False),
    (AtLeast("other", 0), False, False),
    (LessThan("n", 6), True, False),
    (LessThan("n", 5), False, False),
    (LessThan("n", 10**20), True, False),
    (LessThan("s", "ma"), True, False),
    (LessThan("s", "m"), False, False),
    (LessThan("n", "z"), False, False),
    (LessThan("other", 9), False, False),
    (AnyOf((Absent(), Equals("n", 5))), True, True),
    (AnyOf((Equals("n", 7), Equals("n", 6))), False, False),
    (AnyOf((AnyOf((AttributeAbsent("n"), LessThan("n", 9))), Equals("s", "x"))), True, True),
]


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize(("condition", "on_item", "on_absent"), HOLDS, ids=lambda value: str(value))
def test_a_write_happens_exactly_if_its_condition_holds(
    table: Table, pk: str, condition: Condition, on_item: bool, on_absent: bool, size: int
) -> None:
    table.write([Put(Key(pk, "there"), ITEM)])
    for sk, expected in (("there", on_item), ("gone", on_absent)):
        before = table.get(Key(pk, sk))
        actions: list[Action] = [Update(Key(pk, sk), set={"written": 1}, conditions=(condition,))]
        actions += [Put(Key(pk, f"beside-{sk}"), {})] * (size - 1)
        if expected:
            table.write(actions)
            assert table.get(Key(pk, sk)) == {"pk": pk, "sk": sk, **(before or {}), "written": 1}
        else:
            with pytest.raises(WriteRefusedError) as refused:
                table.write(actions)
            assert [(r.action, r.found) for r in refused.value.refusals] == [(actions[0], before)]
            assert table.get(Key(pk, sk)) == before
            assert table.get(Key(pk, f"beside-{sk}")) is None


@pytest.mark.parametrize("kind", [Put, Update, Delete, Check])
def test_every_kind_of_action_honours_all_its_conditions(table: Table, pk: str, kind: type[Action]) -> None:
    key = Key(pk, "a")
    table.write([Put(key, {"n": 1})])
    content: dict[type, dict[str, Any]] = {Put: {"attributes": {"n": 2}}, Update: {"set": {"n": 2}}}

    def write(*conditions: Condition) -> None:
        table.write([kind(key, conditions=conditions, **content.get(kind, {}))])

    with pytest.raises(WriteRefusedError) as refused:
        write(Exists(), Equals("n", 2))
    assert refused.value.refusals[0].found == {"pk": pk, "sk": "a", "n": 1}
    write(Exists(), Equals("n", 1))
    expected = {Put: 2, Update: 2, Check: 1}
    assert (table.get(key) or {}).get("n") == expected.get(kind)


def test_one_refusal_among_many_actions_leaves_every_item_as_it_was(table: Table, pk: str) -> None:
    keys = [Key(pk, f"{n:02}") for n in range(20)]
    table.write([Put(key, {"n": n}) for n, key in enumerate(keys)])
    before = table.snapshot(keys)
    changes: list[Action] = [Update(key, add={"n": 1}) for key in keys[:17]]
    changes += [Check(keys[17], (Equals("n", 0),)), Delete(keys[18]), Put(keys[19], {}, (Absent(),))]

    with pytest.raises(WriteRefusedError) as refused:
        table.write(changes)

    assert [changes.index(refusal.action) for refusal in refused.value.refusals] == [17, 19]
    assert [refusal.found for refusal in refused.value.refusals] == [before[keys[17]], before[keys[19]]]
    assert table.snapshot(keys) == before


def test_a_refusal_of_an_absent_item_finds_nothing(table: Table, pk: str) -> None:
    with pytest.raises(WriteRefusedError) as refused:
        table.write([Put(Key(pk, "a"), {}), Check(Key(pk, "b"), (Exists(),))])
    assert [(r.action.key.sk, r.found) for r in refused.value.refusals] == [("b", None)]


def test_a_hundred_actions_are_one_write_and_one_more_is_too_many(table: Table, pk: str) -> None:
    keys = [Key(pk, f"{n:03}") for n in range(MAX_ACTIONS + 1)]
    table.write([Put(key, {"n": n}) for n, key in enumerate(keys[:MAX_ACTIONS])])
    assert [item["n"] for item in table.query(pk)] == list(range(MAX_ACTIONS))
    assert len(table.snapshot(keys[:MAX_ACTIONS])) == MAX_ACTIONS
    with pytest.raises(ValueError, match="at most 100"):
        table.write([Delete(key) for key in keys])
    with pytest.raises(ValueError, match="at most 100"):
        table.snapshot(keys)


def test_no_actions_are_no_write(table: Table) -> None:
    table.write([])
    assert table.snapshot([]) == table.get_many([]) == {}


def test_an_update_creates_adds_appends_defaults_and_removes(table: Table, pk: str) -> None:
    key = Key(pk, "a")
    update = Update(
        key, set={"s": "x"}, add={"n": 3}, append={"l": [1, "b"]}, defaults={"d": 1, "e": None}, remove=("r",)
    )
    table.write([update])
    created = {"pk": pk, "sk": "a", "s": "x", "n": 3, "l": [1, "b"], "d": 1, "e": None}
    assert table.get(key) == created

    table.write([Update(key, set={"d": 9, "r": 1})])
    table.write([update])
    assert table.get(key) == created | {"n": 6, "l": [1, "b", 1, "b"], "d": 9}


def test_nothing_added_or_appended_still_creates_the_attribute(table: Table, pk: str) -> None:
    table.write([Update(Key(pk, "a"), add={"n": 0}, append={"l": []})])
    assert table.get(Key(pk, "a")) == {"pk": pk, "sk": "a", "n": 0, "l": []}


def test_attributes_may_bear_any_name(table: Table, pk: str) -> None:
    names = ["size", "a.b", "with space", "ключ", "#n0", ":v0", "list[0]", "AND"]
    table.write([Update(Key(pk, "a"), set=dict.fromkeys(names, 1), conditions=(AttributeAbsent("a.b"),))])
    table.write([Update(Key(pk, "a"), add=dict.fromkeys(names, 1), conditions=(Equals("list[0]", 1),))])
    assert table.get(Key(pk, "a")) == {"pk": pk, "sk": "a", **dict.fromkeys(names, 2)}


def test_an_update_may_say_much_of_an_item(table: Table, pk: str) -> None:
    minutes = {f"on_hand|{minute:02}": 1 for minute in range(95)}
    bounds = {f"{name}|{bound}": 1 for name in minutes for bound in ("lo", "hi")}
    lo, hi = ({name: 1 for name in bounds if name.endswith(end)} for end in ("|lo", "|hi"))
    appended: dict[str, list[Value]] = {f"list{number}": [number] for number in range(90)}
    conditions = tuple(AttributeAbsent(f"no{number}") for number in range(90))
    table.write([Update(Key(pk, "a"), add=minutes, defaults=lo, set=hi)])
    table.write([Update(Key(pk, "b"), append=appended, conditions=conditions)])
    assert table.get(Key(pk, "a")) == {"pk": pk, "sk": "a", **minutes, **bounds}
    assert table.get(Key(pk, "b")) == {"pk": pk, "sk": "b", **appended}


def test_put_replaces_the_whole_item_and_delete_forgets_it(table: Table, pk: str) -> None:
    key = Key(pk, "a")
    table.write([Put(key, {"a": 1, "b": 2})])
    table.write([Put(key, {"c": 3})])
    assert table.get(key) == {"pk": pk, "sk": "a", "c": 3}
    table.write([Delete(key)])
    table.write([Delete(key)])
    assert table.get(key) is None


def test_what_was_read_can_be_put_back(table: Table, pk: str) -> None:
    table.write([Put(Key(pk, "a"), ITEM)])
    item = table.get(Key(pk, "a"))
    assert item is not None
    table.write([Put(Key(pk, "a"), item, (Exists(),))])
    assert table.get(Key(pk, "a")) == item


@pytest.mark.parametrize(
    "value",
    [0, -1, 100, 2**63, -(2**63) - 1, 10**37, 10**38 - 1, 1 - 10**38, "", "0", "schön ☃ 𝄞 \x00", b"", b"\x00\xff",
     True, False, None, [], {}, [[], {}, [None, "", b"", [0]]], {"": {"a": {"b": [1]}}}, "x" * 100_000],
    ids=lambda value: repr(value)[:24],
)  # fmt: skip
def test_a_value_comes_back_exactly(table: Table, pk: str, value: Value) -> None:
    table.write([Put(Key(pk, "a"), {"v": value})])
    item = table.get(Key(pk, "a"))
    assert item is not None
    assert (item["v"], type(item["v"])) == (value, type(value))
    table.write([Update(Key(pk, "a"), set={"w": value}, conditions=(Equals("v", value),))])
    assert table.get_many([Key(pk, "a")]) == {Key(pk, "a"): {**item, "w": value}}


def test_sums_are_exact_beyond_64_bits(table: Table, pk: str) -> None:
    large = 10**27 + 1  # DynamoDB is exact to 38 digits, the local runtime sums only 28
    table.write([Put(Key(pk, "a"), {"n": large})])
    table.write([Update(Key(pk, "a"), add={"n": large})])
    table.write([Update(Key(pk, "a"), add={"n": -1}, conditions=(AtLeast("n", 2 * large),))])
    assert table.get(Key(pk, "a")) == {"pk": pk, "sk": "a", "n": 2 * large - 1}


def test_none_differs_from_absent(table: Table, pk: str) -> None:
    table.write([Put(Key(pk, "a"), {"v": None})])
    table.write([Update(Key(pk, "a"), defaults={"v": 1, "w": 1})])
    assert table.get(Key(pk, "a")) == {"pk": pk, "sk": "a", "v": None, "w": 1}


@pytest.mark.parametrize("value", [1.0, [0.5], {"a": 1.5}, {1}, object()], ids=str)
def test_a_value_of_no_known_type_is_refused(table: Table, pk: str, value: Any) -> None:
    for action in (Put(Key(pk, "a"), {"v": value}), Update(Key(pk, "a"), add={"v": value})):
        with pytest.raises(TypeError):
            table.write([action])
    assert table.get(Key(pk, "a")) is None


@pytest.mark.parametrize("amount", [True, False, "1", None], ids=str)
def test_only_a_whole_number_can_be_added(table: Table, pk: str, amount: Any) -> None:
    with pytest.raises(TypeError, match=r"v of .* only an int can be added"):
        table.write([Update(Key(pk, "a"), add={"v": amount})])
    assert table.get(Key(pk, "a")) is None


@pytest.mark.parametrize("bound", [True, 1.5, None, b"a"], ids=str)
def test_a_bound_without_an_order_is_refused(table: Table, pk: str, bound: Any) -> None:
    for condition in (AtLeast("n", bound), AnyOf((Absent(), LessThan("n", bound)))):
        with pytest.raises(TypeError, match="order"):
            table.write([Put(Key(pk, "a"), {}, (condition,))])


@pytest.mark.parametrize(
    "actions",
    [
        [Put(Key("", "a"), {})],
        [Put(Key("a", ""), {})],
        [Put(Key("a", "x" * 1025), {})],
        [Put(Key("a"), {}), Delete(Key("a"))],
        [Put(Key("a"), {"pk": "b"})],
        [Put(Key("a"), {"n": 10**38})],
        [Put(Key("a"), {"s": "\ud800"})],
        [Put(Key("a"), {"s": "x" * 410_000})],
        [Put(Key("a"), {"due_pk": 1, "due_sk": "a"})],
        [Put(Key("a"), {"due_pk": "", "due_sk": "a"})],
        [Update(Key("a"))],
        [Update(Key("a"), set={"sk": "b"})],
        [Update(Key("a"), set={"n": 1}, add={"n": 1})],
        [Update(Key("a"), defaults={f"n{number}": 1 for number in range(160)})],
        [Check(Key("a"), ())],
        [Check(Key("a"), tuple(AttributeAbsent(f"n{number}") for number in range(150)))],
        [Check(Key("a"), (AnyOf(tuple(AttributeAbsent(f"n{number}") for number in range(150))),))],
        [Check(Key("a"), (AnyOf(()),))],
        [Check(Key("a"), (AnyOf((Absent(), AnyOf(()))),))],
        [Put(Key(f"big-{n}"), {"s": "x" * 390_000}) for n in range(12)],
    ],
    ids=lambda actions: str(actions)[:60],
)
def test_a_write_that_can_never_succeed_is_a_value_error(table: Table, actions: Sequence[Action]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (each names its own reason)
        table.write(actions)
    assert (
        table.get_many([action.key for action in actions if action.key.pk and 0 < len(action.key.sk) < 99])
        == {}
    )


def test_get_many_takes_any_number_of_keys_and_repeated_ones(table: Table, pk: str) -> None:
    keys = [Key(pk, f"{n:03}") for n in range(250)]
    for start in range(0, 250, 50):
        table.write([Put(key, {"n": 1}) for key in keys[start : start + 50]])
    found = table.get_many([*keys, *keys, Key(pk, "none")])
    assert found == {key: {"pk": key.pk, "sk": key.sk, "n": 1} for key in keys}


def test_get_many_reads_more_than_one_answer_can_hold(table: Table, pk: str) -> None:
    keys = [Key(pk, f"{n:02}") for n in range(48)]
    for key in keys:
        table.write([Put(key, {"s": "x" * 380_000})])
    assert table.get_many(keys).keys() == set(keys)


SKS = ["A", "A#1", "A#10", "A#2", "B", "a", "z", "é", "☃", "𝄞"]  # in order of their UTF-8 bytes


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, SKS),
        ({"first": "A#10"}, SKS[2:]),
        ({"last": "a"}, SKS[:6]),
        ({"first": "A#1", "last": "A#2"}, SKS[1:4]),
        ({"first": "AA", "last": "AZ"}, []),
        ({"first": "b", "last": "a"}, []),
        ({"last": ""}, []),
        ({"first": "B", "last": "B"}, ["B"]),
        ({"prefix": "A#"}, SKS[1:4]),
        ({"prefix": "A#1"}, SKS[1:3]),
        ({"prefix": "☃"}, ["☃"]),
        ({"prefix": "Q"}, []),
        ({"limit": 0}, []),
        ({"limit": 3}, SKS[:3]),
        ({"limit": 99}, SKS),
        ({"prefix": "A", "limit": 2, "descending": True}, ["A#2", "A#10"]),
        ({"first": "B", "last": "z", "descending": True}, ["z", "a", "B"]),
    ],
    ids=str,
)
def test_a_query_yields_its_range_in_order(
    table: Table, pk: str, arguments: dict[str, Any], expected: list[str]
) -> None:
    table.write([Put(Key(pk, sk), {"n": 1}) for sk in reversed(SKS)])
    table.write([Put(Key(pk + "+", "A"), {})])
    assert list(table.query(pk, **arguments)) == [{"pk": pk, "sk": sk, "n": 1} for sk in expected]


def test_a_query_refuses_arguments_that_contradict_each_other(table: Table, pk: str) -> None:
    for arguments in ({"prefix": "a", "first": "a"}, {"prefix": "a", "last": "b"}, {"limit": -1}):
        with pytest.raises(ValueError, match=r"excludes|negative"):
            table.query(pk, **arguments)


@pytest.mark.parametrize("descending", [False, True])
def test_a_query_pages_through_megabytes(table: Table, pk: str, descending: bool) -> None:
    expected = [f"{n:03}" for n in range(150)]
    for start in range(0, 150, 50):
        table.write([Put(Key(pk, sk), {"s": "x" * 20_000}) for sk in expected[start : start + 50]])
    found = [item["sk"] for item in table.query(pk, descending=descending)]
    assert found == (expected[::-1] if descending else expected)
    assert len(list(table.query(pk, limit=120, descending=descending))) == 120


def due(sk: str, on: str, at: str) -> Put:
    return Put(Key(on + "-base", sk), {"due_pk": on, "due_sk": at})


def test_an_index_yields_keys_in_order_of_its_own_sort_key(table: Table, pk: str) -> None:
    table.write([due("a", pk, "3"), due("b", pk, "1"), due("c", pk, "2"), due("d", pk + "+", "1")])
    base = pk + "-base"
    assert list(table.query_index("due", pk)) == [Key(base, "b"), Key(base, "c"), Key(base, "a")]
    assert list(table.query_index("due", pk, first="2")) == [Key(base, "c"), Key(base, "a")]
    assert list(table.query_index("due", pk, last="2", descending=True)) == [Key(base, "c"), Key(base, "b")]
    assert list(table.query_index("due", pk, first="1", last="2", limit=1)) == [Key(base, "b")]
    assert list(table.query_index("due", pk, first="3", last="2")) == []


def test_items_with_the_same_index_key_are_all_in_the_index(table: Table, pk: str) -> None:
    table.write([due(f"{n:02}", pk, "same") for n in range(80)])
    assert {key.sk for key in table.query_index("due", pk)} == {f"{n:02}" for n in range(80)}
    assert len(list(table.query_index("due", pk, first="same", last="same", descending=True))) == 80


def test_an_item_enters_moves_in_and_leaves_a_sparse_index(table: Table, pk: str) -> None:
    key = Key(pk, "a")

    def places() -> list[list[Key]]:
        return [list(table.query_index("due", pk + place)) for place in ("-1", "-2")]

    table.write([Put(key, {"due_pk": pk + "-1"})])
    assert places() == [[], []]
    table.write([Update(key, set={"due_sk": "1"})])
    assert places() == [[key], []]
    table.write([Update(key, set={"due_pk": pk + "-2"})])
    assert places() == [[], [key]]
    table.write([Update(key, remove=("due_sk",))])
    assert places() == [[], []]
    table.write([Update(key, set={"due_sk": "2"})])
    assert places() == [[], [key]]
    table.write([Delete(key)])
    assert places() == [[], []]


@pytest.mark.parametrize("segments", [1, 4])
def test_scan_segments_partition_the_table(table: Table, pk: str, segments: int) -> None:
    mine = {Key(f"{pk}-{n}", str(m)) for n in range(20) for m in range(3)}
    table.write([Put(key, {"n": 1}) for key in mine])
    found = [
        Key(str(item["pk"]), str(item["sk"]))
        for segment in range(segments)
        for item in table.scan(segment=segment, segments=segments)
    ]
    assert len(found) == len(set(found))
    assert {key for key in found if key.pk.startswith(pk)} == mine


def test_what_a_caller_does_to_its_values_does_not_reach_the_table(table: Table, pk: str) -> None:
    key, inner = Key(pk, "a"), ["x"]
    table.write([Put(key, {"l": inner, "m": {"l": inner}})])
    inner.append("y")
    reads: list[Any] = [table.get(key), *table.query(pk), table.snapshot([key])[key]]
    for read in reads:
        read["m"]["l"].append("z")
    assert table.get(key) == {"pk": pk, "sk": "a", "l": ["x"], "m": {"l": ["x"]}}


def in_threads(work: Callable[[int], None], count: int = 8) -> None:
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count)))


def test_conditional_increments_of_many_threads_all_count_once(table: Table, pk: str) -> None:
    key = Key(pk, "counter")
    table.write([Put(key, {"n": 0, "seq": 0})])

    def increment(_: int) -> None:
        done = 0
        while done < 50:
            seen = table.get(key)
            assert seen is not None
            change = {"n": 3, "seq": 1}
            try:
                table.write([Update(key, add=change, conditions=(Equals("seq", seen["seq"]),))])
            except (WriteRefusedError, WriteConflictError):
                continue
            done += 1

    in_threads(increment)
    assert table.get(key) == {"pk": pk, "sk": "counter", "n": 1200, "seq": 400}


def test_of_many_threads_that_take_the_last_unit_one_wins(table: Table, pk: str) -> None:
    table.write([Put(Key(pk, "stock"), {"n": 1})])
    winners: list[int] = []

    def take(thread: int) -> None:
        actions: list[Action] = [
            Update(Key(pk, "stock"), add={"n": -1}, conditions=(AtLeast("n", 1),)),
            Put(Key(pk, f"order-{thread}"), {}, (Absent(),)),
        ]
        while True:
            try:
                table.write(actions)
                winners.append(thread)
                return
            except WriteRefusedError:
                return
            except WriteConflictError:
                continue

    in_threads(take, 16)
    assert len(winners) == 1
    assert [item["sk"] for item in table.query(pk)] == [f"order-{winners[0]}", "stock"]


def test_a_snapshot_never_sees_half_a_write(table: Table, pk: str) -> None:
    left, right = Key(pk, "left"), Key(pk, "right")
    table.write([Put(left, {"n": 0}), Put(right, {"n": 0})])
    torn: list[dict[Key, Item]] = []
    writing = threading.Event()
    writing.set()

    def look() -> None:
        while writing.is_set():
            seen = table.snapshot([left, right])
            if seen[left]["n"] != seen[right]["n"]:
                torn.append(seen)

    def change(_: int) -> None:
        for _ in range(15):
            try:
                table.write([Update(left, add={"n": 1}), Update(right, add={"n": 1})])
            except WriteConflictError:
                continue

    with ThreadPoolExecutor(2) as pool:
        looks = [pool.submit(look) for _ in range(2)]
        try:
            in_threads(change)
        finally:
            writing.clear()
        for each in looks:
            each.result()
    assert torn == []
    final = table.snapshot([left, right])
    assert final[left]["n"] == final[right]["n"] == 120


NUMBERS = st.integers(-3, 3)
TEXTS = st.sampled_from(["", "a", "b", "ü"])
LISTS = st.lists(st.one_of(NUMBERS, TEXTS, st.none(), st.booleans(), st.binary(max_size=2)), max_size=2)
CONDITIONS: st.SearchStrategy[Condition] = st.deferred(
    lambda: st.one_of(
        st.just(Absent()),
        st.just(Exists()),
        st.builds(AttributeAbsent, st.sampled_from("nstl")),
        st.builds(Equals, st.sampled_from("nstl"), st.one_of(NUMBERS, TEXTS, LISTS, st.none())),
        st.builds(AtLeast, st.sampled_from("nsl"), st.one_of(NUMBERS, TEXTS)),
        st.builds(LessThan, st.sampled_from("nsl"), st.one_of(NUMBERS, TEXTS)),
        st.builds(AnyOf, st.lists(CONDITIONS, min_size=1, max_size=2).map(tuple)),
    )
)
DEMANDS = st.lists(CONDITIONS, max_size=1).map(tuple)
PLACES = {"due_pk": st.sampled_from("pq"), "due_sk": st.sampled_from("123")}
ATTRIBUTES = st.fixed_dictionaries({}, optional={"n": NUMBERS, "s": TEXTS, "l": LISTS, **PLACES})


def actions_on(sk: str) -> st.SearchStrategy[Action]:
    """Actions that DynamoDB does not refuse as malformed: ``n`` stays a number, ``l`` a list."""
    key = st.just(Key("", sk))
    updates = st.builds(
        Update,
        key,
        set=st.fixed_dictionaries({"t": NUMBERS}, optional={"s": TEXTS, **PLACES}),
        add=st.fixed_dictionaries({}, optional={"n": NUMBERS}),
        append=st.fixed_dictionaries({}, optional={"l": LISTS}),
        defaults=st.fixed_dictionaries({}, optional={"d": st.one_of(NUMBERS, TEXTS, LISTS, st.none())}),
        remove=st.sampled_from([(), ("x",), ("x", "y")]),
        conditions=DEMANDS,
    )
    leaves = st.builds(Update, key, remove=st.just(("due_sk", "n")), conditions=st.just((Exists(),)))
    checks = st.builds(Check, key, st.lists(CONDITIONS, min_size=1, max_size=2).map(tuple))
    return st.one_of(
        st.builds(Put, key, ATTRIBUTES, DEMANDS), updates, leaves, st.builds(Delete, key, DEMANDS), checks
    )


WRITES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3, unique=True).flatmap(
    lambda sks: st.tuples(*map(actions_on, sks))
)


def outcome(table: Table, actions: Sequence[Action]) -> list[tuple[int, Item | None]]:
    """Write, and return which actions were refused and what was found."""
    try:
        table.write(actions)
    except WriteRefusedError as refused:
        return [(actions.index(refusal.action), refusal.found) for refusal in refused.refusals]
    return []


def contents(table: Table, pk: str) -> list[object]:
    return [list(table.query(pk)), *(sorted(table.query_index("due", f"{pk}-{place}")) for place in "pq")]


def in_partition(action: Action, pk: str) -> Action:
    """Give an action its partition, and its index entries one of their own."""

    def own(attributes: Any) -> dict[str, Value]:
        return {name: f"{pk}-{value}" if name == "due_pk" else value for name, value in attributes.items()}

    key = Key(pk, action.key.sk)
    match action:
        case Put():
            return replace(action, key=key, attributes=own(action.attributes))
        case Update():
            return replace(action, key=key, set=own(action.set))
    return replace(action, key=key)


@settings(max_examples=40)
@given(writes=st.lists(WRITES, min_size=1, max_size=12))
def test_both_tables_do_the_same_with_any_writes(
    memory_table: MemoryTable, dynamo_table: DynamoTable, writes: list[tuple[Action, ...]]
) -> None:
    pk = uuid4().hex
    for write in writes:
        actions = [in_partition(action, pk) for action in write]
        assert outcome(memory_table, actions) == outcome(dynamo_table, actions)
        assert contents(memory_table, pk) == contents(dynamo_table, pk)
