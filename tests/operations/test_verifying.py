"""``verify``: clean after anything that posting can do, and it names what somebody corrupted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import count as count_up

import pytest

from shared.domain.stock import Sku, StockKey
from shared.operations.proof import Mend
from shared.operations.rebuild import Rebuilder
from shared.operations.reservations import Wanted
from shared.operations.verify import Verifier
from shared.store.layout import balance_key
from shared.store.table import Delete, Item, Key, Update
from tests.operations.corruptions import (
    APART,
    BAD,
    DAMAGED,
    DERIVED,
    DOUBTS,
    TOLD_ONCE,
    Corruption,
    furnished,
)
from tests.operations.house import EAST, KEY, SHOP, WEST, House, cancelled, count, demand, movement, shipment
from tests.operations.test_kits import BOX_KEY, kit, post


@pytest.fixture
def house() -> House:
    house = House(skus=[f"S{n}" for n in range(8)])
    for n in range(8):
        key = StockKey(Sku(f"S{n}"), EAST)
        house.post(
            movement(f"r{n}", 0, 20, key=key),
            count(f"c{n}", 3, 15, key=key),
            movement(f"late{n}", 1, -2, key=key),
            demand(f"d{n}", 4, 6, f"O{n}", key=key),
            shipment(f"s{n}", 5, 2, f"O{n}", key=key),
        )
        house.post(cancelled(f"x{n}", 6, 1, f"O{n}"))
    return house


@pytest.mark.parametrize("corruption", [*DERIVED, *TOLD_ONCE, *DOUBTS, *APART], ids=str)
def test_a_corruption_is_found_and_named(corruption: Corruption) -> None:
    house = furnished()
    house.assert_exact()

    corruption.spoil(house)

    found = house.verifier.verify().discrepancies
    assert {discrepancy.key.sku for discrepancy in found} == {BAD.sku}
    assert any(corruption.what in one.what and corruption.where in one.where for one in found)
    assert all(discrepancy.expected != discrepancy.found for discrepancy in found)


@pytest.mark.parametrize("corruption", DAMAGED, ids=str)
def test_an_item_that_cannot_be_read_is_named_and_hides_nothing_of_other_stock_keys(
    corruption: Corruption,
) -> None:
    house = furnished()
    corruption.spoil(house)
    other = StockKey(Sku("S2"), EAST)
    house.stock.write([Update(balance_key(other), add={"on_hand": 1})])

    found = house.verifier.verify().discrepancies

    assert any(corruption.what in one.what and corruption.where in one.where for one in found)
    assert {one.mend for one in found if one.what.startswith("item")} == {Mend.RESTORE}
    assert [one.what for one in found if one.key == other] == ["on_hand against its journal"]


@pytest.mark.parametrize("corruption", DERIVED, ids=str)
def test_only_what_is_wrong_is_named(corruption: Corruption) -> None:
    house = furnished()

    corruption.spoil(house)

    others = [StockKey(Sku(f"S{n}"), place) for n in (0, 2) for place in (EAST, WEST)]
    assert [wrong for key in others for wrong in house.verifier.verify_key(key).discrepancies] == []


@pytest.mark.parametrize("lost", [r"ORDER#O1 LINE#1", r"ORDER#reservation/.+ -", r"TRANSFER#.+ -"])
def test_what_a_line_belongs_to_is_named_where_it_is_lost(lost: str) -> None:
    house = House(skus=["TEA", "MUG"])
    kit(house, {"TEA": 2, "MUG": 1})
    house.post(movement("r", -60, 50), movement("r2", -60, 10, key=StockKey(Sku("MUG"), EAST)))
    post(house, demand("k", 1, 3, "O1", key=BOX_KEY))
    house.reserver.reserve("res", "ann", SHOP, [Wanted(KEY.sku, 5, EAST)], None)
    asked = house.transfers.request("ann", "t", EAST, WEST, [(KEY.sku, 6)], "", None)
    house.transfers.approve(asked.id, "bob", "ok")
    house.assert_exact()
    stored = [Key(str(item["pk"]), str(item["sk"])) for item in house.stock.scan()]
    [at] = [key for key in stored if re.fullmatch(lost, f"{key.pk} {key.sk}")]

    house.stock.write([Delete(at)])

    found = house.verifier.verify().discrepancies
    assert {(one.where, one.mend) for one in found} == {(f"{at.pk} {at.sk}", Mend.APART)}


def test_an_entry_that_only_its_events_remember_is_named() -> None:
    house = furnished()
    for item in list(house.stock.scan()):
        pk, sk = str(item["pk"]), str(item["sk"])
        if pk.startswith(("BAL#S1", "JRN#S1", "BKT#S1", "CNT#S1", "CNTDOC#S1", "PROMISE#S1", "ORDER#O1")):
            house.stock.write([Delete(Key(pk, sk))])

    found = house.verifier.verify().discrepancies

    assert ("journal entry 3", "event oms/s1", Mend.RESTORE) in {(w.what, w.where, w.mend) for w in found}
    assert [account.key for account in house.verifier.accounts()] == [BAD]
    rebuilt = Rebuilder(house.stock, house.clock, house.clock.sleep).rebuild(BAD, dry_run=False)
    assert "journal entry 3" in {wrong.what for wrong in rebuilt.refused}


def test_events_without_a_line_are_counted() -> None:
    house = furnished(1)
    assert house.verifier.verify().silent_events == 1  # the count that waits


def test_it_says_how_much_it_read(house: House) -> None:
    read = house.verifier.verify()
    assert (read.stock_keys, read.order_lines) == (8, 8)
    assert read.journal_entries >= 8
    assert read.journal_lines >= 8 * 5


def test_a_key_that_is_posted_to_while_it_is_read_is_no_corruption(house: House) -> None:
    posted: list[int] = []

    def post_more(number: int) -> None:
        posted.append(number)
        house.post(movement(f"meanwhile-{number}", 7, 1), demand(f"dm-{number}", 7, 1, f"M{number}"))

    skus = [Sku(f"T{n}") for n in range(400)]
    for sku in skus:
        house.post(movement(f"r-{sku}", 0, 1, key=StockKey(sku, EAST)))
    assert house.verifier.verify(progress=post_more).discrepancies == []
    assert posted
    assert house.on_hand(KEY) == len(posted)


class Watched:
    """The stock table, with something that happens whenever a key's balance and promises are looked at together."""

    def __init__(self, house: House, happens: Callable[[], None]) -> None:
        self._house = house
        self._happens = happens
        self.lags = False

    def snapshot(self, keys: Sequence[Key]) -> dict[Key, Item]:
        self._happens()
        return self._house.stock.snapshot(keys)

    def query_index(self, index: str, pk: str, **more: str) -> Iterator[Key]:
        return iter(()) if self.lags else self._house.stock.query_index(index, pk, **more)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> object:
        return getattr(self._house.stock, name)


def test_a_key_that_never_holds_still_is_not_proven_and_not_called_wrong() -> None:
    house = furnished()
    DERIVED[0].spoil(house)
    names = count_up()

    def post() -> None:
        house.post(movement(f"wms/again-{next(names)}", 50, 1, key=BAD))

    verified = Verifier(Watched(house, post)).verify()  # type: ignore[arg-type]

    assert (verified.moving, verified.discrepancies) == ([BAD], [])


def test_an_order_line_that_its_index_does_not_show_yet_is_waited_for() -> None:
    house = furnished()
    house.post(demand("fresh", 60, 2, "O-fresh", key=BAD))
    table = Watched(house, lambda: None)
    table.lags = True
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        table.lags = False

    assert Verifier(table, pause).verify_key(BAD).discrepancies == []  # type: ignore[arg-type]
    assert waited == [1.0]
