"""Metrics to CloudWatch, as structured log lines (EMF): no call and no waiting, a line is a metric.

The namespace is ``Onecount``. Dimensions are few and come from the declared network, never from traffic: the stage, and
one of source, channel or location. The same facts are kept for good as counters of the day (``shared/store/tallies.py``);
these are for graphs and alarms, and a batch that is cut short between the two is missing here.

====================  ==========  ============  ========================================================
metric                dimension   unit          meaning
====================  ==========  ============  ========================================================
EventToPosting        source      Milliseconds  from when it happened until it was in the ledger
Counts, Matches       location    Count         counts of what is on the shelf, and those that matched
ManualAdjustments     location    Count         adjustments by hand
PushLatency           channel     Milliseconds  from the change until the channel confirmed the number
PushesFailed          channel     Count         SKUs whose push did not succeed, and is tried again
ReservationsRefused   channel     Count         reservations refused for want of stock
====================  ==========  ============  ========================================================
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from shared.domain.durations import Durations, bound_ms
from shared.domain.tallies import Counted, durations_of

NAMESPACE = "Onecount"

_OF_LOCATIONS = {"counted": "Counts", "matched": "Matches", "adjusted": "ManualAdjustments"}


def publish_counted(stage: str, counted: Iterable[Counted]) -> None:
    """Publish what was counted anew."""
    by_source: defaultdict[str, Counter[int]] = defaultdict(Counter)
    by_location: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in counted:
        for place, tally in one.tallies.items():
            by_source[place.source].update(durations_of(tally).steps)
            by_location[place.location].update({name: tally[name] for name in _OF_LOCATIONS if tally[name]})
    for source, steps in by_source.items():
        _publish(stage, "source", source, {"EventToPosting": _values(Durations(steps))}, {})
    for location, tally in by_location.items():
        _publish(stage, "location", location, {}, {_OF_LOCATIONS[name]: n for name, n in tally.items()})


def publish_pushes(stage: str, channel: str, took: Sequence[timedelta], failed: int) -> None:
    """Publish how long a channel's numbers took to be confirmed, and how many pushes failed."""
    times = [time // timedelta(milliseconds=1) for time in took]
    _publish(stage, "channel", channel, {"PushLatency": times}, {"PushesFailed": failed} if failed else {})


def publish_refused(stage: str, channel: str) -> None:
    """Publish that a reservation was refused for want of stock."""
    _publish(stage, "channel", channel, {}, {"ReservationsRefused": 1})


def _values(durations: Durations) -> list[int]:
    return [bound_ms(step) for step, count in durations.steps.items() for _ in range(count)]


def _publish(
    stage: str, dimension: str, name: str, times: dict[str, list[int]], counts: dict[str, int]
) -> None:
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    metrics.add_dimension("stage", stage)
    metrics.add_dimension(dimension, name)
    for metric, values in times.items():
        for value in values:
            metrics.add_metric(metric, MetricUnit.Milliseconds, value)
    for metric, count in counts.items():
        metrics.add_metric(metric, MetricUnit.Count, count)
    if metrics.metric_set:
        metrics.flush_metrics()
