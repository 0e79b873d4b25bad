"""Transfers after any history of calls, messages, crashes and calls in between: nothing is lost, and nothing counts twice."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.operations.reservations import (
    IdempotencyConflictError,
    InsufficientStockError,
)
from shared.operations.transfer_calls import (
    Part,
    RefusedTransferError,
    TransferBusyError,
)
from shared.store.table import UnknownOutcomeError
from tests.operations.house import (
    KEY,
    TEA,
    Crash,
    House,
    Interruption,
)
from tests.operations.transferring import (
    AT_WEST,
    requested,
    stocked,
    told,
    undone,
)

Step = tuple[str, int, int, int]
BY_HAND = ["approve", "ship", "receive", "receive", "receive", "close"]
FAULT = st.sampled_from(
    ["none", "none", "crash_before", "crash_after", "no_answer", "meanwhile", "meanwhile", "meanwhile"]
)


def histories(kinds: list[str]) -> st.SearchStrategy[list[tuple[Step, str, int, Step]]]:
    """Return steps (what, which transfer, units or 0 for all, key), each with a fault and what is done meanwhile."""
    step = st.tuples(st.sampled_from(kinds), st.sampled_from([0, 0, 1]), st.integers(0, 4), st.integers(0, 5))
    return st.lists(st.tuples(step, FAULT, st.integers(0, 1), step), max_size=12)


@settings(max_examples=200)
@given(st.one_of(histories(BY_HAND), histories([*BY_HAND, "wms_ship", "wms_receive", "wms_undo"])))
def test_after_any_history_what_was_shipped_is_received_in_transit_or_lost_and_the_ledger_agrees(
    history: list[tuple[Step, str, int, Step]],
) -> None:
    house = stocked(20)
    made = [requested(house, 6, "one").id, requested(house, 5, "two").id]
    house.transfers.approve(made[0], "ben", "first")
    house.transfers.ship(made[0], "cat", "first", [Part(TEA, 5)])

    for step, fault, write, other in history:
        house.stock.faults = interruption(house, made, fault, write, other)
        with suppress(Crash, TransferBusyError):
            work(house, made, step)
        house.stock.faults = Interruption()
        conserved(house, made)
    house.transfer_watch.run()
    conserved(house, made)
    house.assert_exact()


def work(house: House, made: list[str], step: Step) -> None:
    what, which, units, key = step
    transfer, parts = made[which], [Part(TEA, units)] if units else []
    try:
        match what:
            case "approve":
                house.transfers.approve(transfer, "ben", f"a{key}")
            case "ship":
                house.transfers.ship(transfer, "cat", f"s{key}", parts)
            case "receive":
                house.transfers.receive(transfer, "dan", f"p{key}", parts)
            case "close":
                house.transfers.close(
                    transfer, "ben", f"c{key}", "over", accept_loss=units > 2, may_write_off=True
                )
            case "wms_undo":
                undone(house, told(house, "transfer_ship", units + 1, transfer=transfer))
            case _:
                kind = "transfer_ship" if what == "wms_ship" else "transfer_receive"
                told(house, kind, units + 1, transfer=transfer)
    except (RefusedTransferError, IdempotencyConflictError, InsufficientStockError):
        pass


def interruption(house: House, made: list[str], fault: str, write: int, other: Step) -> Interruption:
    """Return what happens around the n-th write of a step; what is done meanwhile is not interrupted itself."""
    began = False

    def strike(number: int, _actions: object) -> None:
        nonlocal began
        if began or number != write:
            return
        began = True
        if fault == "no_answer":
            raise UnknownOutcomeError
        if fault == "meanwhile":
            work(house, made, other)
        else:
            raise Crash

    if fault == "none":
        return Interruption()
    if fault in ("crash_before", "meanwhile"):
        return Interruption(before=strike)
    return Interruption(after=strike)


def conserved(house: House, made: list[str]) -> None:
    documents = [house.transfers.get(one) for one in made]
    for one in documents:
        of_it = one.figures()
        assert of_it.shipped == of_it.received + of_it.in_transit + of_it.lost
    on_the_way = sum(one.figures().in_transit for one in documents)
    arrived = sum(one.figures().received for one in documents)
    left = sum(one.figures().shipped for one in documents)
    assert house.view.quantities(AT_WEST)["in_transit"] == on_the_way
    assert house.on_hand(AT_WEST) == arrived
    assert house.on_hand() == 20 - left
    held = [one for one in documents if one.approved is not None and one.closed is None]
    assert house.view.quantities(KEY)["reserved"] == sum(one.figures().unshipped for one in held)
    by_hand = [one for one in documents if not any("wms" in key for key in one.moves)]
    assert all(one.figures().in_transit >= 0 for one in by_hand)
