"""Calls that explain differences: which handoff made a source's number differ, and where drift comes from in all."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from functions.inventory_api.edge import WATCHERS, Asked, RefusedError, call, house
from functions.inventory_api.stock_calls import location_of
from shared.domain.cases import CaseKind
from shared.domain.drift import Comparison
from shared.domain.drift_report import DriftReport, Tally
from shared.domain.events import instant
from shared.domain.root_cause import Evidence, Explanation, Hypothesis
from shared.domain.stock import LocationId, Sku, SourceId, StockKey
from shared.operations.explain import NothingSaidError
from shared.runtime.ground import now
from shared.runtime.http import Answer, Problem, answer

Json = dict[str, Any]

REPORTED = timedelta(days=30)
"""How far back closed drift cases are reported, where nobody says."""


@call("GET /v1/cases/<case>/explanation", WATCHERS)
def get_explanation(asked: Asked[Any]) -> Answer:
    """Rank what may have caused the difference that a drift case is about, by what is known now."""
    case = house().cases.get(asked.path["case"])
    if case.kind is not CaseKind.DRIFT:
        detail = f"a case of kind {case.kind} is about no difference"
        raise RefusedError(
            Problem(409, "not_possible", "Not possible", detail, "explain a case of kind drift")
        )
    key = StockKey(Sku(str(case.facts["sku"])), LocationId(str(case.facts["location"])))
    source, element = SourceId(str(case.facts["source"])), str(case.facts["element"])
    try:
        found = house().explainer.of_subject(key, source, element)
    except NothingSaidError as error:
        raise RefusedError(Problem(404, "not_found", "Not found", str(error))) from error
    return answer(200, explanation_view(*found))


@call("GET /v1/explanations", WATCHERS, query=("sku", "location"))
def list_explanations(asked: Asked[Any]) -> Answer:
    """Explain every source's difference at one stock key; a source that agrees is left out."""
    key = StockKey(Sku(asked.query.required("sku")), location_of(asked))
    found = house().explainer.of_key(key)
    if not found:
        house().view.must_know(key.sku)
    return answer(200, {"explanations": [explanation_view(*one) for one in found]})


@call("GET /v1/drift", WATCHERS, query=("since",))
def get_drift(asked: Asked[Any]) -> Answer:
    """Say where drift comes from: the cases by site, handoff and cause, the worst first.

    Counted are those that are open, and those closed at ``since`` or later (default: 30 days ago).
    """
    since = asked.query.instant("since") or now() - REPORTED
    return answer(200, drift_view(house().drift_desk.report(since), since))


def drift_view(report: DriftReport, since: datetime) -> Json:
    """Show where drift comes from."""
    return {
        "since": instant(since),
        "cases": report.cases,
        "open": report.still_open,
        "units": report.units,
        "most_at": list(report.most_at),
        "sites": [_tally_view(one, "site") for one in report.sites],
        "handoffs": [_tally_view(one, "handoff") for one in report.handoffs],
        "causes": [_tally_view(one, "cause") for one in report.causes],
        "paths": [_tally_view(one, "site", "handoff", "cause") for one in report.paths],
    }


def _tally_view(one: Tally, *names: str) -> Json:
    return {
        **dict(zip(names, one.names, strict=True)),
        "cases": one.cases,
        "open": one.still_open,
        "units": one.units,
        "share": one.share_hundredths,
    }


def explanation_view(comparison: Comparison, found: Explanation) -> Json:
    """Show a difference with its ranked hypotheses."""
    seen = comparison.observation
    return {
        "source": seen.source,
        "sku": seen.sku,
        "location": seen.location,
        "element": seen.element,
        "meaning": comparison.meaning,
        "observed": seen.quantity,
        "expected": comparison.expected,
        "drift": comparison.drift,
        "as_of": instant(seen.as_of),
        "hypotheses": [_hypothesis_view(one) for one in found.hypotheses],
        "looked_at": {"statements": found.statements, "changes": found.changes},
    }


def _hypothesis_view(one: Hypothesis) -> Json:
    partner = None if one.partner is None else {"sku": one.partner.sku, "location": one.partner.location}
    return {
        "cause": one.cause,
        "sphere": one.sphere,
        "confidence": one.confidence,
        "said": one.said,
        "events": list(one.events),
        "partner": partner,
        "meaning": one.meaning or None,
        "evidence": [_evidence_view(part) for part in one.evidence],
        "remedy": one.remedy,
        "confirm": one.confirm,
    }


def _evidence_view(part: Evidence) -> Json:
    return {
        "what": part.what,
        "at": None if part.at is None else instant(part.at),
        "quantity": part.quantity,
        "event": part.event,
    }
