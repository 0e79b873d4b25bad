"""Switching how far a source or channel may act, forward and back.

The mode is written first. Then every listing of a channel in the scope is looked at anew: where it went live, what it
shows is read and it is sent what it may sell; where it went back, what it shows is kept for the report. Doing it again
changes nothing that matters and queues the looks again, so whoever was interrupted repeats the command.

A channel is not live where the source of its orders is not: it would be sent numbers from which its own sales are
missing. So its source goes live first, and goes back last.

A channel's mode counts at once, for each push asks for it. A source's counts within ``REMEMBERED_S``, for which its
declaration is remembered; what came before that is not posted, and posts when it is replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from shared.domain.rollout import ALL_LIVE, ANY, Mode, Rollout, Scope, sold_unheard
from shared.domain.stock import ChannelId, LocationId, Sku
from shared.operations.fan_out import Lanes
from shared.operations.fresh_look import queue_fresh_look
from shared.store.registry import Network, Registry
from shared.store.rollouts import CHANNEL, SOURCE

MOST_SCOPES = 100
"""Scopes that one switch names at most."""


class RolloutFieldError(ValueError):
    """What was asked for cannot be meant: the field, why, and what to do."""

    def __init__(self, field: str, reason: str, remedy: str) -> None:
        super().__init__(f"{field}: {reason}; {remedy}")
        self.field = field
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Switched:
    """What holds now, and how many listings were queued for a look; ``is_complete`` unless more were left out."""

    rollout: Rollout
    queued: int = 0
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class SystemMode:
    """How far one source or channel may act."""

    kind: str
    id: str
    rollout: Rollout


class RolloutDesk:
    """Shows and switches rollouts."""

    def __init__(self, registry: Registry, lanes: Lanes, clock: Callable[[], datetime]) -> None:
        self._registry = registry
        self._lanes = lanes
        self._clock = clock

    def table(self) -> list[SystemMode]:
        """Return every declared source and channel with what holds for it at this moment."""
        network, known = self._registry.network(fresh=True), self._registry.rollouts.all()
        return [SystemMode(*system, known.get(system, Rollout())) for system in _declared(network)]

    def scopes(self, skus: Sequence[str], locations: Sequence[str]) -> list[Scope]:
        """Return the scopes that SKUs (or prefixes, ``ABC*``) at locations make; none named is all.

        Raises
        ------
        RolloutFieldError
        """
        declared = self._registry.network(fresh=True).locations
        for location in locations:
            if location not in declared:
                listed = ", ".join(sorted(declared)) or "none"
                raise RolloutFieldError("locations", f"{location!r} is not declared", f"declared: {listed}")
        exact = [Sku(skus_) for skus_ in skus if not skus_.endswith(ANY)]
        for skus_ in skus:
            if ANY in skus_.removesuffix(ANY):
                raise RolloutFieldError("skus", f"{skus_!r} has a * inside", "end a prefix with one *")
        unknown = [sku for sku in exact if not self._registry.is_item(sku)]
        if unknown:
            reason = f"{unknown[0]!r} is not an item"
            raise RolloutFieldError("skus", reason, "import it first, or end a prefix with *")
        found = [
            Scope(skus_, None if location is None else LocationId(location))
            for skus_ in skus or [ANY]
            for location in (locations or (None,))
        ]
        if len(found) > MOST_SCOPES:
            reason = f"they make {len(found)} scopes, more than {MOST_SCOPES}"
            raise RolloutFieldError("skus", reason, "name prefixes, or switch in several steps")
        return found

    def switch(
        self,
        kind: str,
        name: str,
        scopes: Sequence[Scope],
        mode: Mode,
        actor: str,
        *,
        most: int | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Switched:
        """Put all of some scopes into a mode.

        Parameters
        ----------
        most
            How many listings are queued for a look at most; None: all of them.

        Raises
        ------
        RolloutFieldError, RolloutBusyError
        OSError
            When the looks could not be queued; the mode holds, and doing it again queues them.
        """
        network = self._registry.network(fresh=True)
        if (kind, name) not in _declared(network):
            known = [id_ for of, id_ in _declared(network) if of == kind]
            listed = ", ".join(known) or "none"
            raise RolloutFieldError("name", f"{name!r} is not a declared {kind}", f"declared: {listed}")

        def change(before: Rollout) -> Rollout:
            for scope in scopes:
                before = before.switched(scope, mode)
            return before

        after = change(self._registry.rollouts.of(kind, name))
        for scope in scopes:
            _refuse_unheard(network, kind, name, after, scope)
        rollout = self._registry.rollouts.change(kind, name, change, actor, self._clock())
        self._registry.network(fresh=True)
        if kind == SOURCE:
            return Switched(rollout)
        skus = iter(dict.fromkeys(self._listed(ChannelId(name), scopes)))
        queued = queue_fresh_look(self._lanes, ChannelId(name), islice(skus, most), progress=progress)
        return Switched(rollout, queued, next(skus, None) is None)

    def _listed(self, channel: ChannelId, scopes: Iterable[Scope]) -> Iterator[Sku]:
        """Yield the items of some scopes that a channel sells."""
        patterns = dict.fromkeys(scope.skus for scope in scopes)
        exact = [Sku(skus) for skus in patterns if not skus.endswith(ANY)]
        yield from self._registry.listings(channel, exact)
        if len(exact) < len(patterns):
            prefixes = tuple(skus.removesuffix(ANY) for skus in patterns if skus.endswith(ANY))
            yield from (sku for sku in self._registry.skus_of_channel(channel) if sku.startswith(prefixes))


def _refuse_unheard(network: Network, kind: str, name: str, after: Rollout, scope: Scope) -> None:
    """Refuse a channel live, or a source not, where the one would be sent numbers without its orders from the other."""
    for source in network.sources.values():
        channel = None if source.channel is None else network.channels.get(source.channel)
        if channel is None or name != (channel.id if kind == CHANNEL else source.id):
            continue
        sells = after if kind == CHANNEL else channel.rollout or ALL_LIVE
        orders = after if kind == SOURCE else source.rollout or ALL_LIVE
        part = sold_unheard(sells, orders, scope, channel.locations)
        if part is None:
            continue
        where = f"{channel.id} would be live for {part} while {source.id}, which brings its orders, is not"
        remedy = (
            f"put {source.id} live there first, and replay its orders"
            if kind == CHANNEL
            else f"put {channel.id} into shadow there first"
        )
        reason = f"{where}: it would be sent numbers from which its own sales are missing"
        raise RolloutFieldError("mode", reason, remedy)


def _declared(network: Network) -> list[tuple[str, str]]:
    sources = [(SOURCE, str(source)) for source in sorted(network.sources)]
    return sources + [(CHANNEL, str(channel)) for channel in sorted(network.channels)]
