"""A judged suspect in words: what happened, what speaks for it, what to do, and what would confirm it."""

from __future__ import annotations

from datetime import datetime

from shared.domain.drift import Formula
from shared.domain.root_cause.evidence import Nature, Undone
from shared.domain.root_cause.hypothesis import Evidence, Hypothesis, RootCause
from shared.domain.root_cause.numbers import Moving, SetByHand
from shared.domain.root_cause.several_events import OldBatch
from shared.domain.root_cause.single_events import OddReference, ReadAs, is_own_count
from shared.domain.root_cause.suspect import Suspect
from shared.domain.root_cause.timeline import Timeline
from shared.domain.stock import SourceId

SHOWN = 8
"""Events that the evidence spells out; the rest are counted."""

REMEDIES = {
    RootCause.DUPLICATE_EVENT: (
        "have {source} take the second posting back, and make its handoff refuse an event it has seen",
        "two postings of this event in {source}'s log",
    ),
    RootCause.MISSING_EVENT: (
        "send the event to {source} again, then look at the handoff that lost it",
        "no posting of this event in {source}'s log",
    ),
    RootCause.POSTING_DELAY: (
        "look at the job or queue that feeds {source}; nothing is to be corrected by hand",
        "{source} agrees once the events named here have reached it",
    ),
    RootCause.UNIT_MISMATCH: (
        "correct the pack factor or the unit in the handoff to {source}, then post the difference there",
        "the quantity of this event as {source} has it, beside ours",
    ),
    RootCause.DEFINITION_MISMATCH: (
        "declare the meaning that the number has, or have {source} send the number that is declared",
        "the next statement follows the same formula after the two differ by another amount",
    ),
    RootCause.MANUAL_OVERRIDE: (
        "ask who changed the number in {source} and why; have the location recounted if nobody knows",
        "the change log of {source} for this item, between the two instants",
    ),
    RootCause.COUNT_NOT_PROPAGATED: (
        "send the count to {source}, and make counts part of what is handed to it",
        "no posting of this count in {source}'s log",
    ),
    RootCause.DOCUMENT_REFERENCE: (
        "teach the handoff to {source} this way of writing the document's number, then send the event again",
        "the rejected documents of {source}'s import, under this number",
    ),
    RootCause.MAPPING_SWAP: (
        "correct the cross-reference of the two in the handoff to {source}, then post the difference both ways",
        "the codes under which {source} booked the event",
    ),
    RootCause.STALE_OVERWRITE: (
        "stop absolute numbers from being written to {source} without the time they were true at, and send it the present one",
        "the time at which the batch was made, beside the time at which {source} took it",
    ),
    RootCause.RESERVATION_LEAK: (
        "release the units in {source}, and make it hear of cancelled, expired and shipped orders",
        "the order is still open in {source}",
    ),
    RootCause.COUNT_IN_MOTION: (
        "count again while nothing moves, or give the count the instant at which it was taken",
        "a second count of the location agrees with the ledger",
    ),
    RootCause.UNEXPLAINED: (
        "have the location counted, and follow the next changes of {source}'s number",
        "a count says which of the two numbers is right",
    ),
}
"""What to do about each cause, and what would confirm it."""

OF_OWN_COUNT = (
    "correct the number in {source}, or have the location counted again",
    "a second count of the location agrees with the ledger",
)
OF_UNDONE = (
    "take it back in {source} too, or send it the present number: nothing tells it of what is undone here",
    "this event in {source}'s log, and nothing there that takes it back",
)
"""The same where a source still holds what was undone here: its own wrong count, or what it had taken over."""


def tell(timeline: Timeline, suspect: Suspect, confidence: int) -> Hypothesis:
    """Put a suspect into words."""
    source = timeline.account.source
    remedy, confirm = (text.format(source=source) for text in _advice(suspect, source))
    return Hypothesis(
        suspect.cause,
        confidence,
        _sentence(timeline, suspect),
        remedy,
        confirm,
        suspect.events,
        tuple(_evidence(timeline, suspect)),
        suspect.partner,
        suspect.detail.text if isinstance(suspect.detail, Formula) else "",
        (suspect.detail.after, suspect.detail.before) if isinstance(suspect.detail, SetByHand) else None,
        suspect.detail.at if isinstance(suspect.detail, Undone) else None,
    )


def _advice(suspect: Suspect, source: SourceId) -> tuple[str, str]:
    if isinstance(suspect.detail, Undone):
        return OF_OWN_COUNT if is_own_count(suspect.detail, source) else OF_UNDONE
    return REMEDIES[suspect.cause]


def _sentence(timeline: Timeline, suspect: Suspect) -> str:
    source, drift, events = timeline.account.source, timeline.drift, suspect.events
    named = ", ".join(events[:2]) + (f" and {len(events) - 2} more" if len(events) > 2 else "")
    match suspect.cause, suspect.detail:
        case _, Undone(event=event, by=by, at=at) as undone:
            whose = "its own" if is_own_count(undone, source) else "the"
            is_count = undone.did[0].nature is Nature.COUNT
            held = f"the number of {whose} count {event}" if is_count else event
            return f"{source} still holds {held}, which was undone{f' by {by}' if by else ''} at {_at(at)}"
        case RootCause.DUPLICATE_EVENT, _:
            return f"{source} counted {named} twice"
        case RootCause.MISSING_EVENT, _:
            return f"{source} never counted {named}"
        case RootCause.COUNT_NOT_PROPAGATED, _:
            return f"{source} never heard of the count {named}"
        case RootCause.POSTING_DELAY, _:
            return (
                f"{source} has yet to hear of {named}; its number is from before {_at(suspect.moments[0].at)}"
            )
        case RootCause.RESERVATION_LEAK, _:
            orders = ", ".join(dict.fromkeys(m.change.order for m in suspect.moments[:2] if m.change.order))
            return f"{source} still holds units for {orders or named}, which holds them no more"
        case RootCause.MAPPING_SWAP, _:
            return f"{source} is off by {-drift:+d} at {suspect.partner}: what belongs to one is booked on the other"
        case _, ReadAs(unit=unit, factor=factor):
            what = named or "the whole number"
            much = f"{factor} times as much" if factor > 1 else f"{factor} of it"
            return f"{source} takes {what} for {much}: a {unit} holds {max(factor, 1 / factor)}"
        case _, Formula(text=text):
            return f"{source}'s number is {text}, and is declared as {timeline.account.meaning.text}"
        case _, SetByHand(change=change, after=after, before=before):
            since = "" if after is None else f"after {_at(after)} and "
            return f"{source}'s number was changed by {change:+d} {since}by {_at(before)}, by no event"
        case _, OddReference(document=document, twin=None):
            return f"{source} did not recognise the document {document!r} of {named}, written unlike its kin"
        case _, OddReference(document=document, twin=twin):
            return f"{source} knows the document {document!r} of {named} as {twin}"
        case _, OldBatch(quantity=quantity, since=since, until=until):
            begun = "" if since is None else f"from {_at(since)} "
            return f"{source} went back to {quantity}, true {begun}until {_at(until)}: an old batch overwrote newer numbers"
        case _, Moving(moments=moments, count=count):
            moving = ", ".join(dict.fromkeys(m.event for m in moments[:2]))
            return f"the count{'' if count is None else f' {count}'} was taken while {moving} was under way"
        case _:
            return f"{source} is off by {drift:+d} for a reason that what is known does not show"


def _evidence(timeline: Timeline, suspect: Suspect) -> list[Evidence]:
    where = "that was undone" if isinstance(suspect.detail, Undone) else "in the ledger"
    found = [Evidence(f"{m.change.nature} {where}", m.at, m.amount, m.event) for m in suspect.moments[:SHOWN]]
    if len(suspect.moments) > SHOWN:
        found.append(Evidence(f"and {len(suspect.moments) - SHOWN} more events"))
    match suspect.detail:
        case Moving(moments=moments):
            found += [Evidence("under way at the time", m.at, m.amount, m.event) for m in moments[:SHOWN]]
        case SetByHand(told=told) if told is not None:
            found.append(
                Evidence("a change that the source told of itself", told.at, told.quantity, told.event)
            )
        case OddReference(usual=usual) if usual:
            found.append(Evidence(f"documents of its kind are written like {usual} (9 digits, A letters)"))
        case _:
            pass
    exact = timeline.last_exact
    if exact is not None:
        said = timeline.statements[exact]
        found.append(Evidence("the last statement that agreed", said.as_of, said.quantity))
    held = sum(
        1
        for index, shift in enumerate(suspect.shifts)
        if timeline.is_possible(index, timeline.differences[index] - shift)
    )
    found.append(
        Evidence(f"agrees with {held} of {len(timeline.statements)} statements of {timeline.account.source}")
    )
    return found


def _at(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d %H:%M:%S")
