"""Changing master data: what an import or an administrator declares of items, checked, written and made known.

A change that cannot be meant is refused by its field; the others are written each with who made it and when. Where it
changes what a channel may sell (a kit's components, the size of a pack), the listings concerned are looked at anew.
What waits for a code or a unit is released within a minute by the sweep (``release.py``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.domain.item_changes import Declaration, InvalidItemError, changed
from shared.domain.items import Change, Item
from shared.domain.network import Listing
from shared.domain.stock import ChannelId, Sku, StockKey
from shared.operations.fan_out import Hint, Lane, Lanes
from shared.store.items import ItemChangedError
from shared.store.ledger import Ledger
from shared.store.registry import Registry

ATTEMPTS = 5
"""Times that a change is tried while others change the same items."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What declarations come to: items by how they change, and those that were refused with the reason."""

    new: tuple[Item, ...]
    changes: tuple[tuple[Item, Item], ...]
    same: tuple[Item, ...]
    refused: tuple[InvalidItemError, ...]


class MasterData:
    """Declares items."""

    def __init__(
        self, registry: Registry, ledger: Ledger, lanes: Lanes, clock: Callable[[], datetime]
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._lanes = lanes
        self._clock = clock

    def judge(self, declarations: Sequence[Declaration], actor: str, coming: Iterable[Sku] = ()) -> Judged:
        """Say what declarations would change; writes nothing. Items that are ``coming`` count as known."""
        change = Change(actor, self._clock())
        known = self._registry.items.find(
            {
                *(said.sku for said in declarations),
                *(c.sku for said in declarations for c in said.components or ()),
            }
        )
        stocked = self._stocked(declarations)
        parts = {sku: Item(sku) for sku in coming} | known
        new, changes, same, refused = list[Item](), list[tuple[Item, Item]](), list[Item](), []
        for said in declarations:
            before = known.get(said.sku, Item(said.sku))
            try:
                after = changed(before, said, change)
                self._check(before, after, parts, stocked)
            except InvalidItemError as error:
                refused.append(error)
                continue
            if said.sku not in known:
                new.append(after)
            if after is not before:
                changes.append((before, after))
            elif said.sku in known:
                same.append(after)
        return Judged(tuple(new), tuple(changes), tuple(same), tuple(refused))

    def declare(self, declarations: Sequence[Declaration], actor: str) -> Judged:
        """Write what declarations change, and have the listings concerned looked at anew.

        Raises
        ------
        ItemChangedError
            When others keep changing the same items.
        """
        for attempt in range(ATTEMPTS):
            judged = self.judge(declarations, actor)
            self._registry.items.add(item.sku for item in judged.new)
            try:
                self._registry.items.change(judged.changes)
            except ItemChangedError:
                if attempt + 1 == ATTEMPTS:
                    raise
                continue
            self._look_anew([pair for pair in judged.changes if _sells_otherwise(*pair)])
            break
        return judged

    def _stocked(self, declarations: Iterable[Declaration]) -> set[Sku]:
        """Return those of the items to be kits that have stock of their own."""
        kits = [said.sku for said in declarations if said.components]
        places = self._registry.network().locations
        balances = self._ledger.balances(StockKey(sku, place) for sku in kits for place in places)
        return {key.sku for key, balance in balances.items() if any(balance.totals.values())}

    def _check(self, before: Item, after: Item, known: Mapping[Sku, Item], stocked: set[Sku]) -> None:
        """Refuse what only shows beside other items.

        Raises
        ------
        InvalidItemError
        """
        sku = after.sku
        for component in sorted(after.kit_components - before.kit_components):
            if component not in known:
                reason, remedy = f"{component!r} is no item", "import it first"
                raise InvalidItemError(sku, "components", reason, remedy)
            if known[component].kit_components:
                remedy = "name what lies in it: a kit holds no kits"
                raise InvalidItemError(sku, "components", f"{component!r} is a kit itself", remedy)
        if after.kit_components and not before.kit_components:
            if before.is_component:
                remedy = "take it out of those kits, and make a new item of the set"
                raise InvalidItemError(sku, "components", "it lies in kits itself", remedy)
            if sku in stocked:
                remedy = "adjust its stock to 0 first: a kit's stock is that of its components"
                raise InvalidItemError(sku, "components", "it has stock of its own", remedy)
        gone = {u for terms in before.terms for u in terms.packs} - {
            u for terms in after.terms for u in terms.packs
        }
        for listing in self._registry.listings_of([sku]).get(sku, []) if gone else ():
            if listing.unit in gone:
                remedy = f"list it on {listing.channel} by another unit first"
                reason = f"{listing.channel} sells it by this pack"
                raise InvalidItemError(sku, f"pack:{listing.unit}", reason, remedy)

    def _look_anew(self, changes: Sequence[tuple[Item, Item]]) -> None:
        now = self._clock()
        hints: defaultdict[ChannelId, list[Hint]] = defaultdict(list)
        found: dict[Sku, list[Listing]] = (
            self._registry.listings_of(after.sku for _, after in changes) if changes else {}
        )
        for sku, listings in found.items():
            for listing in listings:
                hints[listing.channel].append(Hint(listing.channel, sku, now))
        for channel_hints in hints.values():
            self._lanes.send(Lane.BULK, channel_hints)


def _sells_otherwise(before: Item, after: Item) -> bool:
    """Whether a change may change what is promised of an item."""
    return [(t.effective_from, t.packs, t.components) for t in before.terms] != [
        (t.effective_from, t.packs, t.components) for t in after.terms
    ]
