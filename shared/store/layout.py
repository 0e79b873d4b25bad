"""Where everything lies: the keys of every item, in one place.

One partition for each item family, not for each SKU, so that a hot SKU's balance, journal, buckets and promise do
not meet on one partition.

============  ==============================  ===========================  =====================================
table         pk                              sk                           holds
============  ==============================  ===========================  =====================================
stock         BAL#sku#location                ``-``                        totals, clocks of the whole, journal seq
stock         BAL#sku#location                LEAF#leaf                    clocks of one bin or lot
stock         BAL#sku#location                WAITING                      counts that wait for a decision
stock         JRN#sku#location#block          seq                          one packed journal entry
stock         BKT#sku#location#leaf           hour                         net per counter and minute, valid time;
                                                                           leaf ``-``: of all leaves
stock         CNT#sku#location#leaf#counter   as_of#version#key            one accepted count and its variance
stock         CNTDOC#sku#location#leaf#...    source#document              the version of a count that stands
stock         PROMISE#sku#location            k                            available, to be claimed from; k > 0: allotments
stock         LEASE#sku#location              ``-``                        who posts to a busy stock key just now
stock         EVENT#key                       ``-``                        an event that is in the ledger
stock         ORDER#order                     ``-``, LINE#line             an order and its lines
stock         OBS#sku                         location#source#element      what a source last said
stock         TOLD#sku                        location#source              movements of who is not believed
stock         LISTING#channel#sku             location                     what a channel shows
stock         PACE#channel                    ``-``                        a channel's rate limit and breaker
stock         REPAIR#sku#location             V#n                          what one rebuild put right, and who did it
stock         SWEEP                           ``-``                        how far the sweeps of drift have come
stock         FAST#sku#location               ``-``                        a stock key that moves often
stock         HEARD#source                    location                     when it last said anything of there
stock         BELIEVED#source                 location                     the same, of what it said where it was live
stock         CORR#sku#location               ``-``                        its newest corrections
stock         PATH#from#to                    ``-``, H, D: hour, day       what goes through a handoff
stock         TALLY#location                  day#source                   counters of a day, from the journal
stock         OFF#location                    day#sku                      counts of a day that did not match
stock         TALLIED#sku#location            ``-``, LEAF#leaf             how far its journal is in the counters; when
                                                                           a leaf was first counted
stock         AGREED#location                 day#source                   its numbers in the day's sweep
stock         WORTH#location                  day                          what the day's sweep found it to be worth
stock         FILLED#location                 day                          how its orders of that day were filled
stock         CONF#sku#location               source#element               how far it is known to have heard
stock         CONFIRMED#source                day#location                 how long events waited for its number
stock         LOT#sku                         lot                          until when a lot may be sold, its recall
stock         TRANSFER#id                     ``-``                        a transfer, its lines and what became of them
stock         SHADOW#kind#id#shard            sku#location                 what a source or channel in shadow came to
stock         SHADOW#part#source#shard        digest of what it is of      its last number of a bin or lot
inbox         MSG#message                     ``-``                        a raw message
registry      SOURCE, LOCATION, CHANNEL       id                           the declared network
registry      ROLLOUT                         kind#id                      where it is observed, in shadow, live
registry      ROLLOUT#kind#id                 V#n                          one change of that
registry      ITEM#sku                        ``-``, V#n, KIT#kit          an item, its changes, the kits it is in
registry      XREF#source#kind#code           ``-``, V#n                   a source's code for an item, its changes
cases         DAILY#what                      ``-``                        the last day for which it was done
registry      RULES                           ``-``                        rules of the whole house
registry      LISTING#sku                     channel                      an item that a channel sells
registry      LISTED#channel#external id      ``-``                        whose id of the channel it is
cases         CASE#id                         ``-``, MSG#message           a case, and the messages parked on it
cases         CASE#id                         DEED#instant#action#who      one thing that was done about it
cases         CASE#id                         PAST#opened at               an earlier opening, as it was closed
============  ==============================  ===========================  =====================================

Indexes hold keys only, and each index key carries a hash shard.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from zlib import crc32

from shared.domain.drift import Observation
from shared.domain.events import instant
from shared.domain.ledger import CountDocument, CountMark, Slot
from shared.domain.stock import ChannelId, EventKey, Leaf, LocationId, MessageId, Sku, SourceId, StockKey
from shared.store.table import Key

INDEXES: dict[str, tuple[str, ...]] = {
    "inbox": ("pending",),
    "stock": ("dirty", "by_location", "order_lines", "observed", "expiring"),
    "registry": ("by_channel",),
    "cases": ("by_status",),
}
"""Table to its indexes: index ``x`` has the items that carry ``x_pk`` and ``x_sk``."""

SHARDS = 4
"""Partitions that each index key is spread over."""

ENTRIES_PER_BLOCK = 200
"""Journal entries that share a partition, so that no partition takes all of a hot key's journal."""


def part(text: str) -> str:
    """Make ``text`` safe as a part of a key: the separators ``#`` and ``%`` are escaped, the rest stays readable."""
    if "%" in text or "#" in text:
        return text.replace("%", "%25").replace("#", "%23")
    return text


def shard(text: str) -> int:
    """Spread ``text`` evenly over the shards of an index."""
    return crc32(text.encode()) % SHARDS


def plain(text: str) -> str:
    """Read what ``part`` wrote."""
    return text.replace("%23", "#").replace("%25", "%")


def _stock(key: StockKey) -> str:
    return f"{part(key.sku)}#{part(key.location)}"


def balance_key(key: StockKey) -> Key:
    return Key(f"BAL#{_stock(key)}")


def leaf_key(key: StockKey, leaf: Leaf) -> Key:
    return Key(f"BAL#{_stock(key)}", f"LEAF#{part(str(leaf))}")


def waiting_key(key: StockKey) -> Key:
    return Key(f"BAL#{_stock(key)}", "WAITING")


def entry_key(key: StockKey, seq: int) -> Key:
    return Key(f"JRN#{_stock(key)}#{seq // ENTRIES_PER_BLOCK:06d}", f"{seq:012d}")


def bucket_partition(key: StockKey, leaf: Leaf) -> str:
    return f"BKT#{_stock(key)}#{part(str(leaf))}"


def bucket_hour(at: datetime) -> str:
    return instant(at)[:13]


def count_partition(key: StockKey, slot: Slot) -> str:
    return f"CNT#{_stock(key)}#{part(str(slot.leaf))}#{slot.counter}"


def count_key(key: StockKey, slot: Slot, mark: CountMark) -> Key:
    return Key(count_partition(key, slot), count_rank(mark))


def count_rank(mark: CountMark) -> str:
    """Write the order of counts as text that sorts alike."""
    return f"{instant(mark.as_of)}#{part(mark.version)}#{part(mark.event_key)}"


def count_document_key(key: StockKey, document: CountDocument) -> Key:
    slot = document.slot
    return Key(
        f"CNTDOC#{_stock(key)}#{part(str(slot.leaf))}#{slot.counter}",
        f"{part(document.source)}#{part(document.document)}",
    )


def journal_block(key: StockKey, seq: int) -> str:
    return entry_key(key, seq).pk


def repair_key(key: StockKey) -> Key:
    return Key(f"REPAIR#{_stock(key)}")


def promise_key(key: StockKey, k: int = 0) -> Key:
    return Key(f"PROMISE#{_stock(key)}", str(k))


def lease_key(key: StockKey) -> Key:
    return Key(f"LEASE#{_stock(key)}")


def event_key(key: EventKey) -> Key:
    return Key(f"EVENT#{key}")


def order_key(order: str) -> Key:
    return Key(f"ORDER#{part(order)}")


def line_key(order: str, line: str) -> Key:
    return Key(f"ORDER#{part(order)}", f"LINE#{part(line)}")


def observation_key(sku: Sku, location: LocationId, source: SourceId, element: str) -> Key:
    return Key(f"OBS#{part(sku)}", f"{part(location)}#{part(source)}#{element}")


def told_key(sku: Sku, location: LocationId, source: SourceId) -> Key:
    return Key(f"TOLD#{part(sku)}", f"{part(location)}#{part(source)}")


def listing_state_key(channel: ChannelId, key: StockKey) -> Key:
    return Key(f"LISTING#{part(channel)}#{part(key.sku)}", part(key.location))


def sweep_key() -> Key:
    return Key("SWEEP")


def fast_key(key: StockKey) -> Key:
    return Key(f"FAST#{_stock(key)}")


def fast_index(number: int) -> str:
    """Name the partition of the index ``observed`` that lists the stock keys which are compared each hour."""
    return f"fast#{number}"


def key_of(pk: str) -> StockKey:
    """Read the stock key out of a partition that is one stock key's: ``BAL#sku#location``."""
    _, sku, location = pk.split("#")
    return StockKey(Sku(plain(sku)), LocationId(plain(location)))


def heard_key(source: str, location: LocationId) -> Key:
    """Name what says until when a source has spoken of a location."""
    return Key(f"HEARD#{part(source)}", part(location))


def believed_key(source: str, location: LocationId) -> Key:
    """Name what says until when a source has spoken of a location where it was live: promises are as fresh as that."""
    return Key(f"BELIEVED#{part(source)}", part(location))


def pace_key(channel: ChannelId) -> Key:
    return Key(f"PACE#{part(channel)}")


def corrections_key(key: StockKey, leaf: Leaf) -> Key:
    return Key(f"CORR#{_stock(key)}", part(str(leaf)))


def traffic_key(giver: str, taker: str, hour: str = "") -> Key:
    return Key(f"PATH#{part(giver)}#{part(taker)}", f"H{hour}" if hour else "-")


def shadow_partition(kind: str, name: str, number: int) -> str:
    return f"SHADOW#{kind}#{part(name)}#{number}"


def shadow_key(kind: str, name: str, key: StockKey) -> Key:
    return Key(shadow_partition(kind, name, shard(key.sku)), _stock(key))


def shadow_part_key(source: str, key: StockKey, slot: Slot) -> Key:
    place = f"{_stock(key)}#{part(str(slot.leaf))}#{slot.counter}"
    digest = hashlib.blake2b(
        place.encode(), digest_size=16
    ).hexdigest()  # all of it is too long for a sort key
    return Key(shadow_partition("part", source, shard(key.sku)), digest)


def rollout_key(kind: str, name: str) -> Key:
    return Key("ROLLOUT", f"{kind}#{part(name)}")


def rollout_change_key(kind: str, name: str, version: int) -> Key:
    return Key(f"ROLLOUT#{kind}#{part(name)}", f"V#{version:08d}")


def tally_key(location: LocationId, day: str, source: str) -> Key:
    return Key(f"TALLY#{part(location)}", f"{day}#{part(source)}")


def off_key(key: StockKey, day: str) -> Key:
    return Key(f"OFF#{part(key.location)}", f"{day}#{part(key.sku)}")


def tallied_key(key: StockKey) -> Key:
    return Key(f"TALLIED#{_stock(key)}")


def first_count_key(key: StockKey, leaf: Leaf) -> Key:
    """Name what says when the earliest count of a part of a location was taken; of the whole, ``tallied_key`` says it."""
    return Key(f"TALLIED#{_stock(key)}", f"LEAF#{part(str(leaf))}")


def agreed_key(location: LocationId, day: str, source: str) -> Key:
    return Key(f"AGREED#{part(location)}", f"{day}#{part(source)}")


def worth_key(location: LocationId, day: str) -> Key:
    return Key(f"WORTH#{part(location)}", day)


def filled_key(location: LocationId, day: str) -> Key:
    return Key(f"FILLED#{part(location)}", day)


def confirmed_key(seen: Observation) -> Key:
    return Key(f"CONF#{_stock(StockKey(seen.sku, seen.location))}", f"{part(seen.source)}#{seen.element}")


def confirmed_tally_key(source: SourceId, day: str, location: LocationId) -> Key:
    return Key(f"CONFIRMED#{part(source)}", f"{day}#{part(location)}")


def traffic_day_key(giver: str, taker: str, day: str) -> Key:
    return Key(traffic_key(giver, taker).pk, f"D{day}")


def lot_key(sku: Sku, lot: str) -> Key:
    return Key(f"LOT#{part(sku)}", part(lot))


def transfer_key(transfer: str) -> Key:
    return Key(f"TRANSFER#{part(transfer)}")


def message_key(message: MessageId) -> Key:
    return Key(f"MSG#{message}")


def item_key(sku: Sku) -> Key:
    return Key(f"ITEM#{part(sku)}")


def version_key(of: Key, version: int) -> Key:
    return Key(of.pk, f"V#{version:08d}")


def kit_key(component: Sku, kit: Sku) -> Key:
    return Key(item_key(component).pk, f"KIT#{part(kit)}")


def cross_reference_key(source: SourceId, kind: str, code: str) -> Key:
    return Key(f"XREF#{part(source)}#{kind}#{part(code)}")


def listing_key(sku: Sku, channel: ChannelId) -> Key:
    return Key(f"LISTING#{part(sku)}", part(channel))


def listed_key(channel: ChannelId, external_id: str) -> Key:
    return Key(f"LISTED#{part(channel)}#{part(external_id)}")


def case_key(case_id: str) -> Key:
    return Key(f"CASE#{case_id}")


def deed_key(case_id: str, at: datetime, action: str, by: str) -> Key:
    return Key(f"CASE#{case_id}", f"DEED#{instant(at)}#{action}#{part(by)}")


def past_key(case_id: str, opened_at: str) -> Key:
    return Key(f"CASE#{case_id}", f"PAST#{opened_at}")


def case_part_key(case_id: str, what: str) -> Key:
    return Key(f"CASE#{case_id}", f"PART#{what}")


def case_event_key(case_id: str, event: EventKey) -> Key:
    digest = hashlib.blake2b(
        event.encode(), digest_size=16
    ).hexdigest()  # an event's key may be longer than a sort key
    return Key(f"CASE#{case_id}", f"EVENT#{digest}")


def daily_key(what: str) -> Key:
    return Key(f"DAILY#{what}")


def parked_key(case_id: str, message: MessageId) -> Key:
    return Key(f"CASE#{case_id}", f"MSG#{message}")
