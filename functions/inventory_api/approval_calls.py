"""Calls of an approver: counts and files that wait are approved or rejected, messages are undone."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from functions.inventory_api.edge import Asked, RefusedError, call, case_now, house
from functions.inventory_api.requests import Instant, InvalidFieldError, Reason, Request
from shared.domain.cases import CaseKind
from shared.domain.count_decisions import ChangedSinceSeenError
from shared.domain.network import Source
from shared.domain.stock import EventKey, MessageId
from shared.operations.case_desk import NotPossibleError
from shared.operations.count_desk import DECIDED_HERE
from shared.operations.post import PostingContendedError
from shared.operations.undo import NoSuchReportError, Undone
from shared.operations.undo_guard import undo_case
from shared.runtime.ground import now
from shared.runtime.http import Answer, Problem, answer
from shared.sources.contract import Fault, Report
from shared.sources.registry import translator
from shared.store.inbox import StoredMessage

APPROVERS = ("approver",)
UNDO_TAKES = timedelta(seconds=15)
"""How long one call undoes before it says where to go on."""

FORETELLING_TAKES = timedelta(seconds=6)
"""How long it is worked out beforehand how much an undo takes back."""

log = logging.getLogger(__name__)


class ApproveAction(Request):
    """What the approver saw, and the instant at which a suspended count was taken.

    ``seen`` is the ledger's number for a count, and the base units that an adjustment comes to.
    """

    seen: Annotated[int, Field(strict=True)] | None = None
    at: Instant | None = None


class RejectAction(Request):
    """Why a count or a file is dropped."""

    reason: Reason


class UndoAction(Request):
    """Why a message is undone. A ``dry_run`` only says what would change; ``next`` is that of the answer before."""

    reason: Reason
    dry_run: bool = False
    next: Annotated[int, Field(strict=True, ge=0, le=1_000_000_000)] = 0


@call("POST /v1/cases/<case>/approve", APPROVERS, body=ApproveAction)
def approve_case(asked: Asked[ApproveAction]) -> Answer:
    """Apply a count or a file that waits for that; 202 where a second person has to approve it, too."""
    name, desk = asked.path["case"], house().case_desk
    wanted = asked.body if asked.has_body else ApproveAction()
    replayed: int | None = 0
    try:
        if not _is_count(name):
            replayed = desk.approve_file(name, asked.client, wanted.seen)
        elif not desk.approve_count(name, asked.client, wanted.seen, wanted.at):
            replayed = None
    except ChangedSinceSeenError as changed:
        remedy = "look at the case again, and approve with the new number if it is right"
        figures = {"seen": changed.seen, "known": changed.known}
        raise RefusedError(
            Problem(409, "changed_since_seen", "Changed since seen", str(changed), remedy, "seen", figures)
        ) from changed
    except PostingContendedError as error:
        raise _busy() from error
    log.info("case_action", extra={"case_id": name, "action": "approve", "actor": asked.client})
    if replayed is None:
        return answer(202, {"case": case_now(name), "needs": "the approval of a second person"})
    return answer(200, {"case": case_now(name), "replayed": replayed})


@call("POST /v1/cases/<case>/reject", APPROVERS, body=RejectAction)
def reject_case(asked: Asked[RejectAction]) -> Answer:
    """Drop a count or a file that waits; a corrected one is another."""
    name, desk = asked.path["case"], house().case_desk
    try:
        if _is_count(name):
            desk.reject_count(name, asked.body.reason, asked.client)
        else:
            desk.reject_file(name, asked.body.reason, asked.client)
    except PostingContendedError as error:
        raise _busy() from error
    log.info("case_action", extra={"case_id": name, "action": "reject", "actor": asked.client})
    return answer(200, {"case": case_now(name)})


@call("POST /v1/messages/<message>/undo", APPROVERS, body=UndoAction)
def undo_message(asked: Asked[UndoAction]) -> Answer:
    """Take back what a message or a file did, by compensating entries; 202 where a second person has to do it."""
    name, wanted = MessageId(asked.path["message"]), asked.body
    stored = house().inbox.load(name)
    source = house().registry.network().source(stored.message.source)
    if source is None:
        raise NotPossibleError(
            f"source {stored.message.source} is declared no more, so nobody can read its messages"
        )
    if not wanted.dry_run:
        foretell = lambda: _undo(stored, source, asked, dry_run=True, first=0, takes=FORETELLING_TAKES)  # noqa: E731
        if not house().undo_guard.is_allowed(name, asked.client, wanted.reason, wanted.next, foretell):
            return answer(202, {"case": case_now(undo_case(name)), "needs": "the word of a second person"})
    done = _undo(stored, source, asked, dry_run=wanted.dry_run, first=wanted.next, takes=UNDO_TAKES)
    if not wanted.dry_run:
        if done.next is None:
            house().undo_guard.undone(name, asked.client)
        else:
            house().undo_guard.has_come_to(name, done.next)
        told = {"message_id": name, "events": done.events, "actor": asked.client}
        log.info("message_undone", extra=told)
    return answer(
        200,
        {
            "message_id": name,
            "dry_run": wanted.dry_run,
            "events": done.events,
            "already": done.already,
            "kept": _first(done.kept),
            "waits": done.waits[:SHOWN],
            "moved": [
                {
                    "sku": moved.key.sku,
                    "location": moved.key.location,
                    "counter": moved.counter,
                    "before": moved.before,
                    "after": moved.after,
                }
                for moved in done.moved[:SHOWN]
            ],
            "stock_keys": len({moved.key for moved in done.moved}),
            "next": done.next,
        },
    )


def _undo(
    stored: StoredMessage,
    source: Source,
    asked: Asked[UndoAction],
    *,
    dry_run: bool,
    first: int,
    takes: timedelta,
) -> Undone:
    reports: Iterable[Report | Fault]
    if stored.kind == "file":
        reports = house().ingester.reports(stored.message, source)
    else:
        reports = translator(source.connector).translate(stored.message, source)
    try:
        return house().undoer.undo(
            reports,
            source,
            stored.message,
            asked.client,
            asked.body.reason,
            dry_run=dry_run,
            first=first,
            until=now() + takes,
        )
    except NoSuchReportError as error:
        raise InvalidFieldError("next", str(error), "use the next of the last answer") from error
    except PostingContendedError as error:
        raise _busy() from error


SHOWN = 1_000
"""Entries of a list that one answer spells out."""


def _first(kept: dict[EventKey, str]) -> dict[str, Any]:
    return dict(list(kept.items())[:SHOWN])


def _is_count(case: str) -> bool:
    return CaseKind(house().cases.get(case).kind) in DECIDED_HERE


def _busy() -> RefusedError:
    detail = "others keep changing the same stock just now; what was done stays done"
    return RefusedError(Problem(503, "busy", "Busy", detail, "repeat the same request shortly"))
