"""What is declared about counts at a location, as the rules of ``fold`` need it."""

from __future__ import annotations

from datetime import timedelta

from shared.domain.ledger import NO_RULES, Rules
from shared.domain.stock import LocationId
from shared.store.registry import Network


def count_rules(network: Network, location: LocationId) -> Rules:
    """Return what is declared about counts at a location."""
    place = network.locations.get(location)
    if place is None:
        return NO_RULES
    skews = {source.id: source.clock_skew for source in network.sources.values() if source.clock_skew}
    counter = network.sources.get(place.counts) if place.counts else None
    coarsest = timedelta(0) if counter is None else counter.coarsest_count
    return Rules(place.approve_beyond, skews, place.undecided_within, coarsest)
