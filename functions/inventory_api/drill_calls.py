"""The call that plays an outage: which promises it would put at risk. It changes nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from functions.inventory_api.edge import WATCHERS, Asked, call, house
from functions.inventory_api.requests import InvalidFieldError
from shared.domain.drill import AtRisk, Risk
from shared.domain.stock import ChannelId, SourceId
from shared.operations.drill import Drill, DrillDesk
from shared.runtime.ground import now
from shared.runtime.http import Answer, answer

Json = dict[str, Any]

LONGEST_MINUTES = 7 * 24 * 60
USUAL_MINUTES = 60

SHOWN = 200
"""Rows that are shown, those with most units."""


@call("GET /v1/drills/outage", WATCHERS, query=("source", "channel", "minutes"))
def get_outage(asked: Asked[Any]) -> Answer:
    """Say which promises an outage of one source or channel would put at risk, now and for so many minutes.

    Reckoned from the last seven days: as it usually is, and for the busiest stretch of that length.
    """
    source, channel = asked.query.text("source"), asked.query.text("channel")
    if (source is None) == (channel is None):
        raise InvalidFieldError(
            "source", "an outage is of one source, or of one channel", "name one of the two"
        )
    minutes = asked.query.number("minutes")
    minutes = USUAL_MINUTES if minutes is None else minutes
    if not 1 <= minutes <= LONGEST_MINUTES:
        raise InvalidFieldError("minutes", f"{minutes} cannot be played", f"use 1 to {LONGEST_MINUTES}")
    network, lasting = house().registry.network(), timedelta(minutes=minutes)
    desk = DrillDesk(house().stock, house().registry, now)
    if source is not None:
        _must_be("source", source, network.sources)
        return answer(200, drill_view(desk.of_source(SourceId(source), lasting)))
    _must_be("channel", channel or "", network.channels)
    return answer(200, drill_view(desk.of_channel(ChannelId(channel or ""), lasting)))


def _must_be(kind: str, name: str, declared: Any) -> None:
    if name not in declared:
        listed = ", ".join(sorted(declared)) or "none"
        raise InvalidFieldError(kind, f"{name!r} is not declared", f"declared: {listed}")


def drill_view(found: Drill) -> Json:
    """Show what an outage puts at risk."""
    return {
        "kind": found.kind,
        "name": found.name,
        "minutes": found.lasting // timedelta(minutes=1),
        "events_last_day": found.seen.last_day,
        "known_minutes": found.known_for // timedelta(minutes=1),
        "looked_at": found.looked_at,
        "is_complete": found.is_complete,
        "units": {risk: dict(zip(("usual", "busiest"), found.units(risk), strict=True)) for risk in Risk},
        "at_risk": [_row(row) for row in found.rows[:SHOWN]],
        "more": max(0, len(found.rows) - SHOWN),
    }


def _row(row: AtRisk) -> Json:
    return {
        "sku": row.key.sku,
        "location": row.key.location,
        "channel": row.channel,
        "risk": row.risk,
        "usual": row.usual,
        "busiest": row.busiest,
        "why": row.why,
    }
