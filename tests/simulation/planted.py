"""Known bugs, planted into the real code for one history, to see whether the simulation catches them.

Each is a mistake that somebody could make, or has made: a condition left out, two steps in the wrong order, an answer
taken for another. Replacing our own functions is the very point here. Every bug must be caught within 1,000 seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from unittest.mock import patch

from infra.simulation.history import Verdict, play
from infra.simulation.workload import Workload
from shared.channels.contract import ChannelConnector, Deferred, Offer, Outcome, Unknown
from shared.domain import fold as folding
from shared.domain import journal_draft, ledger
from shared.domain.availability import Standing, promise
from shared.domain.count_decisions import Decision
from shared.domain.events import Count, DemandEffect, Movement, MovementKind
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.reservation import OrderLine, merge_demand
from shared.domain.stock import Counter, EventKey, Quantity, StockKey
from shared.operations import allotments as hot
from shared.operations import (
    count_desk,
    fan_out,
    lots,
    order_lines,
    placing,
    post,
    record,
    reservation_items,
    reserve,
    resolve,
    telling,
    transfer_lines,
    transfers,
    undo,
)
from shared.operations import push as pushing
from shared.operations.apply_message import MessageApplier
from shared.operations.facts import Fact, NoteKind, Result
from shared.operations.facts import Outcome as PostOutcome
from shared.operations.fulfil import Fulfiller, _in_lines, _meant
from shared.operations.lots import LotDesk
from shared.operations.post import Poster, PostingContendedError
from shared.operations.push import Pusher
from shared.operations.reservation_items import demand_of
from shared.operations.reservations import InsufficientStockError
from shared.operations.reserve import Reserver
from shared.operations.transfer_calls import TransferBusyError
from shared.operations.unbinned_stock import UnbinnedWatch
from shared.sources import shopify_orders
from shared.sources.reading import Fields
from shared.store import allotments, promises
from shared.store.bulk import write_each
from shared.store.inbox import Inbox, MessageStatus
from shared.store.lots import Lots
from shared.store.orders import line_put
from shared.store.posting_actions import posting_actions
from shared.store.promises import promise_action
from shared.store.table import (
    Absent,
    Action,
    AnyOf,
    Exists,
    Put,
    Table,
    TableError,
    UnknownOutcomeError,
    Update,
)

Replacement = tuple[object, str, object]
"""What is replaced (a module or a class), which of its names, and by what."""


class _Passing:
    """Something that passes on all but what a bug changes."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


def _unconditional(action: Any) -> Any:
    return replace(action, conditions=())


# ---- posting ------------------------------------------------------------------------------------------------------


def no_idempotency_condition() -> list[Replacement]:
    """An event's own item is written without asking whether it is there already."""
    original = post._event_put
    return [(post, "_event_put", lambda *what: _unconditional(original(*what)))]


def no_sequence_condition() -> list[Replacement]:
    """A posting does not ask whether the journal has grown since it was folded."""

    def actions(posting: ledger.Posting, at: Any) -> list[Action]:
        first, second, *rest = posting_actions(posting, at)
        return [_unconditional(first), _unconditional(second), *rest]

    return [(post, "posting_actions", actions)]


def promise_added_again() -> list[Replacement]:
    """After an answer that never came, what became available is added once more, and then all is tried again."""

    class Adding(_Passing):
        def write(self, actions: Sequence[Action]) -> None:
            try:
                self._wrapped.write(actions)
            except UnknownOutcomeError:
                self._wrapped.write([a for a in actions if a.key.pk.startswith("PROMISE#")] or actions)
                raise

    original = Poster.__init__

    def build(self: Poster, table: Table, *more: Any) -> None:
        original(self, Adding(table), *more)

    return [(Poster, "__init__", build)]


def late_fact_not_restated() -> list[Replacement]:
    """A movement that is older than an accepted count moves the balance."""

    def move(self: Any, slot: Any, quantity: Quantity, at: Any, key: EventKey) -> None:
        self.add(self.slot(slot), quantity, at, key, ledger.Cause.MOVEMENT)

    return [(folding._Draft, "move", move)]


def wrong_count_restated() -> list[Replacement]:
    """A late movement restates the newest count instead of the first after it."""

    def move(self: Any, slot: Any, quantity: Quantity, at: Any, key: EventKey) -> None:
        draft = self.slot(slot)
        self.add(draft, quantity, at, key, ledger.Cause.MOVEMENT)
        if draft.last_count is not None and at <= draft.last_count.as_of:
            self.restate(draft, draft.marks[-1], quantity, key)

    return [(folding._Draft, "move", move)]


def late_fact_applied_twice() -> list[Replacement]:
    """A movement that is older than an accepted count is written twice, with both of its lines."""
    original = folding._Draft.move

    def move(self: Any, slot: Any, quantity: Quantity, at: Any, key: EventKey) -> None:
        if self.slot(slot).first_from(at) is not None:
            original(self, slot, quantity, at, key)
        original(self, slot, quantity, at, key)

    return [(folding._Draft, "move", move)]


def approved_blindly() -> list[Replacement]:
    """An approval applies although the ledger's number is not the one that the approver saw any more."""
    original = folding._Draft.decide

    def decide(self: Any, decision: Decision) -> None:
        original(self, replace(decision, seen=None))

    return [(folding._Draft, "decide", decide)]


def corrected_version_not_taken_back() -> list[Replacement]:
    """Every version of a count document stands for itself: the corrected one is not taken back."""

    def settle(self: Any, count: Any) -> None:
        judged = self.judgement(count)
        self.waiting.pop(count.mark.event_key, None)
        self.waiting |= {} if judged is None else {count.mark.event_key: judged}

    return [(folding._Draft, "settle", settle)]


def accepted_version_out_while_a_newer_waits() -> list[Replacement]:
    """A newer version of a count document takes the accepted one out although it only waits."""
    original = folding._Draft.settle

    def settle(self: Any, count: Any) -> None:
        older = self.accepted_version(count)
        if older is not None and any(other.rank > older[1:] for other in self.versions_told(count)):
            self.retract(self.slot(count.slot), older, count.mark.event_key)
        original(self, count)

    return [(folding._Draft, "settle", settle)]


def history_never_judged() -> list[Replacement]:
    """A surprise that stood as history becomes the balance when no newer count covers it any more."""

    def uncover(self: Any, draft: Any, mark: Any, key: EventKey) -> list[Any]:
        self.retract(draft, mark, key)
        return []

    return [(folding._Draft, "uncover", uncover)]


def undecidable_applied() -> list[Replacement]:
    """A count is applied although nobody can say whether a movement came before it."""
    return [(folding._Draft, "undecided", lambda *_: [])]


def suspended_promised() -> list[Replacement]:
    """While a count is suspended, what may not be there is promised."""
    return [(ledger, "withheld_by", lambda _count: 0)]


def undone_from_now_on() -> list[Replacement]:
    """An undone movement is taken back as of now, so that the time between keeps it."""
    original = undo._compensation

    def compensation(event: Any, *more: Any) -> Any:
        return replace(original(event, *more), occurred_at=event.occurred_at + timedelta(seconds=1))

    return [(undo, "_compensation", compensation)]


def case_left_behind() -> list[Replacement]:
    """A count that waits no more leaves its case open."""

    def tell(results: Any, poster: Any, cases: Any, now: Any) -> None:
        waiting = [
            replace(result, notes=tuple(note for note in result.notes if note.kind is not NoteKind.SETTLED))
            for result in results
        ]
        count_desk.tell(waiting, poster, cases, now)

    return [(telling, "tell", tell)]


def count_overwrites_later_receipt() -> list[Replacement]:
    """A count is compared with what is here now, not with what was here when it was taken."""

    def balance_at(self: Any, _at: Any) -> Quantity:
        return int(self.balance)

    return [(journal_draft.SlotDraft, "balance_at", balance_at)]


def older_order_version_wins() -> list[Replacement]:
    """Of an order's versions, the one that came last stands, whichever is the newest."""

    def ordered(self: OrderLine) -> Quantity:
        return list(self.versions.values())[-1].quantity if self.versions else 0

    return [(OrderLine, "ordered", property(ordered))]


def anybody_is_believed() -> list[Replacement]:
    """A count of a source that is only to be compared is written to the ledger."""
    original = resolve._judge

    def judge(
        event: Any, fact: Fact, source: Source, network: Any, resolution: Any, *, is_partial: bool
    ) -> None:
        if isinstance(event, Count) and event.element == "on_hand":
            resolution.facts.append(fact)
        else:
            original(event, fact, source, network, resolution, is_partial=is_partial)

    return [(resolve, "_judge", judge)]


def storefront_is_believed() -> list[Replacement]:
    """What the storefront says it fulfilled is taken off what the order still holds."""
    original = shopify_orders._asked_for

    def asked_for(line: Fields, fulfilled: int | None) -> int:
        return original(line, fulfilled) - (fulfilled or 0)

    return [(shopify_orders, "_asked_for", asked_for)]


# ---- messages -----------------------------------------------------------------------------------------------------


def acknowledged_before_kept() -> list[Replacement]:
    """A delivery is acknowledged although keeping it failed."""
    original = Inbox.store

    def store(self: Inbox, message: Message, kind: str = "webhook") -> bool:
        try:
            return original(self, message, kind)
        except TableError:
            return True

    return [(Inbox, "store", store)]


def marked_before_recorded() -> list[Replacement]:
    """A message is marked posted before its events are."""
    original = MessageApplier._record

    def recorded(self: MessageApplier, message: Message, since: str | None) -> MessageStatus:
        self._inbox.mark(message.id, MessageStatus.POSTED, {}, since)
        return original(self, message, since)

    return [(MessageApplier, "_record", recorded)]


def unknown_code_dropped() -> list[Replacement]:
    """An event under a code that nobody has mapped is left out without a case."""
    return [(record, "unknown_code_cases", lambda *_: [])]


# ---- reservations -------------------------------------------------------------------------------------------------


def reserved_without_condition() -> list[Replacement]:
    """A reservation takes its units without asking whether they are there."""

    def claim(key: StockKey, change: Quantity, at: Any, *_conditions: Any) -> Update:
        return promise_action(key, change, at)

    return [(reserve, "promise_action", claim)]


def allotments_refilled_in_debt() -> list[Replacement]:
    """An allotment is filled whatever counter 0 has, so that claims there are granted while a debt is open."""
    original = allotments.filling

    def fill(main: Any, *what: Any) -> list[Update] | None:
        rich = original({**main, "spare": main["spare"] + 1000, "available": main["available"] + 1000}, *what)
        return rich and [replace(rich[0], conditions=rich[0].conditions[1:]), rich[1]]

    return [(hot, "filling", fill)]


def allotments_forgotten() -> list[Replacement]:
    """A decrease does not ask whether units of it lie in allotments."""
    return [(promises, "beside_allotments", lambda _units: AnyOf((Exists(), Absent())))]


def reserved_line_by_line() -> list[Replacement]:
    """A reservation's lines are written one after another, not all or none."""
    original = Reserver._take

    def take(self: Reserver, name: str, actions: Sequence[Action], told: Any, units: Any, *more: Any) -> None:
        lines = len(units)
        original(self, name, [actions[0], actions[1], actions[1 + lines]], told, units, *more)
        for number in range(1, lines):
            self._table.write([actions[1 + number], actions[1 + lines + number]])

    return [(Reserver, "_take", take)]


def long_reservation_confirmed_by_halves() -> list[Replacement]:
    """A step of a long reservation that cannot be had is left out, and the rest confirmed."""
    original = Reserver._take_chunk

    def take_chunk(self: Reserver, *what: Any) -> None:
        with suppress(InsufficientStockError):
            original(self, *what)

    return [(Reserver, "_take_chunk", take_chunk)]


def set_aside_for_nobody() -> list[Replacement]:
    """A claim does not ask how much is set aside for others."""
    original = promises.claim_conditions
    return [(reserve, "claim_conditions", lambda *what: original(*what)[:1])]


def given_back_to_everybody() -> list[Replacement]:
    """What was taken of a channel's own units goes back to all when it is released."""
    return [(OrderLine, "given_back", property(lambda _line: 0))]


def kit_for_one() -> list[Replacement]:
    """However many kits are wanted, the components of one are reserved."""
    return [(placing, "units_for", lambda _kits, parts: {part.sku: part.quantity for part in parts})]


def released_twice() -> list[Replacement]:
    """A release does not ask whether the reservation and its lines are still as they were read."""

    def put(line: OrderLine, at: Any) -> Put:
        return _unconditional(line_put(line, at)) if line.revision else line_put(line, at)

    return [(reserve, "line_put", put), (reserve, "as_read", lambda *_: ())]


def released_under_one_name() -> list[Replacement]:
    """Every release of a line is one document, of which one statement stands."""

    def released(line: OrderLine, now: Any) -> OrderLine:
        demand = demand_of(line, DemandEffect.CANCELLED, "release", line.releasable, now)
        return merge_demand(line, demand, effect="release")

    return [(reserve, "released", released)]


def expires_a_minute_early() -> list[Replacement]:
    """A reservation expires a minute before its time, so that somebody else may take what its caller counts on."""
    original = reservation_items.expiry

    def expiry(reservation: str, at: Any) -> Any:
        return original(reservation, at - timedelta(minutes=1))

    return [(reserve, "expiry", expiry)]


def swept_ahead_of_time() -> list[Replacement]:
    """The clock of the expiry runs a minute ahead of everybody else's."""
    original = Reserver.expire_due

    def expire_due(self: Reserver, *what: Any, **how: Any) -> Any:
        ahead = copy(self)
        ahead._clock = lambda: self._clock() + timedelta(minutes=1)
        return original(ahead, *what, **how)

    return [(Reserver, "expire_due", expire_due)]


def held_after_the_end() -> list[Replacement]:
    """What turns out never to have left after a reservation is over is held for it for ever."""
    return [(order_lines, "_given_back_again", lambda *_: [])]


def fulfilled_judged_only_when_asked() -> list[Replacement]:
    """What two callers say has left at once is not judged again in the transaction that ships it."""
    return [(order_lines, "beyond_what_is_open", lambda *_: {})]


def repeated_fulfilment_ships_again() -> list[Replacement]:
    """A fulfil call that is repeated after it was posted is posted under another name, as if it were another call."""
    original = Fulfiller._post

    def post(self: Fulfiller, found: Any, name: str, parts: Any, at: Any) -> None:
        original(self, found, f"{name}+" if _in_lines(found, name) else name, parts, at)

    return [(Fulfiller, "_post", post)]


def released_though_it_has_left() -> list[Replacement]:
    """A release gives back all that is open, also what is said to have left and only waits for its authority."""
    return [(OrderLine, "releasable", property(lambda line: line.open))]


def fulfilled_anew_after_a_crash() -> list[Replacement]:
    """A fulfil call that is repeated is worked out anew from what is open by then, not as it was written down."""
    original = Fulfiller._agreed

    def agreed(self: Fulfiller, found: Any, name: str, content: str, units: Any) -> Any:
        _, at = original(self, found, name, content, units)
        return _meant(found, units), at

    return [(Fulfiller, "_agreed", agreed)]


# ---- transfers ----------------------------------------------------------------------------------------------------


def transfer_judged_only_when_asked() -> list[Replacement]:
    """What two people receive at once is not judged again in the transaction that moves it."""
    return [(transfer_lines, "_refused", lambda *_: {})]


def shipment_that_a_count_absorbed_not_in_transit() -> list[Replacement]:
    """A shipment that is older than the newest count puts nothing in transit."""
    original = folding.fold

    def fold(state: Any, events: Sequence[Any], decision: Decision | None = None) -> Any:
        counted = {slot: clock.last_count for slot, clock in state.clocks.items() if clock.last_count}
        newest = max((mark.as_of for mark in counted.values()), default=None)

        def is_absorbed(event: Any, leg: Any) -> bool:
            return leg.counter is Counter.IN_TRANSIT and newest is not None and event.occurred_at < newest

        def kept(event: Any) -> Any:
            if not isinstance(event, Movement) or event.kind is not MovementKind.TRANSFER_SHIP:
                return event
            return replace(event, legs=tuple(leg for leg in event.legs if not is_absorbed(event, leg)))

        return original(state, [kept(event) for event in events], decision)

    return [(post, "fold", fold)]


def counts_beside_transfers_untold() -> list[Replacement]:
    """A transfer that explains a count, or makes one undecidable, says nothing of it."""

    def post(desk: Any, facts: Sequence[Fact]) -> list[Result]:
        try:
            return cast("list[Result]", desk._teller._poster.post(facts, desk._registry.network()))
        except PostingContendedError as error:
            raise TransferBusyError(str(error)) from error

    return [
        (transfers.TransferDesk, "_post", post),
        (telling.Teller, "again", lambda *_: None),
    ]


def doubt_told_only_by_who_posted_it() -> list[Replacement]:
    """Who finds that a bin's count is posted already does not look whether its case was filed."""
    original = UnbinnedWatch.posted

    def posted(self: UnbinnedWatch, results: Any) -> None:
        original(self, [result for result in results if result.outcome is PostOutcome.POSTED])

    return [(UnbinnedWatch, "posted", posted)]


# ---- lots ---------------------------------------------------------------------------------------------------------


def lot_withheld_by_each_who_looked() -> list[Replacement]:
    """Two who withhold a lot at once each set on hold what they saw, whatever was posted since."""
    original = LotDesk._reckon

    def reckon(self: LotDesk, *what: Any) -> list[Fact]:
        return [replace(fact, reckoned_on=None) for fact in original(self, *what)]

    return [(LotDesk, "_reckon", reckon)]


def lot_withheld_once() -> list[Replacement]:
    """A lot that is withheld is not looked at again: units of it that arrive later are for sale."""
    return [(lots, "LOOKED_AT_AGAIN", timedelta(days=400))]


def lot_put_off_by_who_is_late() -> list[Replacement]:
    """Who looked at a lot puts it off, whatever was said of it meanwhile."""
    original = Lots._write

    def write(self: Lots, *what: Any, conditions: Any = (), **more: Any) -> None:
        original(self, *what, **more)

    return [(Lots, "_write", write)]


def recall_lifted_by_a_count_of_all() -> list[Replacement]:
    """Who counts all that is on hold, and knows nothing of a recall, puts its units up for sale."""
    return [(LotDesk, "_withheld", lambda *_: 0)]


def lot_withheld_on_one_bin() -> list[Replacement]:
    """Of a lot that lies in several bins, one is withheld."""
    original = LotDesk._reckon
    return [(LotDesk, "_reckon", lambda self, *what: original(self, *what)[:1])]


# ---- pushing ------------------------------------------------------------------------------------------------------


def skipped_while_in_flight() -> list[Replacement]:
    """A push is skipped because the number equals the last one confirmed, though another is on its way."""
    original = Pusher._take

    def take(self: Pusher, keys: Sequence[StockKey], work: Any) -> Any:
        states = self._listings.states(self._channel.id, keys)
        standings = self._promises.standings(keys)

        def is_skipped(key: StockKey) -> bool:
            number = promise(standings[key], self._channel).available_to_promise
            return states[key].inflight is not None and states[key].believed == number

        return original(self, [key for key in keys if not is_skipped(key)], work)

    return [(Pusher, "_take", take)]


def number_read_before_slot() -> list[Replacement]:
    """The number is read before the slot is taken, and sent as it was then."""
    original = Pusher._push_chunk

    class Remembering(_Passing):
        def __init__(self, wrapped: Any, known: Mapping[StockKey, Standing]) -> None:
            super().__init__(wrapped)
            self._known = known

        def standings(self, keys: Sequence[StockKey], *_more: Any) -> Mapping[StockKey, Standing]:
            return {key: self._known[key] for key in keys}

    def push_chunk(self: Pusher, keys: Sequence[StockKey], work: Any) -> None:
        real = self._promises
        self._promises = Remembering(real, real.standings(keys))  # type: ignore[assignment]
        try:
            original(self, keys, work)
        finally:
            self._promises = real

    return [(Pusher, "_push_chunk", push_chunk)]


def unknown_taken_for_not_written() -> list[Replacement]:
    """A push whose answer never came is taken for one that was not written."""

    class Hasty(_Passing):
        def push(self, offers: Sequence[Offer]) -> Sequence[Outcome]:
            return [
                Deferred(found.listing, timedelta(seconds=1), found.reason)
                if isinstance(found, Unknown)
                else found
                for found in self._wrapped.push(offers)
            ]

    original = Pusher.__init__

    def build(self: Pusher, channel: Any, connector: ChannelConnector, *more: Any) -> None:
        original(self, channel, Hasty(connector), *more)

    return [(Pusher, "__init__", build)]


def blind_overwrite() -> list[Replacement]:
    """A number is set without comparing it with what the channel shows."""

    def offer(listing: Any, quantity: Quantity, _expected: Any, *more: Any) -> Offer:
        return Offer(listing, quantity, None, *more)

    return [(pushing, "Offer", offer)]


# ---- announcing ---------------------------------------------------------------------------------------------------


def mark_cleared_before_queued() -> list[Replacement]:
    """The mark of a changed stock key is cleared before its hints are queued."""
    original = fan_out.FanOut.changed

    def changed(self: fan_out.FanOut, changes: Any, at: Any) -> int:
        changes = list(changes)
        latest = {change.key: change for change in sorted(changes, key=lambda change: change.change_seq)}
        write_each(self._table, [fan_out._clear(change, at) for change in latest.values()])
        return original(self, changes, at)

    return [(fan_out.FanOut, "changed", changed)]


def observation_is_a_fact() -> list[Replacement]:
    """What a non-authority says of a movement moves stock too."""
    original = resolve._judge

    def judge(
        event: Any, fact: Fact, source: Source, network: Any, resolution: Any, *, is_partial: bool
    ) -> None:
        told = resolution.told
        original(event, fact, source, network, resolution, is_partial=is_partial)
        if resolution.told > told:
            resolution.facts.append(fact)

    return [(resolve, "_judge", judge)]


def lost_record_without_sweep() -> list[Replacement]:
    """Stream records are lost, and no sweep looks for what nobody announced."""
    return []


PLANTED: dict[str, Callable[[], list[Replacement]]] = {
    bug.__name__: bug
    for bug in (
        no_idempotency_condition,
        no_sequence_condition,
        promise_added_again,
        late_fact_not_restated,
        wrong_count_restated,
        late_fact_applied_twice,
        approved_blindly,
        corrected_version_not_taken_back,
        accepted_version_out_while_a_newer_waits,
        history_never_judged,
        undecidable_applied,
        suspended_promised,
        undone_from_now_on,
        case_left_behind,
        count_overwrites_later_receipt,
        older_order_version_wins,
        anybody_is_believed,
        observation_is_a_fact,
        storefront_is_believed,
        acknowledged_before_kept,
        marked_before_recorded,
        unknown_code_dropped,
        reserved_without_condition,
        allotments_refilled_in_debt,
        allotments_forgotten,
        reserved_line_by_line,
        long_reservation_confirmed_by_halves,
        set_aside_for_nobody,
        given_back_to_everybody,
        kit_for_one,
        released_twice,
        released_under_one_name,
        expires_a_minute_early,
        swept_ahead_of_time,
        held_after_the_end,
        fulfilled_judged_only_when_asked,
        repeated_fulfilment_ships_again,
        released_though_it_has_left,
        fulfilled_anew_after_a_crash,
        transfer_judged_only_when_asked,
        shipment_that_a_count_absorbed_not_in_transit,
        counts_beside_transfers_untold,
        doubt_told_only_by_who_posted_it,
        lot_withheld_by_each_who_looked,
        lot_withheld_once,
        lot_put_off_by_who_is_late,
        recall_lifted_by_a_count_of_all,
        lot_withheld_on_one_bin,
        skipped_while_in_flight,
        number_read_before_slot,
        unknown_taken_for_not_written,
        blind_overwrite,
        mark_cleared_before_queued,
        lost_record_without_sweep,
    )
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Plant one bug for a while."""
    with ExitStack() as stack:
        for target, attribute, replacement in PLANTED[name]():
            stack.enter_context(patch.object(target, attribute, replacement))
        yield


def play_with(name: str, seed: int, steps: Workload | None = None) -> Verdict:
    """Play a seed with a bug planted."""
    with planted(name):
        return play(seed, steps=steps, sweeps=name != lost_record_without_sweep.__name__)
