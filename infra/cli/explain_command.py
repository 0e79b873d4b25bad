"""Why a number differs: the likely causes with their evidence, and the lab in which they are put to the test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from infra.cli.console import CommandError, Session, brief, command, fields, session_of, table

if TYPE_CHECKING:
    from infra.incidents.lab import Score, Verdict

CASE = "drift:"
"""How the id of a case begins that can be explained."""

ALL_KINDS = "all"
CLEAN_SEEDS_PER_SEED = 5
"""Clean seeds that are played for each seed of a kind, when all kinds are."""

CAUSE_RIGHT, GUILTY_RIGHT, FALSE_ALARMS = 95, 90, 2
"""What the lab must reach: hundredths of causes and of guilty events named right, and false alarms in a hundred."""


@command("explain")
@click.argument("what", metavar="CASE|SKU@LOCATION")
@click.pass_obj
def explain(session: Session, what: str) -> None:
    """Say which handoff probably made a number differ.

    Of a drift case, or of every source that differs at a stock key: the likely causes, the most likely first, with
    what speaks for each, what to do, and what would confirm it. Causes that fit equally well have equal confidence.
    """
    api = session.target.api
    if what.startswith(CASE):
        found = [api.get("cases", what, "explanation")]
    else:
        sku, at, location = what.rpartition("@")
        if not (sku and at and location):
            raise CommandError(
                f"{what!r} is neither a drift case nor SKU@LOCATION", "see `onecount cases --kind drift`"
            )
        found = api.get("explanations", sku=sku, location=location)["explanations"]
    lines = [line for one in found for line in _told(one)] or ["every source agrees with the ledger"]
    session.show({"explanations": found}, lines)


def _told(found: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{found['source']} says {found['observed']} {found['element']} of {found['sku']} at {found['location']}, "
        f"the ledger {found['expected']} as of {brief(found['as_of'])} ({found['drift']:+d})"
    )
    if not found["hypotheses"]:
        yield "  they agree now"
    for one in found["hypotheses"]:
        yield ""
        yield f"  {one['confidence']:>3} %  {one['cause'].replace('_', ' ')} ({one['sphere']}): {one['said']}"
        for part in one["evidence"]:
            figures = [str(part[name]) for name in ("event", "quantity") if part[name] is not None]
            when = [] if part["at"] is None else [f"at {brief(part['at'])}"]
            yield f"         - {' '.join([part['what'], *figures, *when])}"
        yield f"         do: {one['remedy']}"
        yield f"         confirmed by: {one['confirm']}"
    yield ""


@command("drift")
@click.option(
    "--days",
    type=click.IntRange(0, 3650),
    default=30,
    show_default=True,
    help="How long ago closed cases count.",
)
@click.pass_obj
def drift(session: Session, days: int) -> None:
    """Say where drift comes from: by site, handoff and cause.

    Drift cases that are open, or were closed in the last days; the worst first. Where a few sites hold two thirds
    of the drifting units, they are named.
    """
    since = datetime.now(UTC) - timedelta(days=days)
    found = session.target.api.get("drift", since=since.isoformat())
    session.show(found, _drift_lines(found))


def _drift_lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['cases']} drift cases, {found['open']} open, {found['units']} units since {brief(found['since'])}"
    if found["most_at"]:
        held = sum(one["share"] for one in found["sites"] if one["site"] in found["most_at"])
        yield f"most of it ({held} %) is at {' and '.join(found['most_at'])}"
    for names in (("site",), ("handoff",), ("cause",), ("site", "handoff", "cause")):
        rows = found["paths" if len(names) > 1 else f"{names[0]}s"]
        if not rows:
            continue
        yield ""
        yield from table(
            (*names, "cases", "open", "units", "share"),
            [
                (
                    *(one[name].replace("_", " ") for name in names),
                    one["cases"],
                    one["open"],
                    one["units"],
                    f"{one['share']} %",
                )
                for one in rows
            ],
        )


@command("incident", targeted=False)
@click.option(
    "--kind", default=ALL_KINDS, show_default=True, metavar="KIND", help="The fault; or clean, for none."
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="The first seed; it alone decides its history."
)
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Seeds of each kind.")
@click.option("--jobs", type=click.IntRange(1), help="Seeds played at once.  [default: one for each core]")
@click.pass_context
def incident(context: click.Context, kind: str, seed: int, seeds: int, jobs: int | None) -> None:
    """Plant a fault in a simulated network, and score what is said.

    A warehouse, an ERP, a planner, a shop, each fed by a handoff of its own; one handoff fails in one way. Of one
    seed it shows what was planted and what is said of it, of many how often the cause and the guilty event were named
    right. With all kinds it exits 1 below 95 % of causes, 90 % of guilty events, or above 2 false alarms in 100.
    """
    from infra.incidents.faults import KINDS
    from infra.incidents.lab import CLEAN, campaign

    session = session_of(context)
    known = (*KINDS, CLEAN)
    if kind not in (*known, ALL_KINDS):
        raise CommandError(f"there is no kind {kind!r}", f"use one of: {', '.join(known)}, {ALL_KINDS}")
    wanted = [
        (one, number) for one in known if kind in (one, ALL_KINDS) for number in range(seed, seed + seeds)
    ]
    if kind == ALL_KINDS:
        more = range(seed + seeds, seed + seeds * CLEAN_SEEDS_PER_SEED)
        wanted += [(CLEAN, number) for number in more]

    def progress(done: int) -> None:
        if done % 25 == 0:
            session.say(f"{done} of {len(wanted)} seeds")

    score = campaign(wanted, jobs, progress)
    session.show(_scored(score), _told_of_one(score.verdicts[0]) if len(wanted) == 1 else told_of_many(score))
    if kind == ALL_KINDS and seeds > 1 and not is_good_enough(score):
        context.exit(1)


def is_good_enough(score: Score) -> bool:
    """Whether the lab's figures are reached."""
    seeds, clean = len(score.faulty), len(score.of("clean"))
    return (
        score.cause_right * 100 >= CAUSE_RIGHT * seeds
        and score.guilty_right * 100 >= GUILTY_RIGHT * seeds
        and score.false_alarms * 100 <= FALSE_ALARMS * clean
    )


def _scored(score: Score) -> dict[str, object]:
    return {
        "seeds": len(score.verdicts),
        "cause_right": score.cause_right,
        "guilty_right": score.guilty_right,
        "faulty_seeds": len(score.faulty),
        "clean_seeds": len(score.of("clean")),
        "false_alarms": score.false_alarms,
        "confusion": {kind: dict(named) for kind, named in score.confusion().items()},
        "wall_s": round(score.wall_s, 1),
        "wrong": [
            {
                "kind": verdict.kind,
                "seed": verdict.seed,
                "named": verdict.named,
                "confidence": verdict.confidence,
            }
            for verdict in score.faulty
            if not (verdict.is_cause_right and verdict.is_guilty_right)
        ],
    }


def told_of_many(score: Score) -> Iterator[str]:
    """Lay out a score: the confusion table, the shares, how well confidence is calibrated, what went wrong."""
    confusion = score.confusion()
    named = list(dict.fromkeys([*score.kinds, *sorted({n for tally in confusion.values() for n in tally})]))
    short = {name: name.replace("_", " ") for name in named}
    rows = [
        (
            short[kind],
            *(confusion[kind].get(name) or "." for name in named),
            sum(v.is_cause_right and v.is_guilty_right for v in score.of(kind)),
        )
        for kind in score.kinds
    ]
    yield from table(("planted \\ named", *(_initials(name) for name in named), "guilty"), rows)
    yield ""
    yield ", ".join(f"{_initials(name)} {short[name]}" for name in named)
    yield ""
    yield from table(
        ("confidence of the first", "seeds", "cause right"), score.calibration() or [("none", 0, 0)]
    )
    yield ""
    yield from fields(
        {
            "cause named right": _share(score.cause_right, len(score.faulty)),
            "and the guilty event": _share(score.guilty_right, len(score.faulty)),
            "false alarms": f"{score.false_alarms} of {len(score.of('clean'))} clean seeds",
            "wall time": f"{score.wall_s:,.0f} s",
        }
    )
    for verdict in score.faulty:
        if not (verdict.is_cause_right and verdict.is_guilty_right):
            yield f"onecount incident --kind {verdict.kind} --seed {verdict.seed}: {verdict.named} ({verdict.confidence} %)"


def _initials(name: str) -> str:
    return "".join(word[0] for word in name.replace("_", " ").split()).upper()


def _share(right: int, of: int) -> str:
    return f"{right} of {of} ({100 * right / of:.1f} %)" if of else "none played"


def _told_of_one(verdict: Verdict) -> Iterator[str]:
    truth = verdict.truth
    if truth is None:
        yield f"no fault was planted; drift cases: {', '.join(verdict.false_alarms) or 'none'}"
        return
    yield from fields(
        {
            "planted": truth.kind.replace("_", " "),
            "in the handoff to": truth.source,
            "at": f"{truth.key}, {truth.struck_at:%Y-%m-%d %H:%M:%S}",
            "guilty": ", ".join(truth.events) or ", ".join(truth.meanings) or "no event",
            "cause named": "right" if verdict.is_cause_right else "wrong",
            "guilty named": "right" if verdict.is_guilty_right else "wrong",
        }
    )
    if verdict.explanation is None:
        yield "no drift case was open at the end"
        return
    yield ""
    yield f"{truth.source} is off by {verdict.explanation.drift:+d}:"
    for one in verdict.explanation.hypotheses:
        yield f"  {one.confidence:>3} %  {one.cause.replace('_', ' ')}: {one.said}"
        for part in one.evidence:
            figures = [str(figure) for figure in (part.event, part.quantity) if figure is not None]
            yield f"         - {' '.join([part.what, *figures])}"
