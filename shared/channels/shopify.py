"""Shopify as a channel: sets ``available`` by ``inventorySetQuantities``, comparing before it sets.

One ``push`` is usually one call. When some entry is refused, the whole call wrote nothing, so the entry is taken
out and the rest is sent again in the same ``push``, under a key of its own:

    send 250 -> "entry 3 is stale" -> read 3 for its number -> send 249 -> written
    send 250 -> "stale", no entry named -> read all 250, those that differ are stale -> send the rest
    send 250 -> another error, no entry named -> send 125 and 125 ... until it is alone

The calls of one ``push`` are bounded, and so is the time within which it starts one, because the push protocol
takes a slot for a limited time only; what could not be sent within the bounds is deferred. As soon as the channel
itself is the trouble (throttled, 5xx, no answer), nothing more is sent.

**Idempotency key.** A UUID made of the batch's entries: each offer's own key, its ids, quantity and compare
value. The same batch again is the same key; a changed compare value or a batch of other entries is another. The
reference document carries it too, so that our own push is recognised in Shopify's history. Public clients of
2026-07 report that a repeated key after a success is compared anew rather than replayed, so a retry may come
back stale with exactly the number that was sent: whoever reads ``Stale.observed`` has to look at that first.

**Needs** the scopes write_inventory, read_inventory, read_orders. Options: ``shop_domain`` or ``admin_url``,
``api_version``, ``reason``, ``timeout_s``.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.channels.contract import (
    ChannelError,
    Deferred,
    FetchedOrder,
    ListingAt,
    NoAnswerError,
    NotSentError,
    Offer,
    Outcome,
    Refused,
    Stale,
    Transport,
)
from shared.channels.options import ChannelOptionError, Secret, text_option
from shared.channels.shopify_admin import SET_QUANTITIES, ShopifyAdmin, global_id
from shared.channels.shopify_reading import read_available, read_orders
from shared.channels.shopify_verdict import STALE, Verdict, deferred, judge, settle_alone, unknown
from shared.domain.stock import Quantity

MAX_QUANTITY: Final = 1_000_000_000
MAX_CALLS_PER_PUSH: Final = 16
MAX_PUSH_S: Final = 25.0
"""No call is started later than this after the push began; a call itself takes at most ``timeout_s`` (20)."""

UNREACHED_WAIT: Final = timedelta(seconds=5)
UNSEPARATED_WAIT: Final = timedelta(seconds=1)
KEY_SPACE: Final = uuid.UUID("6f4a3c0e-7d52-5c1b-9e0a-2b8f5d9a41c7")

OPTIONS: Final = frozenset({"shop_domain", "admin_url", "api_version", "timeout_s", "reason"})
"""What ``network.yaml`` may say under ``options``."""

REASONS: Final = frozenset(
    {
        "correction",
        "cycle_count_available",
        "damaged",
        "movement_canceled",
        "movement_created",
        "movement_received",
        "movement_updated",
        "other",
        "promotion",
        "quality_control",
        "received",
        "reservation_created",
        "reservation_deleted",
        "reservation_updated",
        "restock",
        "safety_stock",
        "shrinkage",
    }
)


@dataclass(frozen=True, slots=True)
class _Group:
    """Offers that go out in one call; ``attempt`` makes a new key of the same content."""

    offers: Sequence[Offer]
    attempt: int = 0


class ShopifyChannel:
    """One Shopify shop as a receiving system; implements ``ChannelConnector``."""

    batch_size = 250
    fenced = True
    reads_back = True

    def __init__(
        self,
        admin: ShopifyAdmin,
        reason: str = "correction",
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._admin = admin
        self._reason = reason
        self._stopwatch = stopwatch

    @classmethod
    def from_options(
        cls, options: Mapping[str, object], secret: Secret, transport: Transport
    ) -> ShopifyChannel:
        """Build from a channel's declared options.

        Raises
        ------
        ChannelOptionError
        """
        reason = text_option(options, "reason", "correction")
        if reason not in REASONS:
            raise ChannelOptionError(
                "reason", f"Shopify does not know {reason!r}", f"use one of {', '.join(sorted(REASONS))}"
            )
        return cls(ShopifyAdmin.from_options(options, secret, transport), reason)

    def push(self, offers: Sequence[Offer]) -> Sequence[Outcome]:
        """Publish the offers; exactly one outcome each, never raises."""
        repeated = Counter(_entry_of(offer.listing) for offer in offers)
        outcomes: list[Outcome] = []
        ready: list[Offer] = []
        for offer in offers:
            refusal = _refuse_unsendable(offer, repeated)
            if refusal is None:
                ready.append(offer)
            else:
                outcomes.append(refusal)
        ready.sort(key=lambda offer: _entry_of(offer.listing))
        groups = deque(
            _Group(ready[start : start + self.batch_size]) for start in range(0, len(ready), self.batch_size)
        )
        outcomes.extend(self._push_groups(groups))
        return outcomes

    def read_back(self, listings: Sequence[ListingAt]) -> Mapping[ListingAt, Quantity | None]:
        """Return ``available`` as Shopify shows it; None where it is not tracked or not stocked.

        Raises
        ------
        ChannelError
        """
        return read_available(self._admin, listings)

    def recent_orders(self, since: datetime) -> Sequence[FetchedOrder]:
        """Return orders changed at or after ``since``, in the shape of an ``orders/updated`` webhook.

        Raises
        ------
        ChannelError
        """
        return read_orders(self._admin, since)

    def _push_groups(self, groups: deque[_Group]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        bound, started = MAX_CALLS_PER_PUSH + len(groups), self._stopwatch()
        for _ in range(bound):
            if not groups:
                return outcomes
            if self._stopwatch() - started > MAX_PUSH_S:
                break
            group = groups.popleft()
            verdict = self._send(group)
            outcomes.extend(verdict.settled)
            if verdict.pause is not None:
                return outcomes + _defer(groups, verdict.pause, "not sent: the channel is in trouble")
            settled, again = self._follow_up(group, verdict)
            outcomes.extend(settled)
            groups.extendleft(reversed(again))
        return outcomes + _defer(
            groups, UNSEPARATED_WAIT, "not sent: this push took too many calls or too long"
        )

    def _send(self, group: _Group) -> Verdict:
        key = _idempotency_key(group)
        quantities = [
            {
                "inventoryItemId": global_id("InventoryItem", offer.listing.external_id),
                "locationId": global_id("Location", offer.listing.external_location),
                "quantity": offer.quantity,
                "changeFromQuantity": offer.expected,
            }
            for offer in group.offers
        ]
        change = {
            "name": "available",
            "reason": self._reason,
            "referenceDocumentUri": f"gid://onecount/Push/{key}",
            "quantities": quantities,
        }
        try:
            response = self._admin.call(SET_QUANTITIES, {"input": change, "key": key})
        except NotSentError as failure:
            return deferred(group.offers, UNREACHED_WAIT, str(failure))
        except NoAnswerError as failure:
            return unknown(group.offers, str(failure), pause=UNREACHED_WAIT)
        return judge(group.offers, response)

    def _follow_up(self, group: _Group, verdict: Verdict) -> tuple[Sequence[Outcome], Sequence[_Group]]:
        """Finish what the answer left open; nothing of it has been written."""
        if verdict.needs_new_key:
            if group.attempt == 0:
                return (), (_Group(verdict.resend, attempt=1),)
            wait = "Shopify keeps another request under this idempotency key"
            return [Deferred(offer.listing, UNREACHED_WAIT, wait) for offer in verdict.resend], ()
        if verdict.unattributed is not None:
            return self._separate(group, *verdict.unattributed)
        settled = self._as_stale(verdict.stale)
        return settled, (_Group(verdict.resend),) if verdict.resend else ()

    def _separate(self, group: _Group, code: str, message: str) -> tuple[Sequence[Outcome], Sequence[_Group]]:
        """Find out which entry an error means that names none."""
        offers = group.offers
        if len(offers) == 1:
            alone = self._as_stale(offers) if code in STALE else [settle_alone(offers[0], code, message)]
            return alone, ()
        if code in STALE:
            shown = self._look(offers)
            stale = [offer for offer in offers if offer.listing in shown and _differs(offer, shown)]
            if stale:
                rest = [offer for offer in offers if offer not in stale]
                settled = [Stale(offer.listing, shown[offer.listing]) for offer in stale]
                return settled, (_Group(rest),) if rest else ()
        half = len(offers) // 2
        return (), (_Group(offers[:half]), _Group(offers[half:]))

    def _as_stale(self, offers: Sequence[Offer]) -> list[Outcome]:
        shown = self._look(offers)
        return [Stale(offer.listing, shown.get(offer.listing)) for offer in offers]

    def _look(self, offers: Sequence[Offer]) -> Mapping[ListingAt, Quantity | None]:
        """Read what is shown now; nothing when that fails, since a stale offer is stale without its number."""
        try:
            return read_available(self._admin, [offer.listing for offer in offers]) if offers else {}
        except ChannelError:
            return {}


def _entry_of(listing: ListingAt) -> tuple[str, str]:
    """Return what Shopify tells entries apart by: item and location."""
    return (
        global_id("InventoryItem", listing.external_id) or listing.external_id,
        global_id("Location", listing.external_location) or listing.external_location,
    )


def _refuse_unsendable(offer: Offer, repeated: Counter[tuple[str, str]]) -> Refused | None:
    """Refuse what would make Shopify refuse the whole batch with an error that names no entry."""
    listing = offer.listing
    if global_id("InventoryItem", listing.external_id) is None:
        reason = f"{listing.external_id!r} is not an inventory item id"
        return Refused(listing, "INVALID_INVENTORY_ITEM", reason, "map the SKU to an inventory item's id")
    if global_id("Location", listing.external_location) is None:
        reason = f"{listing.external_location!r} is not a location id"
        return Refused(listing, "INVALID_LOCATION", reason, "correct the id in the channel's locations")
    if max(abs(offer.quantity), abs(offer.expected or 0)) > MAX_QUANTITY:
        reason = f"{offer.quantity} (from {offer.expected}) is beyond what Shopify holds"
        return Refused(listing, "INVALID_QUANTITY_TOO_HIGH", reason, "correct the count or the unit")
    if repeated[_entry_of(listing)] > 1:
        return Refused(
            listing,
            "NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR",
            "several offers are for this inventory item and location",
            "map one SKU only to this inventory item",
        )
    return None


def _idempotency_key(group: _Group) -> str:
    entries = [
        "|".join((offer.idempotency_key, *_entry_of(offer.listing), str(offer.quantity), str(offer.expected)))
        for offer in group.offers
    ]
    return str(uuid.uuid5(KEY_SPACE, "\n".join([str(group.attempt), *entries])))


def _differs(offer: Offer, shown: Mapping[ListingAt, Quantity | None]) -> bool:
    return offer.expected is not None and shown[offer.listing] != offer.expected


def _defer(groups: deque[_Group], after: timedelta, reason: str) -> list[Outcome]:
    return [Deferred(offer.listing, after, reason) for group in groups for offer in group.offers]
