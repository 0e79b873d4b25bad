"""The faults: each waits for its moment in one handoff, strikes once, and can say afterwards what was guilty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from infra.incidents.history import KEYS, Happening
from infra.incidents.network import ERP, PACKS, PLANNER, START, STOCKTAKE, WEBSHOP
from infra.incidents.systems import Carried, Follower, untouched
from infra.incidents.world import Truth, World
from shared.domain.stock import StockKey

NOTICED = 3
"""Units from which on a fault is worth finding: less is within the tolerance that is usual."""

Struck = Callable[[Carried], Sequence[Carried]]


def duplicate_event(world: World) -> None:
    """Post one movement a second time, minutes to hours later: an answer was lost and the sender tried again."""
    follower = _someone(world)

    def strike(carried: Carried) -> Sequence[Carried]:
        wait = timedelta(minutes=_spread(world, 1, 180))
        world.struck(partial(_of, "duplicate_event", follower, carried, at=carried.at + wait), wait, wait)
        _end_later(world, follower)
        return [carried, replace(carried, at=carried.at + wait)]

    _at_next(world, follower, _is_movement, strike)


def missing_event(world: World) -> None:
    """Lose one movement; or, one time in five, a whole batch of them."""
    follower = _someone(world)
    loses_batch = follower.batch is not None and world.random.random() < 0.2

    def strike(carried: Carried) -> Sequence[Carried]:
        lost = [carried]
        _strike_now(world, follower, lambda: _of_all("missing_event", follower, carried.key, lost))
        if loses_batch:

            def lose(other: Carried) -> Sequence[Carried]:
                is_same = abs(other.at - carried.at) < timedelta(minutes=2)
                if is_same and other.key == carried.key and follower.effect(other.happening):
                    lost.append(other)
                return [] if is_same else [other]

            follower.tamper = lose
        return []

    _at_next(world, follower, _is_movement, strike)


def posting_delay(world: World) -> None:
    """Stop a handoff: what happens from then on comes later than it may."""
    follower, since = _someone(world), _moment(world)
    waiting: list[Carried] = []

    def hold(carried: Carried) -> Sequence[Carried]:
        waiting.append(carried)
        return []

    def truth() -> Truth | None:
        late: dict[StockKey, list[Carried]] = {}
        for carried in sorted(waiting, key=lambda carried: carried.happening.at):
            if follower.effect(carried.happening) and carried.happening.at < follower.said_at:
                late.setdefault(carried.key, []).append(carried)
        visible = [key for key in late if abs(follower.off[key]) >= NOTICED]
        if not visible:
            return None
        key = min(visible, key=lambda key: late[key][0].happening.at)
        return _of_all("posting_delay", follower, key, late[key])

    def begin() -> None:
        follower.tamper = lambda carried: [carried] if carried.happening.is_of_shop else hold(carried)
        _strike_now(world, follower, truth)

    world.schedule(since, begin)


def unit_mismatch(world: World) -> None:
    """Read a receipt's pieces as cases, or its cases as pieces; or say a whole number in pieces that are cases."""
    follower = _someone(world, ERP, PLANNER)
    if world.random.random() < 0.25:
        key = world.random.choice(KEYS)

        def begin() -> None:
            follower.scale[key] = PACKS[key.sku]
            truth = Truth("unit_mismatch", follower.id, follower.element, key, world.now)
            _strike_now(world, follower, lambda: truth)

        world.schedule(_moment(world), begin)
        return
    larger = world.random.random() < 0.5

    def fits(_: Follower, happening: Happening) -> bool:
        divisible = happening.units % PACKS[happening.key.sku] == 0
        return happening.type in ("receipt", "transfer_receive", "return") and (larger or divisible)

    def strike(carried: Carried) -> Sequence[Carried]:
        pack = PACKS[carried.key.sku]
        _strike_now(world, follower, partial(_of, "unit_mismatch", follower, carried))
        read = {n: amount * pack if larger else amount // pack for n, amount in carried.amounts.items()}
        return [replace(carried, amounts=read)]

    _at_next(world, follower, fits, strike)


MEANINGS = {
    "on_hand": {"on_hand": 1},
    "available": {"on_hand": 1, "quality_hold": -1, "reserved": -1},
    "on_hand - quality_hold": {"on_hand": 1, "quality_hold": -1},
    "on_hand - reserved": {"on_hand": 1, "reserved": -1},
}
"""What a number may mean, as a formula and as a sum."""


def definition_mismatch(world: World) -> None:
    """Have a system mean something else by its number than was declared, from the first day on."""
    follower = _someone(world)
    others = [name for name, parts in MEANINGS.items() if parts != follower.meaning]
    meaning = world.random.choice(others)
    follower.meaning = MEANINGS[meaning]

    def truth() -> Truth | None:
        off = [key for key, number in follower.off.items() if number and follower.off_before.get(key)]
        if not off:
            return None
        key = off[int(world.now.timestamp()) % len(off)]
        never = {
            name
            for name in ("quality_hold", "reserved")
            if not any(h.amounts.get(name) for h in world.history if h.key == key and h.at <= world.now)
        }
        plain = _without(follower.meaning, never)
        same = tuple(name for name, parts in MEANINGS.items() if _without(parts, never) == plain)
        return Truth("definition_mismatch", follower.id, follower.element, key, START, meanings=same)

    world.schedule(_moment(world), lambda: _strike_now(world, follower, truth))


def _without(parts: dict[str, int], names: set[str]) -> dict[str, int]:
    return {name: sign for name, sign in parts.items() if name not in names}


def manual_override(world: World) -> None:
    """Set a number by hand, often to a round one, telling nobody."""
    follower = _someone(world)
    key = world.random.choice([key for key in KEYS if key.location in follower.places])

    def begin() -> None:
        number = follower.number(key)
        step = world.random.choice((1, 1, 5, 10, 10, 50))
        wanted = number + world.random.choice((-1, 1)) * world.random.randint(5, 60)
        change = max(0, round(wanted / step) * step) - number
        if abs(change) < 3:
            change = 7
        follower.levels[key]["on_hand"] += change
        truth = Truth("manual_override", follower.id, follower.element, key, world.now)
        _strike_now(world, follower, lambda: truth)

    world.schedule(_moment(world), begin)


def count_not_propagated(world: World) -> None:
    """Leave a count's variance out of what is handed over."""
    follower = _someone(world)

    def strike(carried: Carried) -> Sequence[Carried]:
        _strike_now(world, follower, partial(_of, "count_not_propagated", follower, carried))
        return []

    _at_next(world, follower, lambda f, h: h.type == "count" and abs(f.effect(h)) >= NOTICED, strike)


def document_reference(world: World) -> None:
    """Have one vendor write its order number in another way; the handoff finds no such order and drops the receipt."""
    follower, since = _someone(world), _moment(world)
    places = [
        index
        for index, happening in enumerate(world.history)
        if happening.type == "receipt" and happening.at > since and follower.cares(happening)
    ]
    if not places:
        return
    index = places[0]
    odd = replace(world.history[index], document=world.historian.odd_document())
    world.history[index] = odd

    def strike(carried: Carried) -> Sequence[Carried]:
        _strike_now(world, follower, partial(_of, "document_reference", follower, carried))
        return []

    _at_next(world, follower, lambda _, happening: happening is odd, strike)


def mapping_swap(world: World) -> None:
    """Book one movement, or from now on every one, on another item of the same location, and the other way round."""
    follower = _someone(world, ERP, PLANNER)
    stays = world.random.random() < 0.4

    def strike(carried: Carried) -> Sequence[Carried]:
        others = [key for key in KEYS if key.location == carried.key.location and key != carried.key]
        partner = world.random.choice(others)
        swap = {carried.key: partner, partner: carried.key}
        booked = [carried]

        def truth() -> Truth:
            found = _of("mapping_swap", follower, carried)
            return replace(found, partner=partner, events=() if stays else found.events)

        _strike_now(world, follower, truth)

        def astray(other: Carried) -> Sequence[Carried]:
            booked.append(other)
            return [replace(other, key=swap.get(other.key, other.key))]

        if stays:
            follower.tamper = astray
        return [replace(carried, key=partner)]

    _at_next(world, follower, _is_movement, strike)


def stale_overwrite(world: World) -> None:
    """Load an old file of absolute numbers over newer ones: of one item, or, as often, of all of them."""
    follower = _someone(world)
    age = timedelta(hours=_spread(world, 3, 14))
    keys = [key for key in KEYS if key.location in follower.places]
    key = world.random.choice(keys)
    in_file = keys if world.random.random() < 0.5 else [key]
    kept: dict[StockKey, dict[str, int]] = {}

    def remember() -> None:
        kept.update({one: dict(follower.levels[one]) for one in in_file})

    def load(made_at: datetime) -> None:
        undone = [
            carried
            for carried in follower.seen
            if carried.key == key and carried.at > made_at and follower.effect(carried.happening)
        ]
        before = follower.number(key)
        current = {one: dict(follower.levels[one]) for one in in_file}
        for one, levels in current.items():
            follower.levels[one].update({name: kept[one].get(name, 0) for name in levels})
        knew = any(carried.at < world.now - follower.says_every * 1.2 for carried in undone)
        if abs(follower.number(key) - before) < NOTICED or not knew:
            for one, levels in current.items():
                follower.levels[one].update(levels)
            world.schedule(world.now + timedelta(hours=1), partial(load, made_at))
            return
        undone.sort(key=lambda carried: carried.happening.at)
        found = replace(_of_all("stale_overwrite", follower, key, undone), struck_at=world.now)
        _strike_now(world, follower, lambda: found)

    at = _moment(world)
    world.schedule(at - age, remember)
    world.schedule(at, partial(load, at - age))


def reservation_leak(world: World) -> None:
    """Do not let a cancelled order's units go."""
    follower = world.followers[WEBSHOP]

    def strike(carried: Carried) -> Sequence[Carried]:
        _strike_now(world, follower, partial(_of, "reservation_leak", follower, carried))
        return []

    _at_next(world, follower, lambda _, h: h.type == "cancelled" and h.units > 1, strike)


def count_in_motion(world: World) -> None:
    """Count a shelf while goods are on their way past the counter: gone and not yet booked, or booked and not yet there."""
    since = _moment(world)
    moving = [
        happening
        for happening in world.history
        if happening.at > since
        and happening.type in ("shipment", "receipt", "transfer_ship", "transfer_receive")
        and abs(happening.amounts["on_hand"]) > 2
    ]
    if not moving:
        return
    goods = moving[0]
    amount = goods.amounts["on_hand"]
    is_before = amount < 0 or world.random.random() < 0.3
    gap = timedelta(minutes=world.random.uniform(1, 20))

    def take() -> None:
        world.spot_count(goods.key, amount if is_before else -amount)
        world.counted_out.add(goods.key)
        truth = Truth("count_in_motion", STOCKTAKE, "on_hand", goods.key, world.now, (goods.event_key,))
        world.struck(lambda: truth, timedelta(minutes=30), timedelta(hours=2))

    world.schedule(goods.at - gap if is_before else goods.at + gap, take)


def unexplained(world: World) -> None:
    """Let a system's own store lose and gain units again and again, by no event and in no handoff: it is broken."""
    follower = _someone(world)
    key = world.random.choice([key for key in KEYS if key.location in follower.places])
    times = world.random.randint(3, 5)

    def slip(left: int) -> None:
        follower.levels[key]["on_hand"] += world.random.choice((-1, 1)) * world.random.randint(3, 30)
        if left:
            pause = follower.says_every * world.random.uniform(1, 2.5)
            world.schedule(world.now + pause, partial(slip, left - 1))
        else:
            truth = Truth("unexplained", follower.id, follower.element, key, world.now)
            _strike_now(world, follower, lambda: truth if abs(follower.off[key]) >= NOTICED else None)

    world.schedule(_moment(world), partial(slip, times - 1))


KINDS: dict[str, Callable[[World], None]] = {
    fault.__name__: fault
    for fault in (
        duplicate_event,
        missing_event,
        posting_delay,
        unit_mismatch,
        definition_mismatch,
        manual_override,
        count_not_propagated,
        document_reference,
        mapping_swap,
        stale_overwrite,
        reservation_leak,
        count_in_motion,
        unexplained,
    )
}
"""Every kind of fault, by its name."""


def _moment(world: World) -> datetime:
    """Return when a fault may strike at the earliest."""
    return START + timedelta(hours=world.random.uniform(14, 24))


def _spread(world: World, low: float, high: float) -> float:
    """Draw a number whose order of magnitude is evenly spread."""
    return float(low * (high / low) ** world.random.random())


def _someone(world: World, *among: str) -> Follower:
    return world.random.choice([f for f in world.followers.values() if not among or f.id in among])


def _is_movement(follower: Follower, happening: Happening) -> bool:
    is_stock = happening.type not in ("count", "ordered", "cancelled", "hold", "release")
    return is_stock and abs(follower.effect(happening)) >= NOTICED


def _at_next(
    world: World, follower: Follower, fits: Callable[[Follower, Happening], bool], strike: Struck
) -> None:
    """Strike at the next thing carried that fits, once."""
    since = _moment(world)

    def tamper(carried: Carried) -> Sequence[Carried]:
        if carried.happening.at < since or not fits(follower, carried.happening):
            return [carried]
        follower.tamper = untouched
        return strike(carried)

    follower.tamper = tamper


def _strike_now(world: World, follower: Follower, truth: Callable[[], Truth | None]) -> None:
    world.struck(truth, timedelta(0), timedelta(0))
    _end_later(world, follower)


def _end_later(world: World, follower: Follower) -> None:
    """Let the source speak at least once more, and up to seven hours pass."""
    shortest = follower.says_every * 1.2 + timedelta(minutes=5)
    longest = max(timedelta(hours=7), 2 * shortest)
    world.end += shortest + (longest - shortest) * world.random.random()


def _of(kind: str, follower: Follower, carried: Carried, at: datetime | None = None) -> Truth:
    events = (carried.happening.event_key,)
    return Truth(kind, follower.id, follower.element, carried.key, at or carried.at, events)


def _of_all(kind: str, follower: Follower, key: StockKey, carried: Sequence[Carried]) -> Truth:
    events = tuple(dict.fromkeys(one.happening.event_key for one in carried))
    return Truth(kind, follower.id, follower.element, key, carried[0].at, events)
