"""Phased rollout: how far a source or a channel may act, by SKU and location.

=========  ==========================================  =========================================================
mode       a source                                    a channel
=========  ==========================================  =========================================================
observe    its numbers are kept and compared, nothing  what it shows is read and kept, nothing is sent
           it says is posted
shadow     the same, and what it would have posted is  the same, and what it would have been sent is kept
           kept
live       it posts what it is the authority for       it is sent what it may sell
=========  ==========================================  =========================================================

A rollout is a set of rules, each a mode for a scope. Of the rules that cover a stock key the most specific wins: by
SKU first (one SKU before a prefix, a longer prefix before a shorter one), then by location. Where none covers it, it
is live, as everything is of which nobody said anything.

Switching a scope decides for *all* of it, whatever stood there before: narrower rules inside it go, and where a rule
overlaps it and would win, a rule for just the overlap is put beside it. What lies outside stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from shared.domain.stock import LocationId, Sku

ANY = "*"
"""Ends a prefix; alone it stands for every SKU."""


class Mode(StrEnum):
    """How far a source or channel may act."""

    OBSERVE = "observe"
    SHADOW = "shadow"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Scope:
    """Some stock keys: those whose SKU is, or begins with, ``skus``, at one location or at all (None).

    ``skus`` is a SKU, or a prefix followed by ``*``.
    """

    skus: str = ANY
    location: LocationId | None = None

    def covers(self, skus: str, location: LocationId | None) -> bool:
        """Whether a stock key, or all of another scope, lies in it."""
        return self.location in (None, location) and _takes(self.skus, skus)

    def overlap(self, other: Scope) -> Scope | None:
        """Return what lies in both; None where nothing does."""
        if None not in (self.location, other.location) and self.location != other.location:
            return None
        narrower, wider = sorted((self.skus, other.skus), key=_narrowness, reverse=True)
        if not _takes(wider, narrower):
            return None
        return Scope(narrower, self.location or other.location)

    @property
    def rank(self) -> tuple[tuple[bool, int], bool]:
        """How specific it is: the greater wins."""
        return _narrowness(self.skus), self.location is not None

    def __str__(self) -> str:
        skus = "every SKU" if self.skus == ANY else self.skus
        return skus if self.location is None else f"{skus} at {self.location}"


EVERYTHING = Scope()


def _narrowness(skus: str) -> tuple[bool, int]:
    return not skus.endswith(ANY), len(skus)


def _takes(pattern: str, skus: str) -> bool:
    """Whether every SKU that ``skus`` stands for is one that ``pattern`` stands for."""
    return skus.startswith(pattern.removesuffix(ANY)) if pattern.endswith(ANY) else skus == pattern


@dataclass(frozen=True, slots=True)
class Stamp:
    """With which change of the rollout the mode of a scope came, and when; of the stamps the most specific counts."""

    scope: Scope = EVERYTHING
    version: int = 0
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A mode for a scope; ``version`` and ``since`` say with which change of the rollout it came, and when."""

    scope: Scope
    mode: Mode
    version: int = field(default=0, compare=False)
    since: datetime | None = field(default=None, compare=False)


_LIVE = Rule(EVERYTHING, Mode.LIVE)


@dataclass(frozen=True, slots=True)
class Rollout:
    """What a source or channel may do where.

    ``stamps`` say since when: they move only where a mode does, however wide the switch or file was that said it. Where
    a channel was live already, what is known of its listings stays known.
    """

    rules: tuple[Rule, ...] = ()
    stamps: tuple[Stamp, ...] = field(default=(), compare=False)

    def rule_of(self, skus: str, location: LocationId | None) -> Rule:
        """Return the rule that decides for a stock key (or for a scope, but for what narrower ones take out of it)."""
        covering = (rule for rule in self.rules if rule.scope.covers(skus, location))
        rule = max(covering, key=lambda rule: rule.scope.rank, default=_LIVE)
        stamp = _stamp_of(self.stamps, skus, location)
        return replace(rule, version=stamp.version, since=stamp.since)

    def mode_at(self, sku: Sku, location: LocationId) -> Mode:
        """Return how far it may act at a stock key."""
        return self.rule_of(sku, location).mode

    @property
    def is_live(self) -> bool:
        """Whether it is live everywhere."""
        return all(rule.mode is Mode.LIVE for rule in self.rules)

    def switched(self, scope: Scope, mode: Mode) -> Rollout:
        """Return the rollout in which all of ``scope`` is in ``mode``, and everything else as it was."""
        kept = [rule for rule in self.rules if rule.scope.overlap(scope) != rule.scope]
        stronger = [rule.scope for rule in kept if rule.scope.rank > scope.rank]
        overlaps = {part for one in stronger if (part := one.overlap(scope)) is not None}
        decided = [Rule(part, mode) for part in sorted({scope, *overlaps}, key=str)]
        return Rollout((*kept, *decided), self.stamps)

    def stamped(self, before: Rollout, version: int, at: datetime) -> Rollout:
        """Return it with the version and instant of a change wherever its mode is another than ``before``."""
        rules = (*self.rules, *before.rules)
        scopes = {EVERYTHING, *(rule.scope for rule in rules), *(stamp.scope for stamp in before.stamps)}
        # With every overlap, the narrowest that holds a stock key lies in all that hold it: its modes are the key's.
        scopes |= {part for one in scopes for other in scopes if (part := one.overlap(other)) is not None}
        stamps: list[Stamp] = []
        for scope in sorted(scopes, key=lambda scope: scope.rank):
            was, becomes = (one.rule_of(scope.skus, scope.location) for one in (before, self))
            stamp = Stamp(scope, version, at)
            if was.mode is becomes.mode:
                stamp = Stamp(scope, was.version, was.since)
            if stamp.version != _stamp_of(stamps, scope.skus, scope.location).version:
                stamps.append(stamp)
        return Rollout(self.rules, tuple(stamps))


def _stamp_of(stamps: Iterable[Stamp], skus: str, location: LocationId | None) -> Stamp:
    covering = (stamp for stamp in stamps if stamp.scope.covers(skus, location))
    return max(covering, key=lambda stamp: stamp.scope.rank, default=Stamp())


ALL_LIVE = Rollout()


def sold_unheard(
    channel: Rollout, orders: Rollout, scope: Scope, locations: Iterable[LocationId]
) -> Scope | None:
    """Return a part of ``scope`` where a channel is live and the source of its orders is not; None where there is none.

    There the channel would be sent numbers from which its own sales are missing.
    """
    patterns = {EVERYTHING.skus, *(rule.scope.skus for rule in (*channel.rules, *orders.rules))}
    for location in locations:
        for skus in sorted(patterns, key=_narrowness):
            part = Scope(skus, location).overlap(scope)
            if part is None:
                continue
            modes = [rollout.rule_of(part.skus, location).mode for rollout in (channel, orders)]
            if modes[0] is Mode.LIVE and modes[1] is not Mode.LIVE:
                return part
    return None
