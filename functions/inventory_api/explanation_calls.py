"""Calls that explain a difference: which handoff made a source's number differ, and what speaks for it."""

from __future__ import annotations

from typing import Any

from functions.inventory_api.edge import WATCHERS, Asked, RefusedError, call, house
from functions.inventory_api.stock_calls import location_of
from shared.domain.cases import CaseKind
from shared.domain.drift import Comparison
from shared.domain.events import instant
from shared.domain.root_cause import Evidence, Explanation, Hypothesis
from shared.domain.stock import LocationId, Sku, SourceId, StockKey
from shared.operations.explain import NothingSaidError
from shared.runtime.http import Answer, Problem, answer

Json = dict[str, Any]


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
