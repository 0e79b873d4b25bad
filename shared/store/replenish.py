"""How a location is replenished, as the registry keeps it: in the words of ``network.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from shared.domain.money import parse_money
from shared.domain.network import Replenishment, Route
from shared.domain.stock import LocationId, Sku

_HOUR = timedelta(hours=1)


def replenish_words(rule: Replenishment) -> dict[str, Any]:
    """Write a rule as plain values; what is not declared is left out."""
    return {
        "cover_days": rule.cover_days,
        "minimum": {str(sku): units for sku, units in rule.minimum.items()},
        "from": {str(route.origin): _route_words(route) for route in rule.routes},
    }


def _route_words(route: Route) -> dict[str, Any]:
    said: dict[str, Any] = {"lead_time_h": route.lead_time // _HOUR, "priority": route.priority}
    if route.cost is not None:
        said["cost"] = str(route.cost)
    if route.capacity is not None:
        said["capacity"] = route.capacity
    return said


def read_replenish(said: Mapping[str, Any] | None) -> Replenishment | None:
    """Read what ``replenish_words`` wrote."""
    if said is None:
        return None
    routes = (
        Route(
            LocationId(origin),
            timedelta(hours=way["lead_time_h"]),
            parse_money(way["cost"]) if "cost" in way else None,
            way.get("capacity"),
            way["priority"],
        )
        for origin, way in said["from"].items()
    )
    minimum = {Sku(sku): units for sku, units in said["minimum"].items()}
    return Replenishment(said["cover_days"], minimum, tuple(routes))
