"""A stock key with everything that a ledger can hold, and every way in which somebody could spoil what is stored of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from shared.domain.events import Leg, Movement, MovementKind, Origin, instant
from shared.domain.ledger import Slot
from shared.domain.network import Grain
from shared.domain.stock import WHOLE, Counter, EventKey, Leaf, MessageId, Sku, SourceId, StockKey
from shared.store.layout import (
    balance_key,
    bucket_hour,
    bucket_partition,
    count_partition,
    entry_key,
    event_key,
    leaf_key,
    line_key,
    promise_key,
    waiting_key,
)
from shared.store.ledger_items import pack_lines, unpack_lines
from shared.store.table import Delete, Item, Key, Put, Update
from tests.operations.house import (
    EAST,
    ORIGIN,
    WEST,
    House,
    at,
    cancelled,
    count,
    demand,
    movement,
    shipment,
)
from tests.operations.waiting_counts import hasty_clocks

BAD = StockKey(Sku("S1"), EAST)
BIN = Leaf("A-01")
ON_HAND = Slot(WHOLE, Counter.ON_HAND)


def furnished(skus: int = 3) -> House:
    """Return a house whose stock keys have bins, holds, late facts, counted documents, a count that waits and orders.

    Journal of each: entry 0 movements and the count of minute 3, entry 1 bins, entry 2 the corrected document, entry 3
    the other system's shipment, entry 4 the count that cannot be decided.
    """
    house = House(hasty_clocks(Grain.BIN), skus=[f"S{n}" for n in range(skus)])
    for n in range(skus):
        furnish(house, StockKey(Sku(f"S{n}"), EAST), n)
    return house


def furnish(house: House, key: StockKey, n: int) -> None:
    document = replace(count(f"wms/c{n}", 3, 15, key=key, version="1"), document=f"cycle-{n}")
    house.post(
        movement(f"wms/r{n}", 0, 20, key=key),
        document,
        movement(f"wms/late{n}", 1, -2, key=key),
        demand(f"d{n}", 4, 6, f"O{n}", key=key),
        shipment(f"wms/s{n}", 5, 2, f"O{n}", key=key),
    )
    house.post(
        _moved(f"wms/bin{n}", key, 6, Leg(EAST, 4, leaf=BIN), Leg(EAST, 1, Counter.QUALITY_HOLD, BIN)),
        replace(count(f"wms/binc{n}", 8, 3, key=key), leaf=BIN),
        _moved(f"wms/binlate{n}", key, 7, Leg(EAST, 2, leaf=BIN)),
    )
    house.post(replace(count(f"wms/c{n}b", 3, 14, key=key, version="2"), document=f"cycle-{n}"))
    oms = Origin(SourceId("oms"), MessageId("m"))
    house.post(replace(movement(f"oms/s{n}", 30, -3, key=key), origin=oms))
    house.post(replace(count(f"wms/w{n}", 31, 10, key=key), document=f"unsure-{n}"))
    house.post(cancelled(f"x{n}", 6, 1, f"O{n}"))
    house.post(
        replace(demand(f"m{n}", 9, 6, f"O{n}", key=StockKey(key.sku, WEST), version="2"), is_assumed=False)
    )


def _moved(name: str, key: StockKey, minute: float, *legs: Leg) -> Movement:
    return Movement(EventKey(name), key.sku, MovementKind.ADJUSTMENT, legs, at(minute), ORIGIN)


Spoil = Callable[[House], None]


@dataclass(frozen=True)
class Corruption:
    """What is spoilt, what ``verify`` must say of it, and where."""

    spoil: Spoil
    what: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.what} {self.where}".strip().replace(" ", "_")


def read(house: House, key: Key) -> Item:
    item = house.stock.get(key)
    assert item is not None
    return item


def add(key: Key, **changes: int) -> Spoil:
    return lambda house: house.stock.write([Update(key, add=changes)])


def lose(key: Key) -> Spoil:
    return lambda house: house.stock.write([Delete(key)])


def put(key: Key, **attributes: object) -> Spoil:
    return lambda house: house.stock.write([Update(key, set=attributes)])  # type: ignore[arg-type]


def clock(key: Key, place: int, value: object) -> Spoil:
    """Spoil one number of the clock of on hand: 0 its balance, 1 the time of the newest line, 2 the last count."""

    def spoil(house: House) -> None:
        clocks = cast("dict[str, list[object]]", read(house, key)["clocks"])
        clocks[Counter.ON_HAND][place] = value
        house.stock.write([Update(key, set={"clocks": clocks})])  # type: ignore[dict-item]

    return spoil


def entry_line(seq: int, **changes: object) -> Spoil:
    """Alter the first line of a journal entry."""

    def spoil(house: House) -> None:
        lines = unpack_lines(cast(bytes, read(house, entry_key(BAD, seq))["lines"]))
        forged = [lines[0]._replace(**changes), *lines[1:]]  # type: ignore[arg-type]
        house.stock.write([Update(entry_key(BAD, seq), set={"lines": pack_lines(forged)})])

    return spoil


def count_at(house: House, slot: Slot = ON_HAND) -> Key:
    item = next(iter(house.stock.query(count_partition(BAD, slot))))
    return Key(cast(str, item["pk"]), cast(str, item["sk"]))


def variance(house: House) -> None:
    house.stock.write([Update(count_at(house), add={"variance": 2})])


def lose_count(house: House) -> None:
    house.stock.write([Delete(count_at(house))])


def document(house: House) -> Key:
    [item] = [
        item
        for item in house.stock.query(f"CNTDOC#{BAD.sku}#{BAD.location}#-#on_hand")
        if "cycle" in cast(str, item["sk"])
    ]
    return Key(cast(str, item["pk"]), cast(str, item["sk"]))


def point_elsewhere(house: House) -> None:
    house.stock.write([Update(document(house), set={"event_key": "wms/c1", "version": "1"})])


def lose_document(house: House) -> None:
    house.stock.write([Delete(document(house))])


def part(house: House) -> None:
    [item] = house.stock.query("ORDER#O1", prefix="PART#")
    house.stock.write([Delete(Key("ORDER#O1", cast(str, item["sk"])))])


def forget(key: Key, *names: str) -> Spoil:
    return lambda house: house.stock.write([Update(key, remove=names)])


def unlist(key: Key) -> Spoil:
    """Take what lists an item in the index of order lines off it."""
    return forget(key, "order_lines_pk", "order_lines_sk")


def count_without(*names: str) -> Spoil:
    return lambda house: forget(count_at(house), *names)(house)


def unlist_part(house: House) -> None:
    [item] = house.stock.query("ORDER#O1", prefix="PART#")
    unlist(Key("ORDER#O1", cast(str, item["sk"])))(house)


def stray_bucket(house: House) -> None:
    house.stock.write([Put(Key(bucket_partition(BAD, WHOLE), "2026-10-01T00"), {"on_hand|07": 4})])


NOON_BUCKET = Key(bucket_partition(BAD, WHOLE), bucket_hour(at(0)))
BIN_BUCKET = Key(bucket_partition(BAD, BIN), bucket_hour(at(0)))
BALANCE, BIN_CLOCK = balance_key(BAD), leaf_key(BAD, BIN)
LINE = line_key("O1", "1")

DERIVED = (
    Corruption(add(BALANCE, on_hand=1), "on_hand against its journal", "the balance item"),
    Corruption(add(BALANCE, damaged=1), "damaged against its journal", "the balance item"),
    Corruption(add(BALANCE, withheld=2), "withheld"),
    Corruption(add(BALANCE, counts_waiting=-1), "counts waiting"),
    Corruption(put(BALANCE, by_location_sk="S9"), "listing under its location"),
    Corruption(clock(BALANCE, 0, 99), "on_hand against its clock", "the balance item"),
    Corruption(clock(BALANCE, 1, instant(at(1))), "newest line of on_hand"),
    Corruption(clock(BALANCE, 1, None), "newest line of on_hand"),
    Corruption(clock(BALANCE, 2, None), "last count of on_hand"),
    Corruption(lose(BALANCE), "balance item"),
    Corruption(clock(BIN_CLOCK, 0, 99), "on_hand of A-01/- against its clock", "clock of A-01/-"),
    Corruption(clock(BIN_CLOCK, 2, None), "last count of on_hand of A-01/-"),
    Corruption(lose(BIN_CLOCK), "on_hand of A-01/- against its clock"),
    Corruption(lose(NOON_BUCKET), "on_hand against its buckets", "bucket 2026-11-01T12:00, entry 0"),
    Corruption(lose(BIN_BUCKET), "on_hand of A-01/- against its buckets", "bucket 2026-11-01T12:06, entry 1"),
    Corruption(add(NOON_BUCKET, **{"on_hand|05": 1}), "on_hand against its buckets", "12:05, entry 0"),
    Corruption(
        add(NOON_BUCKET, **{"on_hand|03|hi": 7}), "on_hand against its buckets", "12:03, entries 0 to 2"
    ),
    Corruption(add(BIN_BUCKET, **{"quality_hold|06": 1}), "quality_hold of A-01/- against its buckets"),
    Corruption(stray_bucket, "on_hand against its buckets", "bucket 2026-10-01T00:07"),
    Corruption(variance, "variance of count wms/c1b of on_hand", "2026-11-01T12:03"),
    Corruption(point_elsewhere, "document cycle-1 of wms as of count wms/c1b"),
    Corruption(lose_document, "document cycle-1 of wms as of count wms/c1b"),
    Corruption(add(promise_key(BAD), available=-1), "available"),
    Corruption(add(promise_key(BAD), available=3), "available"),
    Corruption(add(promise_key(BAD), set_aside=3), "set aside in all"),
    Corruption(add(promise_key(BAD, 3), available=4), "available", "2 promise counters"),
    Corruption(put(promise_key(BAD, 2), available=-2, change_seq=1), "available"),
    Corruption(
        put(LINE, history=[["2026-11-01T12:04:00Z", 9, "d1", "east"]]),
        "history of order O1 line 1",
        "change 1",
    ),
    Corruption(add(LINE, open=1), "open of order O1 line 1"),
    Corruption(part, "listing of order O1 line 1 elsewhere"),
    Corruption(unlist_part, "listing of order O1 line 1 elsewhere"),
    Corruption(unlist(LINE), "listing of order O1 line 1", "order_lines_pk"),
    Corruption(forget(LINE, "order_lines_sk"), "listing of order O1 line 1", "order_lines_pk"),
    Corruption(put(LINE, order_lines_pk="S1#east#0"), "listing of order O1 line 1", "order_lines_pk"),
)
"""What follows from the journal and the documents of order lines: rebuilding puts it right."""

TOLD_ONCE = (
    Corruption(lose(entry_key(BAD, 1)), "journal entries", "missing: entry 1"),
    Corruption(lose(entry_key(BAD, 4)), "journal entries", "missing: entry 4"),
    Corruption(
        put(entry_key(BAD, 5), posted_at=instant(at(0)), lines=pack_lines([])), "journal entries", "beyond"
    ),
    Corruption(put(entry_key(BAD, 0), lines=b"?"), "journal entries that can be read", "entry 0"),
    Corruption(entry_line(0, quantity=21), "on_hand against its journal", "the journal itself"),
    Corruption(entry_line(0, valid_at=at(2)), "on_hand against its buckets", "2026-11-01T12:00"),
    Corruption(entry_line(1, quantity=5), "on_hand of A-01/- against its clock", "12:06, entry 1"),
    Corruption(lose_count, "count of on_hand that stands at 2026-11-01T12:03:00.000000Z"),
    Corruption(lose(waiting_key(BAD)), "counts waiting"),
    Corruption(put(LINE, versions={}), "documents of order O1 line 1"),
    Corruption(put(LINE, shipments={}), "documents of order O1 line 1"),
)
"""What nothing else says: rebuilding refuses, and names it."""

DOUBTS = (
    Corruption(put(waiting_key(BAD), counts=[]), "counts waiting"),
    Corruption(add(BALANCE, counts_waiting=2), "counts waiting"),
    Corruption(add(promise_key(BAD), available=-2, spare=-2), "available"),
    Corruption(add(promise_key(BAD), set_aside=2, spare=-2), "set aside in all"),
    Corruption(lose(promise_key(BAD)), "available", "what was set aside"),
)
"""What may be lost, or may be a wrong number: rebuilding refuses, until somebody says that nothing is lost."""

DAMAGED = (
    Corruption(forget(promise_key(BAD), "available"), "item PROMISE#S1#east 0", "lacks 'available'"),
    Corruption(put(promise_key(BAD), set_aside="?"), "item PROMISE#S1#east 0", "set_aside is '?'"),
    Corruption(put(promise_key(BAD, 3), spare=1), "item PROMISE#S1#east 3", "lacks 'available'"),
    Corruption(forget(BALANCE, "seq"), "item BAL#S1#east -", "lacks 'seq'"),
    Corruption(put(BALANCE, on_hand="12"), "item BAL#S1#east -", "on_hand is '12'"),
    Corruption(clock(BALANCE, 1, "noon"), "item BAL#S1#east -", "noon"),
    Corruption(forget(BIN_CLOCK, "leaf"), "item BAL#S1#east LEAF#A-01/-", "lacks 'leaf'"),
    Corruption(forget(waiting_key(BAD), "counts"), "item BAL#S1#east WAITING", "lacks 'counts'"),
    Corruption(count_without("quantity"), "item CNT#S1#east", "lacks 'quantity'"),
    Corruption(forget(LINE, "versions"), "item ORDER#O1 LINE#1", "lacks 'versions'"),
    Corruption(put(LINE, shipments={"s": ["?"]}), "item ORDER#O1 LINE#1", "cannot be read"),
    Corruption(put(LINE, line="2"), "item ORDER#O1 LINE#1", "line 2 of order O1"),
    Corruption(forget(LINE, "sku"), "item ORDER#O1 LINE#1", "lacks 'sku'"),
    Corruption(
        put(event_key(EventKey("wms/late1")), entries=["?"]), "item EVENT#wms/late1 -", "cannot be read"
    ),
    Corruption(forget(LINE, "sku", "order_lines_pk"), "item ORDER#O1 LINE#1", "lacks 'sku'"),
)
"""Items that cannot be read any more."""

APART = (
    Corruption(lose(event_key(EventKey("wms/late1"))), "event wms/late1 as posted", "entry 0"),
    Corruption(lose(event_key(EventKey("wms/w1"))), "event wms/w1 as posted", "a count that waits"),
)
"""What neither follows from anything nor does anything from it."""
