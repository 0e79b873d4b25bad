"""What we know of a number that a channel shows: the pure half of the push protocol.

A listing at a location is in one of three states::

    settled   nothing is on its way; ``believed`` is what the channel shows
    inflight  a request of a generation is on its way, until its deadline
    unknown   the deadline has passed without a definite answer: nothing may be skipped or sent before
              deadline + the channel's lateness, and then only after reading back

**What the channel shows** moves without us: it sells. ``sold`` counts, in the same transaction that posts the
demand, the units that this channel's own orders took from the listing. So after a confirmed push of q the channel
is believed to show ``q - sold since``; a sale that we already know of is neither pushed again nor mistaken for
interference.

**Ahead.** When a compare-and-set finds another number than believed, the channel is ahead of us by
``observed - believed`` (negative: it sold what we have not heard of). Until that demand posts we publish
``min(ATP, ATP + ahead)``; every unit of demand that posts consumes one unit of it, so the published number stays
where the channel already is.

**Doubt.** What a channel shows is concluded from sales only while there is one story of them. There are two while a
lead is open (a sale and its cancellation may both be behind it), after the first look and after a lead was given up
(a sale that we hear of later may have come before), and after an answer that never came (ours was written, or it was
not and the channel sold as much). Then every demand that posts has the channel read again, and nothing is concluded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.domain.stock import Quantity

DOUBTED_FOR = timedelta(hours=4)
"""How long the demand behind a number of two stories may take to reach us: for so long Shopify repeats a webhook."""


KEPT_PUSHES = 10
"""Confirmed pushes of one listing that are remembered, for the trace."""


@dataclass(frozen=True, slots=True)
class Push:
    """A number that a channel took: the slot was taken, the number sent, and its answer came."""

    generation: int
    quantity: Quantity
    taken_at: datetime | None
    confirmed_at: datetime


@dataclass(frozen=True, slots=True)
class Inflight:
    """A request that may be on its way: which number it carries, and how far the channel had sold at that time.

    ``quantity`` is None where the slot was taken only to look.
    """

    generation: int
    deadline: datetime
    quantity: Quantity | None = None
    at_sold: Quantity = 0
    taken_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ListingState:
    """What is stored of one listing at one location.

    Attributes
    ----------
    shown
        The number that the channel certainly showed at the moment when ``sold`` stood at ``shown_at_sold``;
        None while nothing was ever confirmed or read back.
    sold
        Units that the channel's own orders have taken so far.
    sales, shown_at_sales
        Documents of the channel's own orders that have posted so far, and at that moment.
    ahead
        Units by which the channel was ahead of us at that moment, not yet explained by demand.
    troubles, mended
        Cases that were ever filed for this listing, and how many of them the last success closed.
    doubted_at
        When a number was last taken for true that had two stories; None once that is long ago.
    external_id
        The channel's id of the item when we last took the slot: under another id it is another listing.
    live
        With which change of the channel's rollout it was live when we last took the slot; 0 if it always was.
    pushes
        The newest numbers that the channel took, oldest first.
    """

    generation: int = 0
    inflight: Inflight | None = None
    shown: Quantity | None = None
    shown_at_sold: Quantity = 0
    shown_at: datetime | None = None
    sold: Quantity = 0
    sales: int = 0
    shown_at_sales: int = 0
    ahead: Quantity = 0
    ahead_since: datetime | None = None
    troubles: int = 0
    mended: int = 0
    doubted_at: datetime | None = None
    external_id: str | None = None
    live: int = 0
    pushes: tuple[Push, ...] = ()

    @property
    def troubled(self) -> bool:
        """Whether a case may be open for this listing, to be closed by the next success."""
        return self.troubles > self.mended

    @property
    def unexplained(self) -> Quantity:
        """What is left of ``ahead`` after the demand that has posted since."""
        since = self.sold - self.shown_at_sold
        if self.ahead < 0:
            return min(0, self.ahead + max(0, since))
        return max(0, self.ahead + min(0, since))

    @property
    def believed(self) -> Quantity | None:
        """What the channel shows now, as far as we know; None when we do not."""
        if self.shown is None:
            return None
        return self.shown - (self.sold - self.shown_at_sold) + (self.unexplained - self.ahead)

    def in_doubt(self, at: datetime) -> bool:
        """Whether what the channel shows was not read, only concluded from sales, while that is not to be trusted."""
        return self.sales != self.shown_at_sales and (self.ahead != 0 or self.doubted(at))

    def doubted(self, at: datetime) -> bool:
        return self.doubted_at is not None and at - self.doubted_at <= DOUBTED_FOR

    def settled_after(self, lateness: timedelta) -> datetime | None:
        """When a read-back of an unknown outcome may be trusted; None when nothing is in flight."""
        return None if self.inflight is None else self.inflight.deadline + lateness


def number_to_publish(available_to_promise: Quantity, state: ListingState) -> Quantity:
    """Return what the channel should show: the promise, less what it sold that we have not heard of."""
    return max(0, min(available_to_promise, available_to_promise + state.unexplained))


def known_as(state: ListingState, external_id: str, live: int) -> ListingState:
    """What we know of the listing under its present id: nothing, where the channel has listed the item anew.

    What is on its way to the old one says nothing of what the new one will show; it is only waited for. Nor do we know
    what it shows where it went live again since, for others may have written there. Units that it had sold then and that
    we have not heard of are sold nevertheless: they stay unexplained.
    """
    if state.external_id in (None, external_id) and state.live == live:
        return replace(state, external_id=external_id)
    underway = None if state.inflight is None else replace(state.inflight, quantity=None)
    anew = replace(forget(state), inflight=underway, external_id=external_id, live=live)
    if state.external_id == external_id and state.unexplained < 0:
        return replace(anew, ahead=state.ahead, ahead_since=state.ahead_since)
    return anew


def taken(state: ListingState, quantity: Quantity | None, deadline: datetime, at: datetime) -> ListingState:
    """The slot is ours from ``at`` until ``deadline``, for the next generation, to send ``quantity``."""
    generation = state.generation + 1
    inflight = Inflight(generation, deadline, quantity, state.sold, at)
    return replace(state, generation=generation, inflight=inflight)


def confirmed(state: ListingState, quantity: Quantity, sold: Quantity, at: datetime) -> ListingState:
    """The channel took ``quantity`` by compare-and-set when its sales that we knew of stood at ``sold``."""
    remaining = replace(state, sold=sold).unexplained
    taken_at = None if state.inflight is None else state.inflight.taken_at
    pushes = (*state.pushes, Push(state.generation, quantity, taken_at, at))
    return replace(
        state,
        inflight=None,
        shown=quantity,
        shown_at_sold=sold,
        shown_at_sales=state.sales,
        shown_at=at,
        ahead=remaining,
        ahead_since=state.ahead_since if remaining else None,
        pushes=pushes[-KEPT_PUSHES:],
    )


def observed(state: ListingState, quantity: Quantity, at: datetime) -> ListingState:
    """The channel was read and shows ``quantity``; what we did not expect of it is ``ahead``.

    In doubt, units more than expected are no lead as far as we have heard of sales: those were in it from the start.
    """
    believed, doubted = state.believed, state.doubted(at)
    lead = 0 if believed is None else quantity - believed
    if doubted and lead > 0:
        lead -= min(lead, max(0, state.sold - state.shown_at_sold))
    doubted_at = at if believed is None else state.doubted_at if doubted else None
    return replace(_shown(state, quantity, state.unexplained + lead, at), doubted_at=doubted_at)


def resolved(state: ListingState, quantity: Quantity, at: datetime) -> ListingState:
    """A request of unknown outcome is past all lateness, and the channel was read and shows ``quantity``.

    Either it was written or it was not; what the likelier of the two leaves unexplained is ``ahead``, and where both
    leave something, the more cautious.
    """
    believed, inflight = state.believed, state.inflight
    if inflight is None or inflight.quantity is None:
        return observed(state, quantity, at)
    if_written = quantity - (inflight.quantity - (state.sold - inflight.at_sold))
    if_not = if_written if believed is None else quantity - believed
    lead = 0 if 0 in (if_written, if_not) else min(if_written, if_not)
    found = _shown(state, quantity, state.unexplained + lead, at)
    return replace(found, doubted_at=at) if if_written != if_not else found


def _shown(state: ListingState, quantity: Quantity, ahead: Quantity, at: datetime) -> ListingState:
    return replace(
        state,
        inflight=None,
        shown=quantity,
        shown_at_sold=state.sold,
        shown_at_sales=state.sales,
        shown_at=at,
        ahead=ahead,
        ahead_since=(state.ahead_since or at) if ahead else None,
    )


def forgive(state: ListingState, at: datetime) -> ListingState:
    """Give up waiting for demand that would explain ``ahead``: someone edited the number over there, it seems."""
    return replace(
        state,
        shown=state.believed,
        shown_at_sold=state.sold,
        shown_at_sales=state.sales,
        ahead=0,
        ahead_since=None,
        doubted_at=at,
    )


def forget(state: ListingState) -> ListingState:
    """The outcome is unknown and the channel cannot be asked: what it shows is not known any more."""
    return replace(state, inflight=None, shown=None, ahead=0, ahead_since=None)
