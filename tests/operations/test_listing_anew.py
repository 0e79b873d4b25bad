"""What was confirmed once counts for the listing that confirmed it, and until somebody asks for it to be looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from shared.domain.network import Listing
from shared.domain.stock import LocationId
from shared.operations.fan_out import Hint, Lane
from shared.operations.withdraw import withdraw
from shared.store.listings import Paces
from shared.store.registry import Network
from tests.operations.house import EAST, SHOP, TEA, WEST
from tests.operations.shop import Shop


def confirmed_shop(**channel: object) -> Shop:
    shop = Shop(**channel)  # type: ignore[arg-type]
    shop.work()
    assert shop.shown == shop.believed == 10
    return shop


def told_to_look(shop: Shop) -> None:
    """Do what ``apply`` does for a channel that is new or whose rules changed."""
    shop.wait(minutes=1)
    shop.house.lanes.send(Lane.BULK, [Hint(SHOP, TEA, shop.house.clock())])
    shop.wait(minutes=5)


def resynced(shop: Shop) -> None:
    shop.house.clock.advance(seconds=1)
    Paces(shop.house.stock).look_anew(SHOP, shop.house.clock())
    shop.house.lanes.send(Lane.BULK, [Hint(SHOP, TEA, shop.house.clock())])
    shop.work()


def removed(shop: Shop, while_it_is_gone: Callable[[], None]) -> None:
    declared = shop.house.registry.network(fresh=True)
    gone = Network({}, {}, {SHOP: declared.channels[SHOP]})
    withdraw(gone, shop.house.stock, shop.house.registry, shop.house.clock)
    shop.house.clock.advance(days=2)
    while_it_is_gone()
    shop.house.declare(declared)


def sells_from(shop: Shop, locations: dict[LocationId, str]) -> None:
    declared = shop.house.registry.network(fresh=True)
    here = replace(declared.channels[SHOP], locations=locations)
    shop.house.declare(replace(declared, channels={SHOP: here}))


@pytest.mark.parametrize("shown", [500, 3, 0])
@pytest.mark.parametrize("reads_back", [True, False])
def test_a_channel_that_is_declared_again_is_told_its_number_whatever_it_shows_by_then(
    shown: int, reads_back: bool
) -> None:
    shop = confirmed_shop(reads_back=reads_back, fenced=reads_back)

    removed(shop, lambda: shop.channel.levels.update({TEA: shown}))
    told_to_look(shop)

    assert shop.shown == shop.believed == 10
    assert shop.house.open_cases() == []


def test_a_location_that_is_put_on_a_channel_again_is_told_its_number() -> None:
    shop = confirmed_shop()

    sells_from(shop, {WEST: "88"})
    shop.wait(minutes=1)
    shop.channel.levels[TEA] = 500
    sells_from(shop, {EAST: "77"})
    told_to_look(shop)

    assert shop.shown == shop.believed == 10


def test_a_location_that_gets_another_code_is_another_listing() -> None:
    shop = confirmed_shop()

    sells_from(shop, {EAST: "88"})
    shop.channel.levels[TEA] = 0
    told_to_look(shop)

    assert shop.shown == shop.believed == 10
    assert shop.channel.offered[-1].expected == 0
    assert shop.house.open_cases() == []


def test_an_item_that_is_listed_under_another_id_is_another_listing() -> None:
    shop = confirmed_shop()

    shop.house.registry.add_listings([Listing(SHOP, TEA, "2000")])
    shop.channel.levels[TEA] = 0
    told_to_look(shop)

    assert shop.shown == shop.believed == 10
    assert shop.house.open_cases() == []


def test_what_is_on_its_way_to_the_old_listing_says_nothing_of_the_new_one() -> None:
    shop = Shop()
    shop.channel.answers.append("unheard")
    shop.work()

    shop.house.registry.add_listings([Listing(SHOP, TEA, "2000")])
    told_to_look(shop)

    assert shop.shown == shop.believed == 10
    assert shop.house.open_cases() == []


def test_declaring_a_channel_as_it_is_forgets_nothing() -> None:
    shop = confirmed_shop()
    reads, offered = shop.channel.reads, len(shop.channel.offered)

    shop.house.declare(shop.house.registry.network(fresh=True))
    told_to_look(shop)

    assert (shop.channel.reads, len(shop.channel.offered)) == (reads, offered)


@pytest.mark.parametrize("reads_back", [True, False])
def test_a_resync_finds_what_somebody_else_wrote(reads_back: bool) -> None:
    shop = confirmed_shop(reads_back=reads_back, fenced=reads_back)
    shop.channel.levels[TEA] = 500

    resynced(shop)

    assert shop.shown == shop.believed == 10


def test_a_resync_reads_each_listing_once_and_sends_nothing_that_is_right() -> None:
    shop = confirmed_shop()
    reads, offered = shop.channel.reads, len(shop.channel.offered)

    resynced(shop)
    told_to_look(shop)

    assert (shop.channel.reads, len(shop.channel.offered)) == (reads + 1, offered)


def test_a_resync_does_not_overwrite_a_sale_that_we_have_not_heard_of() -> None:
    shop = confirmed_shop()
    shop.channel.levels[TEA] = 7

    resynced(shop)

    assert shop.shown == 7


def test_a_resync_that_cannot_read_the_channel_is_done_when_it_can() -> None:
    shop = confirmed_shop()
    shop.channel.levels[TEA] = 500
    shop.channel.down = True
    resynced(shop)

    shop.channel.down = False
    shop.wait(minutes=2)

    assert shop.shown == shop.believed == 10
