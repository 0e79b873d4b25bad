"""Available to promise: what one channel may sell of one stock key, and why it is not more.

The rules stack in this order, each taking from what the one before left:

====================  ==================================================================================================
set_aside             units that are kept for single channels; nobody else may sell them
safety_stock          units that this channel never sells
buffer_percent        of what is left, rounded up: a promise is rounded down
never_below_zero      what is owed is not promised away from what is set aside
set_aside_for_it      the channel's own units come on top, as far as they are there
stale_percent         of the whole, while what is known of the location is older than its source's declared freshness
cap                   the most that it is ever shown
part_of_a_{unit}      what does not fill a pack, on a channel that sells in packs
====================  ==================================================================================================

Of a **kit**, what is available is the number of whole kits in what is available of its components at that location;
``components_withheld`` is what the rules, applied to each component, take off that. Its parts say the rest: each
component with its own explanation, the kits that it suffices for and the units that it leaves over.

Every step is named, and the explanation adds up to the number. ``claim`` is the same rule seen from the other side: a
claim is granted exactly when the promise, the cap apart, covers it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from shared.domain.network import Channel
from shared.domain.stock import ChannelId, Quantity, Sku


@dataclass(frozen=True, slots=True)
class Standing:
    """What a promise on a stock key is made from.

    Attributes
    ----------
    available
        On hand, less holds, damage and open orders, whoever may have it.
    set_aside
        The part of it that is kept for single channels.
    is_stale
        Whether the location's counts are older than their source's declared freshness.
    parts
        The components, where the item is a kit.
    pack
        The pack in which the channel sells it, where it does.
    """

    available: Quantity
    set_aside: Mapping[ChannelId, Quantity] = field(default_factory=dict)
    is_stale: bool = False
    parts: tuple[Part, ...] = ()
    pack: Pack | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A component of a kit: how many units of it one kit takes, and what a promise on it is made from."""

    sku: Sku
    per_kit: Quantity
    standing: Standing


@dataclass(frozen=True, slots=True)
class Pack:
    """A unit that a channel sells by, and how many base units it is."""

    unit: str
    size: Quantity


@dataclass(frozen=True, slots=True)
class PartPromise:
    """What a channel may sell of a component, the whole kits that are in it, and the units left over."""

    sku: Sku
    per_kit: Quantity
    promise: Promise
    kits: Quantity
    left_over: Quantity


@dataclass(frozen=True, slots=True)
class Promise:
    """What a channel may sell, with the steps that lead there as (what, signed quantity)."""

    available_to_promise: Quantity
    explanation: tuple[tuple[str, Quantity], ...]
    is_stale: bool = False
    parts: tuple[PartPromise, ...] = ()
    pack: Pack | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What must hold for a channel to take units: ``own`` of them from what is set aside for it, and at least
    ``least_available`` available in all."""

    own: Quantity
    least_available: Quantity


def promise(stock: Standing | Quantity, channel: Channel) -> Promise:
    """Work out what ``channel`` may sell of a stock key."""
    standing = Standing(stock) if isinstance(stock, int) else stock
    if standing.parts:
        return _promise_of_kit(standing, channel)
    left = standing.available
    steps: list[tuple[str, Quantity]] = [("available", left)]

    def take(what: str, units: Quantity) -> None:
        nonlocal left
        if units:
            steps.append((what, -units))
            left -= units

    take("set_aside", sum(standing.set_aside.values()))
    take("safety_stock", channel.safety_stock)
    take("buffer_percent", _share(left, channel.buffer_percent))
    own = min(standing.set_aside.get(channel.id, 0), max(0, standing.available))
    if own:
        take("never_below_zero", min(0, left))
        take("set_aside_for_it", -own)
    if standing.is_stale:
        take("stale_percent", _share(left, channel.stale_percent))
    if channel.cap is not None:
        take("cap", max(0, left - channel.cap))
    take("never_below_zero", min(0, left))
    if standing.pack is not None:
        take(f"part_of_a_{standing.pack.unit}", left % standing.pack.size)
    return Promise(left, tuple(steps), standing.is_stale, pack=standing.pack)


def _promise_of_kit(standing: Standing, channel: Channel) -> Promise:
    """Work out what ``channel`` may sell of a kit; the cap, and a pack, are of kits."""
    uncapped = replace(channel, cap=None)
    parts = []
    for part in standing.parts:
        made = promise(part.standing, uncapped)
        kits, left_over = divmod(made.available_to_promise, part.per_kit)
        parts.append(PartPromise(part.sku, part.per_kit, made, kits, left_over))
    now = whole_kits(standing.parts)
    own = replace(
        standing, set_aside={}, is_stale=False, parts=(), pack=None, available=max(0, standing.available)
    )
    bare = replace(channel, safety_stock=max(0, now) - min(part.kits for part in parts), buffer_percent=0)
    made = promise(replace(own, pack=standing.pack), bare)
    names = {"safety_stock": "components_withheld"}
    steps = [(names.get(what, what), units) for what, units in made.explanation]
    if standing.available < 0:
        steps[:1] = [("available", standing.available), ("never_below_zero", -standing.available)]
    is_stale = any(part.promise.is_stale for part in parts)
    return Promise(made.available_to_promise, tuple(steps), is_stale, tuple(parts), standing.pack)


def whole_kits(parts: Iterable[Part]) -> Quantity:
    """Return how many whole kits are in what is available of each component, rounded down; it may be negative."""
    return min(part.standing.available // part.per_kit for part in parts)


def claim(quantity: Quantity, channel: Channel, standing: Standing) -> Claim | None:
    """Say what must hold for ``channel`` to take ``quantity`` units; None if no stock is enough.

    The cap limits what a channel is shown, not what it may claim of it.
    """
    promised: Quantity | None = quantity
    if standing.is_stale:
        promised = _before(quantity, channel.stale_percent)
    if promised is None:
        return None
    kept = standing.set_aside.get(channel.id, 0)
    rest = promised - min(promised, kept)
    own = min(quantity, kept)
    if not rest:
        return Claim(own, promised)
    needed = _before(rest, channel.buffer_percent)
    if needed is None:
        return None
    return Claim(own, sum(standing.set_aside.values()) + channel.safety_stock + needed)


def _share(left: Quantity, percent: int) -> Quantity:
    return -(-max(0, left) * percent // 100)


def _before(quantity: Quantity, percent: int) -> Quantity | None:
    """Return the least number of which ``quantity`` is left after a share is withheld; None if nothing ever is."""
    return None if percent == 100 else -(-quantity * 100 // (100 - percent))
