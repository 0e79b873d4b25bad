"""Rules of the house that belong to no single source, location or channel: when a case is due, when four eyes decide.

They are declared under ``rules`` in ``network.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from shared.domain.cases import Case, CaseKind, CaseStatus
from shared.domain.damping import Damping
from shared.domain.digest import DigestTime
from shared.domain.handoffs import DeclaredPath
from shared.domain.money import Money
from shared.domain.stock import Quantity


@dataclass(frozen=True, slots=True)
class FourEyes:
    """Above what a change needs two people: an amount, or units where what they are worth is not known.

    A change whose size is not known, or is worth nobody knows how much while ``units`` says nothing, is above it.
    """

    amount: Money | None = None
    units: Quantity | None = None

    def why(self, units: Quantity | None, price: Money | None) -> str | None:
        """Say why a change needs two people; None where one is enough."""
        if units is None:
            return "how much it changes is not known beforehand"
        return self.why_all([(units, price)])

    def why_all(self, changes: Iterable[tuple[Quantity, Money | None]]) -> str | None:
        """Say why changes of several items, each with its price, need two people together."""
        worth, unpriced = Decimal(0), 0
        for units, price in changes:
            if self.amount is not None and price is not None and price.currency == self.amount.currency:
                worth += price.amount * units
            else:
                unpriced += units
        if self.amount is not None and worth > self.amount.amount:
            return f"it changes {Money(worth, self.amount.currency)}, above {self.amount}"
        if not unpriced:
            return None
        if self.units is not None:
            return f"it changes {unpriced} units, above {self.units}" if unpriced > self.units else None
        return f"it changes {unpriced} units, and no price in {self._currency} is known of them"

    @property
    def _currency(self) -> str:
        return "any currency" if self.amount is None else self.amount.currency


@dataclass(frozen=True, slots=True)
class Rules:
    """The declared rules.

    Attributes
    ----------
    due
        After what time a case of a kind is due, where that is not the kind's own.
    write_paths
        Handoffs between other systems that go past us and are meant to.
    damping
        From when corrections that undo each other are one case.
    digest
        When people are sent the digest of a day; None: never.
    """

    four_eyes: FourEyes | None = None
    due: Mapping[CaseKind, timedelta] = field(default_factory=dict)
    write_paths: tuple[DeclaredPath, ...] = ()
    damping: Damping = field(default_factory=Damping)
    digest: DigestTime | None = field(default_factory=DigestTime)

    def due_within(self, kind: CaseKind) -> timedelta:
        """Return how long a case of a kind may stay open."""
        return self.due.get(kind, DUE_WITHIN[kind])

    def due_at(self, case: Case) -> datetime:
        """Return when a case should be decided."""
        return case.due_at or case.opened_at + self.due_within(case.kind)

    def is_overdue(self, case: Case, now: datetime) -> bool:
        """Whether an open case should have been decided by now."""
        return case.status is CaseStatus.OPEN and self.due_at(case) <= now


_HOUR = timedelta(hours=1)

DUE_WITHIN: Mapping[CaseKind, timedelta] = {
    # somebody is being promised what is not there, or sees an old number
    CaseKind.OVERSOLD: _HOUR,
    CaseKind.PUSH_FAILED: _HOUR,
    CaseKind.PUSH_REFUSED: 4 * _HOUR,
    CaseKind.STALE_SOURCE: 2 * _HOUR,
    # stock is not in the ledger yet
    CaseKind.MESSAGE_FAILED: 2 * _HOUR,
    CaseKind.DEAD_LETTER: 2 * _HOUR,
    CaseKind.SUSPICIOUS_SNAPSHOT: 4 * _HOUR,
    CaseKind.UNKNOWN_CODE: 8 * _HOUR,
    CaseKind.UNKNOWN_CODES: 8 * _HOUR,
    CaseKind.UNIT: 8 * _HOUR,
    CaseKind.KIT_STOCK: 8 * _HOUR,
    CaseKind.BAD_MESSAGE: 8 * _HOUR,
    CaseKind.BAD_ROWS: 8 * _HOUR,
    CaseKind.HELD: 8 * _HOUR,
    CaseKind.CONFLICT: 24 * _HOUR,
    # a count or an order waits for somebody's word
    CaseKind.ADJUSTMENT_APPROVAL: 8 * _HOUR,
    CaseKind.COUNT_APPROVAL: 8 * _HOUR,
    CaseKind.COUNT_SUSPENDED: 8 * _HOUR,
    CaseKind.COUNT_DISPUTED: 24 * _HOUR,
    CaseKind.UNBINNED_STOCK: 8 * _HOUR,
    CaseKind.ORDER_DISPUTED: 8 * _HOUR,
    CaseKind.POSTING_DELAY: 8 * _HOUR,
    # units are on the way for too long, or came out of nowhere
    CaseKind.TRANSFER_OVERDUE: 24 * _HOUR,
    CaseKind.TRANSFER_OVER_RECEIVED: 24 * _HOUR,
    CaseKind.TRANSFER_MISNAMED: 24 * _HOUR,
    # two systems disagree
    CaseKind.DRIFT: 24 * _HOUR,
    CaseKind.CHANNEL_EDITED: 24 * _HOUR,
    CaseKind.UNDECLARED_WRITE_PATH: 24 * _HOUR,
    CaseKind.CORRECTION_LOOP: 8 * _HOUR,
    CaseKind.UNDO_APPROVAL: 8 * _HOUR,
}
"""How long a case of each kind may stay open unless a rule says otherwise."""
