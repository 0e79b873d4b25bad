"""Every operation over tables in memory, wired as in production, with a clock that a test sets.

The streams do not flow by themselves: ``House.settle`` hands each function what its stream would, through the same
reading of the records as in the handlers, until nothing moves any more. A test that wants a lost record calls
``lose_stream``; one that wants a crash or a refusal sets ``house.stock.faults`` (see ``Interruption``).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import BinaryIO

from shared.channels.contract import ChannelConnector
from shared.domain.cases import CaseStatus
from shared.domain.events import (
    Count,
    Demand,
    DemandEffect,
    Event,
    Leg,
    Movement,
    MovementKind,
    Origin,
    effect_hash,
)
from shared.domain.messages import Message
from shared.domain.network import Channel, Listing, Location, Source
from shared.domain.stock import (
    ChannelId,
    Counter,
    EventKey,
    LocationId,
    MessageId,
    Sku,
    SourceId,
    StockKey,
)
from shared.operations.alerts import AlertDesk
from shared.operations.amending import Amender
from shared.operations.apply_message import MessageApplier
from shared.operations.case_desk import CaseDesk
from shared.operations.confirm import Confirmer
from shared.operations.count_desk import CountDesk
from shared.operations.counting_events import EventCounter
from shared.operations.damping import Damper
from shared.operations.dead_letters import DeadLetter, DeadLetterDesk
from shared.operations.drift_sweep import DriftSweep
from shared.operations.explain import Explainer
from shared.operations.facts import Fact, Result
from shared.operations.fan_out import FanOut, Hint, Lane, change_of
from shared.operations.ingest import FileIngester
from shared.operations.manual_desk import ManualDesk
from shared.operations.order_watch import OrderWatch
from shared.operations.post import Poster
from shared.operations.promises import Promises
from shared.operations.push import Later, Pusher
from shared.operations.receive import Receiver
from shared.operations.reconcile import Reconciler
from shared.operations.record import Recorder
from shared.operations.reserve import Reserver
from shared.operations.stock_view import StockView
from shared.operations.sweep import Sweep
from shared.operations.telling import Teller
from shared.operations.transfer_watch import TransferWatch
from shared.operations.transfers import TransferDesk
from shared.operations.unbinned_stock import UnbinnedWatch
from shared.operations.undo import Undoer
from shared.operations.verify import Verifier
from shared.operations.write_paths import PathWatch
from shared.store.attributes import item_from_image
from shared.store.cases import Cases
from shared.store.inbox import Inbox, message_id
from shared.store.layout import INDEXES
from shared.store.ledger import Ledger
from shared.store.ledger_items import moved_of
from shared.store.listings import Listings, Paces
from shared.store.memory import MemoryTable, StreamRecord
from shared.store.observations import Observations, observation
from shared.store.promises import standings
from shared.store.registry import Network, Registry
from shared.store.shadows import Shadows
from shared.store.table import Action, Item
from shared.store.traffic import Traffic

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
WMS = SourceId("wms")
ERP = SourceId("erp")
SHOP = ChannelId("shop")
EAST = LocationId("east")
WEST = LocationId("west")
TEA = Sku("TEA")
KEY = StockKey(TEA, EAST)
ORIGIN = Origin(WMS, MessageId("m"))


class Crash(BaseException):
    """The process is gone: no ``except`` of ours may survive it."""


class Interruption:
    """Faults that a test writes as a function of the n-th write (counted from 0) and its actions."""

    def __init__(
        self,
        before: Callable[[int, Sequence[Action]], None] = lambda _n, _a: None,
        after: Callable[[int, Sequence[Action]], None] = lambda _n, _a: None,
    ) -> None:
        self._before = before
        self._after = after
        self.writes = 0

    def before(self, actions: Sequence[Action]) -> None:
        self._before(self.writes, actions)

    def after(self, actions: Sequence[Action]) -> None:
        number, self.writes = self.writes, self.writes + 1
        self._after(number, actions)


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def monotonic(self) -> float:
        return self.now.timestamp()


@dataclass(slots=True)
class MemoryArchive:
    """Bodies too large for an item, and dropped files by key."""

    bodies: dict[str, bytes] = field(default_factory=dict)

    def put(self, name: str, body: bytes) -> None:
        self.bodies[name] = body

    def get(self, name: str) -> bytes:
        if name not in self.bodies:
            raise OSError(f"{name} cannot be fetched from the archive: NoSuchKey")
        return self.bodies[name]

    def open(self, key: str, _version: str) -> BinaryIO:
        if key not in self.bodies:
            raise OSError(f"{key} cannot be read: NoSuchKey")
        return BytesIO(self.bodies[key])


@dataclass(slots=True)
class FixedSecrets:
    """One secret for every source."""

    secret: str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    def of(self, _kind: str, name: str) -> tuple[str, ...]:
        return () if name == "keyless" else (self.secret,)


@dataclass(slots=True)
class MemoryLanes:
    """The channels' queues: hints with the instant when they may be seen."""

    clock: Clock
    waiting: list[tuple[datetime, Lane, Hint]] = field(default_factory=list)
    broken: set[ChannelId] = field(default_factory=set)

    def send(self, lane: Lane, hints: Sequence[Hint], delay_s: int = 0) -> None:
        if any(hint.channel in self.broken for hint in hints):
            raise OSError("the queue is not there")
        due = self.clock() + timedelta(seconds=delay_s)
        self.waiting += [(due, lane, hint) for hint in hints]

    def due(self) -> list[Hint]:
        """Take what may be seen now."""
        now = self.clock()
        ready = [hint for due, _, hint in self.waiting if due <= now]
        self.waiting = [entry for entry in self.waiting if entry[0] > now]
        return ready


@dataclass(slots=True)
class MemoryDeadLetters:
    """Dead-letter queues by name."""

    queues: dict[str, list[DeadLetter]] = field(default_factory=dict)

    def names(self) -> Sequence[str]:
        return list(self.queues)

    def counts(self) -> dict[str, int]:
        return {name: len(letters) for name, letters in self.queues.items()}

    def peek(self, queue: str) -> Iterable[DeadLetter]:
        return list(self.queues[queue])

    def redrive(self, queue: str, until: datetime, most: int, per_second: int) -> int:
        moved = min(most, len(self.queues[queue]))
        del self.queues[queue][:moved]
        return moved

    def redrive_one(self, queue: str, letter: str, until: datetime) -> bool:
        meant = [one for one in self.queues[queue] if one.id == letter]
        self.queues[queue] = [one for one in self.queues[queue] if one.id != letter]
        return bool(meant)


@dataclass(slots=True)
class MemoryMessenger:
    """What people were told, as (subject, text)."""

    told: list[tuple[str, str]] = field(default_factory=list)
    broken: bool = False

    def tell(self, subject: str, text: str) -> None:
        if self.broken:
            raise OSError("the topic is not there")
        self.told.append((subject, text))


@dataclass(slots=True)
class MemoryFailures:
    """What stream consumers gave up."""

    records: list[str] = field(default_factory=list)

    def take(self) -> Iterator[str]:
        while self.records:
            yield self.records.pop()


def network(*more: Channel) -> Network:
    """Return the declared network of the tests: a WMS with authority, an ERP that observes, a shop that sells."""
    sources = [
        Source(WMS, "standard_webhooks", meaning={"on_hand": "on_hand"}),
        Source(ERP, "standard_webhooks", meaning={"on_hand": "on_hand", "available": "available"}),
        Source(
            SourceId("shopify"),
            "shopify",
            meaning={"available": "available"},
            locations={"77": EAST},
            channel=SHOP,
            options={"shop": "tea.myshopify.com"},
        ),
        Source(
            SourceId("files"),
            "csv_snapshot",
            meaning={"on_hand": "on_hand"},
            options={
                "drop": "files/",
                "sku_column": "sku",
                "quantity_column": "qty",
                "location_column": "site",
                "as_of": {
                    "from": "file_name",
                    "pattern": r"(?P<stamp>\d{8}T\d{4})",
                    "format": "%Y%m%dT%H%M",
                    "time_zone": "UTC",
                },
            },
        ),
    ]
    locations = [Location(EAST, WMS, WMS), Location(WEST, SourceId("files"), WMS)]
    shop = Channel(SHOP, "scripted", {EAST: "77"}, EAST, sells_down=True, calls_per_minute=100_000)
    return Network(
        {source.id: source for source in sources},
        {location.id: location for location in locations},
        {channel.id: channel for channel in (shop, *more)},
    )


class House:
    """All operations over fresh memory tables."""

    def __init__(self, declared: Network | None = None, skus: Iterable[str] = ("TEA", "MUG")) -> None:
        self.clock = Clock()
        self.stock = self._table("stock", *INDEXES["stock"])
        self.inbox_table = self._table("inbox", "pending")
        self.cases_table = self._table("cases", "by_status")
        self.registry_table = self._table("registry", "by_channel")
        self.archive = MemoryArchive()
        self.lanes = MemoryLanes(self.clock)
        self.letters = MemoryDeadLetters()
        self.failures = MemoryFailures()
        self.messenger = MemoryMessenger()
        self.registry = Registry(self.registry_table, self.clock.monotonic)
        self.inbox = Inbox(self.inbox_table, self.archive)
        self.cases = Cases(self.cases_table)
        self.observations = Observations(self.stock)
        self.ledger = Ledger(self.stock)
        self.listings = Listings(self.stock)
        self.poster = Poster(self.stock, self.clock, lambda _: None)
        self.amender = Amender(self.stock, self.clock, lambda _: None)
        self.traffic = Traffic(self.stock, self.clock)
        self.damper = Damper(self.stock, self.cases, self.registry, self.clock)
        self.unbinned = UnbinnedWatch(self.stock, self.cases, self.registry, self.clock)
        self.teller = Teller(self.poster, self.cases, self.unbinned, self.clock)
        self.recorder = Recorder(
            self.poster,
            self.observations,
            self.cases,
            self.registry,
            self.traffic,
            self.damper,
            self.teller,
            Shadows(self.stock),
            self.clock,
        )
        self.receiver = Receiver(self.inbox, self.registry, FixedSecrets(), self.clock, 1_000_000)
        self.applier = MessageApplier(self.inbox, self.registry, self.recorder, self.cases, self.clock)
        self.ingester = FileIngester(
            self.inbox, self.registry, self.recorder, self.cases, self.archive, self.clock
        )
        self.view = StockView(self.stock, self.registry, self.clock)
        self.reserver = Reserver(self.stock, self.registry, self.clock, lambda _: None)
        self.order_watch = OrderWatch(self.stock, self.registry, self.cases, self.clock)
        self.explainer = Explainer(self.stock, self.view, self.observations, self.cases, self.registry)
        self.reconciler = Reconciler(
            self.view,
            self.observations,
            self.cases,
            self.registry,
            self.explainer,
            PathWatch(self.traffic, self.cases, self.registry, self.clock),
            self.damper,
            self.clock,
        )
        self.confirmer = Confirmer(self.stock, self.registry, self.reconciler, self.clock.sleep)
        self.event_counter = EventCounter(self.stock, self.registry, self.clock.sleep)
        self.drift_sweep = DriftSweep(
            self.stock, self.registry, self.reconciler, self.event_counter, self.clock
        )
        self.fan_out = FanOut(self.stock, self.registry, self.lanes)
        self.desk = DeadLetterDesk(self.letters, self.cases, self.listings, self.registry, self.clock)
        self.alerts = AlertDesk(
            self.cases, self.registry, self.messenger, self.letters.counts, "test", self.clock
        )
        self.sweep = Sweep(
            self.inbox,
            self.applier,
            self.ingester,
            self.fan_out,
            self.reconciler,
            self.desk,
            self.failures,
            self.cases,
            self.registry,
            self.alerts,
            self.unbinned,
            self.clock,
        )
        self.count_desk = CountDesk(
            self.poster, self.amender, self.registry, self.cases, self.unbinned, self.clock
        )
        self.case_desk = CaseDesk(
            self.cases, self.inbox, self.registry, self.sweep, self.lanes, self.count_desk, self.clock
        )
        self.manual_desk = ManualDesk(
            self.inbox, self.registry, self.applier, self.poster, self.cases, self.clock
        )
        self.transfers = TransferDesk(self.stock, self.registry, self.teller, self.clock, lambda _: None)
        self.transfer_watch = TransferWatch(self.stock, self.registry, self.cases, self.transfers, self.clock)
        self.undoer = Undoer(self.stock, self.registry, self.amender, self.teller, self.clock)
        self.verifier = Verifier(self.stock)
        self._listed = defaultdict[ChannelId, int](int)
        self._stock_read = 0
        self._inbox_read = 0
        self.declare(declared or network())
        self.registry.add_items(Sku(sku) for sku in skus)

    def _table(self, name: str, *indexes: str) -> MemoryTable:
        return MemoryTable(indexes, clock=self.clock, name=name)

    def declare(self, declared: Network) -> None:
        self.registry.declare(declared)

    @property
    def channels(self) -> Mapping[ChannelId, Channel]:
        return self.registry.network().channels

    # ---- in ---------------------------------------------------------------------------------------------------

    def post(self, *events: Event) -> list[Result]:
        """Post events of ours as facts."""
        return self.poster.post([fact(event) for event in events], self.registry.network())

    def store(self, source: str, body: object, **headers: str) -> MessageId:
        """Put an authenticated message into the inbox."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        name = message_id(SourceId(source), json.dumps(headers), raw)
        kept = {key.replace("_", "-"): value for key, value in headers.items()}
        self.inbox.store(Message(name, SourceId(source), raw, self.clock(), kept))
        return name

    def list_on(self, channel: ChannelId, *skus: str) -> None:
        """Let a channel sell some items, under numeric ids of their own."""
        first = 1000 + self._listed[channel]
        self._listed[channel] += len(skus)
        self.registry.add_listings(
            Listing(channel, Sku(sku), str(number)) for number, sku in enumerate(skus, start=first)
        )

    # ---- streams ----------------------------------------------------------------------------------------------

    def stock_records(self) -> list[StreamRecord]:
        """Take the stock table's records that have come since the last time."""
        records = self.stock.changes_since(self._stock_read)
        self._stock_read += len(records)
        return records

    def lose_stream(self) -> None:
        """Let the records that have come so far be lost."""
        self.stock_records()
        self._inbox_read = len(self.inbox_table.changes_since())

    def settle(self) -> None:
        """Let the streams flow until nothing moves: apply messages, reconcile, fan out."""
        for _ in range(50):
            arrived = [
                record["dynamodb"]["Keys"]["pk"]["S"]
                for record in self.inbox_table.changes_since(self._inbox_read)
                if record["eventName"] == "INSERT"
                and record["dynamodb"]["NewImage"].get("kind") == {"S": "webhook"}
            ]
            self._inbox_read = len(self.inbox_table.changes_since())
            self.applier.apply_each(MessageId(pk.removeprefix("MSG#")) for pk in arrived)
            records = self.stock_records()
            if not arrived and not records:
                return
            self._reconcile(records)
            self._fan_out(records)
        raise AssertionError("the streams feed each other for ever")

    def _reconcile(self, records: Iterable[StreamRecord]) -> None:
        moved, seen, lengths = [], [], {}
        for item in map(_new_image, records):
            pk = "" if item is None else str(item["pk"])
            if item is None:
                continue
            if (pk.startswith("BAL#") and item["sk"] == "-") or (
                pk.startswith("PROMISE#") and "dirty_pk" in item
            ):
                moved.append(moved_of(item))
                if "seq" in item:
                    lengths[moved[-1].key] = int(str(item["seq"]))
            elif pk.startswith("OBS#") and "observed_pk" in item:
                seen.append(observation(item))
        self.confirmer.observed(seen)
        self.reconciler.moved(moved)
        self.event_counter.grown(lengths)

    def _fan_out(self, records: Iterable[StreamRecord]) -> None:
        changes = []
        for record in records:
            item = _new_image(record)
            if item is None or not str(item["pk"]).startswith("PROMISE#") or "dirty_pk" not in item:
                continue
            old = record["dynamodb"].get("OldImage")
            changes.append(change_of(item, None if old is None else item_from_image(old)))
        self.fan_out.changed(changes, self.clock())

    # ---- out --------------------------------------------------------------------------------------------------

    def pusher(self, connector: ChannelConnector, channel: ChannelId = SHOP) -> Pusher:
        return Pusher(
            self.channels[channel],
            connector,
            Promises(self.stock, self.registry, self.clock),
            self.listings,
            Paces(self.stock),
            self.registry,
            self.inbox,
            self.cases,
            Traffic(self.stock, self.clock),
            Shadows(self.stock),
            self.clock,
            self.clock.sleep,
        )

    def push_due(self, connector: ChannelConnector, channel: ChannelId = SHOP) -> list[Later]:
        """Do what the push function does with the hints that are due: push, and put off what must wait."""
        due = [hint for hint in self.lanes.due() if hint.channel == channel]
        skus = {hint.sku: hint for hint in due}
        try:
            announced = {sku: hint.since for sku, hint in skus.items()}
            laters = self.pusher(connector, channel).push(skus, announced) if skus else []
        except BaseException:
            self.lanes.send(Lane.BULK, due, 30)  # the queue shows them again after a while
            raise
        for later in laters:
            wait = min(900, max(1, round(later.after.total_seconds() + 0.5)))
            self.lanes.send(Lane.BULK, [Hint(channel, later.sku, skus[later.sku].since)], wait)
        return laters

    # ---- what must hold ---------------------------------------------------------------------------------------

    def on_hand(self, key: StockKey = KEY) -> int:
        return self.ledger.balances([key])[key].totals[Counter.ON_HAND]

    def available(self, key: StockKey = KEY) -> int:
        return standings(self.stock, [key])[key].available

    def open_cases(self) -> list[str]:
        return sorted(str(case.kind) for case in self.cases.list(CaseStatus.OPEN))

    def assert_exact(self) -> None:
        """Every balance is the sum of its journal, and every unit promised once."""
        assert self.verifier.verify().discrepancies == []


def _new_image(record: StreamRecord) -> Item | None:
    image = record["dynamodb"].get("NewImage")
    return None if image is None else item_from_image(image)


def fact(event: Event) -> Fact:
    return Fact(event, effect_hash(event))


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def movement(
    name: str,
    minute: float,
    quantity: int,
    *,
    key: StockKey = KEY,
    order: tuple[str, str] | None = None,
    kind: MovementKind = MovementKind.ADJUSTMENT,
) -> Movement:
    legs = (Leg(key.location, quantity),) if quantity else ()
    return Movement(EventKey(name), key.sku, kind, legs, at(minute), ORIGIN, order)


def shipment(name: str, minute: float, units: int, order: str, *, key: StockKey = KEY) -> Movement:
    return movement(name, minute, -units, key=key, order=(order, "1"), kind=MovementKind.SHIPMENT)


def count(name: str, minute: float, quantity: int, *, key: StockKey = KEY, version: str = "") -> Count:
    return Count(EventKey(name), key.sku, key.location, quantity, at(minute), ORIGIN, version=version)


def demand(
    name: str,
    minute: float,
    units: int,
    order: str,
    *,
    key: StockKey = KEY,
    effect: DemandEffect = DemandEffect.ORDERED,
    version: str = "1",
    document: str = "",
) -> Demand:
    return Demand(
        EventKey(name),
        key.sku,
        SHOP,
        order,
        "1",
        effect,
        units,
        at(minute),
        ORIGIN,
        key.location,
        document,
        version,
    )


def cancelled(name: str, minute: float, units: int, order: str, document: str = "cancel") -> Demand:
    return demand(name, minute, units, order, effect=DemandEffect.CANCELLED, document=document, version="")
