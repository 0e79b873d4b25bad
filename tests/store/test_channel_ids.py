"""Ids of a channel: each is one item's, whoever writes, and it is free again once it is given up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from shared.domain.network import Listing
from shared.domain.stock import ChannelId, Sku
from shared.store.channel_ids import ListingTakenError
from shared.store.layout import INDEXES
from shared.store.memory import MemoryTable
from shared.store.registry import Registry
from shared.store.table import Action

SHOP = ChannelId("shop")
MUG, HAT = Sku("MUG"), Sku("HAT")


def of(sku: str, external_id: str, channel: ChannelId = SHOP) -> Listing:
    return Listing(channel, Sku(sku), external_id)


@pytest.fixture
def registry() -> Registry:
    return Registry(MemoryTable(INDEXES["registry"]))


def ids(registry: Registry, *skus: Sku) -> list[str | None]:
    found = registry.listings(SHOP, skus)
    return [found[sku].external_id if sku in found else None for sku in skus]


def test_an_id_that_is_another_items_is_refused_and_the_others_are_written(registry: Registry) -> None:
    registry.add_listings([of("MUG", "9009")])

    with pytest.raises(ListingTakenError, match="shop sells 'MUG' as '9009'") as refused:
        registry.add_listings([of("HAT", "9009"), of("TEA", "9010")])

    assert refused.value.holders == {of("HAT", "9009"): MUG}
    assert ids(registry, MUG, HAT, Sku("TEA")) == ["9009", None, "9010"]


def test_the_same_id_on_another_channel_is_another_id(registry: Registry) -> None:
    registry.add_listings([of("MUG", "9009"), of("HAT", "9009", ChannelId("market"))])

    assert ids(registry, MUG, HAT) == ["9009", None]


def test_an_id_that_was_given_up_is_free(registry: Registry) -> None:
    registry.add_listings([of("MUG", "9009")])
    registry.add_listings([of("MUG", "9010")])
    registry.add_listings([of("HAT", "9009")])

    assert ids(registry, MUG, HAT) == ["9010", "9009"]


def test_an_id_that_another_gives_up_in_the_same_call_can_be_taken(registry: Registry) -> None:
    registry.add_listings([of("MUG", "9009")])

    registry.add_listings([of("HAT", "9009"), of("MUG", "9010")])

    assert ids(registry, MUG, HAT) == ["9010", "9009"]
    with pytest.raises(ListingTakenError):
        registry.add_listings([of("TEA", "9010")])


def test_two_items_that_want_each_others_id_keep_their_own(registry: Registry) -> None:
    registry.add_listings([of("MUG", "1"), of("HAT", "2")])

    with pytest.raises(ListingTakenError):
        registry.add_listings([of("MUG", "2"), of("HAT", "1")])

    assert ids(registry, MUG, HAT) == ["1", "2"]


def test_writing_the_same_again_changes_nothing(registry: Registry) -> None:
    registry.add_listings([of("MUG", "1")])
    registry.add_listings([of("MUG", "1")])

    assert ids(registry, MUG) == ["1"]


def test_more_listings_than_one_write_takes_are_all_written(registry: Registry) -> None:
    skus = [Sku(f"S-{n}") for n in range(250)]

    registry.add_listings(of(sku, f"id-{sku}") for sku in skus)
    registry.add_listings(of(sku, f"new-{sku}") for sku in skus)

    assert ids(registry, *skus) == [f"new-{sku}" for sku in skus]


class Interrupted(MemoryTable):
    """A table in which somebody else writes first, once, between reading and writing."""

    first: Registry | None = None

    def write(self, actions: Sequence[Action]) -> None:
        if self.first is not None:
            first, self.first = self.first, None
            first.add_listings([of("MUG", "9009")])
        super().write(actions)


def test_of_two_writers_at_once_one_has_the_id() -> None:
    table = Interrupted(INDEXES["registry"])
    registry = Registry(table)
    table.first = registry

    with pytest.raises(ListingTakenError):
        registry.add_listings([of("HAT", "9009")])

    assert ids(registry, MUG, HAT) == ["9009", None]


def test_an_id_changed_by_two_at_once_leaves_no_claim_behind() -> None:
    table = Interrupted(INDEXES["registry"])
    registry = Registry(table)
    registry.add_listings([of("MUG", "1")])
    table.first = registry

    registry.add_listings([of("MUG", "2")])

    assert ids(registry, MUG) == ["2"]
    registry.add_listings([of("HAT", "9009"), of("TEA", "1")])
    assert ids(registry, HAT) == ["9009"]
