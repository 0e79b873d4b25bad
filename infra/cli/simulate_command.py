"""The seeded fault simulation: plays histories full of faults against the real code, and counts what got lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from infra.cli.console import command, fields, session_of, table

if TYPE_CHECKING:
    from infra.simulation.campaign import Tally
    from infra.simulation.history import Verdict
    from infra.simulation.workload import Workload

REPORT_EVERY = 25_000
TRACE = 60
"""Lines of a failing seed's shortened trace that are printed, counted from its end."""


@command("simulate", targeted=False)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="The first seed; it alone decides its history."
)
@click.option("--seeds", type=click.IntRange(1), help="How many seeds to play.  [default: 1]")
@click.option("--deliveries", type=click.IntRange(1), help="Play seeds until so many deliveries are made.")
@click.option("--jobs", type=click.IntRange(1), help="Seeds played at once.  [default: one for each core]")
@click.option("--trace", is_flag=True, help="Print the whole trace of a failing seed, not shortened.")
@click.pass_context
def simulate(
    context: click.Context,
    seed: int,
    seeds: int | None,
    deliveries: int | None,
    jobs: int | None,
    trace: bool,
) -> None:
    """Play faults against the real code and count what got lost.

    Crashes, conflicts, lost answers, duplicates, reordering, delays and outages, drawn from each seed; every commit
    is compared with an independent oracle. A seed that fails is named with the invariant that it breaks and the
    shortest trace that still breaks it; --seed plays it again exactly. Exits 1 if any seed fails.
    """
    from infra.simulation.campaign import campaign, shorten

    session = session_of(context)
    said = failed = 0

    def progress(tally: Tally) -> None:
        nonlocal said, failed
        if len(tally.failures) > failed:
            failed = len(tally.failures)
            session.say(_broken(tally.failures[-1]))
        if tally.deliveries // REPORT_EVERY > said:
            said = tally.deliveries // REPORT_EVERY
            speed = tally.deliveries / max(tally.wall_s, 0.001)
            session.say(f"{tally.deliveries:,} deliveries, {tally.seeds:,} seeds, {speed:,.0f}/s")

    tally = campaign(seed, seeds=seeds, deliveries=deliveries, processes=jobs, progress=progress)
    shown = None
    if tally.failures:
        first = tally.failures[0]
        session.say(f"seed {first.seed} fails; looking for its shortest trace")
        shown = (None, first) if trace else shorten(first.seed)
    session.show(_answer(tally, shown), told(tally, shown))
    if tally.failures:
        context.exit(1)


def _answer(tally: Tally, shown: tuple[Workload | None, Verdict] | None) -> dict[str, object]:
    return {
        "seeds": tally.seeds,
        "deliveries": tally.deliveries,
        "duplicates": tally.duplicates,
        "commits": tally.commits,
        "lost_units": tally.lost,
        "doubled_units": tally.doubled,
        "oversold_units": tally.oversold,
        "faults": dict(tally.faults.most_common()),
        "virtual_days": round(tally.virtual_s / 86_400, 1),
        "wall_s": round(tally.wall_s, 1),
        "processes_replaced": tally.replaced,
        "failures": [
            {"seed": failed.seed, "invariant": failed.invariant, "broken": failed.broken}
            for failed in tally.failures
        ],
        "trace": [] if shown is None else shown[1].trace,
    }


def told(tally: Tally, shown: tuple[Workload | None, Verdict] | None) -> Iterator[str]:
    """Lay out a tally in words; with the shortened history of a failing seed, or its whole trace."""
    yield from table(
        ("fault injected", "times"),
        [(kind, times) for kind, times in tally.faults.most_common()] or [("none", 0)],
    )
    yield ""
    yield from fields(
        {
            "seeds": f"{tally.seeds:,}",
            "deliveries": f"{tally.deliveries:,}",
            "duplicates": f"{tally.duplicates:,}",
            "commits checked": f"{tally.commits:,}",
            "virtual time": f"{tally.virtual_s / 86_400:,.1f} days",
            "wall time": f"{tally.wall_s:,.1f} s ({tally.deliveries / max(tally.wall_s, 0.001):,.0f} deliveries/s)",
            "processes ended by somebody": tally.replaced,
            "lost units": tally.lost,
            "doubled units": tally.doubled,
            "oversold units": tally.oversold,
        }
    )
    for failed in tally.failures:
        yield ""
        yield _broken(failed)
    if shown is not None:
        workload, verdict = shown
        yield ""
        if workload is not None:
            yield f"seed {verdict.seed}, shortened to {len(workload.steps)} steps, still breaks: {verdict.broken}"
        yield from verdict.trace if workload is None else verdict.trace[-TRACE:]
        yield f"replay: onecount simulate --seed {verdict.seed}"


def _broken(failed: Verdict) -> str:
    return f"seed {failed.seed} breaks invariant {failed.invariant}: {failed.broken}"
