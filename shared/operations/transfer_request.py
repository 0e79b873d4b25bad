"""What a transfer may ask for: declared locations, known items that have stock of their own, each once."""

from __future__ import annotations

from datetime import timedelta

from shared.domain.stock import LocationId
from shared.domain.transfer import Transfer
from shared.operations.reservations import UnknownItemError
from shared.operations.stock_view import StockView
from shared.operations.transfer_calls import RefusedTransferError
from shared.store.registry import Network, Registry

LONGEST = 33
"""Lines of the longest transfer: its approval is one transaction, with up to three writes for each line."""


def usual_time(network: Network, origin: LocationId, destination: LocationId) -> timedelta | None:
    """Return how long the way takes, where that is declared."""
    place = network.locations.get(destination)
    routes = () if place is None or place.replenish is None else place.replenish.routes
    return next((route.lead_time for route in routes if route.origin == origin), None)


def check_request(made: Transfer, registry: Registry, view: StockView) -> None:
    """Refuse what nobody can mean.

    Raises
    ------
    RefusedTransferError, UnknownItemError
    """
    locations = registry.network().locations
    for name, place in (("from", made.origin), ("to", made.destination)):
        if place not in locations:
            listed = ", ".join(locations)
            raise RefusedTransferError(name, f"{place!r} is not declared", f"use one of: {listed}")
    if made.origin == made.destination:
        raise RefusedTransferError("to", "it is where the units are", "name another location")
    skus = [line.sku for line in made.lines]
    if not 1 <= len(skus) <= LONGEST:
        raise RefusedTransferError(
            "lines", f"there are {len(skus)}", f"name 1 to {LONGEST} lines, and split a longer transfer"
        )
    for number, line in enumerate(made.lines):
        if line.sku in skus[:number]:
            reason = f"{line.sku!r} is named by two lines"
            raise RefusedTransferError(f"lines[{number}].sku", reason, "name each SKU once, with its sum")
        if line.quantity < 1:
            reason = f"{line.quantity} is no number of units"
            raise RefusedTransferError(f"lines[{number}].quantity", reason, "transfer 1 or more")
    if unknown := view.unknown(skus):
        raise UnknownItemError(unknown)
    for sku, item in registry.items.find(skus).items():
        if item.at(made.requested.at).components:
            number = skus.index(sku)
            reason = f"{sku!r} is a kit, which has no stock of its own"
            raise RefusedTransferError(f"lines[{number}].sku", reason, "transfer its components")
