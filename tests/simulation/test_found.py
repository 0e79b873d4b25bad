"""What the simulation found, told by itself, so that it stays mended whatever the seeds do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.cases import CaseStatus
from shared.domain.messages import Message
from shared.domain.stock import MessageId, SourceId
from shared.store.inbox import Inbox, MessageStatus
from shared.store.memory import MemoryTable
from shared.store.table import Action, Update
from tests.operations.house import Crash, House, Interruption

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
NAME = MessageId("m")


class NoArchive:
    """No body here is large enough for the archive."""

    def put(self, name: str, body: bytes) -> None:
        raise AssertionError(name)

    def get(self, name: str) -> bytes:
        raise AssertionError(name)


def test_a_message_that_is_reopened_while_it_is_applied_is_not_parked_on_a_closed_case() -> None:
    """Seeds 123 and 126: filed, retried (reopened, its case closed), and only then marked parked: nowhere any more."""
    inbox = Inbox(MemoryTable(["pending"]), NoArchive())
    inbox.store(Message(NAME, SourceId("wms"), b"{", NOON, {}))
    as_read = inbox.load(NAME).pending_since

    inbox.reopen(NAME, NOON + timedelta(seconds=1))
    parked = inbox.mark(NAME, MessageStatus.PARKED, {"faults": 1}, as_read)

    assert not parked
    assert inbox.load(NAME).status is MessageStatus.PENDING
    assert list(inbox.pending_since(NOON + timedelta(seconds=1))) == [NAME]


def test_a_message_that_nobody_touched_meanwhile_is_parked() -> None:
    inbox = Inbox(MemoryTable(["pending"]), NoArchive())
    inbox.store(Message(NAME, SourceId("wms"), b"{", NOON, {}))

    assert inbox.mark(NAME, MessageStatus.PARKED, {"faults": 1}, inbox.load(NAME).pending_since)
    assert inbox.load(NAME).status is MessageStatus.PARKED
    assert list(inbox.pending_since(NOON)) == []


def test_a_message_that_has_been_posted_meanwhile_stays_posted() -> None:
    inbox = Inbox(MemoryTable(["pending"]), NoArchive())
    inbox.store(Message(NAME, SourceId("wms"), b"{", NOON, {}))
    as_read = inbox.load(NAME).pending_since

    inbox.mark(NAME, MessageStatus.POSTED, {"posted": 1}, as_read)

    assert not inbox.mark(NAME, MessageStatus.PARKED, {"faults": 1}, as_read)
    assert inbox.load(NAME).status is MessageStatus.POSTED


def test_a_case_that_is_filed_anew_while_it_is_retried_is_not_closed_over_its_message() -> None:
    """Seed 351: reopened by an operator, applied and parked again by a queue, and only then the case closed."""
    house = House()
    message = house.store("wms", b"{")
    house.applier.apply(message)
    [case] = house.cases.list(CaseStatus.OPEN)

    def is_closing(actions: Sequence[Action]) -> bool:
        return any(isinstance(action, Update) and action.set.get("resolution") for action in actions)

    def meanwhile(_number: int, actions: Sequence[Action]) -> None:
        if is_closing(actions):
            house.cases_table.faults = Interruption(after=crash)
            house.applier.apply(message)

    def crash(_number: int, actions: Sequence[Action]) -> None:
        if is_closing(actions):
            raise Crash

    house.cases_table.faults = Interruption(before=meanwhile)
    with pytest.raises(Crash):
        house.case_desk.retry(case.id)

    assert house.inbox.load(message).status is MessageStatus.PENDING
