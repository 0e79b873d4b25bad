"""What a receiving system's module must offer, and the words it answers in.

A connector turns numbers into the channel's own calls and the channel's answers into definite outcomes. It
decides nothing about stock: which number to send, when, and what an outcome means for the listing is the push
protocol's business (``operations/push.py``). All traffic goes through a ``Transport`` so that tests can put a
fake at the seam.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from shared.domain.availability import Pack
from shared.domain.stock import ChannelId, LocationId, Quantity, Sku


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request to a channel. ``timeout_s`` bounds the whole exchange."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A complete answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NotSentError(Exception):
    """The request certainly did not reach the channel (refused connection, no such host)."""


class NoAnswerError(Exception):
    """The request may have reached the channel, but no complete answer came."""


class Transport(Protocol):
    """Sends one HTTP request."""

    def send(self, request: HttpRequest) -> HttpResponse:
        """Return the answer, whatever its status.

        Raises
        ------
        NotSentError, NoAnswerError
        """
        ...


@dataclass(frozen=True, slots=True)
class ListingAt:
    """One listing at one location, in our codes and in the channel's; ``pack`` is what it sells it by, if by packs.

    ``times_taken_off`` is how often the location was taken off the channel before, ``rollout`` the version of the rollout
    with which it went live, if it ever was not.
    """

    channel: ChannelId
    sku: Sku
    location: LocationId
    external_id: str
    external_location: str
    pack: Pack | None = None
    times_taken_off: int = 0
    rollout: int = 0

    @property
    def identity(self) -> str:
        """What tells it from another listing: under another id, place or pack, its numbers are not the same.

        Nor are they after it was nobody's for a while, when anybody may have written there.
        """
        by = "" if self.pack is None else f" by {self.pack.size}"
        anew = f" anew {self.times_taken_off}" if self.times_taken_off else ""
        return f"{self.external_id} at {self.external_location}{by}{anew}"


@dataclass(frozen=True, slots=True)
class Offer:
    """A number to publish.

    ``expected`` is what we believe the channel shows now (None: we do not know), for compare-and-set.
    ``idempotency_key`` is a UUID, the same for every attempt of one generation with one content.
    """

    listing: ListingAt
    quantity: Quantity
    expected: Quantity | None
    idempotency_key: str
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The channel said it took the number."""

    listing: ListingAt
    quantity: Quantity


@dataclass(frozen=True, slots=True)
class Stale:
    """The channel holds another number than ``expected``: it sold, or someone edited. Nothing was written.

    ``observed`` is the number it holds, where the answer says so.
    """

    listing: ListingAt
    observed: Quantity | None = None


@dataclass(frozen=True, slots=True)
class Deferred:
    """Certainly not written, and worth trying again after ``after`` (throttled, busy, unavailable)."""

    listing: ListingAt
    after: timedelta
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Certainly not written, and trying the same again is useless; a person or a mapping must change something."""

    listing: ListingAt
    code: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """No definite answer: it may have been written, now or a little later."""

    listing: ListingAt
    reason: str


Outcome = Confirmed | Stale | Deferred | Refused | Unknown


@dataclass(frozen=True, slots=True)
class FetchedOrder:
    """One recent order of the channel, as a raw body that the channel's own source connector can translate."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class ChannelError(Exception):
    """A read from the channel failed; ``retry_after`` says when to try again, None when it is useless."""

    def __init__(self, reason: str, retry_after: timedelta | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class ChannelConnector(Protocol):
    """Speaks to one channel. Built per channel with its settings, secret and transport."""

    batch_size: int
    """Offers that one call takes at most."""

    fenced: bool
    """Whether a late request is harmless: the channel compares before it sets."""

    reads_back: bool
    """Whether the channel can be asked what it shows."""

    def push(self, offers: Sequence[Offer]) -> Sequence[Outcome]:
        """Publish up to ``batch_size`` numbers; exactly one outcome for each offer, in any order. Never raises."""
        ...

    def read_back(self, listings: Sequence[ListingAt]) -> Mapping[ListingAt, Quantity | None]:
        """Return what the channel shows now (None: it does not track the item there).

        Raises
        ------
        ChannelError
        """
        ...

    def recent_orders(self, since: datetime) -> Sequence[FetchedOrder]:
        """Return orders changed at or after ``since``; empty where the channel takes none.

        Raises
        ------
        ChannelError
        """
        ...
