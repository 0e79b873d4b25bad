"""Order lines: whatever the order in which documents come, however often, they end in the same line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from time import process_time

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.events import Demand, DemandEffect, Origin, effect_hash, instant
from shared.domain.items import Component
from shared.domain.reservation import (
    Held,
    OrderLine,
    Stated,
    knows,
    merge_demand,
    ship,
    source,
    with_history,
)
from shared.domain.stock import ChannelId, EventKey, LocationId, MessageId, Sku, SourceId, StockKey

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
TEA, EAST, WEST = Sku("TEA"), LocationId("east"), LocationId("west")
EMPTY = OrderLine("shop/1", "1", StockKey(TEA, EAST), ChannelId("shop"))
SHOP = Origin(SourceId("shopify"), MessageId("m"))


def at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


def says(
    effect: DemandEffect,
    units: int,
    minute: int,
    document: str = "",
    location: LocationId | None = None,
    fetched: int | None = None,
) -> Demand:
    version = instant(at(minute)) if effect is DemandEffect.ORDERED else ""
    return Demand(
        EventKey(f"shopify/order/1/1/{effect}/{document or version}"),
        TEA,
        ChannelId("shop"),
        "shop/1",
        "1",
        effect,
        units,
        at(minute),
        SHOP,
        location or EAST,
        document,
        version,
        is_assumed=location is None,
        fetched_at=None if fetched is None else at(fetched),
    )


def ordered(
    units: int, minute: int, location: LocationId | None = None, fetched: int | None = None
) -> Demand:
    return says(DemandEffect.ORDERED, units, minute, "", location, fetched)


def cancelled(units: int, minute: int, document: str = "cancel") -> Demand:
    return says(DemandEffect.CANCELLED, units, minute, document)


Said = Demand | tuple[str, int, int, LocationId]


def as_sent(said: Demand) -> str:
    return effect_hash(replace(said, location=None) if said.is_assumed else said)


def merged(documents: Sequence[Said], line: OrderLine = EMPTY) -> OrderLine:
    for said in documents:
        if isinstance(said, Demand):
            if not knows(line, said, as_sent(said)):
                line = merge_demand(line, said, as_sent(said))
        else:
            name, units, minute, place = said
            line = ship(line, units, at(minute), EventKey(name), place)
    return line


def state(line: OrderLine) -> object:
    """Everything that anybody acts upon."""
    return (
        line.open,
        line.taken,
        line.kept,
        line.holds,
        line.place,
        line.history,
        line.claimed,
        line.disputed,
    )


minutes = st.integers(0, 3)
units = st.integers(0, 4)
places = st.sampled_from((None, None, EAST, WEST))
documents: st.SearchStrategy[Said] = st.one_of(
    st.builds(ordered, units, minutes, places, st.sampled_from((None, None, 7, 8))),
    st.builds(cancelled, units, minutes, st.sampled_from(("cancel", "refund/1", "refund/2"))),
    st.builds(
        says,
        st.sampled_from((DemandEffect.FULFILLED, DemandEffect.UNFULFILLED, DemandEffect.RETURNED)),
        units,
        minutes,
        st.sampled_from(("f1", "f2")),
        places,
    ),
    st.sampled_from((("s", 2, 2, WEST), ("s2", 3, 2, EAST), ("back", -2, 2, WEST), ("back2", -1, 3, EAST))),
)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Said], list[Said]]:
    """Draw documents, and the same documents in another order, some of them again."""
    said = draw(st.lists(documents, min_size=1, max_size=7))
    # A document's instant is its own: repeated with another content, it still happened when it happened.
    again = draw(st.permutations([*said, *draw(st.lists(st.sampled_from(said), max_size=4))]))
    return said, list(again)


@given(deliveries())
def test_any_order_of_the_documents_each_any_number_of_times_ends_in_the_same_line(
    told: tuple[list[Said], list[Said]],
) -> None:
    once, again = told
    assert state(merged(once)) == state(merged(again))


@given(deliveries())
def test_a_line_that_sourcing_has_split_ends_alike_too_and_holds_what_is_open(
    told: tuple[list[Said], list[Said]],
) -> None:
    once, again = told
    split = source(EMPTY, [(WEST, 1), (EAST, 2)])
    line = merged(once, split)
    assert state(line) == state(merged(again, split))
    assert replace(line, shipments=dict(reversed([*line.shipments.items()]))).holds == line.holds
    assert sum(line.holds.values()) == line.open
    assert sum(change.quantity for change in line.history) == line.open


def held_at_each_moment(line: OrderLine) -> tuple[Held, ...]:
    """Return the history by its definition: at each moment, ``holds`` over the documents until then."""
    kinds = (line.versions, line.cancellations, line.shipments)
    history: list[Held] = []
    held: dict[LocationId, int] = {}
    for moment in sorted(document for kind in kinds for document in kind.values()):
        versions, cancellations, shipments = (
            {name: said for name, said in kind.items() if said <= moment} for kind in kinds
        )
        then = replace(line, versions=versions, cancellations=cancellations, shipments=shipments).holds
        for place in sorted({*held, *then}):
            change = then.get(place, 0) - held.get(place, 0)
            if change:
                history.append(Held(moment.at, change, moment.event_key, place))
        held = then
    return tuple(history)


NORTH = LocationId("north")
stated = st.builds(
    Stated,
    minutes.map(at),
    st.sampled_from("abc").map(EventKey),
    st.integers(-3, 6),
    st.sampled_from(("", "", EAST, WEST, NORTH)),
)
stated_ones = st.dictionaries(st.sampled_from("pqrstuvw"), stated, max_size=6)
shared_out = st.lists(
    st.tuples(st.sampled_from((WEST, EAST, NORTH)), st.integers(0, 4)), max_size=3, unique_by=lambda s: s[0]
)


@given(stated_ones, stated_ones, stated_ones, shared_out, st.sampled_from(((), (), (Component(TEA, 2),))))
def test_the_history_is_what_the_line_held_at_each_moment(
    versions: dict[str, Stated],
    cancellations: dict[str, Stated],
    shipments: dict[str, Stated],
    shares: list[tuple[LocationId, int]],
    kit: tuple[Component, ...],
) -> None:
    line = replace(
        EMPTY,
        versions=versions,
        cancellations=cancellations,
        shipments=shipments,
        shares=tuple(shares),
        kit=kit,
    )
    assert with_history(line).history == held_at_each_moment(line)


def test_the_history_of_many_documents_takes_no_time_for_each_pair_of_them() -> None:
    refunds = {f"refund/{number}": Stated(at(number), EventKey(f"r{number}"), 1) for number in range(20_000)}
    line = replace(EMPTY, versions={"1": Stated(at(-1), EventKey("o"), 30_000)}, cancellations=refunds)
    began = process_time()
    assert len(with_history(line).history) == 20_001
    assert process_time() - began < 10


def test_a_refund_told_four_times_and_the_cancellation_after_it_take_each_unit_once() -> None:
    refund = cancelled(1, 1, "refund/9")
    line = merged([ordered(3, 0), refund, refund, cancelled(3, 2), refund, refund])
    assert (line.open, line.taken) == (0, 0)


def test_a_cancellation_after_a_refund_never_frees_more_than_was_ordered() -> None:
    line = merged([ordered(3, 0), cancelled(2, 1, "refund/9"), cancelled(3, 2)])
    assert sum(change.quantity for change in line.history) == 0
    assert min(_running(line)) >= 0


def _running(line: OrderLine) -> list[int]:
    total, totals = 0, []
    for change in line.history:
        total += change.quantity
        totals.append(total)
    return totals


def test_of_two_contents_of_one_version_the_larger_stands_until_a_fetch_decides() -> None:
    five, three = ordered(5, 0), ordered(3, 0)
    disputed = merged([five, three])
    assert (disputed.ordered, disputed.disputed) == (5, (five.key,))

    fetched = ordered(3, 0, fetched=5)
    assert merged([five, three, fetched]).ordered == merged([fetched, three, five]).ordered == 3
    assert merged([fetched, five]).disputed == ()


def test_a_later_fetch_of_the_same_version_stands_against_an_earlier_one() -> None:
    assert merged([ordered(3, 0, fetched=6), ordered(4, 0, fetched=5)]).ordered == 3


def test_a_newer_version_ends_a_dispute_about_an_older_one() -> None:
    assert merged([ordered(5, 0), ordered(3, 0), ordered(4, 1)]).disputed == ()


def test_an_order_that_moves_takes_what_it_holds_along_and_leaves_its_past() -> None:
    line = merged([ordered(4, 0, EAST), ordered(4, 2, WEST)])
    assert line.holds == {WEST: 4}
    assert [(change.location, change.quantity, change.at) for change in line.history] == [
        (EAST, 4, at(0)),
        (EAST, -4, at(2)),
        (WEST, 4, at(2)),
    ]
    assert line.places == {EAST, WEST}


def test_a_version_that_names_no_location_leaves_the_line_where_the_last_one_put_it() -> None:
    assert merged([ordered(4, 0, WEST), ordered(3, 1)]).holds == {WEST: 3}


def test_a_storefronts_fulfilment_is_a_claim_until_the_authority_ships() -> None:
    claim = says(DemandEffect.FULFILLED, 2, 1, "f1", WEST)
    waiting = merged([ordered(3, 0), claim])
    assert waiting.open == 3
    assert waiting.claimed is not None
    assert (waiting.claimed.units, waiting.claimed.since, waiting.claimed.location) == (2, at(1), WEST)

    part = ship(waiting, 1, at(3), EventKey("s"), EAST)
    assert part.claimed is not None
    assert part.claimed.units == 1
    assert ship(part, 1, at(4), EventKey("t"), EAST).claimed is None


def test_a_fulfilment_that_was_called_off_claims_nothing_whichever_is_heard_first() -> None:
    claim = says(DemandEffect.FULFILLED, 2, 1, "f1")
    off = says(DemandEffect.UNFULFILLED, 2, 2, "f1")
    assert merged([ordered(3, 0), claim, off]).claimed is None
    assert merged([off, ordered(3, 0), claim]).claimed is None


def test_the_oldest_claim_that_is_not_shipped_says_since_when() -> None:
    first, second = (says(DemandEffect.FULFILLED, 1, minute, f"f{minute}") for minute in (1, 2))
    line = merged([second, first, ordered(3, 0), ("s", 1, 5, EAST)])
    assert line.claimed is not None
    assert line.claimed.since == at(2)


def test_units_that_a_storefront_says_came_back_free_nothing() -> None:
    back = says(DemandEffect.RETURNED, 1, 5, "refund/1", EAST)
    line = merged([ordered(2, 0), ("s", 2, 1, EAST), back])
    assert (line.open, line.taken, line.kept) == (0, 2, 1)


def test_of_a_split_line_a_shipment_serves_its_own_share_and_a_cancellation_the_last() -> None:
    split = source(merged([ordered(5, 0)]), [(EAST, 3), (WEST, 2)])
    assert split.holds == {EAST: 3, WEST: 2}
    assert merged([("s", 2, 1, WEST)], split).holds == {EAST: 3}
    assert merged([cancelled(3, 1)], split).holds == {EAST: 2}
    assert merged([ordered(7, 1)], split).holds == {EAST: 5, WEST: 2}
    for both in permutations([("s", 5, 1, EAST), ("back", -5, 2, EAST)]):
        assert merged(both, split).holds == {EAST: 3, WEST: 2}


def test_what_is_known_is_known_and_the_same_document_fetched_adds_its_proof() -> None:
    told = ordered(3, 0)
    line = merged([told])
    fetched = replace(told, fetched_at=at(4))
    assert knows(line, told, as_sent(told))
    assert not knows(line, fetched, as_sent(fetched))
    assert knows(merged([told, fetched]), fetched, as_sent(fetched))


def test_the_hash_of_a_document_sees_where_it_says_the_units_lie() -> None:
    assert effect_hash(ordered(3, 0, EAST)) != effect_hash(ordered(3, 0, WEST))
