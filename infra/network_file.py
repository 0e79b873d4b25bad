"""``network.yaml``: the declared network as its owner writes it, checked before anything is applied.

Every mistake is reported with the path of the field, what is wrong with it, and what would be right.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import time, timedelta
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from shared.channels.registry import CONNECTORS
from shared.domain.cases import CaseKind
from shared.domain.damping import Damping
from shared.domain.digest import DigestTime
from shared.domain.drift import FormulaError, parse_formula
from shared.domain.handoffs import DeclaredPath
from shared.domain.money import BadMoneyError, parse_money
from shared.domain.network import (
    MANUAL,
    Channel,
    Grain,
    Location,
    Replenishment,
    Route,
    Source,
    Tolerance,
)
from shared.domain.rollout import ANY, EVERYTHING, Mode, Rollout, Rule, Scope
from shared.domain.rules import FourEyes, Rules
from shared.domain.stock import ChannelId, LocationId, Sku, SourceId
from shared.sources.registry import FILE_CONNECTORS, WEBHOOK_CONNECTORS
from shared.sources.snapshot_layout import SnapshotLayout, parse_layout
from shared.sources.wrong_fields import reason_of
from shared.store.registry import Network

LONGEST_DAY = timedelta(hours=25)
"""A day, also when the clocks are set back in it."""

RESERVED = frozenset({str(MANUAL.id), "onecount"})
"""Names that no source may have: what people enter by hand, and what we write ourselves."""

RESERVED_FOR_ORDERS = frozenset({"reservation", "transfer"})
"""Names that no channel may have: those of our own orders begin with them, as those of a channel's do with its name."""

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Text = Annotated[str, StringConstraints(min_length=1)]


def _plain(value: Any) -> Any:
    """Refuse what JSON has no form for: YAML reads an unquoted date as a date."""
    try:
        json.dumps(value)
    except TypeError as error:
        raise ValueError(f"{value!r} is not plain text, number, list or map; put it in quotes") from error
    return value


Option = Annotated[Any, AfterValidator(_plain)]


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ToleranceDeclaration(_Declared):
    """A difference that is forgiven: the larger of a share of the number and some units."""

    percent: Annotated[Decimal, Field(ge=0, le=100, decimal_places=2)] = Decimal(0)
    units: Annotated[int, Field(ge=0)] = 0

    def tolerance(self) -> Tolerance:
        return Tolerance(int(self.percent * 100), self.units)


def _money(text: str) -> str:
    try:
        parse_money(text)
    except BadMoneyError as error:
        raise ValueError(str(error)) from error
    return text


Amount = Annotated[str, AfterValidator(_money)]


class DriftToleranceDeclaration(ToleranceDeclaration):
    """A drift that is forgiven: the largest of a share, some units, and units of some value (``25.00 EUR``)."""

    value: Amount | None = None

    def tolerance(self) -> Tolerance:
        worth = None if self.value is None else parse_money(self.value)
        return Tolerance(int(self.percent * 100), self.units, worth)


SkuPattern = Annotated[str, StringConstraints(pattern=r"^([^*]+\*?|\*)$", max_length=200)]


class RolloutRuleDeclaration(_Declared):
    """A mode for some SKUs (a SKU, or a prefix like ``TEA*``) at some locations; what is left out is all of them."""

    mode: Mode
    skus: Annotated[list[SkuPattern], Field(min_length=1)] = [ANY]
    locations: Annotated[list[Id], Field(min_length=1)] | None = None

    def scopes(self) -> list[Scope]:
        places = self.locations or (None,)
        return [
            Scope(skus, None if place is None else LocationId(place))
            for skus in self.skus
            for place in places
        ]


def _rollout(said: list[RolloutRuleDeclaration] | None) -> Rollout | None:
    if said is None:
        return None
    rules = tuple(Rule(scope, one.mode) for one in said for scope in one.scopes())
    return Rollout(rules or (Rule(EVERYTHING, Mode.LIVE),))


class SourceDeclaration(_Declared):
    """A system that sends."""

    connector: Text
    meaning: dict[Text, Text] = {}
    locations: dict[Text, Id] = {}
    maps_codes: bool = False
    channel: Id | None = None
    drop: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*/$")] | None = None
    future_skew_s: Annotated[int, Field(ge=0, le=604_800)] = 300
    clock_skew_s: Annotated[int, Field(ge=0, le=3600)] = 0
    coarsest_count_s: Annotated[int, Field(ge=0, le=172_800)] | None = None
    freshness_s: Annotated[int, Field(ge=1, le=31_622_400)] | None = None
    latency_s: Annotated[int, Field(ge=0, le=604_800)] = 0
    tolerance: DriftToleranceDeclaration | None = None
    class_tolerances: dict[Text, DriftToleranceDeclaration] = {}
    counted_by_hand: bool = False
    options: dict[str, Option] = {}
    rollout: list[RolloutRuleDeclaration] | None = None


class RouteDeclaration(_Declared):
    """A way from another location: how long it takes, what one transfer costs, and how many units it takes."""

    lead_time_h: Annotated[int, Field(ge=1, le=8_784)]
    cost: Amount | None = None
    capacity: Annotated[int, Field(ge=1)] | None = None
    priority: Annotated[int, Field(ge=0, le=1000)] = 100

    def route(self, origin: str) -> Route:
        cost = None if self.cost is None else parse_money(self.cost)
        lead_time = timedelta(hours=self.lead_time_h)
        return Route(LocationId(origin), lead_time, cost, self.capacity, self.priority)


class ReplenishDeclaration(_Declared):
    """What stock a location should have, and from where it is replenished."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    cover_days: Annotated[int, Field(ge=0, le=366)] = 14
    minimum: Annotated[dict[Text, Annotated[int, Field(ge=1)]], Field(max_length=5_000)] = {}
    ways: Annotated[dict[Id, RouteDeclaration], Field(alias="from")] = {}

    def rule(self) -> Replenishment:
        minimum = {Sku(sku): units for sku, units in self.minimum.items()}
        routes = tuple(way.route(origin) for origin, way in self.ways.items())
        return Replenishment(self.cover_days, minimum, routes)


class LocationDeclaration(_Declared):
    """A place that holds stock, who is believed there, and whether it keeps bins or lots apart."""

    counts: Id | None = None
    movements: Id | None = None
    grain: Grain = Grain.LOCATION
    approve_beyond: ToleranceDeclaration | None = None
    undecided_within: ToleranceDeclaration = ToleranceDeclaration()
    posting_delay_s: Annotated[int, Field(ge=0, le=31_622_400)] = 86_400
    tolerance: DriftToleranceDeclaration | None = None
    replenish: ReplenishDeclaration | None = None


class ChannelDeclaration(_Declared):
    """A system that we tell what it may sell."""

    connector: Text
    locations: dict[Id, Text]
    demand_location: Id | None = None
    sells_down: bool = False
    safety_stock: Annotated[int, Field(ge=0)] = 0
    buffer_percent: Annotated[int, Field(ge=0, le=100)] = 0
    cap: Annotated[int, Field(ge=0)] | None = None
    sourcing: list[Id] = []
    priority: Annotated[int, Field(ge=0, le=1000)] = 100
    stale_percent: Annotated[int, Field(ge=0, le=100)] = 0
    lateness_s: Annotated[int, Field(ge=0, le=604_800)] = 30
    patience_s: Annotated[int, Field(ge=0, le=604_800)] = 900
    calls_per_minute: Annotated[int, Field(ge=1)] = 120
    options: dict[str, Option] = {}
    rollout: list[RolloutRuleDeclaration] | None = None


class FourEyesDeclaration(_Declared):
    """From what size on a change needs two people: an amount like 1000 EUR, and units where no price is known."""

    above: Amount | None = None
    units_above: Annotated[int, Field(ge=0)] | None = None

    def rule(self) -> FourEyes:
        return FourEyes(None if self.above is None else parse_money(self.above), self.units_above)


class WritePathDeclaration(_Declared):
    """A handoff between two other systems that goes past us: the ERP writes to the storefront every 15 minutes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    giver: Annotated[Id, Field(alias="from")]
    taker: Annotated[Id, Field(alias="to")]
    mechanism: Annotated[str, StringConstraints(max_length=100)] = ""
    every_minutes: Annotated[int, Field(ge=1, le=525_600)] | None = None

    def path(self) -> DeclaredPath:
        every = None if self.every_minutes is None else timedelta(minutes=self.every_minutes)
        return DeclaredPath(self.giver, self.taker, self.mechanism, every)


class DampingDeclaration(_Declared):
    """From how many swings within what time corrections that undo each other are one case."""

    swings: Annotated[int, Field(ge=1, le=10)] = 3
    within_minutes: Annotated[int, Field(ge=1, le=43_200)] = 1_440

    def rule(self) -> Damping:
        return Damping(self.swings, timedelta(minutes=self.within_minutes))


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}; write one like Europe/Berlin") from error
    return name


class DigestDeclaration(_Declared):
    """When the digest of a day is sent."""

    at: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "07:00"
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"

    def rule(self) -> DigestTime:
        return DigestTime(time.fromisoformat(self.at), self.time_zone)


class RulesDeclaration(_Declared):
    """Rules of the whole house."""

    four_eyes: FourEyesDeclaration | None = None
    due_minutes: dict[CaseKind, Annotated[int, Field(ge=1, le=525_600)]] = {}
    write_paths: list[WritePathDeclaration] = []
    damping: DampingDeclaration = DampingDeclaration()
    digest: DigestDeclaration | None = DigestDeclaration()

    def rules(self) -> Rules:
        return Rules(
            None if self.four_eyes is None else self.four_eyes.rule(),
            {kind: timedelta(minutes=minutes) for kind, minutes in self.due_minutes.items()},
            tuple(path.path() for path in self.write_paths),
            self.damping.rule(),
            None if self.digest is None else self.digest.rule(),
        )


class NetworkDeclaration(_Declared):
    """The whole file."""

    sources: dict[Id, SourceDeclaration] = {}
    locations: dict[Id, LocationDeclaration]
    channels: dict[Id, ChannelDeclaration] = {}
    rules: RulesDeclaration = RulesDeclaration()


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong with the file."""

    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class NetworkFileError(ValueError):
    """The file cannot be applied; ``mistakes`` lists everything that is wrong with it."""

    def __init__(self, path: Path, mistakes: list[Mistake]) -> None:
        super().__init__(f"{path}: " + "; ".join(str(mistake) for mistake in mistakes))
        self.mistakes = mistakes


def read_network(path: Path) -> Network:
    """Read and check a network file.

    Raises
    ------
    NetworkFileError
        When it is not YAML, a field is wrong, or something is named that is not declared.
    """
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
        _require_mapping(path, said)
        declared = NetworkDeclaration.model_validate(said)
    except OSError as error:
        raise NetworkFileError(path, [Mistake("file", f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise NetworkFileError(path, [Mistake("file", "is not UTF-8; save it as UTF-8")]) from error
    except RecursionError as error:
        raise NetworkFileError(path, [Mistake("file", "is nested too deeply; see the example")]) from error
    except yaml.YAMLError as error:
        raise NetworkFileError(path, [Mistake("file", f"is not YAML: {error}")]) from error
    except ValidationError as error:
        found = [Mistake(".".join(map(str, e["loc"])) or "file", _reason(e)) for e in error.errors()]
        raise NetworkFileError(path, found) from error
    mistakes = _mistakes(declared)
    if mistakes:
        raise NetworkFileError(path, mistakes)
    return Network(
        {SourceId(name): _source(name, s) for name, s in declared.sources.items()},
        {LocationId(name): _location(name, x) for name, x in declared.locations.items()},
        {ChannelId(name): _channel(name, c) for name, c in declared.channels.items()},
        declared.rules.rules(),
    )


def _require_mapping(path: Path, said: object) -> None:
    example = "write sources, locations, channels and rules as infra/local/network.yaml does"
    if said is None:
        raise NetworkFileError(path, [Mistake("file", f"is empty; {example}")])
    if not isinstance(said, dict):
        raise NetworkFileError(path, [Mistake("file", f"is not a mapping; {example}")])


def _reason(error: ErrorDetails) -> str:
    """Say what is wrong; a field that does not exist is answered with those that do."""
    if error["type"] != "extra_forbidden":
        return reason_of(error)
    *above, name = error["loc"]
    known = sorted(_fields(above))
    near = get_close_matches(str(name), known, n=1)
    remedy = f"write {near[0]}, or leave it out" if near else "leave it out"
    return f"there is no such field, only {', '.join(known)}; {remedy}"


def _fields(path: Sequence[int | str]) -> Iterator[str]:
    """Yield the names of the fields that a declaration at a path of the file may have."""
    at: Any = NetworkDeclaration
    for part in path:
        if isinstance(at, type) and issubclass(at, _Declared):
            at = next(f.annotation for name, f in at.model_fields.items() if part in (name, f.alias))
        else:
            at = get_args(at)[-1]  # what a mapping or list holds
        if isinstance(at, UnionType):
            at = next(one for one in get_args(at) if one is not NoneType)
    yield from (field.alias or name for name, field in at.model_fields.items())


def _mistakes(declared: NetworkDeclaration) -> list[Mistake]:
    """Find what only shows across the file: names that are not declared, formulas and connectors that do not exist."""
    found: list[Mistake] = []

    def must_be(field: str, name: str | None, known: Mapping[str, object], what: str) -> None:
        if name is not None and name not in known:
            listed = ", ".join(sorted(known)) or "none"
            found.append(Mistake(field, f"{name!r} is not a declared {what}; declared: {listed}"))

    connectors = dict.fromkeys(WEBHOOK_CONNECTORS | FILE_CONNECTORS)
    for name, source in declared.sources.items():
        at = f"sources.{name}"
        if name in RESERVED:
            found.append(Mistake(at, f"{name!r} is the name of what Onecount itself enters; give it another"))
        must_be(f"{at}.connector", source.connector, connectors, "connector")
        must_be(f"{at}.channel", source.channel, declared.channels, "channel")
        for code, location in source.locations.items():
            must_be(f"{at}.locations.{code}", location, declared.locations, "location")
        for element, formula in source.meaning.items():
            try:
                parse_formula(formula)
            except FormulaError as error:
                found.append(Mistake(f"{at}.meaning.{element}", str(error)))
        if source.connector in FILE_CONNECTORS and source.drop is None:
            found.append(
                Mistake(f"{at}.drop", "is missing: the folder of the drop bucket it writes to, like wms/")
            )
    for name, place in declared.locations.items():
        must_be(f"locations.{name}.counts", place.counts, declared.sources, "source")
        must_be(f"locations.{name}.movements", place.movements, declared.sources, "source")
        for origin in () if place.replenish is None else place.replenish.ways:
            field = f"locations.{name}.replenish.from.{origin}"
            must_be(field, origin, declared.locations, "location")
            if origin == name:
                found.append(Mistake(field, "is the location itself; name another one"))
    for name, channel in declared.channels.items():
        if name in RESERVED_FOR_ORDERS:
            found.append(
                Mistake(f"channels.{name}", f"{name!r} is how our own orders begin; give it another")
            )
        must_be(f"channels.{name}.connector", channel.connector, CONNECTORS, "connector")
        for location_id in channel.locations:
            must_be(f"channels.{name}.locations.{location_id}", location_id, declared.locations, "location")
        must_be(f"channels.{name}.demand_location", channel.demand_location, declared.locations, "location")
        for number, location_id in enumerate(channel.sourcing):
            what = f"location of channel {name}"
            must_be(f"channels.{name}.sourcing[{number}]", location_id, channel.locations, what)
    for at, one in _rolled_out(declared):
        scopes = set[Scope]()
        for number, rule in enumerate(one.rollout or ()):
            for place_id in rule.locations or ():
                must_be(f"{at}.rollout[{number}].locations", place_id, declared.locations, "location")
            for scope in rule.scopes():
                if scope in scopes:
                    reason = f"says the mode of {scope} a second time; leave one of them out"
                    found.append(Mistake(f"{at}.rollout[{number}]", reason))
                scopes.add(scope)
    for number, path in enumerate(declared.rules.write_paths):
        systems = {**declared.sources, **declared.channels}
        must_be(f"rules.write_paths[{number}].to", path.taker, systems, "source or channel")
    return found


def _rolled_out(
    declared: NetworkDeclaration,
) -> Iterator[tuple[str, SourceDeclaration | ChannelDeclaration]]:
    yield from ((f"sources.{name}", source) for name, source in declared.sources.items())
    yield from ((f"channels.{name}", channel) for name, channel in declared.channels.items())


def _source(name: str, said: SourceDeclaration) -> Source:
    options = dict(said.options)
    if said.drop is not None:
        options["drop"] = said.drop
    return Source(
        SourceId(name),
        said.connector,
        dict(said.meaning),
        {code: LocationId(location) for code, location in said.locations.items()},
        said.maps_codes,
        None if said.channel is None else ChannelId(said.channel),
        timedelta(seconds=said.future_skew_s),
        options,
        timedelta(seconds=said.clock_skew_s),
        _coarsest_count(said),
        None if said.freshness_s is None else timedelta(seconds=said.freshness_s),
        timedelta(seconds=said.latency_s),
        None if said.tolerance is None else said.tolerance.tolerance(),
        {item_class: rule.tolerance() for item_class, rule in said.class_tolerances.items()},
        said.counted_by_hand,
        _rollout(said.rollout),
    )


def _coarsest_count(said: SourceDeclaration) -> timedelta:
    """Return how long a count of a source may leave open: what is declared, else a day where it names dates alone."""
    if said.coarsest_count_s is not None:
        return timedelta(seconds=said.coarsest_count_s)
    layout = parse_layout(said.options) if said.connector == "csv_snapshot" else None
    is_coarse = isinstance(layout, SnapshotLayout) and layout.as_of.may_name_dates_alone
    return LONGEST_DAY if is_coarse else timedelta(0)


def _location(name: str, said: LocationDeclaration) -> Location:
    return Location(
        LocationId(name),
        None if said.counts is None else SourceId(said.counts),
        None if said.movements is None else SourceId(said.movements),
        said.grain,
        None if said.approve_beyond is None else said.approve_beyond.tolerance(),
        said.undecided_within.tolerance(),
        timedelta(seconds=said.posting_delay_s),
        None if said.tolerance is None else said.tolerance.tolerance(),
        None if said.replenish is None else said.replenish.rule(),
    )


def _channel(name: str, said: ChannelDeclaration) -> Channel:
    return Channel(
        ChannelId(name),
        said.connector,
        {LocationId(ours): theirs for ours, theirs in said.locations.items()},
        None if said.demand_location is None else LocationId(said.demand_location),
        said.sells_down,
        said.safety_stock,
        timedelta(seconds=said.lateness_s),
        timedelta(seconds=said.patience_s),
        said.calls_per_minute,
        dict(said.options),
        said.buffer_percent,
        said.cap,
        tuple(LocationId(place) for place in said.sourcing),
        said.priority,
        said.stale_percent,
        rollout=_rollout(said.rollout),
    )
