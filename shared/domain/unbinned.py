"""Units that lie on no bin or lot, and how many of them a count of bins may have told a second time.

What a message says without a bin lies on none, and a bin's count says nothing of it. So where a total of 100 was stated and
bin A is then counted for the first time, its 60 may be among the 100, or not: nothing in the facts says which::

    10:00  the whole location holds 100      on hand 100, bins   0, on none 100
    11:00  bin A holds 60                    on hand 160, bins  60, on none 100     60 may be there twice
    12:00  the whole location holds 100      on hand 100, bins  60, on none  40     the total is known again

Only a count of the whole that is newer than those of the bins says it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from shared.domain.ledger import Clock
from shared.domain.stock import Quantity


@dataclass(frozen=True, slots=True)
class Unbinned:
    """How the units on hand of one stock key lie.

    Attributes
    ----------
    in_bins
        What lies on all bins and lots that were ever named.
    counted
        The part of it on those that were counted since the whole location was.
    is_open
        Whether any was, so that the total rests on counts of parts.
    """

    on_hand: Quantity
    in_bins: Quantity
    counted: Quantity
    is_open: bool

    @property
    def on_no_bin(self) -> Quantity:
        """The rest of the total; below zero where more was taken from no bin than ever came to none."""
        return self.on_hand - self.in_bins

    def in_doubt(self, changed: Quantity) -> Quantity:
        """Return how many units counts of bins that changed on hand by ``changed`` may have told twice; 0 for none."""
        if not self.is_open or self.on_no_bin * changed <= 0:
            return 0
        units = min(abs(self.on_no_bin), abs(changed))
        return min(units, max(0, self.counted)) if changed > 0 else units


def unbinned(whole: Clock, parts: Collection[Clock]) -> Unbinned:
    """Say how units lie, from the clock of the whole location and those of its bins and lots."""
    since = whole.last_count
    counted = [
        part
        for part in parts
        if part.last_count is not None and (since is None or part.last_count.as_of > since.as_of)
    ]
    return Unbinned(
        whole.balance,
        sum(part.balance for part in parts),
        sum(part.balance for part in counted),
        bool(counted),
    )
