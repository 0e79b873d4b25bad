"""``verify``: clean after anything that posting can do, and it names what somebody corrupted."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from shared.domain.stock import WHOLE, Counter, Sku, StockKey
from shared.store.layout import balance_key, bucket_hour, bucket_partition, entry_key, line_key, promise_key
from shared.store.ledger import pack_lines, unpack_lines
from shared.store.table import Delete, Key, Update
from tests.operations.house import EAST, KEY, House, at, cancelled, count, demand, movement, shipment


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


BAD = StockKey(Sku("S3"), EAST)


def add(key: Key, **changes: int) -> Callable[[House], None]:
    return lambda house: house.stock.write([Update(key, add=changes)])


def lose_entry(house: House) -> None:
    house.stock.write([Delete(entry_key(BAD, 0))])


def change_line(house: House) -> None:
    item = house.stock.get(entry_key(BAD, 0))
    assert item is not None
    lines = unpack_lines(cast(bytes, item["lines"]))
    forged = [lines[0]._replace(quantity=lines[0].quantity + 1), *lines[1:]]
    house.stock.write([Update(entry_key(BAD, 0), set={"lines": pack_lines(forged)})])


def lose_bucket(house: House) -> None:
    house.stock.write([Delete(Key(bucket_partition(BAD, WHOLE), bucket_hour(at(0))))])


def lose_order_line(house: House) -> None:
    house.stock.write([Delete(line_key("O3", "1"))])


def forge_history(house: House) -> None:
    house.stock.write(
        [Update(line_key("O3", "1"), set={"history": [["2026-11-01T12:04:00Z", 9, "d3", "east"]]})]
    )


def forge_clock(house: House) -> None:
    item = house.stock.get(balance_key(BAD))
    assert item is not None
    clocks = cast("dict[str, list[object]]", item["clocks"])
    clocks[Counter.ON_HAND][0] = cast(int, clocks[Counter.ON_HAND][0]) + 5
    house.stock.write([Update(balance_key(BAD), set={"clocks": clocks})])  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("corrupt", "what"),
    [
        (add(balance_key(BAD), on_hand=1), "on_hand against its journal"),
        (add(balance_key(BAD), damaged=1), "damaged against its journal"),
        (add(promise_key(BAD), available=-1), "available"),
        (lose_entry, "journal entries"),
        (change_line, "on_hand against its journal"),
        (lose_bucket, "on_hand against its buckets"),
        (lose_order_line, "available"),
        (forge_history, "history of order O3 line 1"),
        (forge_clock, "on_hand against its clock"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_corruption_is_found_and_named(house: House, corrupt: Callable[[House], None], what: str) -> None:
    house.assert_exact()

    corrupt(house)

    found = house.verifier.verify().discrepancies
    assert {discrepancy.key for discrepancy in found} == {BAD}
    assert what in {discrepancy.what for discrepancy in found}
    assert all(discrepancy.expected != discrepancy.found for discrepancy in found)


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
