"""Calls about phased rollout: how far each source and channel may act, switching it, and what shadow came to."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from functions.inventory_api.edge import WATCHERS, Asked, call, house
from functions.inventory_api.registry_calls import ADMINS
from functions.inventory_api.requests import InvalidFieldError, Name, Request
from shared.domain.events import instant
from shared.domain.rollout import Mode, Rollout
from shared.domain.shadow import Prevented
from shared.domain.stock import ChannelId, SourceId, StockKey
from shared.operations.rollout_desk import RolloutDesk, RolloutFieldError
from shared.operations.shadow_report import ChannelShadow, Part, ShadowDesk, SourceShadow
from shared.runtime.ground import now
from shared.runtime.http import Answer, answer
from shared.store.rollouts import CHANNEL, SOURCE

Json = dict[str, Any]

QUEUED_AT_ONCE = 10_000
"""Listings that one call queues for a look: more would not be done before the gateway gives up."""

SHOWN = 100
"""Rows of each list of a report."""

log = logging.getLogger(__name__)

Pattern = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class RolloutRequest(Request):
    """A mode for some SKUs (a SKU, or a prefix like ``TEA*``) at some locations; what is left out is all of them."""

    mode: Mode
    skus: Annotated[list[Pattern], Field(max_length=100, default_factory=list)]
    locations: Annotated[list[Name], Field(max_length=100, default_factory=list)]


@call("GET /v1/registry/rollouts", WATCHERS)
def list_rollouts(_: Asked[Any]) -> Answer:
    """Show how far every source and channel may act."""
    systems = [rollout_view(one.kind, one.id, one.rollout) for one in _desk().table()]
    return answer(200, {"systems": systems})


@call("GET /v1/registry/rollouts/<system>/<name>", WATCHERS)
def get_rollout(asked: Asked[Any]) -> Answer:
    """Show how far one source or channel may act, with every change; ``system`` is source or channel."""
    kind, name = _system(asked), asked.path["name"]
    rollouts = house().registry.rollouts
    history = [
        {
            "version": change.version,
            "actor": change.actor,
            "at": instant(change.at),
            "changes": [
                {"scope": s, "before": before, "after": after} for s, before, after in change.changes
            ],
        }
        for change in rollouts.history(kind, name)
    ]
    return answer(200, {**rollout_view(kind, name, rollouts.of(kind, name)), "history": history})


@call("PUT /v1/registry/rollouts/<system>/<name>", ADMINS, body=RolloutRequest)
def put_rollout(asked: Asked[RolloutRequest]) -> Answer:
    """Put a source or channel into a mode, for all of a scope; the listings concerned are looked at anew.

    ``is_complete`` is false where more listings are concerned than one call queues: repeat it for prefixes of theirs,
    or use ``onecount rollout``.
    """
    kind, name, said = _system(asked), asked.path["name"], asked.body
    try:
        scopes = _desk().scopes(said.skus, said.locations)
        done = _desk().switch(kind, name, scopes, said.mode, asked.client, most=QUEUED_AT_ONCE)
    except RolloutFieldError as error:
        raise InvalidFieldError(error.field, error.reason, error.remedy) from error
    log.info(
        "rollout_switched", extra={"kind": kind, "system": name, "mode": said.mode, "actor": asked.client}
    )
    told = {"queued": done.queued, "is_complete": done.is_complete}
    return answer(200, {**rollout_view(kind, name, done.rollout), **told})


@call("GET /v1/shadow-report", WATCHERS, query=("source", "channel"))
def get_shadow_report(asked: Asked[Any]) -> Answer:
    """Say what sources and channels in shadow would have done, and which oversells that would have prevented.

    Of the source or channel that is named, also where it is live by now; else of all that are not live everywhere.
    """
    source, channel = asked.query.text("source"), asked.query.text("channel")
    named = [(SOURCE, source)] if source else []
    named += [(CHANNEL, channel)] if channel else []
    declared = {(one.kind, one.id): one.rollout for one in _desk().table()}
    for kind, name in named:
        if (kind, name) not in declared:
            raise InvalidFieldError(kind, f"{name!r} is not declared", f"name a declared {kind}")
    systems = named or [system for system, rollout in declared.items() if not rollout.is_live]
    desk = ShadowDesk(house().stock, house().registry, now)
    return answer(
        200,
        {
            "sources": [
                source_shadow(desk.of_source(SourceId(name))) for kind, name in systems if kind == SOURCE
            ],
            "channels": [
                channel_shadow(desk.of_channel(ChannelId(name))) for kind, name in systems if kind == CHANNEL
            ],
        },
    )


def _desk() -> RolloutDesk:
    return RolloutDesk(house().registry, house().lanes, now)


def _system(asked: Asked[Any]) -> str:
    kind = asked.path["system"]
    if kind not in (SOURCE, CHANNEL):
        raise InvalidFieldError("system", f"{kind!r} is neither", f"use {SOURCE} or {CHANNEL}")
    return kind


def rollout_view(kind: str, name: str, rollout: Rollout) -> Json:
    """Show what holds for a source or channel."""
    scopes = sorted((rule.scope for rule in rollout.rules), key=lambda scope: (scope.rank, str(scope)))
    ordered = [rollout.rule_of(scope.skus, scope.location) for scope in scopes]
    return {
        "kind": kind,
        "name": name,
        "is_live": rollout.is_live,
        "rules": [
            {
                "skus": rule.scope.skus,
                "location": rule.scope.location,
                "mode": rule.mode,
                "since": None if rule.since is None else instant(rule.since),
            }
            for rule in ordered
        ],
    }


def source_shadow(found: SourceShadow) -> Json:
    """Show what a source would have posted."""
    return {
        "source": found.source,
        "is_complete": found.is_complete,
        "stock_keys": len(found.postings),
        "would_have_posted": [
            {"what": what, "events": events, "units": units} for what, (events, units) in found.kinds.items()
        ],
        "most": [
            {
                "sku": one.key.sku,
                "location": one.key.location,
                "events": len(one.events),
                "first_at": instant(one.events[0].at),
                "last_at": instant(one.events[-1].at),
            }
            for one in found.postings[:SHOWN]
        ],
        "parts": _parts(found.parts),
    }


def _parts(parts: Sequence[Part]) -> Json:
    """Show how many numbers of bins and lots are the ledger's, and those that are not; the furthest apart first."""
    known = [(one, one.ours) for one in parts if one.ours is not None]
    apart = [(one, ours) for one, ours in known if one.theirs != ours]
    apart.sort(
        key=lambda row: (-abs(row[0].theirs - row[1]), row[0].key.sku, row[0].key.location, row[0].slot)
    )
    return {
        "said": len(parts),
        "compared": len(known),
        "equal": len(known) - len(apart),
        "not_in_ledger": len(parts) - len(known),
        "most_apart": [
            {
                "sku": one.key.sku,
                "location": one.key.location,
                "bin": one.slot.leaf.bin,
                "lot": one.slot.leaf.lot,
                "element": one.slot.counter,
                "theirs": one.theirs,
                "ours": ours,
                "as_of": instant(one.at),
            }
            for one, ours in apart[:SHOWN]
        ],
    }


def channel_shadow(found: ChannelShadow) -> Json:
    """Show what a channel would have been sent, and the oversells that it would have prevented."""
    differing = [one for one in found.listings if one.last.differ]
    return {
        "channel": found.channel,
        "is_complete": found.is_complete,
        "listings": len(found.listings),
        "would_have_pushed": sum(one.pushes for one in found.listings),
        "differ_now": len(differing),
        "stand_above_now": sum(
            one.last.stand_above and one.last.theirs is not None for one in found.listings
        ),
        "most_apart": [
            {
                "sku": one.key.sku,
                "location": one.key.location,
                "mode": one.mode,
                "ours": one.last.ours,
                "theirs": one.last.theirs,
                "since": instant(one.last.at),
            }
            for one in differing[:SHOWN]
        ],
        "prevented_oversells": len(found.oversells),
        "prevented_units": found.prevented_units,
        "oversells": [_oversell(key, one) for key, one in found.oversells[-SHOWN:]],
    }


def _oversell(key: StockKey, one: Prevented) -> Json:
    return {
        "order": one.sale.order,
        "line": one.sale.line,
        "sku": key.sku,
        "location": key.location,
        "at": instant(one.sale.at),
        "ordered": one.sale.units,
        "units": one.units,
        "ours": one.ours,
        "theirs": one.theirs,
    }
