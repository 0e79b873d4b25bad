"""Any history of one stock key: invariants 1 to 5 after every step, against facts sorted by valid time and summed.

Messages are written in any order, arrive in any other, each any number of times, and are cut short anywhere; some
contradict what is known, and some come from a source that is not believed. The oracle knows none of that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from shared.domain.stock import Counter, MessageId
from shared.operations.post import PostingContendedError
from shared.operations.reservations import InsufficientStockError, Wanted
from shared.store.table import Action, UnknownOutcomeError, WriteConflictError
from tests.operations.deliveries import body
from tests.operations.house import KEY, SHOP, TEA, Crash, House, Interruption, at, cancelled, demand

ON_HAND, HELD = Counter.ON_HAND, Counter.QUALITY_HOLD
MINUTES = st.integers(0, 12)
UNITS = st.integers(1, 9)
TROUBLE = st.sampled_from(
    ["none", "none", "crash before", "crash after", "lost", "lost, written", "conflict"]
)

SIGN = {"receipt": (ON_HAND, 1), "shipment": (ON_HAND, -1), "hold": (HELD, 1), "release": (HELD, -1)}


@dataclass(frozen=True, slots=True)
class Said:
    """One document as its authority wrote it; ``version`` 0 is a movement, which has none."""

    document: str
    kind: str
    minute: int
    units: int
    version: int = 0
    order: str = ""

    @property
    def event(self) -> tuple[str, int]:
        """What makes it the same event."""
        return self.document, self.version

    def written(self) -> dict[str, Any]:
        line: dict[str, Any] = {"sku": "TEA", "quantity": self.units}
        if self.order:
            line |= {"order": self.order, "order_line": "1"}
        version = {"version": str(self.version)} if self.version else {}
        return body(self.kind, self.document, line, occurred_at=at(self.minute), **version)


@dataclass(slots=True)
class Facts:
    """The oracle: whichever said an event first is believed, and the rest is sorting and summing."""

    said: dict[tuple[str, int], Said] = field(default_factory=dict)
    ordered: dict[str, dict[int, int]] = field(default_factory=dict)
    cancelled: dict[str, int] = field(default_factory=dict)
    claimed: dict[str, int] = field(default_factory=dict)

    def as_of(self, counter: Counter, minute: float) -> int:
        counts = {s.document: s for s in sorted(self.said.values(), key=lambda s: s.version) if s.version}
        of_counter = [s for s in counts.values() if counter is ON_HAND and s.minute <= minute]
        last = max(of_counter, key=lambda s: (s.minute, s.version, s.document), default=None)
        total, since = (0, -1) if last is None else (last.units, last.minute)
        for said in self.said.values():
            if said.kind in SIGN and since < said.minute <= minute and SIGN[said.kind][0] is counter:
                total += SIGN[said.kind][1] * said.units
        return total

    def reserved(self) -> int:
        shipped = dict.fromkeys(self.ordered, 0)
        for said in self.said.values():
            if said.order in shipped:
                shipped[said.order] += said.units
        orders = sum(
            max(0, versions[max(versions)] - self.cancelled.get(order, 0) - shipped[order])
            for order, versions in self.ordered.items()
        )
        return orders + sum(self.claimed.values())

    def available(self) -> int:
        return self.as_of(ON_HAND, 1000) - self.as_of(HELD, 1000) - self.reserved()


class LedgerMachine(RuleBasedStateMachine):
    messages: Bundle[tuple[MessageId, Said]] = Bundle("messages")
    orders: Bundle[str] = Bundle("orders")
    reservations: Bundle[str] = Bundle("reservations")

    def __init__(self) -> None:
        super().__init__()
        self.house, self.facts = House(), Facts()
        self.house.clock.now = at(60)
        self.number = 0
        self.kept: list[tuple[MessageId, Said]] = []

    def name(self, kind: str) -> str:
        self.number += 1
        return f"{kind}{self.number}"

    def keep(self, said: Said) -> tuple[MessageId, Said]:
        """Let a message be written and kept; when it is applied is another matter."""
        message = self.house.store("wms", said.written(), delivery=self.name("d")), said
        self.kept.append(message)
        return message

    def through(self, trouble: str, write: int, act: Callable[[], object]) -> None:
        """Do something while the n-th write of it goes wrong, and again afterwards, as whoever delivers does."""
        errors = {"lost": UnknownOutcomeError, "conflict": WriteConflictError}
        error = Crash if trouble.startswith("crash") else errors.get(trouble.partition(",")[0])

        def strike(number: int, _actions: Sequence[Action]) -> None:
            if error is not None and number == write:
                self.house.stock.faults = None
                raise error

        when = "after" if trouble in ("crash after", "lost, written") else "before"
        self.house.stock.faults = Interruption(**{when: strike})
        try:
            with suppress(Crash, PostingContendedError, UnknownOutcomeError, WriteConflictError):
                act()
        finally:
            self.house.stock.faults = None
        act()

    # ---- what is written ------------------------------------------------------------------------------------------

    @initialize(target=messages, units=st.integers(0, 20))
    def somebody_counts_first(self, units: int) -> tuple[MessageId, Said]:
        return self.keep(Said("opening", "count", 0, units, 1))

    @rule(target=messages, kind=st.sampled_from(sorted(SIGN)), minute=MINUTES, units=UNITS)
    def something_moves(self, kind: str, minute: int, units: int) -> tuple[MessageId, Said]:
        return self.keep(Said(self.name("M"), kind, minute, units))

    @rule(target=messages, minute=MINUTES, units=st.integers(0, 20))
    def somebody_counts(self, minute: int, units: int) -> tuple[MessageId, Said]:
        return self.keep(Said(self.name("C"), "count", minute, units, 1))

    @rule(target=messages, known=messages, minute=MINUTES, units=st.integers(0, 20))
    def a_document_is_written_anew(self, known: tuple[MessageId, Said], minute: int, units: int) -> Any:
        """A count is corrected by its next version; a movement cannot be: whoever says it first is believed."""
        _, said = known
        if said.version:
            return self.keep(Said(said.document, "count", minute, units, said.version + 1))
        return self.keep(Said(said.document, said.kind, said.minute, units + 1, 0, said.order))

    @rule(target=messages, order=orders, minute=MINUTES, units=UNITS)
    def an_order_is_shipped(self, order: str, minute: int, units: int) -> tuple[MessageId, Said]:
        return self.keep(Said(self.name("S"), "shipment", minute, units, 0, order))

    # ---- what arrives ---------------------------------------------------------------------------------------------

    @rule(message=messages, trouble=TROUBLE, write=st.integers(0, 2))
    def a_message_arrives(self, message: tuple[MessageId, Said], trouble: str, write: int) -> None:
        name, said = message
        self.through(trouble, write, lambda: self.house.sweep.apply_again(name))
        self.facts.said.setdefault(said.event, said)

    @rule(data=st.data())
    def all_that_is_kept_arrives(self, data: st.DataObject) -> None:
        for name, said in data.draw(st.permutations(self.kept)):
            self.house.sweep.apply_again(name)
            self.facts.said.setdefault(said.event, said)
        self.kept.clear()

    @rule(units=UNITS, kind=st.sampled_from(["count", "receipt"]))
    def somebody_without_authority_says_something(self, units: int, kind: str) -> None:
        said = body(kind, self.name("E"), {"sku": "TEA", "quantity": units}, occurred_at=at(31))
        self.house.applier.apply(self.house.store("erp", said))

    @rule(target=orders, units=UNITS, trouble=TROUBLE)
    def somebody_orders(self, units: int, trouble: str) -> Any:
        order = self.name("shop/")
        fact = demand(f"shop/{order}/1/ordered/1", 20, units, order)
        self.through(trouble, 0, lambda: self.house.post(fact))
        self.facts.ordered[order] = {1: units}
        return multiple(order)

    @rule(order=orders, version=st.integers(1, 4), units=st.integers(0, 9), trouble=TROUBLE)
    def a_version_of_an_order_arrives(self, order: str, version: int, units: int, trouble: str) -> None:
        units = self.facts.ordered[order].setdefault(version, units)
        fact = demand(f"shop/{order}/1/ordered/{version}", 20, units, order, version=str(version))
        self.through(trouble, 0, lambda: self.house.post(fact))

    @rule(order=orders, units=UNITS, trouble=TROUBLE)
    def an_order_is_cancelled(self, order: str, units: int, trouble: str) -> None:
        units = self.facts.cancelled.setdefault(order, units)
        fact = cancelled(f"shop/{order}/1/cancelled/cancel", 21, units, order)
        self.through(trouble, 0, lambda: self.house.post(fact))

    # ---- what is claimed ------------------------------------------------------------------------------------------

    @rule(target=reservations, units=st.integers(1, 6), trouble=TROUBLE)
    def somebody_reserves(self, units: int, trouble: str) -> Any:
        key, before = self.name("R"), self.facts.available()
        made: list[str] = []

        def reserve() -> None:
            made.append(self.house.reserver.reserve(key, "api", SHOP, [Wanted(TEA, units)]).id)

        try:
            self.through(trouble, 0, reserve)
        except InsufficientStockError:
            assert units > before, f"{units} of {before} were refused"
            return multiple()
        assert units <= before, f"{units} of {before} were promised"
        self.facts.claimed[made[-1]] = units
        return made[-1]

    @rule(reservation=consumes(reservations), trouble=TROUBLE)
    def a_reservation_is_released(self, reservation: str, trouble: str) -> None:
        self.through(trouble, 0, lambda: self.house.reserver.release(reservation))
        self.facts.claimed[reservation] = 0

    # ---- what must hold -------------------------------------------------------------------------------------------

    @invariant()
    def every_event_is_in_the_ledger_once_and_only_from_its_authority(self) -> None:
        events = [str(item["pk"]) for item in self.house.stock.scan() if str(item["pk"]).startswith("EVENT#")]
        assert sorted(events) == sorted(
            f"EVENT#wms/{s.document}/1/{s.kind}/{s.version or ''}" for s in self.facts.said.values()
        )

    @invariant()
    def history_is_what_the_facts_add_up_to_at_every_instant(self) -> None:
        for minute in sorted({said.minute for said in self.facts.said.values()} | {60}):
            for moment in (minute - 0.5, minute):
                found = self.house.ledger.as_of(KEY, at(moment))
                assert found[ON_HAND] == self.facts.as_of(ON_HAND, moment), f"on hand at {moment}"
                assert found[HELD] == self.facts.as_of(HELD, moment), f"on hold at {moment}"

    @invariant()
    def every_unit_is_promised_once(self) -> None:
        assert self.house.available() == self.facts.available()
        assert self.house.view.quantities(KEY)["reserved"] == self.facts.reserved()

    @invariant()
    def the_ledger_proves_itself(self) -> None:
        self.house.assert_exact()


TestAnyHistory = LedgerMachine.TestCase
TestAnyHistory.settings = settings(max_examples=120, stateful_step_count=30)
