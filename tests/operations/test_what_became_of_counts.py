"""What became of a count that waits for a person, or waited, is told of its message as it is now."""

from __future__ import annotations

from dataclasses import replace

from shared.domain.cases import CaseStatus
from shared.domain.network import Tolerance
from shared.domain.stock import MessageId
from shared.operations.message_view import EventOutcome, MessageView
from shared.operations.trace import Tracer
from tests.operations.deliveries import body
from tests.operations.house import EAST, House, at, movement, network


def held_count() -> tuple[House, MessageId, str]:
    """A count of 12 where the ledger says 100: its message, and the case that holds it."""
    declared = network()
    place = replace(declared.locations[EAST], approve_beyond=Tolerance(percent_hundredths=1_000, units=2))
    house = House(replace(declared, locations={**declared.locations, EAST: place}))
    house.post(movement("receipt", 0, 100))
    said = body("count", "C1", {"sku": "TEA", "quantity": 12}, occurred_at=at(5))
    message = house.store("wms", said)
    house.settle()
    [case] = house.cases.list(CaseStatus.OPEN)
    return house, message, case.id


def became(house: House, message: MessageId) -> EventOutcome:
    found = MessageView(house.stock, house.registry, house.clock).events(house.inbox.load(message))
    assert found is not None
    [event] = found.events
    return event


def test_a_count_that_waits_is_not_shown_as_posted() -> None:
    house, message, case = held_count()
    event = became(house, message)
    assert (event.outcome, event.reason) == ("waits", "it changes nothing until it is decided: case " + case)


def test_a_rejected_count_is_shown_as_rejected_by_whom_when_and_why() -> None:
    house, message, case = held_count()
    house.clock.advance(minutes=7)
    house.case_desk.reject_count(case, "counted the wrong shelf", "ann")
    event = became(house, message)
    assert (event.outcome, event.reason) == (
        "rejected",
        "by ann at 2026-11-01T12:07:00.000000Z: counted the wrong shelf",
    )
    messages = MessageView(house.stock, house.registry, house.clock)
    tracer = Tracer(house.stock, house.inbox, house.cases, house.registry, house.view, messages)
    [chain] = tracer.message(message).chains
    assert f"rejected: {event.reason}" in chain.notes


def test_an_approved_count_is_shown_as_posted() -> None:
    house, message, case = held_count()
    house.case_desk.approve_count(case, "ann", seen=100)
    assert became(house, message).outcome == "posted"
