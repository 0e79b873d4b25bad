"""Channels and sources of a house that are switched between live, shadow and observing."""

from __future__ import annotations

from shared.domain.rollout import EVERYTHING, Mode, Scope
from shared.domain.stock import MessageId, Sku, SourceId
from shared.operations.rollout_desk import RolloutDesk, Switched
from shared.operations.shadow_report import ChannelShadow, ShadowDesk
from tests.operations.deliveries import receipt
from tests.operations.house import SHOP, House

MUG = Sku("MUG")
SHOPIFY = SourceId("shopify")
"""The source that brings the orders of the shop."""


def desk(house: House) -> RolloutDesk:
    """Return where people switch."""
    return RolloutDesk(house.registry, house.lanes, house.clock)


def switch(
    house: House, mode: Mode, scope: Scope = EVERYTHING, kind: str = "channel", name: str = SHOP
) -> Switched:
    """Let Ann switch the shop, or another channel or source by its name."""
    return desk(house).switch(kind, name, [scope], mode, "ann")


def report(house: House) -> ChannelShadow:
    """Return what the shop's shadow reports."""
    return ShadowDesk(house.stock, house.registry, house.clock).of_channel(SHOP)


def receive(house: House, document: str, units: int, sku: str = "TEA") -> MessageId:
    """Let the WMS say that it received some units in the east."""
    return house.store("wms", receipt(document, sku, units))
