"""What a call about a transfer says, why it may be refused, and how it is kept with its key in the document."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NoReturn

from shared.domain.events import instant, parse_instant
from shared.domain.stock import WHOLE, Leaf, Quantity, Sku
from shared.domain.transfer import Effect, Refusal, Transfer

CALLS_SIZE = 100_000
"""Bytes that calls may take in a transfer's document, beside its movements; an item of the table holds 400 KB."""


@dataclass(frozen=True, slots=True)
class Part:
    """Units of a SKU that left from, or arrived on, one leaf."""

    sku: Sku
    units: Quantity
    leaf: Leaf = WHOLE


class RefusedTransferError(ValueError):
    """What is asked of a transfer cannot be meant: names the field, the reason and the remedy.

    ``is_about_state``: not the request is wrong, but where the transfer stands.
    """

    def __init__(self, field: str, reason: str, remedy: str, *, is_about_state: bool = False) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason, self.remedy = field, reason, remedy
        self.is_about_state = is_about_state


class TransferNotFoundError(LookupError):
    """There is no such transfer."""


class TransferBusyError(Exception):
    """Others kept changing the transfer or its stock; repeating the request is safe."""


class WriteOffNotAllowedError(Exception):
    """Whoever closes the transfer may not write off what is lost of it."""


@dataclass(frozen=True, slots=True)
class Call:
    """What an idempotency key was used for: a digest of what was said, when, and the units that this meant.

    ``refused`` is why not all of it was posted, where others came first: the rest of it never is.
    """

    content: str
    at: datetime
    parts: tuple[Part, ...]
    refused: Refusal | None = None

    def written(self) -> str:
        """Return the text that ``read_call`` reads."""
        parts = [[one.sku, one.units, one.leaf.bin, one.leaf.lot] for one in self.parts]
        said = self.refused
        why = [] if said is None else [said.field, said.reason, said.remedy]
        return json.dumps([self.content, instant(self.at), parts, *why])


def read_call(text: str) -> Call:
    """Read what ``Call.written`` wrote."""
    content, at, parts, *why = json.loads(text)
    found = tuple(Part(Sku(sku), units, Leaf(bin_, lot)) for sku, units, bin_, lot in parts)
    return Call(content, parse_instant(at), found, Refusal(*why) if why else None)


def noted(transfer: Transfer, name: str, call: Call) -> Transfer:
    """Return a transfer with a call in it.

    Raises
    ------
    RefusedTransferError
        When it moves units, and the calls would take too much of the document.
    """
    calls = {**transfer.calls, name: call.written()}
    if call.parts and sum(len(one) + len(text) for one, text in calls.items()) > CALLS_SIZE:
        refuse_state(
            f"with what {len(calls)} calls name of it, this one fills its document",
            "name fewer bins or lots at once, or close it and request what is left as another transfer",
        )
    return replace(transfer, calls=calls)


def call_name(actor: str, key: str) -> str:
    """Name a call by who made it and its idempotency key."""
    return hashlib.blake2b(f"{actor}\x1f{key}".encode(), digest_size=9).hexdigest()


def content_of(said: object) -> str:
    """Return a digest of what a call says, to tell a repetition from another request under the same key."""
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=9).hexdigest()


def all_of(transfer: Transfer, effect: Effect) -> Sequence[Part]:
    """Return every unit that can still leave, or arrive."""
    found = []
    for line in transfer.lines:
        figures = transfer.figures(line.sku)
        units = figures.unshipped if effect is Effect.SHIPPED else figures.in_transit
        if units > 0:
            found.append(Part(line.sku, units))
    return found


def left_over(lost: Mapping[Sku, Quantity]) -> str:
    """Say how many units are on the way, or arrived without having left."""
    missing, found = (sum(max(0, sign * units) for units in lost.values()) for sign in (1, -1))
    said = [f"{missing} units are still in transit"] if missing else []
    return " and ".join([*said, *([f"{found} units arrived that nobody said had left"] if found else [])])


def refuse_loss(lost: Mapping[Sku, Quantity]) -> NoReturn:
    """Raise that units would be lost, and nobody said that this is meant."""
    remedy = "receive them first, or accept that they are written off (accept_loss: true)"
    if min(lost.values()) < 0:
        remedy = "have the shipment told first, or accept the difference (accept_loss: true)"
    raise RefusedTransferError("accept_loss", left_over(lost), remedy)


def refuse(refusal: Refusal) -> NoReturn:
    """Raise what a rule of the document says."""
    is_about_state = refusal.field == "transfer"
    raise RefusedTransferError(refusal.field, refusal.reason, refusal.remedy, is_about_state=is_about_state)


def refuse_state(reason: str, remedy: str) -> NoReturn:
    """Raise that the transfer does not stand where the call would make sense."""
    refuse(Refusal("transfer", reason, remedy))
