"""How well it goes: the match rate, whether a location may be cut over, and the key figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from infra.cli.console import Session, command, table
from infra.cli.trace_page import took

_DAY = click.DateTime(["%Y-%m-%d"])


def _range(first: Any, last: Any) -> dict[str, str]:
    """Return the days that were named, as the API takes them."""
    named = {"from": first, "to": last}
    return {name: f"{day:%Y-%m-%d}" for name, day in named.items() if day is not None}


@command("match-rate")
@click.option("--from", "first", type=_DAY, help="The first day (UTC).  [default: 6 days before the last]")
@click.option("--to", "last", type=_DAY, help="The last day (UTC).  [default: today]")
@click.pass_obj
def match_rate(session: Session, first: Any, last: Any) -> None:
    """Say how far the book can be trusted.

    Against counts of the shelf, and apart from that against each system; by day, with what was done by hand.
    """
    found = session.target.api.get("match-rate", **_range(first, last))
    session.show(found, _match_lines(found))


def _match_lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"from {found['from']} to {found['to']} (UTC)"
    for title, name, nothing in (
        ("against counts of the shelf", "counts", "nothing was counted"),
        ("rows of snapshots that the book was posted from", "snapshots", ""),
    ):
        rows = [
            (
                one["location"],
                one["source"],
                one["compared"],
                one["matched"],
                rate(one["rate"]),
                one["units_off"],
            )
            for one in found[name]
        ]
        if rows or nothing:
            yield ""
            yield f"{title}:"
            heads = ("location", "by", "counts", "matched", "rate", "units off")
            yield from table(heads, rows) if rows else [nothing]
    yield ""
    yield "against each system:"
    yield from _systems(found["systems"])
    yield ""
    yield "by day:"
    yield from table(
        ("day", "location", "counts", "rate", "by hand", "systems"),
        [
            (
                one["day"],
                one["location"],
                one["compared"],
                rate(one["rate"]),
                ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in one["interventions"].items()),
                ", ".join(f"{source} {rate(of['rate'])}" for source, of in one["systems"].items()),
            )
            for one in found["days"]
        ],
    )


def _systems(systems: list[Mapping[str, Any]]) -> list[str]:
    if not systems:
        return ["not measured: no system has said a number whose meaning is declared"]
    heads = ("system", "location", "numbers", "agree", "rate", "to the unit", "measured")
    rows = [
        (
            one["source"],
            one["location"],
            one["compared"],
            one["matched"],
            rate(one["rate"]),
            one["equal"],
            "now" if one["swept_on"] is None else f"sweep of {one['swept_on']}",
        )
        for one in systems
    ]
    silent = [f"{one['source']} at {one['location']}" for one in systems if not one["compared"]]
    said = (
        f"compared with NOTHING: {', '.join(silent)}. It names bins or lots, or it is too early to judge: see "
        "`onecount shadow-report`, or have it send totals"
    )
    return [*table(heads, rows), *([said] if silent else [])]


@command("cutover")
@click.pass_obj
def cutover(session: Session, /) -> None:
    """Say which locations may rely on Onecount alone, and why not.

    Seven days in a row, up to yesterday, on each of which something was counted, at least 99.5 % of it matched and
    nobody intervened by hand. Exit code 1 where a location does not pass.
    """
    found = session.target.api.get("match-rate")
    session.show({"cutover": found["cutover"]}, _gates(found["cutover"]))
    if not all(one["passes"] for one in found["cutover"]):
        click.get_current_context().exit(1)


def _gates(gates: list[Mapping[str, Any]]) -> Iterator[str]:
    if not gates:
        yield "no location is declared"
    for one in gates:
        verdict = "may be cut over" if one["passes"] else "not yet"
        yield (
            f"{one['location']}: {verdict} ({one['days_passed']} of {one['days_needed']} days up to {one['last_day']}; "
            f"{one['matched']} of {one['compared']} counts matched, {rate(one['rate']) or 'no rate'})"
        )
        yield from (f"  {reason}" for reason in one["why"])


@command("kpis")
@click.option("--from", "first", type=_DAY, help="The first day (UTC).  [default: 29 days before the last]")
@click.option("--to", "last", type=_DAY, help="The last day (UTC).  [default: today]")
@click.pass_obj
def kpis(session: Session, first: Any, last: Any) -> None:
    """Tell the key figures of some days.

    Latencies, failures, oversells, match rate, variance, adjustments, drift; what is not measured says why.
    """
    found = session.target.api.get("kpis", **_range(first, last))
    session.show(found, _figures(found))


def _figures(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"from {found['from']} to {found['to']} (UTC)"
    for one in found["kpis"]:
        yield ""
        yield f"{one['name'].replace('_', ' ')}: {one['says']}"
        if one["not_measured"]:
            yield f"  not measured: {one['not_measured']}"
        elif not one["rows"]:
            yield "  nothing in these days"
        else:
            names = list(one["rows"][0])
            heads = [name.removesuffix("_ms").replace("_", " ") for name in names]
            rows = [[_figure(name, row[name]) for name in names] for row in one["rows"]]
            yield from (f"  {line}" for line in table(heads, rows))


def _figure(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name.endswith("_ms"):
        return f"<= {took(value)}"
    return rate(value) if name.endswith("rate") else value


def rate(hundredths: int | None) -> str | None:
    """Write hundredths of a per cent."""
    return None if hundredths is None else f"{hundredths // 100}.{hundredths % 100:02} %"
