"""How the API shows what should be transferred: every number behind each proposal, and what they say in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from shared.domain.money import Money
from shared.domain.replenish import (
    LONGEST_PROPOSAL,
    Excess,
    Given,
    Pace,
    Position,
    Proposal,
    ProposedLine,
    Shortage,
    Unmet,
)
from shared.domain.stock import LocationId, Quantity
from shared.operations.recommend import Recommended

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


def recommended(location: LocationId, found: Recommended) -> dict[str, Any]:
    """Show what is proposed for a location, and which shortages nothing is proposed for."""
    return {
        "location": location,
        "recommendations": [_proposal(one) for one in found.proposals],
        "unmet": [_unmet(one) for one in found.unmet],
        "cursor": found.cursor,
    }


def _proposal(proposal: Proposal) -> dict[str, Any]:
    route, units = proposal.route, sum(line.quantity for line in proposal.lines)
    hours = route.lead_time // _HOUR
    return {
        "from": route.origin,
        "to": proposal.destination,
        "units": units,
        "lead_time_h": hours,
        "capacity": route.capacity,
        "priority": route.priority,
        "cost": _money(route.cost),
        "worth": _money(proposal.worth),
        "is_worth_its_cost": proposal.is_worth_its_cost,
        "lines": [_line(line, hours) for line in proposal.lines],
        "request": {
            "from": route.origin,
            "to": proposal.destination,
            "lines": [{"sku": line.sku, "quantity": line.quantity} for line in proposal.lines],
            "reason": f"recommended: {units} units that {proposal.destination} is short of",
        },
    }


def _line(line: ProposedLine, hours: int) -> dict[str, Any]:
    excess = line.excess
    return {
        "sku": line.sku,
        "quantity": line.quantity,
        "limited_by": line.limited_by,
        "shortage": _shortage(line.shortage),
        "excess": _excess(excess),
        "why": f"{_lacks(line.shortage)} in the {hours} h that it takes; the other {_gives(excess)}; "
        f"{_LIMITS[line.limited_by]}",
    }


_LIMITS = {
    "shortage": "all that is short can go",
    "excess": "it gives all that it can",
    "capacity": "that fills the way's capacity",
}
_LIMITS_OF_UNMET = {
    "shortage": "no more is short in the time that it takes",
    "capacity": "that fills the way's capacity",
    "lines": f"one transfer takes no more than {LONGEST_PROPOSAL} SKUs",
}


def _unmet(unmet: Unmet) -> dict[str, Any]:
    asked = "; ".join(
        f"{one.route.origin} {_gives(one.excess)}"
        + (f", of which {one.units} go: {ends}" if (ends := _LIMITS_OF_UNMET.get(one.limited_by)) else "")
        for one in unmet.given
    )
    why = f"{_lacks(unmet.shortage)} on the way; {asked or 'no other location carries it'}"
    return {
        "sku": unmet.sku,
        "units": unmet.units,
        "shortage": _shortage(unmet.shortage),
        "others": [_given(one) for one in unmet.given],
        "why": why,
    }


def _given(given: Given) -> dict[str, Any]:
    return {
        "from": given.route.origin,
        "lead_time_h": given.route.lead_time // _HOUR,
        "quantity": given.units,
        "limited_by": given.limited_by,
        "excess": _excess(given.excess),
    }


def _gives(excess: Excess) -> str:
    """Say what a location can do without, and why it keeps the rest."""
    at, covers = excess.position, excess.position.pace.within(timedelta(days=excess.cover_days))
    keeps = (
        f"its minimum of {excess.minimum}"
        if excess.minimum > covers
        else f"{excess.keeps} for {excess.cover_days} days"
    )
    return f"has {at.available} available, sells {_rate(at.pace)} and keeps {keeps}, so it can give {excess.units}"


def _excess(excess: Excess) -> dict[str, Any]:
    return {
        **_position(excess.position),
        "minimum": excess.minimum,
        "keeps": excess.keeps,
        "cover_days": excess.cover_days,
        "units": excess.units,
    }


def _lacks(shortage: Shortage) -> str:
    at = shortage.position
    coming = f"{at.incoming} incoming, {at.in_transit} in transit, {at.requested} on open transfers"
    return (
        f"{at.available} available, {coming}, against {shortage.least} that it needs (minimum {shortage.minimum}, sells "
        f"{_rate(at.pace)})"
    )


def _shortage(shortage: Shortage) -> dict[str, Any]:
    return {
        **_position(shortage.position),
        "minimum": shortage.minimum,
        "least": shortage.least,
        "target": shortage.target,
        "units": shortage.units,
    }


def _position(position: Position) -> dict[str, Any]:
    lasts = position.pace.lasts(position.available)
    return {
        "available": position.available,
        "incoming": position.incoming,
        "in_transit": position.in_transit,
        "requested": position.requested,
        "sold": position.pace.units,
        "sold_over_h": position.pace.span // _HOUR,
        "lasts_h": None if lasts is None else lasts // _HOUR,
    }


def _rate(pace: Pace) -> str:
    """Say how fast something sells, to a tenth of a unit a day."""
    tenths: Quantity = pace.units * 10 * _DAY // pace.span
    return f"{tenths // 10}.{tenths % 10} a day"


def _money(money: Money | None) -> str | None:
    return None if money is None else str(money)
