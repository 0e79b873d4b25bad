"""Pushing: tell a channel what it may sell, so that nothing stale is ever published.

A hint says which SKU to look at; the number is read only when the slot is ours::

    take      inflight = {generation + 1, deadline}, if none is in flight
    read      the promise, consistently, and what the channel's own orders have taken
    send      only if it differs from what the channel shows; compare-and-set from what we believe it shows
    settle    a definite answer is stored and the slot freed, if the generation is still ours; then look again
    unknown   no definite answer: nothing is skipped or sent until deadline + the channel's lateness, then the
              channel is read back, and only then is anything decided

Why nothing is skipped while an outcome is unknown: we send 5 and hear nothing; the truth becomes 0; the last
confirmed number was 0, so a worker that skipped would leave the late 5 standing for ever.

A compare-and-set that finds another number means that the channel sold, or someone edited, what we have not heard
of. We do not overwrite it: we publish no more than it implies (``domain/listing.py``), fetch the channel's recent
orders, and wait a bounded time for their demand before a case asks a person.

Where the channel is not live (``domain/rollout.py``) it is only read, and what it would have been sent is kept
(``rehearse.py``). That is asked for at the very moment when a run begins, and again when its turn to send has come: a
number that was on its way when the channel was switched back is not sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

from shared.channels.contract import (
    ChannelConnector,
    ChannelError,
    Confirmed,
    Deferred,
    FetchedOrder,
    ListingAt,
    Offer,
    Outcome,
    Refused,
    Stale,
    Unknown,
)
from shared.channels.in_packs import InPacks
from shared.domain.availability import Standing, promise
from shared.domain.cases import Case, CaseKind, Fact, case_id
from shared.domain.events import instant
from shared.domain.handoffs import OURSELVES
from shared.domain.listing import (
    ListingState,
    confirmed,
    forget,
    forgive,
    known_as,
    number_to_publish,
    observed,
    resolved,
)
from shared.domain.messages import FETCHED_AT, Message
from shared.domain.network import Channel
from shared.domain.rollout import Mode, Rollout
from shared.domain.stock import ChannelId, Sku, StockKey
from shared.operations.dead_letters import push_failed_case
from shared.operations.promises import Promises
from shared.operations.rehearse import Rehearsal
from shared.operations.write_paths import PathWatch
from shared.store.cases import Cases
from shared.store.inbox import Inbox, message_id
from shared.store.listings import Listings, Paces
from shared.store.registry import Registry
from shared.store.rollouts import CHANNEL
from shared.store.shadows import Shadows
from shared.store.traffic import Traffic

SLOT_HELD_FOR = timedelta(seconds=60)
"""How long a request may be on its way before its outcome counts as unknown: longer than any call may take."""

AHEAD_FOR = timedelta(minutes=15)
"""How long the demand behind a channel's lead may take to reach us before a person is asked."""

ORDERS_SINCE = timedelta(hours=24)
"""How far back the channel's orders are fetched for a sale that we have not heard of, at most."""

ORDERS_OVERLAP = timedelta(minutes=5)
"""How much the channel's clock and ours may differ when its orders are asked for."""

ROUNDS = 3
"""Times that one run looks again at a listing that changed while it was being pushed."""

PACE_PATIENCE = timedelta(seconds=5)
"""How long a worker waits for its turn to call a channel before it gives the work back."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Later:
    """A SKU that could not be settled now: try again after ``after``.

    ``failed`` says whether the channel failed us. ``in_doubt`` says that it did so before, and that nothing is sent
    until ``after`` because the outcome of that push is unknown: to look sooner is of no use.
    """

    sku: Sku
    after: timedelta
    reason: str
    failed: bool
    in_doubt: bool = False


@dataclass(slots=True)
class _Work:
    """One run: where its listings are, which are on their way, which to look at again, which to leave for later."""

    places: dict[StockKey, ListingAt]
    sent: dict[StockKey, ListingState] = field(default_factory=dict)
    again: set[StockKey] = field(default_factory=set)
    later: dict[Sku, Later] = field(default_factory=dict)
    answered: bool = False
    failure: str | None = None

    def put_off(
        self, key: StockKey, after: timedelta, reason: str, *, failed: bool, in_doubt: bool = False
    ) -> None:
        """Look again at the SKU when the first of its listings is due; a failure of any of them counts."""
        later = Later(key.sku, after, reason, failed, in_doubt)
        known = self.later.get(key.sku, later)
        first = known if known.after <= after else later
        self.later[key.sku] = replace(first, failed=known.failed or failed)


class Pusher:
    """Publishes the current numbers of listings on one channel."""

    def __init__(
        self,
        channel: Channel,
        connector: ChannelConnector,
        promises: Promises,
        listings: Listings,
        paces: Paces,
        registry: Registry,
        inbox: Inbox,
        cases: Cases,
        traffic: Traffic,
        shadows: Shadows,
        clock: Callable[[], datetime],
        pause: Callable[[float], None],
    ) -> None:
        self._rehearsal = Rehearsal(channel, shadows, clock)
        self._traffic = traffic
        self._paths = PathWatch(traffic, cases, registry, clock)
        self._channel = channel
        self._connector = InPacks(connector)
        self._promises = promises
        self._listings = listings
        self._paces = paces
        self._registry = registry
        self._inbox = inbox
        self._cases = cases
        self._clock = clock
        self._pause = pause
        self._look_from: datetime | None = None
        self._announced: Mapping[Sku, datetime] = {}
        self.waited: list[timedelta] = []
        """Of each number that was confirmed, the time since its change was announced."""

    def push(self, skus: Iterable[Sku], announced: Mapping[Sku, datetime] | None = None) -> list[Later]:
        """Bring what the channel shows of some SKUs up to date; return those to look at again later.

        Where the channel is not live nothing is sent to it, and nothing is left for later. ``announced`` is when the
        change of a SKU was announced, where that is to be measured.
        """
        self._announced = announced or {}
        rollout = self._registry.rollouts.of(CHANNEL, self._channel.id)
        places = self._places(skus, rollout)
        work = _Work(
            {key: at for key, at in places.items() if rollout.mode_at(key.sku, key.location) is Mode.LIVE}
        )
        self._rehearse({key: at for key, at in places.items() if key not in work.places}, rollout)
        self._look_from = self._paces.look_from(self._channel.id)
        waiting: Collection[StockKey] = work.places
        for _ in range(ROUNDS):
            work.again = set()
            # A slot is taken no sooner than its own call, or the last calls of many would outlive their slots.
            for chunk in _chunks(list(waiting), self._connector.batch_size):
                self._push_chunk(chunk, work)
            waiting = work.again
            if not waiting:
                break
        for key in waiting:
            work.put_off(key, timedelta(seconds=1), "it keeps changing", failed=False)
        self._note_silence(work)
        for later in work.later.values():
            if later.failed:
                self._traffic.failed(OURSELVES, self._channel.id, later.reason)
        self._traffic.write()
        return list(work.later.values())

    def _note_silence(self, work: _Work) -> None:
        """Let everybody see at once that a channel takes nothing; how long it is waited for is another matter."""
        if work.answered:
            self._paces.answered(self._channel.id)
        elif work.failure is not None:
            self._paces.failed(self._channel.id, work.failure, self._clock())

    def _push_chunk(self, keys: Sequence[StockKey], work: _Work) -> None:
        taken = self._take(keys, work)
        unseen = {key: state for key, state in taken.items() if self._is_unseen(state)}
        offers = self._offers({key: state for key, state in taken.items() if key not in unseen}, work)
        if offers:
            self._send(offers, work)
        self._first_look(unseen, work)

    def _rehearse(self, places: Mapping[StockKey, ListingAt], rollout: Rollout) -> None:
        """Read what listings show that are not live, and keep it beside what they would be sent."""
        if not places:
            return
        shown: dict[StockKey, int | None] = {}
        for chunk in _chunks(list(places), self._connector.batch_size) if self._connector.reads_back else ():
            try:
                self._await_turn()
                read = self._connector.read_back([places[key] for key in chunk])
            except ChannelError as error:
                log.info("rehearsal_not_read", extra={"channel": self._channel.id, "reason": error.reason})
                break
            shown |= {key: read.get(places[key]) for key in chunk}
        packs = {key.sku: pack for key, at in places.items() if (pack := at.pack) is not None}
        self._rehearsal.keep(self._promises.standings(places, packs), shown, rollout)

    def _places(self, skus: Iterable[Sku], rollout: Rollout) -> dict[StockKey, ListingAt]:
        listings = self._registry.listings(self._channel.id, dict.fromkeys(skus))
        packs = self._promises.packs(listings.values())
        for sku in [sku for sku, listing in listings.items() if listing.unit and sku not in packs]:
            # A number without its unit would be read as packs. Whoever declares units refuses to take this one away.
            log.error("listing_unit_unknown", extra={"channel": self._channel.id, "sku": sku})
            del listings[sku]
        return {
            StockKey(sku, location): ListingAt(
                self._channel.id,
                sku,
                location,
                listing.external_id,
                theirs,
                packs.get(sku),
                self._channel.times_taken_off.get(location, 0),
                rollout.rule_of(sku, location).version,
            )
            for sku, listing in listings.items()
            for location, theirs in self._channel.locations.items()
        }

    def _standings(self, keys: Collection[StockKey], work: _Work) -> dict[StockKey, Standing]:
        packs = {key.sku: pack for key in keys if (pack := work.places[key].pack) is not None}
        return self._promises.standings(keys, packs)

    def _take(self, keys: Collection[StockKey], work: _Work) -> dict[StockKey, ListingState]:
        """Take the slots of those listings that need a push and whose last outcome is known or can be read back."""
        now = self._clock()
        free: dict[StockKey, tuple[ListingState, int | None]] = {}
        unknown: dict[StockKey, ListingState] = {}
        states = self._listings.states(self._channel.id, keys)
        standings = self._standings(keys, work)
        for key, stored in states.items():
            state = known_as(stored, work.places[key].identity, work.places[key].rollout)
            if not self._connector.reads_back and self._is_older_than_look(state):
                state = replace(forget(state), inflight=state.inflight)
            settled_at = state.settled_after(self._channel.lateness)
            if settled_at is None:
                if not self._is_right(state, standings[key]):
                    free[key] = self._to_send(key, state, standings[key])
            elif now >= settled_at:
                unknown[key] = state
            else:
                in_doubt = state.inflight is not None and now >= state.inflight.deadline
                reason = (
                    "the outcome of the last push is unknown" if in_doubt else "another push is on its way"
                )
                work.put_off(key, settled_at - now, reason, failed=in_doubt, in_doubt=in_doubt)
        self._resolve(unknown, work)
        took_at = self._clock()
        taken = self._listings.take(self._channel.id, free, took_at + SLOT_HELD_FOR, took_at)
        for key in free.keys() - taken.keys():
            work.put_off(key, timedelta(seconds=2), "another worker took it", failed=False)
        return taken

    def _to_send(
        self, key: StockKey, state: ListingState, standing: Standing
    ) -> tuple[ListingState, int | None]:
        """Say with which number to take a slot; the number is read again once the slot is ours."""
        if self._is_unseen(state):
            return state, None
        if self._is_overdue(state):
            state = self._ask_a_person(key, state)
        return state, number_to_publish(promise(standing, self._channel).available_to_promise, state)

    def _is_unseen(self, state: ListingState) -> bool:
        """Whether the channel must be read before anything is decided: we never knew its number, or doubt it.

        So it is when somebody asked for all of it to be looked at since then. A lead whose time is up is read once more too, before a person is asked.
        """
        if not self._connector.reads_back:
            return False
        if state.shown is None or state.in_doubt(self._clock()) or self._is_older_than_look(state):
            return True
        return self._is_overdue(state) and not self._is_overdue(state, state.shown_at)

    def _is_older_than_look(self, state: ListingState) -> bool:
        """Whether what is known of a listing is older than the last time that a look at all of them was asked for."""
        return self._look_from is not None and (state.shown_at is None or state.shown_at < self._look_from)

    def _is_overdue(self, state: ListingState, at: datetime | None = None) -> bool:
        """Whether a lead had waited long enough for its orders, now or at an instant."""
        if not state.unexplained or state.ahead_since is None:
            return False
        return (at or self._clock()) - state.ahead_since > AHEAD_FOR

    def _is_right(self, state: ListingState, standing: Standing) -> bool:
        """Whether a settled listing shows what it should, so that its slot need not be taken.

        Safe although another worker may take the slot meanwhile: whoever pushes looks again afterwards.
        """
        if state.troubled or state.unexplained or self._is_unseen(state):
            return False
        return state.believed == promise(standing, self._channel).available_to_promise

    def _resolve(self, unknown: dict[StockKey, ListingState], work: _Work) -> None:
        """Settle generations whose answer never came by what the channel shows now, after its lateness."""
        if not self._connector.reads_back:
            self._listings.settle(self._channel.id, {key: forget(state) for key, state in unknown.items()})
            work.again.update(unknown)
            return
        self._settle_as_read(unknown, work, resolved)

    def _first_look(self, unseen: dict[StockKey, ListingState], work: _Work) -> None:
        """Ask what the channel shows of listings that we never pushed, so that the first push compares too."""
        failed = self._settle_as_read(unseen, work, observed)
        self._listings.settle(self._channel.id, {key: unseen[key] for key in failed})

    def _settle_as_read(
        self,
        states: dict[StockKey, ListingState],
        work: _Work,
        judge: Callable[[ListingState, int, datetime], ListingState],
    ) -> list[StockKey]:
        """Read some listings back and settle them as ``judge`` says; return those that could not be read."""
        failed: list[StockKey] = []
        for chunk in _chunks(list(states), self._connector.batch_size):
            shown = self._read_back(chunk, work)
            if shown is None:
                failed += chunk
                continue
            now, seen = self._clock(), dict[StockKey, ListingState]()
            for key in chunk:
                number = shown.get(work.places[key])
                if number is None:
                    self._refused(key, _not_tracked(work.places[key]), states[key])
                else:
                    seen[key] = judge(states[key], number, now)
            work.again |= self._listings.settle(self._channel.id, seen)
            self._fetch_orders([states[key] for key, state in seen.items() if state.unexplained])
        return failed

    def _read_back(self, keys: Sequence[StockKey], work: _Work) -> Mapping[ListingAt, int | None] | None:
        asked = False
        try:
            self._await_turn()
            asked = True
            shown = self._connector.read_back([work.places[key] for key in keys])
            work.answered = True
            return shown
        except ChannelError as error:
            work.failure = error.reason if asked else work.failure
            for key in keys:
                work.put_off(key, error.retry_after or timedelta(seconds=30), error.reason, failed=True)
            return None

    def _offers(self, taken: dict[StockKey, ListingState], work: _Work) -> list[Offer]:
        """Read each taken listing's number now; free the slots of those that show it already, or that moved on."""
        offers, free, now = list[Offer](), dict[StockKey, ListingState](), self._clock()
        standings = self._standings(taken, work)
        for key, state in taken.items():
            number = number_to_publish(promise(standings[key], self._channel).available_to_promise, state)
            if number == state.believed:
                free[key] = self._untroubled(key, state, "it shows the right number")
                if state.unexplained and state.ahead_since is not None:
                    left = state.ahead_since + AHEAD_FOR - now
                    wait = max(left, timedelta(seconds=1))
                    work.put_off(key, wait, "it waits for the orders behind its lead", failed=False)
            elif state.inflight is None or state.inflight.quantity != number:
                free[key] = state
                work.again.add(key)
            else:
                content = f"onecount:{self._channel.id}/{key}/{state.generation}/{number}/{state.believed}"
                identity = str(uuid5(NAMESPACE_URL, content))
                offers.append(Offer(work.places[key], number, state.believed, identity, now))
                work.sent[key] = state
        self._listings.settle(self._channel.id, free)
        return offers

    def _send(self, offers: Sequence[Offer], work: _Work) -> None:
        try:
            self._await_turn()
        except ChannelError as error:
            wait = error.retry_after or PACE_PATIENCE
            outcomes: Sequence[Outcome] = [Deferred(offer.listing, wait, error.reason) for offer in offers]
        else:
            offers = self._still_live(offers, work)
            outcomes = self._connector.push(offers) if offers else ()
            failures = [one.reason for one in outcomes if isinstance(one, (Deferred, Unknown))]
            work.answered = work.answered or len(failures) < len(outcomes)
            work.failure = failures[0] if failures else work.failure
        now = self._clock()
        settled: dict[StockKey, ListingState] = {}
        stale: dict[StockKey, tuple[Stale, ListingState]] = {}
        lost: dict[StockKey, ListingState] = {}
        for outcome in outcomes:
            key = StockKey(outcome.listing.sku, outcome.listing.location)
            state = work.sent.pop(key)
            if isinstance(outcome, Confirmed):
                state = self._untroubled(key, state, f"{outcome.quantity} confirmed")
                settled[key] = confirmed(state, outcome.quantity, state.sold, now)
                took = None if state.inflight is None else _since(state.inflight.taken_at, now)
                waited = _since(self._announced.get(key.sku), now)
                self.waited += [] if waited is None else [waited]
                self._traffic.passed(OURSELVES, self._channel.id, 1, posting=took, waited=waited)
                log.info(
                    "pushed",
                    extra={"channel": self._channel.id, "stock_key": str(key), "quantity": outcome.quantity},
                )
            elif isinstance(outcome, Stale):
                stale[key] = outcome, state
            elif isinstance(outcome, Deferred):
                settled[key] = state
                work.put_off(key, outcome.after, outcome.reason, failed=True)
                self._slow_down(outcome)
            elif isinstance(outcome, Refused):
                self._refused(key, outcome, state)
            else:
                lost[key] = state
                reason = f"outcome unknown: {outcome.reason}"
                work.put_off(key, self._channel.lateness, reason, failed=True, in_doubt=True)
        self._listings.settle(self._channel.id, settled)
        self._listings.give_up(self._channel.id, lost, now)
        self._were_stale(stale, work)
        work.again |= settled.keys() - {key for key in settled if key.sku in work.later}

    def _still_live(self, offers: Sequence[Offer], work: _Work) -> list[Offer]:
        """Return what may be sent now; the slots of what was switched since they were taken are freed."""
        rollout = self._registry.rollouts.of(CHANNEL, self._channel.id)
        live, freed = list[Offer](), dict[StockKey, ListingState]()
        for offer in offers:
            key = StockKey(offer.listing.sku, offer.listing.location)
            rule = rollout.rule_of(key.sku, key.location)
            if rule.mode is Mode.LIVE and rule.version == offer.listing.rollout:
                live.append(offer)
                continue
            freed[key] = work.sent.pop(key)
            log.info("push_stopped", extra={"channel": self._channel.id, "stock_key": str(key)})
            work.put_off(key, timedelta(seconds=1), "its rollout was switched", failed=False)
        self._listings.settle(self._channel.id, freed)
        return live

    def _were_stale(self, stale: dict[StockKey, tuple[Stale, ListingState]], work: _Work) -> None:
        """Take what the channel shows for true, against what we have heard of its sales by now."""
        if not stale:
            return
        silent = [key for key, (outcome, _) in stale.items() if outcome.observed is None]
        numbers = {key: outcome.observed for key, (outcome, _) in stale.items()}
        # A slot whose deadline we have outlived may be another worker's by now: it is not ours to settle.
        states = {
            key: state
            for key, state in self._listings.states(self._channel.id, stale).items()
            if state.generation == stale[key][1].generation
        }
        if silent:
            shown = self._read_back(silent, work)
            if shown is None:
                self._listings.settle(self._channel.id, {key: states[key] for key in silent if key in states})
                numbers = {key: number for key, number in numbers.items() if key not in silent}
            else:
                numbers |= {key: shown.get(work.places[key]) for key in silent}
        seen: dict[StockKey, ListingState] = {}
        for key, number in numbers.items():
            if key not in states:
                work.put_off(key, timedelta(seconds=2), "another worker took it", failed=False)
            elif number is None:
                self._refused(key, _not_tracked(work.places[key]), states[key])
            else:
                seen[key] = observed(states[key], number, self._clock())
        work.again |= self._listings.settle(self._channel.id, seen)
        self._fetch_orders([states[key] for key in seen])

    def _fetch_orders(self, before: Sequence[ListingState]) -> None:
        """Fetch what the channel sold since these listings were last as we believed, as messages of its own source.

        What we know already posts as nothing.
        """
        sources = self._registry.network().sources.values()
        source = next((source for source in sources if source.channel == self._channel.id), None)
        if source is None or not before:
            return
        now = self._clock()
        recent = now - AHEAD_FOR
        known = min(state.shown_at or recent for state in before) - ORDERS_OVERLAP
        orders = self._orders_since(max(now - ORDERS_SINCE, min(recent, known))) or self._orders_since(recent)
        for order in orders:
            name = message_id(source.id, "fetched", order.body)
            headers = {**order.headers, FETCHED_AT: instant(now)}
            self._inbox.store(Message(name, source.id, order.body, now, headers))

    def _orders_since(self, since: datetime) -> Sequence[FetchedOrder]:
        try:
            return self._connector.recent_orders(since)
        except ChannelError as error:
            log.warning("recent_orders_failed", extra={"channel": self._channel.id, "reason": error.reason})
            return ()

    def _await_turn(self) -> None:
        """Wait for this call's turn at the pace that all workers share; raise ChannelError if that is too long."""
        interval = timedelta(minutes=1) / self._channel.calls_per_minute
        now = self._clock()
        start = self._paces.reserve(self._channel.id, now, interval, PACE_PATIENCE)
        if start is None:
            raise ChannelError("the channel asked us to wait, or its rate is used up", PACE_PATIENCE)
        if start > now:
            self._pause((start - now).total_seconds())

    def _slow_down(self, outcome: Deferred) -> None:
        if outcome.after > timedelta(seconds=1):
            self._paces.pause(self._channel.id, self._clock() + min(outcome.after, timedelta(minutes=1)))

    def _untroubled(self, key: StockKey, state: ListingState, resolution: str) -> ListingState:
        """Close the cases of a listing that is well again."""
        if not state.troubled:
            return state
        now = self._clock()
        self._cases.close(push_failed_case(self._channel.id, key.sku), resolution, now)
        self._cases.close(push_case(CaseKind.PUSH_REFUSED, key, self._channel.id), resolution, now)
        return replace(state, mended=state.troubles)

    def _refused(self, key: StockKey, outcome: Refused, state: ListingState) -> None:
        facts: dict[str, Fact] = {"channel": self._channel.id, "code": outcome.code}
        title = f"{self._channel.id} refuses the quantity of {key.sku} at {key.location}: {outcome.reason}"
        self._file(CaseKind.PUSH_REFUSED, key, title, f"{outcome.remedy}; then retry this case", facts)
        self._listings.trouble(self._channel.id, key)
        self._listings.settle(self._channel.id, {key: state})

    def _ask_a_person(self, key: StockKey, state: ListingState) -> ListingState:
        """The lead was never explained by an order: publish our number again, and say so in a case."""
        title = f"{self._channel.id} changed {key.sku} at {key.location} by {state.unexplained:+d}, no order explains it"
        why = "no order explains it"
        paths = self._paths.changed(self._channel.id, key, state.unexplained, why)
        known = " and ".join(path.giver for path in paths)
        who = f"{known} is declared to write there" if paths else "find who edits the quantity there"
        remedy = f"{who}; Onecount publishes its own number again"
        self._file(
            CaseKind.CHANNEL_EDITED,
            key,
            title,
            remedy,
            {"channel": self._channel.id, "units": state.unexplained},
        )
        return forgive(state, self._clock())

    def _file(self, kind: CaseKind, key: StockKey, title: str, remedy: str, facts: dict[str, Fact]) -> None:
        now = self._clock()
        said = {**facts, "sku": key.sku, "location": key.location}
        self._cases.file(Case(push_case(kind, key, self._channel.id), kind, title, remedy, now, now, said))


def _since(at: datetime | None, now: datetime) -> timedelta | None:
    return None if at is None else now - at


def push_case(kind: CaseKind, key: StockKey, channel: ChannelId) -> str:
    """Name the case of a listing on a channel."""
    return case_id(kind, channel, key.sku, key.location)


def _not_tracked(listing: ListingAt) -> Refused:
    return Refused(
        listing,
        "not_tracked",
        "the channel does not track this item there",
        "stock the item at that location in the channel, or take the location from the channel's list",
    )


def _chunks(keys: Sequence[StockKey], size: int) -> list[Sequence[StockKey]]:
    return [keys[start : start + size] for start in range(0, len(keys), size)]
