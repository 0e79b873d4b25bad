"""What happened in the past days, told to the deployed template as its systems tell it: by webhook and by file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.local.demo.stage import Stage, registry
from infra.local.fake_channels.control import carry_out
from shared.domain.network import Listing
from shared.domain.stock import ChannelId, Sku, SourceId
from shared.operations.verify import Verifier
from shared.store.dynamodb import DynamoTable
from shared.store.registry import Code


@dataclass(slots=True)
class Story:
    """One item at one place, from an instant on that everything is told in minutes after.

    The sources are told to the minute, but messages travel at their own pace: what must be heard before something
    else is followed by ``world.settle()``.
    """

    world: Stage
    sku: str
    place: str
    begins: datetime

    @classmethod
    def of(cls, world: Stage, sku: str, place: str, hours_ago: float) -> Story:
        """Begin some hours ago, on a full minute."""
        begins = datetime.now(UTC) - timedelta(hours=hours_ago)
        return cls(world, sku, place, begins.replace(second=0, microsecond=0))

    def at(self, minute: float) -> datetime:
        """Return an instant of the story."""
        return self.begins + timedelta(minutes=minute)

    def tell(self, source: str, kind: str, document: str, minute: float, quantity: int) -> None:
        """Let a source report a movement, or the number that it has."""
        self.tell_all(source, kind, document, minute, {self.sku: quantity})

    def tell_all(
        self, source: str, kind: str, document: str, minute: float, quantities: Mapping[str, int]
    ) -> None:
        """Let a source report several items in one document."""
        lines = [
            {"line": str(number), "sku": sku, "location": self.place, "quantity": quantity}
            for number, (sku, quantity) in enumerate(quantities.items(), start=1)
        ]
        data = {"document": document, "occurred_at": self.at(minute).isoformat(), "lines": lines}
        delivery = f"{self.sku}-{self.place}-{source}-{kind}-{document}"
        said = self.world.webhook(source, kind, data, delivery)
        assert said.status in (200, 202), said

    def say(self, minute: float, **numbers: int) -> None:
        """Let sources state their numbers, dashes written as underscores; all have been compared at the end."""
        for name, quantity in numbers.items():
            self.tell(name.replace("_", "-"), "count", f"N-{minute:g}", minute, quantity)
        self.world.settle()

    def drop(self, source: str, site: str, minute: float, quantity: int) -> None:
        """Let a source drop a file that was true at a minute."""
        name = f"stock_{self.at(minute):%Y%m%dT%H%M}.csv"
        self.world.drop(source, name, f"Item,Site,On Hand\n{self.sku},{site},{quantity}\n")

    def on_hand(self, minute: float | None = None) -> int:
        """Return what is on hand here, now or as of a minute."""
        return int(self._here(None if minute is None else self.at(minute))["on_hand"])

    def available(self) -> int:
        """Return what is on hand here and neither reserved, held nor damaged."""
        return int(self._here(None)["available"])

    def _here(self, as_of: datetime | None) -> dict[str, Any]:
        asked = "" if as_of is None else f"?as_of={as_of:%Y-%m-%dT%H:%M:%SZ}"
        found = self.world.api("GET", f"/v1/stock/{self.sku}{asked}").body
        nothing = {"on_hand": 0, "available": 0}
        return next((at for at in found.get("locations", []) if at["location"] == self.place), nothing)

    def causes(self) -> dict[str, tuple[str, list[str]]]:
        """Return for each source that differs here the cause that stands first, and the guilty events."""
        return {name: (first["cause"], first["events"]) for name, first in self.firsts().items()}

    def firsts(self) -> dict[str, dict[str, Any]]:
        """Return for each source that differs here the hypothesis that stands first."""
        asked = f"/v1/explanations?sku={self.sku}&location={self.place}"
        found = self.world.api("GET", asked).body["explanations"]
        return {one["source"]: one["hypotheses"][0] for one in found}

    def cases(self, status: str = "open") -> dict[str, dict[str, Any]]:
        """Return the drift cases of this item here, by source."""
        found = self.world.api("GET", f"/v1/cases?kind=drift&status={status}&limit=200").body["cases"]
        return {
            case["facts"]["source"]: case
            for case in found
            if (case["facts"]["sku"], case["facts"]["location"]) == (self.sku, self.place)
        }


def add_item(world: Stage, sku: str, shop_item: int, places: list[int], source: str, channel: str) -> None:
    """Sell an item in a shop: it is listed there, its code is known, and it begins with nothing at each place."""
    book = registry(world)
    book.add_items([Sku(sku)])
    book.map_codes({Code(SourceId(source), "inventory_item_id", str(shop_item)): Sku(sku)}, "scenario")
    book.add_listings([Listing(ChannelId(channel), Sku(sku), f"gid://shopify/InventoryItem/{shop_item}")])
    world.items[Sku(sku)] = shop_item
    items = [{"item_id": shop_item, "location_id": place, "sku": sku, "quantity": 0} for place in places]
    carry_out(world.channels, {"do": "create_items", "items": items})


def list_on(world: Stage, channel: str, sku: str, code: str, places: list[str]) -> None:
    """List an item on a channel that takes the generic signed webhook."""
    registry(world).add_listings([Listing(ChannelId(channel), Sku(sku), code)])
    levels = [{"item_id": code, "location_id": place, "quantity": 0} for place in places]
    carry_out(world.channels, {"do": "set_levels", "channel": channel, "levels": levels})


def proven(world: Stage) -> None:
    """Every balance is the sum of its journal, and what can be claimed is what is available."""
    table = DynamoTable(world.runtime.client("dynamodb"), world.runtime.info.tables["stock"])
    assert [str(found) for found in Verifier(table).verify().discrepancies] == []
