"""The ``/v1`` API: stock, journal, reservations, cases and dead letters, each call for the scopes that may make it.

==============================================  ====================
call                                            scope
==============================================  ====================
GET stock, journal, availability                viewer, reserver
POST, GET, DELETE reservations                  reserver
GET cases, work queue, messages, dead letters   viewer
GET explanations, drift, trace, write paths     viewer
GET shadow report, drills, advice               viewer
GET match rate, KPIs                            viewer
POST case actions, replay, redrive              operator
POST case assign, comment, escalate             operator, approver
POST case approve, reject; POST message undo    approver
PUT lots, POST lot recall                       operator
GET transfers, their recommendations            viewer
POST transfers, their ship, receive and close   operator
POST transfers approve, close with a loss       approver
POST movements, counts                          operator
GET registry items, cross-references, rollouts  viewer
PUT registry items, cross-references, rollouts  admin
==============================================  ====================

``admin`` may do everything; an ``operator`` and an ``approver`` may also see what a viewer sees, and an ``operator``
may release any reservation, a ``reserver`` its own.
"""

from __future__ import annotations

from typing import Any

from functions.inventory_api import (
    advice_calls,
    approval_calls,
    case_calls,
    drill_calls,
    edge,
    explanation_calls,
    lot_calls,
    manual_calls,
    measure_calls,
    openapi,
    path_calls,
    registry_calls,
    reservation_calls,
    rollout_calls,
    stock_calls,
    trace_calls,
    transfer_calls,
)
from functions.inventory_api.edge import house
from shared.runtime.http import Answer
from shared.runtime.logging import log_to_stdout

__all__ = [
    "advice_calls",
    "approval_calls",
    "case_calls",
    "drill_calls",
    "explanation_calls",
    "handle",
    "house",
    "lot_calls",
    "manual_calls",
    "measure_calls",
    "openapi",
    "path_calls",
    "registry_calls",
    "reservation_calls",
    "rollout_calls",
    "stock_calls",
    "trace_calls",
    "transfer_calls",
]

log_to_stdout("inventory_api")


def handle(event: dict[str, Any], context: Any) -> Answer:
    """Answer one call."""
    return edge.resolve(event, context)
