"""However many counts of a stock key wait, or are history, what moves is posted, and what is decided goes through."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pytest

from shared.domain.cases import CaseKind
from shared.domain.ledger import WAITING_SIZE
from shared.domain.network import Grain
from shared.domain.stock import EventKey, MessageId
from shared.store.inbox import MessageStatus
from shared.store.layout import waiting_key
from shared.store.ledger_items import waiting_value
from shared.store.table import Action, Put
from tests.operations.deliveries import body
from tests.operations.house import EAST, KEY, TEA, WEST, Crash, House, Interruption, at
from tests.operations.test_undoing import undo
from tests.operations.waiting_counts import LIMIT, careful, counted, moved


def told_of_bin(
    house: House, kind: str, document: str, minute: float, units: int, name: str = ""
) -> MessageStatus:
    line = {"sku": "TEA", "quantity": units} | ({"bin": name} if name else {})
    return house.applier.apply(house.store("wms", body(kind, document, line, occurred_at=at(minute))))


def waiting_bins(bins: int) -> House:
    """Return a house where a count waits in each of many bins of 100 units."""
    house = House(careful(approve_beyond=LIMIT, grain=Grain.BIN))
    house.clock.now = at(600)
    for n in range(bins):
        told_of_bin(house, "receipt", f"R{n}", 0, 100, f"B{n:03}")
        told_of_bin(house, "count", f"C{n}", 10, 50, f"B{n:03}")
    return house


@pytest.mark.parametrize(
    ("kind", "minute", "units", "name", "expected"),
    [
        ("receipt", 20, 5, "B000", 10_005),
        ("shipment", 5, 50, "B000", 9_950),
        ("count", 20, 10_000, "", 10_000),
    ],
    ids=["moves", "settles one", "counts the whole"],
)
def test_what_moves_beside_a_hundred_bins_whose_counts_wait_is_posted(
    kind: str, minute: float, units: int, name: str, expected: int
) -> None:
    house = waiting_bins(100)

    assert told_of_bin(house, kind, "X", minute, units, name) is MessageStatus.POSTED

    assert house.on_hand() == expected
    house.assert_exact()


def test_bins_that_only_wait_are_not_written_again() -> None:
    writes: list[int] = []
    for bins in (1, 30):
        house = waiting_bins(bins)

        def see(_n: int, actions: Sequence[Action]) -> None:
            if any(action.key.pk.startswith("BAL#") for action in actions):
                writes.append(len(actions))

        house.stock.faults = Interruption(before=see)
        told_of_bin(house, "receipt", "X", 20, 5, "B000")

    assert len(writes) == 2
    assert writes[0] == writes[1]


MANY = 60


def many_waiting() -> House:
    """Return a house of 100 units where very many counts of 50 wait, one a minute."""
    house = House(careful(approve_beyond=LIMIT))
    house.clock.now = at(600)
    house.applier.apply(house.store(*moved("receipt", "R0", -10, 100)))
    for n in range(MANY):
        house.applier.apply(house.store(*counted(f"C{n:03}", n, 50)))
    assert len(house.poster.waiting(KEY)) == len(house.open_cases()) == MANY
    return house


def approve_newest(house: House) -> None:
    waiting = house.cases.open_of([CaseKind.COUNT_APPROVAL])
    newest = max(waiting, key=lambda case: str(case.facts["event_key"]))
    house.case_desk.approve_count(newest.id, "ann", seen=100)


def test_approving_the_newest_of_very_many_settles_them_all() -> None:
    house = many_waiting()
    approve_newest(house)

    assert (house.on_hand(), house.poster.waiting(KEY), house.open_cases()) == (50, [], [])
    house.assert_exact()


@pytest.mark.parametrize(
    ("said", "units"),
    [(moved("shipment", "S1", -5, 50), 50), (counted("D", 500, 99), 99)],
    ids=["a movement that explains them", "a newer count"],
)
def test_what_settles_very_many_counts_is_posted(said: tuple[str, dict[str, object]], units: int) -> None:
    house = many_waiting()

    assert house.applier.apply(house.store(*said)) is MessageStatus.POSTED

    assert (house.on_hand(), house.poster.waiting(KEY), house.open_cases()) == (units, [], [])
    house.assert_exact()


def cut_short(house: House, number: int) -> Interruption:
    """Let the process be gone after a number of writes."""

    def crash(n: int, _actions: Sequence[Action]) -> None:
        if n == number:
            house.stock.faults = None
            raise Crash

    return Interruption(after=crash)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(
    "then", [("told again", 99), ("something else moves", 100)], ids=lambda then: then[0]
)
def test_what_was_cut_short_is_gone_on_with(number: int, then: tuple[str, int]) -> None:
    house = many_waiting()
    message = house.store(*counted("D", 500, 99))
    house.stock.faults = cut_short(house, number)
    with pytest.raises(Crash):
        house.applier.apply(message)
    house.assert_exact()

    again = message if then[0] == "told again" else house.store(*moved("receipt", "R9", 501, 1))
    house.applier.apply(again)
    assert (house.on_hand(), house.poster.waiting(KEY)) == (then[1], [])
    house.assert_exact()
    house.applier.apply(message)
    assert house.open_cases() == []


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_transfers_shipment_that_was_cut_short_is_gone_on_with(number: int) -> None:
    house = many_waiting()
    transfer = house.transfers.request("ann", "k1", EAST, WEST, [(TEA, 50)], "short there").id
    house.transfers.approve(transfer, "ben", "k2")
    house.stock.faults = cut_short(house, number)
    with pytest.raises(Crash):
        house.transfers.ship(transfer, "ann", "k3", at=at(-5))

    house.transfers.ship(transfer, "ann", "k3", at=at(-5))

    assert (house.on_hand(), house.poster.waiting(KEY), house.open_cases()) == (50, [], [])
    house.assert_exact()


@pytest.mark.parametrize("number", range(3))
def test_an_approval_that_was_cut_short_is_gone_on_with(number: int) -> None:
    house = many_waiting()
    house.stock.faults = cut_short(house, number)
    with pytest.raises(Crash):
        approve_newest(house)
    house.assert_exact()

    approve_newest(house)
    assert (house.on_hand(), house.poster.waiting(KEY), house.open_cases()) == (50, [], [])
    house.assert_exact()


def much_history(units: int) -> tuple[House, MessageId]:
    """Return a house of 100 units where a count of 99 covers very many."""
    house = House(careful(approve_beyond=LIMIT))
    house.clock.now = at(600)
    house.applier.apply(house.store(*moved("receipt", "R0", -10, 100)))
    newest = house.store(*counted("D", 500, 99, version="1"))
    house.applier.apply(newest)
    for n in range(MANY):
        house.applier.apply(house.store(*counted(f"C{n:03}", n, units)))
    assert house.on_hand() == 99
    return house, newest


@pytest.mark.parametrize("units", [50, 100])
def test_a_newer_version_of_what_covers_very_many_counts_is_posted(units: int) -> None:
    house, _ = much_history(units)
    status = house.applier.apply(house.store(*counted("D", 500, 98, version="2")))

    assert (status, house.on_hand(), house.poster.waiting(KEY)) == (MessageStatus.POSTED, 98, [])
    house.assert_exact()


@pytest.mark.parametrize(("units", "waiting"), [(50, MANY), (100, 0)])
@pytest.mark.parametrize("number", [None, 0, 1])
def test_what_covers_very_many_counts_is_undone(units: int, waiting: int, number: int | None) -> None:
    house, newest = much_history(units)
    if number is not None:
        house.stock.faults = cut_short(house, number)
        with suppress(Crash):
            undo(house, newest)
        house.stock.faults = None
        house.assert_exact()
    undo(house, newest)

    assert (house.on_hand(), len(house.poster.waiting(KEY)), len(house.open_cases())) == (
        100,
        waiting,
        waiting,
    )
    house.assert_exact()


def test_history_that_is_being_uncovered_is_history_again_when_something_else_moves() -> None:
    house, newest = much_history(50)
    house.stock.faults = cut_short(house, 0)
    with pytest.raises(Crash):
        undo(house, newest)
    assert (house.on_hand(), bool(house.poster.waiting(KEY))) == (99, True)

    house.applier.apply(house.store(*moved("receipt", "R9", 501, 1)))
    assert (house.on_hand(), house.poster.waiting(KEY), house.open_cases()) == (100, [], [])
    house.assert_exact()


@pytest.mark.parametrize("name", ["C", "cycle-count/2026-11-01/zone-a/7c9e6679-7425-40de-944b-e07fc1f90ae7"])
def test_where_no_more_counts_can_wait_another_is_refused_with_what_to_do_and_movements_are_not(
    name: str,
) -> None:
    house = House(careful(approve_beyond=LIMIT))
    house.clock.now = at(3_000)
    house.applier.apply(house.store(*moved("receipt", "R0", -10, 100)))
    house.applier.apply(house.store(*counted(name, 0, 50)))
    [first] = house.poster.waiting(KEY)
    marks = [first.mark._replace(event_key=EventKey(f"{first.mark.event_key}{n:04}")) for n in range(2_000)]
    many = [first._replace(mark=mark, document=f"{name}{n:04}") for n, mark in enumerate(marks)]
    rows = [waiting_value(count) for count in many[: WAITING_SIZE // many[0].size + 1]]
    house.stock.write([Put(waiting_key(KEY), {"counts": rows})])

    assert house.applier.apply(house.store(*counted("X", 600, 60))) is not MessageStatus.POSTED
    [refused] = [
        case for case in house.cases.open_of(tuple(CaseKind)) if case.kind is not CaseKind.COUNT_APPROVAL
    ]
    assert "would have to wait" in refused.title + refused.remedy
    assert "approve the newest" in refused.remedy
    assert house.applier.apply(house.store(*moved("receipt", "R1", 700, 1))) is MessageStatus.POSTED
    assert house.on_hand() == 101
