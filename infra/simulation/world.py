"""The outside world: plays the steps of a workload as senders, shoppers, callers and operators do.

Whoever sends a webhook repeats it until we have said that we have it; whoever calls the API repeats the call under the
same key. What a message says is told to the oracle when it is sent, in the world's own words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from infra.simulation.auditor import Auditor, Told
from infra.simulation.bins import part_of
from infra.simulation.channels import ChannelModel
from infra.simulation.chaos import Actor, Chaos, Crash
from infra.simulation.claims import Claim
from infra.simulation.counts import UNDO, Decided
from infra.simulation.fulfil_world import FulfilPeople
from infra.simulation.house import House
from infra.simulation.lot_world import LotPeople
from infra.simulation.network import (
    ALIASES,
    COUNTS,
    EAST,
    EXTERNAL_ID,
    FILE_PREFIX,
    FILES,
    GHOST,
    KIT,
    KIT_PARTS,
    MARKET,
    MOVEMENTS,
    SHOP,
    SHOP_DOMAIN,
    SHOP_LOCATION,
    SHOPFRONT,
    WEST,
    WMS,
)
from infra.simulation.oracle import Counted, Demanded, Moved
from infra.simulation.scheduler import Scheduler
from infra.simulation.transfer_world import TransferPeople
from infra.simulation.verdicts import Invariant, Violation
from infra.simulation.wire import (
    Order,
    Refund,
    legs_of,
    order_body,
    refund_body,
    report_body,
    signed,
    signed_by_shop,
)
from infra.simulation.workload import (
    Level,
    LotCall,
    Meddling,
    Nonsense,
    Operator,
    Outage,
    ReportLine,
    Reservation,
    Sale,
    SettingAside,
    Snapshot,
    Step,
    Transfer,
    Webhook,
)
from shared.channels.contract import FetchedOrder
from shared.domain.cases import Case, CaseKind, CaseStatus
from shared.domain.count_decisions import ChangedSinceSeenError
from shared.domain.events import instant, parse_instant
from shared.domain.network import Channel
from shared.domain.stock import Counter, LocationId, MessageId, Sku, SourceId, StockKey
from shared.operations.case_desk import NotPossibleError, UnseenError
from shared.operations.count_desk import DECIDED_HERE
from shared.operations.ingest import Drop
from shared.operations.post import PostingContendedError
from shared.operations.reservations import (
    InsufficientStockError,
    ReservationBusyError,
    ReservationNotFoundError,
    Wanted,
)
from shared.operations.set_aside import SetAsideBusyError
from shared.sources.contract import AuthenticationError
from shared.sources.registry import webhook_connector
from shared.store.cases import CaseNotFoundError
from shared.store.inbox import MessageNotFoundError, message_id
from shared.store.references import ReferenceChangedError
from shared.store.registry import Code, Registry
from shared.store.table import TableError

CALLER = "storefront-api"
RETRIED_BY_HAND = frozenset(
    {CaseKind.MESSAGE_FAILED, CaseKind.HELD, CaseKind.PUSH_FAILED, CaseKind.PUSH_REFUSED}
)


class World:
    """Everything outside of Onecount."""

    def __init__(self, scheduler: Scheduler, chaos: Chaos, start: datetime) -> None:
        self.scheduler = scheduler
        self.chaos = chaos
        self.start = start
        self.deliveries = 0
        self.duplicates = 0
        self._seen: set[str] = set()
        self._orders: dict[int, Order] = {}
        self._hooks = 0
        self._reports: dict[str, None] = {}

    def open(self, house: House, auditor: Auditor) -> None:
        """Meet the house, once it is built."""
        self.house = house
        self.auditor = auditor
        self._transfer_people = TransferPeople(self)
        self._fulfil_people = FulfilPeople(self)
        self._lot_people = LotPeople(self)

    def channels(self, registry: Registry, auditor: Auditor, reads_back: bool) -> dict[Any, ChannelModel]:
        """Build the channels' models, and map what the shop calls its items."""
        registry.map_codes(
            {Code(SHOPFRONT, "inventory_item_id", theirs): sku for sku, theirs in EXTERNAL_ID.items()},
            "setup",
        )
        declared = registry.network().channels
        shared_arguments = {"offered": auditor.offered, "fetched": self._fetched}
        shop = ChannelModel(declared[SHOP], self.chaos, fenced=True, reads_back=True, **shared_arguments)  # type: ignore[arg-type]
        market = ChannelModel(
            declared[MARKET],
            self.chaos,
            fenced=False,
            reads_back=reads_back,
            **shared_arguments,  # type: ignore[arg-type]
        )
        return {SHOP: shop, MARKET: market}

    # ---- playing ------------------------------------------------------------------------------------------------

    def play(self, step: Step) -> None:
        """Play one step, now."""
        match step:
            case Webhook():
                self._webhook(step)
            case Nonsense():
                self._nonsense(step)
            case Snapshot():
                self._snapshot(step)
            case Sale():
                self._sell(step)
            case Reservation():
                self._reserve(step)
            case SettingAside():
                self._set_aside(step)
            case Meddling():
                self._meddle(step)
            case Outage():
                self._outage(step)
            case Level():
                self._level(step)
            case Transfer():
                self._transfer_people.play(step)
            case LotCall():
                self._lot_people.play(step)
            case Operator():
                self.act("operator", 28, lambda: self._operate(step))

    def at(self, seconds: float) -> datetime:
        """Return an instant of the history."""
        return self.start + timedelta(seconds=seconds)

    def act(self, name: str, timeout_s: float, job: Callable[[], object]) -> bool:
        """Run a call as one invocation; return whether it came to its end."""
        self.scheduler.actor = Actor(name, self.scheduler.seconds + timeout_s)
        try:
            job()
        except (Crash, TableError, OSError):
            return False
        finally:
            self.scheduler.actor = None
        return True

    def _until_done(self, name: str, timeout_s: float, job: Callable[[], object], tries: int = 12) -> None:
        """Repeat a call, ever more slowly, until it came to its end."""
        for attempt in range(tries):
            if self.act(name, timeout_s, job):
                return
            self.chaos.strike("call repeated by its caller")
            self.scheduler.actor = name
            self.scheduler.sleep(min(300.0, 0.5 * 2**attempt))
            self.scheduler.actor = None

    def call(self, function: str, times: Sequence[float], job: Callable[[], object]) -> None:
        """Let callers make the same call at each of some times from now, each until it came to its end."""
        self.duplicates += len(times) - 1
        for delay in times:
            self.scheduler.after(delay, lambda: self._until_done(function, 28, job, 5))

    # ---- webhooks -----------------------------------------------------------------------------------------------

    def _webhook(self, step: Webhook) -> None:
        body = json.dumps(report_body(step, self.at(step.occurred))).encode()
        for delay, delivery in step.deliveries:
            told = self._tell(step, delivery, body)
            self._send(step.source, delivery, body, told, delay)

    def _tell(self, step: Webhook, delivery: str, body: bytes) -> Told:
        """Tell the oracle what a message says, and return what must become of it."""
        name = message_id(step.source, delivery, body)
        keys = []
        for number, line in enumerate(step.lines, start=1):
            key = "/".join((step.source, step.document, str(number), step.type, step.version))
            fact = self._fact(step, line, key, number)
            if fact is not None:
                self.auditor.oracle.tell(name, fact)
                keys.append(key)
        self._reports.setdefault(name)
        hopeless = any(line.code == GHOST for line in step.lines)
        return self._register(name, tuple(keys), hopeless)

    def _register(self, name: str, keys: tuple[str, ...], hopeless: bool) -> Told:
        return self.auditor.messages.setdefault(name, Told(name, keys, hopeless))

    def _fact(self, step: Webhook, line: ReportLine, key: str, number: int) -> Moved | Counted | None:
        if line.code == GHOST:
            return None
        sku, at, extra = ALIASES.get(line.code, Sku(line.code)), self.at(step.occurred), dict(line.extra)
        here = StockKey(sku, line.location)
        if step.type == "count":
            if COUNTS[line.location] != step.source:
                return None
            counter = Counter(extra.get("counter", "on_hand"))
            document = f"{step.document}/{number}"
            return Counted(key, at, here, counter, line.quantity, step.version, document, part_of(extra))
        legs = legs_of(step.type, here, line.quantity, extra)
        legs = tuple(leg._replace(bin=part_of(extra)) for leg in legs)
        is_sent = step.type == "transfer_ship"  # who ships also says what is on its way elsewhere
        own = [leg for leg in legs if not (is_sent and leg.counter is Counter.IN_TRANSIT)]
        if any(MOVEMENTS.get(leg.stock_key.location) != step.source for leg in own):
            return None
        order_line = (extra["order"], extra["order_line"]) if "order" in extra else None
        if "transfer" in extra:
            order_line = (f"transfer/{extra['transfer']}", sku)
        shipped = line.quantity if step.type in ("shipment", "transfer_ship") and order_line else 0
        return Moved(key, at, legs, order_line, shipped)

    def _nonsense(self, step: Nonsense) -> None:
        for delay, delivery in step.deliveries:
            told = self._register(message_id(step.source, delivery, step.body), (), True)
            self._send(step.source, delivery, step.body, told, delay, forged=step.forged)

    def _send(
        self,
        source: SourceId,
        delivery: str,
        body: bytes,
        told: Told,
        delay: float,
        *,
        topic: str = "",
        forged: bool = False,
    ) -> None:
        """Send a message after a while, again and again until it is acknowledged."""

        def knock() -> None:
            self.deliveries += 1
            if told.id in self._seen:
                self.duplicates += 1
            self._seen.add(told.id)
            now = self.scheduler.now()
            headers = signed_by_shop(body, topic, delivery) if topic else signed(body, delivery, now)
            raw = body + b"!" if forged else body
            try:
                receipt = self.house.receiver.receive(source, headers, raw)
            except AuthenticationError:
                if not forged:
                    raise
                return
            if forged or receipt.message_id != told.id:
                raise Violation(Invariant.AUTHORITY, f"{source} is credited with what it never signed")
            self.auditor.acknowledge(told.id)

        self.scheduler.after(delay, lambda: self._until_done("receive_webhook", 10, knock))

    # ---- files --------------------------------------------------------------------------------------------------

    def _snapshot(self, step: Snapshot) -> None:
        as_of = self.at(step.as_of)
        written_at = self.scheduler.now()
        key, version = f"{FILE_PREFIX}stock-{as_of:%Y%m%dT%H%M%S}.csv", f"v{step.sequencer}"
        rows = ["sku,site,qty", *(f"{sku},{WEST},{units}" for sku, units in step.rows), *step.bad_rows]
        content = "\n".join(rows).encode()
        self.house.bucket.objects[key, version] = content
        name = message_id(FILES, f"{key}#{version}#{step.sequencer}", b"")
        document = f"{instant(written_at)}.{step.sequencer}"
        keys = []
        for sku, units in step.rows:
            fact_key = f"{FILES}/snapshot/{instant(as_of)}/{sku}/{WEST}/on_hand/{document}"
            counted = Counted(fact_key, as_of, StockKey(sku, WEST), Counter.ON_HAND, units, document)
            self.auditor.oracle.tell(name, counted)
            keys.append(fact_key)
        self._register(name, tuple(keys), bool(step.bad_rows)).acknowledged_when_kept = True
        drop = Drop(key, version, step.sequencer, len(content), written_at)
        self.deliveries += len(step.announced)
        self.duplicates += len(step.announced) - 1
        for delay in step.announced:
            self.house.file_queue.send(drop, delay)

    # ---- the shop -----------------------------------------------------------------------------------------------

    def _sell(self, sale: Sale) -> None:
        shop, key = self.house.channels[SHOP], StockKey(sale.sku, EAST)
        shown = shop.shows.get(key, 0)
        if shown < sale.units:
            return
        shop.show(key, shown - sale.units)
        order = self._orders[sale.number] = Order(sale, sale.units)
        self._publish(order, "orders/create", sale.heard_after)
        for delay, change in (
            (sale.edited_after, self._edit),
            (sale.claimed_after, self._claim),
            (sale.cancelled_after, self._cancel),
            (sale.shipped_after, self._ship_order),
        ):
            if delay is not None:
                self.scheduler.after(delay, partial(change, order))

    def _edit(self, order: Order) -> None:
        if order.units > 1 and not order.claimed and not order.cancelled:
            order.units -= 1
            self._give_back(order, 1)
            if order.sale.number % 2:
                self._refund(order)
            self._publish(order, "orders/updated", self._soon())

    def _refund(self, order: Order) -> None:
        """The unit that is taken out is refunded: the refund is told by itself, and by every later version."""
        refund = Refund(order.sale.number * 10 + 7, 1, self.scheduler.now())
        order.refunds.append(refund)
        body = json.dumps(refund_body(order, refund)).encode()
        fact = self._refunded(order, refund)
        self.auditor.oracle.tell_demand(fact)
        self._hook("refunds/create", body, (fact.key,), self._soon())

    def _refunded(self, order: Order, refund: Refund) -> Demanded:
        number = order.sale.number
        line, key = (f"{SHOP}/{number}", f"{number}0"), StockKey(order.sale.sku, EAST)
        name = f"{SHOPFRONT}/order/{number}/{number}0/cancelled/refund%2F{refund.number}"
        return Demanded(name, line, key, refund.units, None)

    def _claim(self, order: Order) -> None:
        """The storefront says that it fulfilled the order. It is no authority for that."""
        if not order.cancelled:
            order.claimed_at = self.scheduler.now()
            self._publish(order, "orders/updated", self._soon())

    def _cancel(self, order: Order) -> None:
        if not order.claimed and not order.cancelled:
            order.cancelled = True
            self._give_back(order, order.units)
            order.units = 0
            self._publish(order, "orders/cancelled", self._soon())

    def _give_back(self, order: Order, units: int) -> None:
        shop, key = self.house.channels[SHOP], StockKey(order.sale.sku, EAST)
        shop.show(key, shop.shows.get(key, 0) + units)

    def _soon(self) -> tuple[float, ...]:
        random = self.chaos.random
        return tuple(
            random.choice((1.0, 60.0, 500.0)) * random.random() for _ in range(random.choice((1, 1, 2)))
        )

    def _ship_order(self, order: Order) -> None:
        extra = (("order", f"{SHOP}/{order.sale.number}"), ("order_line", f"{order.sale.number}0"))
        self._ship(f"S-{order.sale.number}", EAST, order.sale.sku, order.sale.shipped, extra)

    def _ship(
        self, document: str, place: LocationId, sku: Sku, units: int, extra: tuple[tuple[str, str], ...]
    ) -> None:
        line = ReportLine(sku, place, units, extra)
        occurred = float(int(self.scheduler.seconds))
        deliveries = tuple((delay, f"d{document}") for delay in self._soon())
        source = MOVEMENTS.get(place, WMS)  # at the kiosk that is believed by nobody
        self._webhook(
            Webhook(self.scheduler.seconds, source, "shipment", document, occurred, (line,), deliveries)
        )

    def _publish(self, order: Order, topic: str, heard_after: Sequence[float]) -> None:
        """The shop has a new version of an order: it can be fetched, and its webhooks are on their way."""
        now = self.scheduler.now()
        body = json.dumps(order_body(order, now)).encode()
        fetched = FetchedOrder(body, {"x-shopify-topic": "orders/updated"})
        self.house.channels[SHOP].orders.append((now, fetched))
        keys = self._tell_order(order, now)
        self._register(message_id(SHOPFRONT, "fetched", body), keys, False).acknowledged_when_kept = True
        self._hook(topic, body, keys, heard_after)

    def _hook(self, topic: str, body: bytes, keys: tuple[str, ...], heard_after: Sequence[float]) -> None:
        """Send webhooks of one document."""
        for delay in heard_after:
            self._hooks += 1
            hook = f"hook-{self._hooks}"
            name = message_id(SHOPFRONT, f"{SHOP_DOMAIN}|{topic}|{hook}", body)
            told = self._register(name, keys, False)
            self._send(SHOPFRONT, hook, body, told, delay, topic=topic)

    def _tell_order(self, order: Order, now: datetime) -> tuple[str, ...]:
        number, version = order.sale.number, instant(now)
        line, key = (f"{SHOP}/{number}", f"{number}0"), StockKey(order.sale.sku, EAST)
        name = f"{SHOPFRONT}/order/{number}/{number}0"
        refunded = sum(refund.units for refund in order.refunds)
        facts = [Demanded(f"{name}/ordered/{version}", line, key, order.units + refunded, version)]
        facts += [self._refunded(order, refund) for refund in order.refunds]
        if order.cancelled:
            facts.append(Demanded(f"{name}/cancelled/cancel", line, key, order.sale.units, None))
        if order.claimed:
            facts.append(Demanded(f"{name}/fulfilled/{number}5", line, key, order.units, None, is_claim=True))
        for fact in facts:
            self.auditor.oracle.tell_demand(fact)
        return tuple(fact.key for fact in facts)

    def _fetched(self, _order: FetchedOrder) -> None:
        self.deliveries += 1

    def _meddle(self, step: Meddling) -> None:
        shop, key = self.house.channels[SHOP], StockKey(step.sku, EAST)
        shop.show(key, max(0, shop.shows.get(key, 0) + step.change))
        shop.edited.add(key)
        self._level(Level(step.at, step.sku))

    def _outage(self, step: Outage) -> None:
        channel, until = self.house.channels[step.channel], self.scheduler.seconds + step.lasts
        if step.throttles:
            channel.slowed_until = until
        else:
            channel.broken_until = until

    def _level(self, step: Level) -> None:
        shown = self.house.channels[SHOP].shows.get(StockKey(step.sku, EAST), 0)
        now = self.scheduler.now()
        body = json.dumps(
            {
                "inventory_item_id": int(EXTERNAL_ID[step.sku]),
                "location_id": int(SHOP_LOCATION),
                "available": shown,
                "updated_at": now.isoformat(),
            }
        ).encode()
        self._hooks += 1
        hook, topic = f"hook-{self._hooks}", "inventory_levels/update"
        told = self._register(message_id(SHOPFRONT, f"{SHOP_DOMAIN}|{topic}|{hook}", body), (), False)
        self._send(SHOPFRONT, hook, body, told, 0.5, topic=topic)

    # ---- reservations -------------------------------------------------------------------------------------------

    def _reserve(self, step: Reservation) -> None:
        digest = hashlib.blake2b(f"{CALLER}\x1f{step.key}".encode(), digest_size=12).hexdigest()
        channel = self.house.channels[step.channel].declared
        order = f"reservation/{digest}"
        claim = _claim(channel, step, self.scheduler.now())
        self.auditor.claims.ask(order, claim)
        wanted = [Wanted(sku, quantity, place) for sku, place, quantity in step.wanted]

        def ask() -> None:
            self.deliveries += 1
            try:
                self.house.reserver.reserve(step.key, CALLER, step.channel, wanted, claim.lifetime)
            except (InsufficientStockError, ReservationBusyError):
                return

        def release() -> None:
            self.deliveries += 1
            self.auditor.claims.let_go(order)
            try:
                self.house.reserver.release(digest)
            except (ReservationNotFoundError, ReservationBusyError):
                return

        self.call("inventory_api", step.asked, ask)
        for delay in step.released_after:
            self.scheduler.after(delay, lambda: self._until_done("inventory_api", 28, release, 5))
        if step.shipped_after is not None:
            self.scheduler.after(step.shipped_after, lambda: self._ship_reserved(step, digest))
        self._fulfil_people.play(step, digest)

    def _ship_reserved(self, step: Reservation, digest: str) -> None:
        order = f"reservation/{digest}"
        for line in sorted(self.auditor.oracle.lines_of(order)):
            at = self.auditor.oracle.place_of((order, line))
            extra = (("order", order), ("order_line", line))
            self._ship(f"S-{step.key}-{line}", at.location, at.sku, step.shipped, extra)
        if step.undone_after is not None:
            self.scheduler.after(step.undone_after, partial(self._undo_shipments, f"/S-{step.key}-"))

    def _set_aside(self, step: SettingAside) -> None:
        key = StockKey(step.sku, step.location)

        def keep() -> None:
            self.deliveries += 1
            self.auditor.claims.keep(step.channel, key, step.units)
            with suppress(InsufficientStockError, SetAsideBusyError):
                self.house.set_aside.keep(step.channel, key, step.units)

        self._until_done("inventory_api", 28, keep, 5)

    # ---- operators ----------------------------------------------------------------------------------------------

    def _operate(self, step: Operator) -> None:
        self.deliveries += 1
        match step.action:
            case "map":
                self.map_codes()
            case "retry":
                self.retry_cases(step.pick)
            case "redrive":
                self.house.desk.redrive()
            case "replay":
                self._replay(step.pick)
            case "approve":
                self._look_at_count(step.pick)
            case "undo":
                self._undo(step.pick)

    def map_codes(self) -> None:
        """Map every code that waits and that means something."""
        for case in self.house.cases.list(CaseStatus.OPEN):
            code = str(case.facts.get("code"))
            if case.kind is CaseKind.UNKNOWN_CODE and code in ALIASES:
                self._decide(partial(self.house.case_desk.map, case.id, ALIASES[code], "op"))

    def retry_cases(self, pick: int | None = None) -> None:
        """Retry one open case, whatever it is; or, without a pick, all that can be expected to go away."""
        found = self.house.cases.list(CaseStatus.OPEN)
        chosen = (
            [case for case in found if case.kind in RETRIED_BY_HAND]
            if pick is None
            else found[pick % len(found) :][:1]
            if found
            else []
        )
        for case in chosen:
            self._decide(partial(self.house.case_desk.retry, case.id))

    def _replay(self, pick: int) -> None:
        kept = [name for name in self.auditor.messages if self.auditor.status(name) != "nowhere"]
        for name in kept[pick % len(kept) :][:3] if kept else ():
            self.deliveries += 1
            self.duplicates += 1
            if self.house.inbox.reopen(MessageId(name), self.scheduler.now()):
                self.house.sweep.apply_again(MessageId(name))

    # ---- counts that wait ----------------------------------------------------------------------------------------

    def _look_at_count(self, pick: int) -> None:
        """Somebody looks at one of the counts that wait, and decides after a while, on what stood there then."""
        waiting = self._waiting_counts()
        if waiting:
            case, thinks = waiting[pick % len(waiting)], 120 * self.chaos.random.random() ** 3
            self.scheduler.after(thinks, partial(self.act, "approver", 28, partial(self.decide_count, case)))

    def decide_counts(self) -> None:
        """Decide about most of the counts that wait, here and now; and about all that were decided and have a case.

        Who crashed between deciding and closing the case has left it open; whoever decides again closes it. A case of
        a count that waits no more for any other reason is left alone: nobody may have to do that.
        """
        slots = self.auditor.oracle.slots.values()
        waiting = {name for slot in slots for name in slot.waiting}
        decided = {name for slot in slots for name in (*slot.decided, *slot.out)}
        for case in self._waiting_counts():
            count = case.facts["event_key"]
            if count in decided or (count in waiting and self.chaos.random.random() < 0.7):
                self.decide_count(case)

    def _waiting_counts(self) -> list[Case]:
        return [case for case in self.house.cases.list(CaseStatus.OPEN) if case.kind in DECIDED_HERE]

    def decide_count(self, case: Case) -> None:
        """Approve a count as the case showed it, or reject it; of one that is suspended, say when it was taken."""
        self.deliveries += 1
        random, desk, count = self.chaos.random, self.house.case_desk, str(case.facts["event_key"])
        if random.random() < 0.25:
            self.auditor.counts.decide(count, Decided(False, None, None))
            self._decide(partial(desk.reject_count, case.id, "recount", "ann"))
            return
        seen, at = None, None
        if case.kind is CaseKind.COUNT_APPROVAL:
            seen = int(str(case.facts["known"]))
        else:
            taken, widest = parse_instant(str(case.facts["as_of"])), int(2 * self._widest_skew())
            at = min(taken + timedelta(seconds=random.randint(-widest, widest)), self.scheduler.now())
        self.auditor.counts.decide(count, Decided(True, seen, at))
        try:
            self._decide(partial(desk.approve_count, case.id, "ann", seen, at))
        except UnseenError as unseen:
            self._decide(partial(desk.approve_count, case.id, "ann", unseen.known, at))

    def _widest_skew(self) -> float:
        sources = self.house.registry.network().sources.values()
        return max(source.clock_skew.total_seconds() for source in sources)

    # ---- undoing --------------------------------------------------------------------------------------------------

    def _undo(self, pick: int) -> None:
        """Take back what one message reported, if it is kept."""
        kept = [name for name in self._reports if self.auditor.status(name) != "nowhere"]
        if not kept:
            return
        self._undo_later(MessageId(kept[pick % len(kept)]))

    def _undo_shipments(self, document: str) -> None:
        """Take back what the messages of some documents reported, as far as they are kept."""
        for name in [*self._reports]:
            said = any(document in key for key in self.auditor.messages[name].keys)
            if said and self.auditor.status(name) != "nowhere":
                self._undo_later(MessageId(name))

    def _undo_later(self, name: MessageId) -> None:
        self.scheduler.after(0, lambda: self._until_done("operator", 28, lambda: self._undo_message(name)))

    def _undo_message(self, name: MessageId) -> None:
        for key in self.auditor.messages[name].keys:
            fact = self.auditor.oracle.told[key][name]
            if isinstance(fact, Counted):
                self.auditor.counts.undo(key)
            else:
                self.auditor.oracle.tell(name, fact.undone(f"{UNDO}{key}"))
        stored = self.house.inbox.load(name).message
        source = self.house.registry.network().sources[stored.source]
        reports = webhook_connector(source.connector).translate(stored, source)
        undo = partial(self.house.undoer.undo, reports, source, stored, "ann", "sent twice", dry_run=False)
        self._decide(undo)

    def _decide(self, action: Callable[[], object]) -> None:
        try:
            action()
        except UnseenError:
            raise
        except (
            NotPossibleError,
            CaseNotFoundError,
            MessageNotFoundError,
            PostingContendedError,
            ChangedSinceSeenError,
        ):
            return
        except ReferenceChangedError:
            return  # somebody, or an answer that never came, had mapped it: the operator looks again


def _claim(channel: Channel, step: Reservation, now: datetime) -> Claim:
    """Say what a reservation asks for, kits as what lies in them."""
    fixed: dict[StockKey, int] = {}
    floating: dict[Sku, int] = {}
    for sku, named, units in step.wanted:
        place = channel.served_from[0] if named is None and len(channel.served_from) == 1 else named
        for part, number in (KIT_PARTS if sku == KIT else {sku: 1}).items():
            if place is None:
                floating[part] = floating.get(part, 0) + units * number
            else:
                key = StockKey(part, place)
                fixed[key] = fixed.get(key, 0) + units * number
    lifetime = None if step.lifetime is None else timedelta(seconds=step.lifetime)
    return Claim(channel, fixed, floating, now, lifetime)
