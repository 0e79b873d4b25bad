"""Calls about what needs a decision: cases one by one and in bulk, raw messages, dead letters."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from functions.inventory_api import views
from functions.inventory_api.edge import (
    OPERATORS,
    WATCHERS,
    Asked,
    RefusedError,
    call,
    case_now,
    house,
    message_view,
)
from functions.inventory_api.requests import (
    AssignAction,
    BulkAction,
    CommentAction,
    EscalateAction,
    IgnoreAction,
    InvalidFieldError,
    MapAction,
    RedriveRequest,
    case_cursor,
)
from functions.inventory_api.stock_calls import bounded
from shared.domain.cases import Case, CaseKind, CaseStatus
from shared.domain.stock import ChannelId, MessageId, Sku, SourceId
from shared.operations.case_desk import LOOKED_AT
from shared.operations.case_selection import Selection
from shared.runtime.ground import now
from shared.runtime.http import Answer, Problem, answer
from shared.store.inbox import MessageStatus

BULK_TAKES = timedelta(seconds=15)
"""How long one call acts on cases before it says where to go on; API Gateway gives up after 29 seconds."""

WORKERS = ("operator", "approver")

LARGEST_PART = 500_000
"""Bytes of a message's body in one answer; as JSON each may take six, and a Lambda's answer at most 6 MB."""

log = logging.getLogger(__name__)


NARROWED = ("kind", "source", "channel", "message", "owner", "overdue")

GROUPS = 100
"""Groups of one ranking that are answered, and the cases that each shows in full."""
SHOWN = 5


@call("GET /v1/cases", WATCHERS, query=("status", *NARROWED, "cursor", "limit"))
def list_cases(asked: Asked[Any]) -> Answer:
    """List cases, newest first. A page may be short; there is more as long as there is a cursor."""
    query = asked.query
    status = CaseStatus(query.one_of("status", [*CaseStatus]) or CaseStatus.OPEN)
    cursor = case_cursor(query.text("cursor"))
    found = house().case_desk.find(_asked_for(asked), query.page_size(), cursor, status)
    rules, instant = house().registry.network().rules, now()
    rows = bounded(found.cases, lambda case: views.case_view(case, rules, instant))
    behind = found.cursor if len(rows) == len(found.cases) else found.cursors[len(rows) - 1]
    return answer(200, {"cases": rows, "cursor": behind})


@call("GET /v1/work-queue", WATCHERS, query=NARROWED)
def get_work_queue(asked: Asked[Any]) -> Answer:
    """Rank the open cases by the revenue that stands at risk, those of one cause together.

    ``is_all`` is false where there are more open cases than one ranking looks at: the oldest of them were ranked.
    """
    work = house().work_queue.ranked(_asked_for(asked))
    rules, instant = house().registry.network().rules, now()
    rows = bounded(work.groups[:GROUPS], lambda group: views.group_view(group, SHOWN, rules, instant))
    more = len(work.groups) - len(rows)
    return answer(
        200, {"groups": rows, "more_groups": more, "looked_at": work.looked_at, "is_all": work.is_all}
    )


@call("GET /v1/cases/<case>", WATCHERS)
def get_case(asked: Asked[Any]) -> Answer:
    """Show a case, what stands at risk in it, and what was done about it."""
    name = asked.path["case"]
    said = house().work_queue.exposure_of(house().cases.get(name))
    deeds = [views.deed_view(deed) for deed in house().cases.deeds(name)]
    return answer(200, {**case_now(name), "exposure": views.exposure_view(said), "deeds": deeds})


@call("POST /v1/cases/actions", OPERATORS, body=BulkAction)
def act_on_cases(asked: Asked[BulkAction]) -> Answer:
    """Retry or ignore every open case of a kind, as many as one call can; ``cursor`` is where the next goes on."""
    wanted = asked.body
    selection = _selection(wanted.model_dump())
    cursor, desk = case_cursor(wanted.cursor), house().case_desk
    if (wanted.action == "ignore") != (wanted.reason is not None):
        reason = "it is missing" if wanted.reason is None else "only ignoring takes one"
        raise InvalidFieldError("reason", reason, "say why with ignore, and nothing with retry")
    if wanted.dry_run:
        found = desk.find(selection, LOOKED_AT, cursor)
        return answer(200, {"matched": len(found.cases), "done": 0, "refused": {}, "cursor": found.cursor})
    act: Callable[[Case], object] = lambda case: desk.retry(case.id, asked.client)  # noqa: E731
    if wanted.action == "ignore":
        act = lambda case: desk.ignore(case.id, str(wanted.reason), asked.client)  # noqa: E731
    done = desk.for_each(selection, act, now() + BULK_TAKES, cursor)
    told = {"action": wanted.action, "kind": wanted.kind, "cases": done.done, "actor": asked.client}
    log.info("cases_handled", extra=told)
    return answer(
        200,
        {"matched": done.matched, "done": done.done, "refused": done.refused, "cursor": done.cursor},
    )


@call("POST /v1/cases/<case>/retry", OPERATORS)
def retry_case(asked: Asked[Any]) -> Answer:
    """Do again what failed: every message that waits for the case, or the push."""
    return _acted(asked, "retry", {"replayed": house().case_desk.retry(asked.path["case"], asked.client)})


@call("POST /v1/cases/<case>/map", OPERATORS, body=MapAction)
def map_case(asked: Asked[MapAction]) -> Answer:
    """Say which SKU an unknown code stands for, and post what waits for it."""
    wanted = asked.body
    replayed = house().case_desk.map(asked.path["case"], Sku(wanted.sku), asked.client, wanted.code)
    return _acted(asked, "map", {"replayed": replayed})


@call("POST /v1/cases/<case>/ignore", OPERATORS, body=IgnoreAction)
def ignore_case(asked: Asked[IgnoreAction]) -> Answer:
    """Close a case for a stated reason."""
    house().case_desk.ignore(asked.path["case"], asked.body.reason, asked.client)
    return _acted(asked, "ignore", {})


@call("POST /v1/cases/<case>/assign", WORKERS, body=AssignAction)
def assign_case(asked: Asked[AssignAction]) -> Answer:
    """Give a case to somebody, or to nobody."""
    wanted = asked.body
    house().case_life.assign(
        asked.path["case"], wanted.owner, asked.client, wanted.due_at, wanted.reason or ""
    )
    return _acted(asked, "assign", {})


@call("POST /v1/cases/<case>/comment", WORKERS, body=CommentAction)
def comment_case(asked: Asked[CommentAction]) -> Answer:
    """Write something beside a case."""
    house().case_life.comment(asked.path["case"], asked.body.text, asked.client)
    return _acted(asked, "comment", {})


@call("POST /v1/cases/<case>/escalate", WORKERS, body=EscalateAction)
def escalate_case(asked: Asked[EscalateAction]) -> Answer:
    """Raise a case before its time."""
    house().case_life.escalate(asked.path["case"], asked.body.reason, asked.client)
    return _acted(asked, "escalate", {})


@call("POST /v1/cases/<case>/<action>", OPERATORS)
def act_unknown(asked: Asked[Any]) -> Answer:
    """Answer an action that there is not."""
    detail = f"there is no action {asked.path['action']!r}"
    remedy = "use retry, map, approve, reject, ignore, assign, comment or escalate"
    raise RefusedError(Problem(404, "unknown_action", "Unknown action", detail, remedy))


def _acted(asked: Asked[Any], action: str, done: dict[str, int]) -> Answer:
    case = asked.path["case"]
    log.info("case_action", extra={"case_id": case, "action": action, "actor": asked.client})
    return answer(200, {"case": case_now(case), **done})


def _asked_for(asked: Asked[Any]) -> Selection:
    """Read which cases a query means."""
    query = asked.query
    kind, overdue = query.one_of("kind", [*CaseKind]), query.one_of("overdue", ("true", "false"))
    return _selection(
        {
            **{name: query.text(name) for name in ("source", "channel", "message", "owner")},
            "kind": None if kind is None else CaseKind(kind),
            "overdue": None if overdue is None else overdue == "true",
        }
    )


def _selection(said: Mapping[str, Any]) -> Selection:
    source, channel, message = (said[name] for name in ("source", "channel", "message"))
    return Selection(
        said["kind"],
        None if source is None else SourceId(source),
        None if channel is None else ChannelId(channel),
        None if message is None else MessageId(message),
        said["owner"],
        said["overdue"],
    )


# ---- messages ---------------------------------------------------------------------------------------------------


@call("GET /v1/messages/<message>", WATCHERS, query=("offset",))
def get_message(asked: Asked[Any]) -> Answer:
    """Show a raw message and what became of each of its events.

    A long body comes in parts: ``next_offset``, where there is one, is the ``offset`` that gets the next.
    """
    name, offset = asked.path["message"], asked.query.number("offset") or 0
    stored = house().inbox.load(MessageId(name))
    said: dict[str, Any] = {
        "message_id": name,
        "source": stored.message.source,
        "kind": stored.kind,
        "status": stored.status,
        "received_at": stored.message.received_at.isoformat(),
        "headers": dict(stored.message.headers),
        **views.body_part(stored.message.body, offset, LARGEST_PART),
    }
    if offset == 0:
        said |= views.events_view(message_view().events(stored))
    return answer(200, said)


@call("POST /v1/messages/<message>/replay", OPERATORS)
def post_replay(asked: Asked[Any]) -> Answer:
    """Apply a message again; what is in the ledger already posts as nothing, which ``outcomes`` call ``duplicate``."""
    message = asked.path["message"]
    status = house().sweep.apply_again(MessageId(message))
    outcomes = {} if status is MessageStatus.PENDING else house().inbox.outcomes(MessageId(message))
    log.info("replayed", extra={"message_id": message, "status": status, "actor": asked.client, **outcomes})
    return answer(200, {"message_id": message, "status": status, "outcomes": outcomes})


# ---- dead letters -----------------------------------------------------------------------------------------------


@call("GET /v1/dead-letters", WATCHERS)
def get_dead_letters(_: Asked[Any]) -> Answer:
    """Count the dead letters of each queue."""
    return answer(200, {"queues": house().dead_letters.counts()})


@call("POST /v1/dead-letters/redrive", OPERATORS, body=RedriveRequest)
def post_redrive(asked: Asked[RedriveRequest]) -> Answer:
    """Send dead letters through the same path again, or with ``dry_run`` say what would become of each."""
    wanted = asked.body if asked.has_body else RedriveRequest()
    counts = house().dead_letters.counts()
    if wanted.queue is not None and wanted.queue not in counts:
        names = ", ".join(counts)
        raise InvalidFieldError("queue", f"{wanted.queue!r} is no dead-letter queue", f"name one of: {names}")
    if wanted.letter is not None and wanted.queue is None:
        raise InvalidFieldError("letter", "it makes no sense without queue", "name the queue that it is in")
    if wanted.dry_run:
        queues = [name for name, count in counts.items() if count and name == (wanted.queue or name)]
        return _foretold(queues, wanted.letter, sum(counts.values()))
    if wanted.letter is not None:
        queue = str(wanted.queue)
        if not house().dead_letters.redrive_one(queue, wanted.letter):
            detail = f"there is no letter {wanted.letter!r} in {queue}, or somebody is looking at it just now"
            remedy = "look again in a minute; dry_run lists the letters"
            raise RefusedError(Problem(404, "not_found", "Not found", detail, remedy))
        moved = {queue: 1}
    else:
        moved = house().dead_letters.redrive(wanted.queue, most=wanted.most, per_second=wanted.per_second)
    if any(moved.values()):
        house().tallies.redrove(sum(moved.values()), now().date())
    log.info("redriven", extra={"queues": moved, "letter": wanted.letter, "actor": asked.client})
    return answer(200, {"redriven": moved, "left": sum(house().dead_letters.counts().values())})


def _foretold(queues: list[str], letter: str | None, left: int) -> Answer:
    letters = [
        {"queue": queue, "letter": one.id, "about": one.about, "would": one.would}
        for queue in queues
        for one in house().redrive_preview.letters(queue, letter)
    ]
    return answer(200, {"dry_run": True, "letters": letters, "left": left})
