"""A channel that sells some listings by the pack, spoken to in base units.

Pushing reckons in base units throughout. What goes out is divided by the pack, and was rounded down before; what
comes back is multiplied. So a compare-and-set compares what the channel really shows, and a sale of one case is the
twelve units that left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from shared.channels.contract import (
    ChannelConnector,
    Confirmed,
    FetchedOrder,
    ListingAt,
    Offer,
    Outcome,
    Stale,
)
from shared.domain.stock import Quantity


class InPacks:
    """Any connector, with the numbers of listings that have a pack turned into packs and back."""

    def __init__(self, connector: ChannelConnector) -> None:
        self._connector = connector
        self.batch_size = connector.batch_size
        self.fenced = connector.fenced
        self.reads_back = connector.reads_back

    def push(self, offers: Sequence[Offer]) -> Sequence[Outcome]:
        """Publish numbers of base units, each in whole packs."""
        return [_in_base(outcome) for outcome in self._connector.push([_in_packs(one) for one in offers])]

    def read_back(self, listings: Sequence[ListingAt]) -> Mapping[ListingAt, Quantity | None]:
        """Return what the channel shows now, in base units.

        Raises
        ------
        ChannelError
        """
        shown = self._connector.read_back(listings)
        return {
            listing: None if packs is None else packs * _size(listing) for listing, packs in shown.items()
        }

    def recent_orders(self, since: datetime) -> Sequence[FetchedOrder]:
        """Return orders as the channel writes them; what its codes count is said in the cross-references.

        Raises
        ------
        ChannelError
        """
        return self._connector.recent_orders(since)


def _size(listing: ListingAt) -> Quantity:
    return 1 if listing.pack is None else listing.pack.size


def _in_packs(offer: Offer) -> Offer:
    size = _size(offer.listing)
    if size == 1:
        return offer
    expected = None if offer.expected is None else offer.expected // size
    return replace(offer, quantity=offer.quantity // size, expected=expected)


def _in_base(outcome: Outcome) -> Outcome:
    size = _size(outcome.listing)
    match outcome:
        case Confirmed():
            return replace(outcome, quantity=outcome.quantity * size)
        case Stale(observed=int(observed)):
            return replace(outcome, observed=observed * size)
        case _:
            return outcome
