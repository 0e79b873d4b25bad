"""The real operations over simulated tables, transports and channels, wired as in ``shared/runtime/wiring``.

What each consumer does with a batch is what its handler in ``functions/`` does; the handlers themselves only read
their settings and call this.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import BinaryIO, cast

from infra.simulation.channels import ChannelModel
from infra.simulation.chaos import Actor, Chaos, Crash
from infra.simulation.network import CELLAR, EXTERNAL_ID, HOT, KIT, KIT_PARTS, SKUS, Strictness, network
from infra.simulation.scheduler import Scheduler
from infra.simulation.tables import BusyTable, Change, WatchedTable
from infra.simulation.transports import (
    DeadLetterShelf,
    Entry,
    FailureLog,
    Queue,
    QueueSettings,
    Silence,
    Stream,
    StreamSettings,
)
from shared.domain.drift import Comparison
from shared.domain.item_changes import Declaration, changed
from shared.domain.items import Change as ItemChange
from shared.domain.items import Component
from shared.domain.network import Grain, Listing
from shared.domain.root_cause import Explanation, Hypothesis, RootCause
from shared.domain.stock import ChannelId, LocationId, MessageId, Sku
from shared.operations.alerts import AlertDesk
from shared.operations.amending import Amender
from shared.operations.apply_message import MessageApplier
from shared.operations.case_desk import CaseDesk
from shared.operations.count_desk import CountDesk
from shared.operations.counting_events import EventCounter
from shared.operations.damping import Damper
from shared.operations.dead_letters import DeadLetterDesk
from shared.operations.drift_sweep import DriftSweep
from shared.operations.explain import Explainer
from shared.operations.fan_out import FanOut, Hint, Lane, change_of
from shared.operations.fulfil import Fulfiller
from shared.operations.ingest import Drop, FileIngester
from shared.operations.lots import LotDesk
from shared.operations.order_watch import OrderWatch
from shared.operations.parts import PartsFailedError, each_part
from shared.operations.post import Poster, PostingContendedError
from shared.operations.promises import Promises
from shared.operations.push import Pusher
from shared.operations.rebuild import Rebuilder
from shared.operations.receive import Receiver
from shared.operations.reconcile import Reconciler
from shared.operations.record import Recorder
from shared.operations.reserve import Reserver
from shared.operations.set_aside import SetAside
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
from shared.store.inbox import Inbox
from shared.store.ledger import Ledger
from shared.store.ledger_items import moved_of
from shared.store.listings import Listings, Paces
from shared.store.memory import StreamRecord
from shared.store.observations import Observations, Said, observation
from shared.store.patience import PatientTable
from shared.store.registry import Registry
from shared.store.shadows import Shadows
from shared.store.table import TableError
from shared.store.traffic import Traffic

SECRETS = {"shopfront": "shpss_simulated"}
OTHERWISE_SIGNED_BY = "whsec_c2ltdWxhdGVkLXNlY3JldC1vZi1ub3RoaW5n"
PUSH_TIMEOUT_S = 60.0
FULFIL_CALLS_SIZE = 340
"""Bytes that fulfil calls may take in a reservation's header: four fit, another once they are shortened, and no more."""
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
"""When the items were declared."""


class SimulatedSecrets:
    """Hands out each source's secret."""

    def of(self, _kind: str, name: str) -> tuple[str, ...]:
        return (SECRETS.get(name, OTHERWISE_SIGNED_BY),)


class SimulatedBucket:
    """Dropped files by key and version, and bodies too large for an item; now and then it does not answer."""

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos
        self.objects: dict[tuple[str, str], bytes] = {}

    def put(self, name: str, body: bytes) -> None:
        self.objects[name, ""] = body

    def get(self, name: str) -> bytes:
        return self.open(name, "").read()

    def open(self, key: str, version: str) -> BinaryIO:
        self._chaos.step()
        if self._chaos.happens(0.05, "file unreadable just now"):
            raise OSError(f"{key} cannot be read just now")
        return BytesIO(self.objects[key, version])


@dataclass(frozen=True, slots=True)
class LaneHint:
    """A hint with the lane that it came by."""

    hint: Hint
    lane: Lane


class ChannelLanes:
    """Every channel's two queues of hints."""

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos
        self.queues: dict[tuple[ChannelId, Lane], Queue[LaneHint]] = {}
        self.sent: Callable[[Hint], None] = lambda _hint: None

    def send(self, lane: Lane, hints: Sequence[Hint], delay_s: int = 0) -> None:
        for hint in hints:
            self._chaos.step()
            if self._chaos.happens(0.003, "queue did not answer"):
                raise OSError("the queue does not answer")
            self.queues[hint.channel, lane].send(LaneHint(hint, lane), delay_s)
            self.sent(hint)


class Unexplained(Explainer):
    """Compares as the real one does, and leaves out why: no invariant speaks of causes, and they cost half the time."""

    def explain(self, said: Said, comparison: Comparison) -> Explanation:
        unknown = Hypothesis(RootCause.UNEXPLAINED, 100, "not looked into", "", "")
        return Explanation(comparison.drift, (unknown,), len(said.statements), 0, 0)


class House:
    """Everything that runs, over fresh tables; ``channels`` are built by whoever knows the outside world.

    ``strict`` is what is declared about counts; ``explains`` says whether the causes of a drift are looked for
    too; ``most_lines`` is how many lines of a reservation one transaction takes; without ``has_transfers`` nobody
    looks after any, for looking costs and finds nothing, and without a cellar in ``apart`` nobody looks after lots.
    ``has_kiosk`` says whether anything is sold where callers' word ships, and ``has_till`` whether that is so because their
    own system has the authority.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        chaos: Chaos,
        build_channels: Callable[[Registry], Mapping[ChannelId, ChannelModel]],
        *,
        strict: Strictness,
        explains: bool,
        most_lines: int,
        has_transfers: bool,
        apart: Mapping[LocationId, Grain],
        has_kiosk: bool,
        has_till: bool,
    ) -> None:
        self.scheduler = scheduler
        self.chaos = chaos
        self._explains = explains
        self._most_lines = most_lines
        self._has_transfers = has_transfers
        self._has_lots = CELLAR in apart
        self.stock = self._table("stock", "dirty", "by_location", "order_lines", "observed", "expiring")
        self.inbox_table = self._table("inbox", "pending")
        self.cases_table = self._table("cases", "by_status")
        self.registry_table = self._table("registry", "by_channel")
        self.bucket = SimulatedBucket(chaos)
        self.lanes = ChannelLanes(chaos)
        self.shelf = DeadLetterShelf(chaos)
        self.failures = FailureLog()
        self._build_operations()
        self._build_transports()
        self.registry.declare(network(strict, apart, has_kiosk=has_kiosk, has_till=has_till))
        self.registry.add_items((*SKUS, KIT))
        parts = tuple(Component(sku, units) for sku, units in KIT_PARTS.items())
        self._declare(Declaration(HOT, is_hot=True))
        self._declare(Declaration(KIT, components=parts))
        self.registry.add_listings(
            Listing(channel, sku, EXTERNAL_ID[sku]) for channel in network().channels for sku in SKUS
        )
        self.channels = build_channels(self.registry)
        for channel in self.channels:
            self._build_lanes(channel)

    def _declare(self, said: Declaration) -> None:
        item = self.registry.items.find([said.sku])[said.sku]
        self.registry.items.change([(item, changed(item, said, ItemChange("simulation", LONG_AGO)))])

    def _table(self, name: str, *indexes: str) -> WatchedTable:
        return WatchedTable(name, indexes, self.chaos, self.scheduler.now)

    def _busy(self, table: WatchedTable) -> PatientTable:
        return PatientTable(BusyTable(table, self.chaos), self.chaos.pause)

    def _build_operations(self) -> None:
        clock, pause = self.scheduler.now, self.chaos.pause
        stock = self._busy(self.stock)
        self.registry = Registry(self._busy(self.registry_table), lambda: self.scheduler.seconds)
        self.inbox = Inbox(self._busy(self.inbox_table), self.bucket)
        self.cases = Cases(self._busy(self.cases_table))
        self.ledger = Ledger(stock)
        self.listings = Listings(stock)
        self.paces = Paces(stock)
        observations = Observations(stock)
        poster = Poster(stock, clock, pause)
        amender = Amender(stock, clock, pause)
        traffic = Traffic(stock, clock)
        damper = Damper(stock, self.cases, self.registry, clock)
        unbinned = UnbinnedWatch(stock, self.cases, self.registry, clock)
        teller = Teller(poster, self.cases, unbinned, clock)
        recorder = Recorder(
            poster, observations, self.cases, self.registry, traffic, damper, teller, Shadows(stock), clock
        )
        self.receiver = Receiver(self.inbox, self.registry, SimulatedSecrets(), clock, 1_000_000)
        self.applier = MessageApplier(self.inbox, self.registry, recorder, self.cases, clock)
        self.ingester = FileIngester(self.inbox, self.registry, recorder, self.cases, self.bucket, clock)
        self.view = StockView(stock, self.registry, clock)
        self.reserver = Reserver(stock, self.registry, clock, pause, self._most_lines)
        self.fulfiller = Fulfiller(stock, self.registry, self.reserver, teller, clock, FULFIL_CALLS_SIZE)
        self.set_aside = SetAside(stock, self.registry, clock)
        self.order_watch = OrderWatch(stock, self.registry, self.cases, clock)
        explaining = Explainer if self._explains else Unexplained
        explainer = explaining(stock, self.view, observations, self.cases, self.registry)
        paths = PathWatch(traffic, self.cases, self.registry, clock)
        self.reconciler = Reconciler(
            self.view, observations, self.cases, self.registry, explainer, paths, damper, clock
        )
        counter = EventCounter(stock, self.registry, pause)
        self.drift_sweep = DriftSweep(stock, self.registry, self.reconciler, counter, clock)
        self.fan_out = FanOut(stock, self.registry, self.lanes)
        desk = DeadLetterDesk(self.shelf, self.cases, self.listings, self.registry, clock)
        self.desk = desk
        self.alerts = AlertDesk(self.cases, self.registry, Silence(), self.shelf.counts, "test", clock)
        self.sweep = Sweep(
            self.inbox,
            self.applier,
            self.ingester,
            self.fan_out,
            self.reconciler,
            desk,
            self.failures,
            self.cases,
            self.registry,
            self.alerts,
            unbinned,
            clock,
        )
        self.count_desk = CountDesk(poster, amender, self.registry, self.cases, unbinned, clock)
        self.case_desk = CaseDesk(
            self.cases, self.inbox, self.registry, self.sweep, self.lanes, self.count_desk, clock
        )
        self.undoer = Undoer(stock, self.registry, amender, teller, clock)
        self.transfers = TransferDesk(stock, self.registry, teller, clock, pause)
        self.lots = LotDesk(stock, self.registry, teller, clock)
        self.sweep_lots: Callable[[], object] = self.lots.sweep
        self.transfer_watch = TransferWatch(stock, self.registry, self.cases, self.transfers, clock)
        self.verifier = Verifier(self.stock)
        self.rebuilder = Rebuilder(self.stock, clock, pause)

    # ---- transports ---------------------------------------------------------------------------------------------

    def _build_transports(self) -> None:
        self.streams = [
            self._stream("apply_messages", self.inbox_table, 3, _is_new_webhook, self._apply),
            self._stream("reconcile_stock", self.stock, 2, _is_said_or_moved, self._reconcile, 1.0),
            self._stream("fan_out_changes", self.stock, 2, _is_dirty_promise, self._fan_out),
        ]
        settings = QueueSettings(batch_size=1, concurrency=2, timeout_s=900, visibility_s=900)
        self.file_queue: Queue[Drop] = Queue("files", self.scheduler, self.chaos, settings, self._ingest)
        self.shelf.add(cast("Queue[object]", self.file_queue), lambda drop: f"file {cast(Drop, drop).key}")

    def _stream(
        self,
        name: str,
        table: WatchedTable,
        shards: int,
        wants: Callable[[Change], bool],
        consume: Callable[[Sequence[StreamRecord]], None],
        window_s: float = 0.05,
    ) -> Stream:
        settings = StreamSettings(shards, window_s)
        give_up = self.failures.records.append
        stream = Stream(name, self.scheduler, self.chaos, settings, wants, table.record, consume, give_up)
        table.listeners.append(stream.tell)
        return stream

    def _build_lanes(self, channel: ChannelId) -> None:
        for lane, batch_size, window_s in ((Lane.URGENT, 10, 0.02), (Lane.BULK, 100, 1.0)):
            settings = QueueSettings(batch_size, 2, PUSH_TIMEOUT_S, 6 * PUSH_TIMEOUT_S, window_s)
            name = f"{channel}-{lane}"
            queue: Queue[LaneHint] = Queue(name, self.scheduler, self.chaos, settings, self._push)
            self.lanes.queues[channel, lane] = queue
            self.shelf.add(cast("Queue[object]", queue), _hint_text)

    @property
    def outstanding(self) -> dict[str, int]:
        """What is on its way, by name; empty when nothing is."""
        counts = {stream.name: stream.outstanding for stream in self.streams}
        counts |= {queue.name: queue.outstanding for queue in self.lanes.queues.values()}
        counts["files"] = self.file_queue.outstanding
        return {name: count for name, count in counts.items() if count}

    # ---- what the functions do ----------------------------------------------------------------------------------

    def _apply(self, records: Sequence[StreamRecord]) -> None:
        keys = [record["dynamodb"]["Keys"]["pk"]["S"] for record in records]
        self.applier.apply_each(MessageId(key.removeprefix("MSG#")) for key in keys)

    def _reconcile(self, records: Sequence[StreamRecord]) -> None:
        moved, seen = [], []
        for record in records:
            item = item_from_image(record["dynamodb"]["NewImage"])
            if str(item["pk"]).startswith("OBS#"):
                seen.append(observation(item))
            else:
                moved.append(moved_of(item))
        self.reconciler.observed(seen)
        self.reconciler.moved(moved)

    def _fan_out(self, records: Sequence[StreamRecord]) -> None:
        changes = []
        for record in records:
            images = record["dynamodb"]
            old = images.get("OldImage")
            changes.append(
                change_of(item_from_image(images["NewImage"]), item_from_image(old) if old else None)
            )
        self.fan_out.changed(changes, self.scheduler.now())

    def _ingest(self, entries: Sequence[Entry[Drop]]) -> Collection[str]:
        failed = []
        for entry in entries:
            try:
                self.ingester.ingest(entry.body)
            except (TableError, PostingContendedError, OSError):
                failed.append(entry.id)
        return failed

    def pusher(self, channel: ChannelId) -> Pusher:
        """Build what pushes to one channel."""
        model = self.channels[channel]
        return Pusher(
            model.declared,
            model,
            Promises(self._busy(self.stock), self.registry, self.scheduler.now),
            self.listings,
            self.paces,
            self.registry,
            self.inbox,
            self.cases,
            Traffic(self._busy(self.stock), self.scheduler.now),
            Shadows(self._busy(self.stock)),
            self.scheduler.now,
            self.scheduler.sleep,
        )

    def _push(self, entries: Sequence[Entry[LaneHint]]) -> Collection[str]:
        waiting: defaultdict[Sku, list[Entry[LaneHint]]] = defaultdict(list)
        for entry in entries:
            waiting[entry.body.hint.sku].append(entry)
        channel = self.channels[entries[0].body.hint.channel].declared
        failed: list[str] = []
        for later in self.pusher(channel.id).push(waiting):
            since = min(entry.body.hint.since for entry in waiting[later.sku])
            if not later.failed or self.scheduler.now() - since < channel.patience:
                wait = max(1, round(later.after.total_seconds() + 0.5))
                lane = waiting[later.sku][0].body.lane
                self.lanes.send(lane, [Hint(channel.id, later.sku, since)], min(wait, 900))
            else:
                failed += [entry.id for entry in waiting[later.sku]]
        return failed

    def sweep_once(self, undisturbed: timedelta) -> None:
        """Run the sweep as its schedule does: nobody repeats it, the next one goes on."""
        self.scheduler.actor = Actor("sweep", self.scheduler.seconds + 58)
        try:
            self.sweep.run(undisturbed)
        except PartsFailedError:
            self.chaos.strike("part of a sweep failed")
        except Crash:
            self.chaos.strike("sweep cut short")
        finally:
            self.scheduler.actor = None

    def expire_once(self) -> None:
        """Give back the reservations whose time is over and look after orders, lots and transfers, as the schedule does each minute."""
        parts: dict[str, Callable[[], object]] = {
            "reservations": self.reserver.expire_due,
            "allotments": self.reserver.gather_idle,
            "orders": self.order_watch.run,
        }
        if self._has_lots:
            parts["lots"] = self.sweep_lots
        if self._has_transfers:
            parts["transfers"] = self.transfer_watch.run
        self.scheduler.actor = Actor("expire_reservations", self.scheduler.seconds + 58)
        try:
            each_part(parts)
        except PartsFailedError:
            self.chaos.strike("part of an expiry failed")
        except Crash:
            self.chaos.strike("expiry cut short")
        finally:
            self.scheduler.actor = None

    def sweep_drift_once(self) -> None:
        """Go on with the sweeps of drift, as the schedule does each minute."""
        until = self.scheduler.seconds + 58
        self.scheduler.actor = Actor("sweep_drift", until)
        try:
            self.drift_sweep.run(lambda: until - self.scheduler.seconds)
        except (Crash, TableError):
            self.chaos.strike("sweep of drift cut short")
        finally:
            self.scheduler.actor = None


def _is_new_webhook(change: Change) -> bool:
    return change.old is None and change.new is not None and change.new.get("kind") == "webhook"


def _is_said_or_moved(change: Change) -> bool:
    if change.new is None:
        return False
    if change.key.pk.startswith("OBS#"):
        return "observed_pk" in change.new
    return change.key.pk.startswith("BAL#") and change.key.sk == "-"


def _is_dirty_promise(change: Change) -> bool:
    return change.new is not None and change.key.pk.startswith("PROMISE#") and "dirty_pk" in change.new


def _hint_text(body: object) -> str:
    hint = cast(LaneHint, body).hint
    return json.dumps({"channel": hint.channel, "sku": hint.sku, "since": hint.since.isoformat()})
