"""What redriving would do, letter by letter, without doing it.

A letter is judged as its consumer would judge it now: a push reads the number of now, and a file that was read already
posts nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from shared.domain.availability import promise
from shared.domain.listing import number_to_publish
from shared.domain.network import Channel
from shared.domain.stock import Sku, StockKey
from shared.operations.dead_letters import DeadLetter, DeadLetterQueues, hint_of
from shared.operations.ingest import Drop, FileIngester
from shared.operations.notifications import NotificationError, drops
from shared.operations.promises import Promises
from shared.store.inbox import Inbox, MessageNotFoundError, MessageStatus, UnreadableMessageError
from shared.store.listings import Listings
from shared.store.registry import Registry

SHOWN = 100
"""Letters of one queue that are looked at."""

_STANDS = {
    MessageStatus.PENDING: "it is read; it was begun before, and goes on where it stopped",
    MessageStatus.POSTED: "nothing: all of it is in the ledger already",
    MessageStatus.PARKED: "it is read again; what is in the ledger changes nothing, what waits for a case goes on waiting",
}


@dataclass(frozen=True, slots=True)
class LetterPreview:
    """A letter, what it is about, and what its consumer would do with it now."""

    id: str
    about: str
    would: str


class RedrivePreview:
    """Foretells what redriving does."""

    def __init__(
        self,
        queues: DeadLetterQueues,
        listings: Listings,
        promises: Promises,
        registry: Registry,
        ingester: FileIngester,
        inbox: Inbox,
    ) -> None:
        self._queues = queues
        self._listings = listings
        self._promises = promises
        self._registry = registry
        self._ingester = ingester
        self._inbox = inbox

    def letters(self, queue: str, letter: str | None = None) -> list[LetterPreview]:
        """Return what would become of the letters of a queue, or of one of them; at most ``SHOWN``."""
        found = (one for one in self._queues.peek(queue) if letter in (None, one.id))
        return [self._foretold(one) for one in islice(found, SHOWN if letter is None else 1)]

    def _foretold(self, letter: DeadLetter) -> LetterPreview:
        hint = hint_of(letter)
        if hint is not None:
            channel = self._registry.network().channels.get(hint.channel)
            would = "nothing: its channel is declared no more"
            if channel is not None:
                would = "; ".join(self._pushed(channel, hint.sku)) or "nothing: the channel does not list it"
            return LetterPreview(letter.id, f"push of {hint.sku} to {hint.channel}", would)
        try:
            announced = drops(letter.body)
        except NotificationError:
            would = "it is tried again as it is; nobody can say more of it"
            return LetterPreview(letter.id, "a message that cannot be read", would)
        about = ", ".join(f"file {drop.key}" for drop in announced) or "nothing that is announced"
        return LetterPreview(
            letter.id, about, "; ".join(map(self._ingested, announced)) or "nothing: no file is in it"
        )

    def _pushed(self, channel: Channel, sku: Sku) -> Iterator[str]:
        listing = self._registry.listings(channel.id, [sku]).get(sku)
        if listing is None:
            return
        keys = [StockKey(sku, location) for location in channel.locations]
        packs = self._promises.packs([listing])
        states = self._listings.states(channel.id, keys)
        for key, standing in self._promises.standings(keys, packs).items():
            state = states[key]
            number = number_to_publish(promise(standing, channel).available_to_promise, state)
            shown = "nobody knows what" if state.believed is None else state.believed
            if state.inflight is not None:
                yield f"{key.location}: the outcome of an earlier push is found out first, then {number} is sent"
            elif state.believed == number:
                yield f"{key.location}: nothing, it shows {number} already"
            else:
                yield f"{key.location}: {number} is sent, it shows {shown}"

    def _ingested(self, drop: Drop) -> str:
        try:
            return _STANDS[self._inbox.load(self._ingester.message_of(drop)).status]
        except MessageNotFoundError:
            return "it is read for the first time"
        except (UnreadableMessageError, OSError):
            return "it is read again"
