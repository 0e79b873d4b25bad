"""Undoing much, in several calls: one person asks, another one's word holds until all of it is undone."""

from __future__ import annotations

import pytest

from shared.domain.rules import FourEyes, Rules
from shared.domain.stock import Counter, MessageId
from shared.operations.case_desk import NotPossibleError
from shared.operations.undo import Moved, Undone
from shared.operations.undo_guard import UndoGuard, undo_case
from shared.store.registry import Network
from tests.operations.house import KEY, House

MESSAGE = MessageId("m1")


class Asking:
    """People who ask to undo the message, of which so much would be taken back."""

    def __init__(self) -> None:
        self.house = House()
        declared = self.house.registry.network()
        self.house.declare(
            Network(declared.sources, declared.locations, declared.channels, rules=Rules(FourEyes(units=10)))
        )
        self.guard = UndoGuard(self.house.cases, self.house.registry, self.house.clock)

    def may(
        self, who: str, events: int, *, already: int = 0, first: int = 0, until: int | None = None
    ) -> bool:
        """Whether somebody may undo it, of which so many events of 20 units each would be taken back."""
        would = Undone(events, already, moved=[Moved(KEY, Counter.ON_HAND, 20 * events, 0)], next=until)
        return self.guard.is_allowed(MESSAGE, who, "sent twice", first, lambda: would)


def test_what_is_too_long_to_foretell_is_undone_by_another_however_far_it_was_foretold() -> None:
    asking = Asking()
    assert not asking.may("ann", 500, until=500)
    assert asking.house.cases.get(undo_case(MESSAGE)).title.startswith(
        "ann asks to undo message m1: at least 500 events"
    )
    with pytest.raises(NotPossibleError, match="another approver"):
        asking.may("ann", 1000, until=1000)

    assert asking.may("ben", 1500, until=1500)


def test_what_became_too_long_to_foretell_is_asked_for_once_more() -> None:
    asking = Asking()
    assert not asking.may("ann", 2000)
    assert not asking.may("ben", 1500, until=1500)
    assert asking.may("ann", 2000)


def test_the_second_word_holds_for_what_is_left_until_all_is_undone() -> None:
    asking = Asking()
    assert not asking.may("ann", 4)
    assert asking.may("ben", 4)
    asking.guard.has_come_to(MESSAGE, 2)

    assert asking.may("ben", 2, already=2, first=2)
    assert asking.may("cat", 2, already=2)
    asking.guard.has_come_to(MESSAGE, 1)
    assert asking.may("ben", 2, already=2, first=2)
    [deed] = asking.house.cases.deeds(undo_case(MESSAGE))
    assert (deed.by, deed.action) == ("ben", "approve")

    asking.guard.undone(MESSAGE, "ben")
    assert not asking.may("ben", 4, first=2)


@pytest.mark.parametrize("first", [0, 3])
def test_the_second_word_does_not_hold_for_more_than_was_asked_for(first: int) -> None:
    asking = Asking()
    assert not asking.may("ann", 4)
    assert asking.may("ben", 4)
    asking.guard.has_come_to(MESSAGE, 2)

    assert not asking.may("ben", 3, already=2, first=first)
    with pytest.raises(NotPossibleError, match="another approver"):
        asking.may("ben", 3, already=2)


def test_what_nobody_has_begun_is_not_gone_on_with() -> None:
    asking = Asking()
    assert not asking.may("ann", 4)

    with pytest.raises(NotPossibleError, match="is not undone yet"):
        asking.may("ben", 4, first=2)

    assert asking.may("ben", 4)
    with pytest.raises(NotPossibleError, match="is not undone yet"):
        asking.may("ben", 4, first=2)


def test_what_is_foretold_only_as_far_as_it_is_undone_already_needs_two() -> None:
    assert not Asking().may("ann", 0, already=1000, until=1000)
