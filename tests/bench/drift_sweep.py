"""``make sweep``: the daily sweep of drift over a million stock keys of three systems, one in a hundred off.

The ledger is laid out by rule, not stored: what two stock keys left in a real house, one right and one off, is read back
under the name of each of the million, so that memory is the sweep's own and that of the cases that it files. What the
sweep writes is kept, and read before what is made up. Processor time holds the making up too; what requests would take
is modelled.
"""

from __future__ import annotations

import pickle
import sys
import time
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, cast

from shared.domain.network import Source
from shared.domain.stock import Sku, SourceId, StockKey
from shared.store.layout import SHARDS, shard
from shared.store.memory import MemoryTable
from shared.store.registry import Network
from shared.store.table import Action, Item, Key
from tests.bench.memory import peak_mebibytes
from tests.operations.deliveries import body, deliver
from tests.operations.house import EAST, ERP, House, at, movement, network

KEYS = 1_000_000
OFF_EACH = 100
"""One stock key of so many has a system that is off."""

SYSTEMS = (ERP, SourceId("oms"), SourceId("planner"))
RIGHT, OFF = "RIGHT-00", "OFF-0000"
"""The templates: of one all systems are right, of the other one is off."""

REQUEST_S = 0.01
"""What a request is taken to last, in the modelled time."""


def _name(number: int) -> str:
    return f"S{number:07d}"


class Generated(MemoryTable):
    """A table with a million stock keys, made from those of a template; what is written lies over it."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.templates: dict[str, bytes] = {}
        self.shards: list[array[int]] = []
        self.requests = 0

    def lay_out(self, keys: int) -> None:
        """Take over what the table holds of the templates, for ``keys`` stock keys like them."""
        found: defaultdict[str, dict[str, Item]] = defaultdict(dict)
        for item in self.scan():
            found[str(item["pk"])][str(item["sk"])] = item
        self.templates = {pk: pickle.dumps(items) for pk, items in found.items()}
        self.shards = [array("I") for _ in range(SHARDS)]
        for number in range(keys):
            self.shards[shard(Sku(_name(number)))].append(number)

    def _made(self, pk: str) -> dict[str, Item]:
        sku = pk.partition("#")[2][:8]
        if not (len(sku) == 8 and sku[0] == "S" and sku[1:].isdigit()):
            return {}
        template = OFF if int(sku[1:]) % OFF_EACH == 0 else RIGHT
        kept = self.templates.get(pk.replace(sku, template))
        if kept is None:
            return {}
        # Names of one length, so that the pickle stays one.
        renamed = kept.replace(template.encode(), sku.encode())
        return cast("dict[str, Item]", pickle.loads(renamed))  # noqa: S301

    def _look(self, keys: Sequence[Key]) -> dict[Key, Item]:
        found = super().get_many(keys)
        made = ((key, self._made(key.pk).get(key.sk)) for key in keys if key not in found)
        return found | {key: item for key, item in made if item is not None}

    def get(self, key: Key) -> Item | None:
        self.requests += 1
        return self._look([key]).get(key)

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        self.requests += -(-len(keys) // 100)
        return self._look(keys)

    def snapshot(self, keys: Sequence[Key]) -> dict[Key, Item]:
        self.requests += 1
        return self._look(keys)

    def query(self, pk: str, **how: Any) -> Iterator[Item]:
        self.requests += 1
        made = self._made(pk)
        if not made:
            return super().query(pk, **how)
        first, last, prefix = how.get("first", ""), how.get("last"), how.get("prefix", "")
        within = (sk for sk in made if sk >= first and (last is None or sk <= last) and sk.startswith(prefix))
        ordered = sorted(within, reverse=how.get("descending", False))
        return (made[sk] for sk in ordered[: how.get("limit")])

    def query_index(self, index: str, pk: str, **how: Any) -> Iterator[Key]:
        self.requests += 1
        place, _, number = pk.partition("#")
        if index != "by_location" or place != EAST or not self.shards:
            return super().query_index(index, pk, **how)
        begun = (one for one in self.shards[int(number)] if _name(one) >= how.get("first", ""))
        return (Key(f"BAL#{_name(one)}#{EAST}", "-") for one in islice(begun, how.get("limit")))

    def write(self, actions: Sequence[Action]) -> None:
        self.requests += 1
        super().write(actions)
        if self.shards:
            self._changes.clear()


class GeneratedHouse(House):
    """Every operation over a ledger that is made up as it is read."""

    def _table(self, name: str, *indexes: str) -> MemoryTable:
        return Generated(indexes, clock=self.clock, name=name)


def _declared() -> Network:
    plain = network()
    sources = {name: Source(name, "standard_webhooks", meaning={"on_hand": "on_hand"}) for name in SYSTEMS}
    return replace(plain, sources={**plain.sources, **sources})


def run(keys: int) -> tuple[float, float, int, int, int]:
    """Sweep once; return processor seconds, peak MiB, requests, numbers compared and cases open."""
    house = GeneratedHouse(_declared(), (RIGHT, OFF))
    for sku in (RIGHT, OFF):
        house.post(movement(sku, 0, 500, key=StockKey(Sku(sku), EAST)))
    house.clock.now = at(2)
    for source in SYSTEMS:
        for sku, quantity in ((RIGHT, 500), (OFF, 400 if source == ERP else 500)):
            told = body("count", f"C-{sku}", {"sku": sku, "quantity": quantity}, occurred_at=at(2))
            deliver(house, told, f"{source}-{sku}", source)
    house.settle()
    tables = [cast(Generated, table) for table in (house.stock, house.cases_table)]
    tables[0].lay_out(keys)
    for table in tables:
        table.requests = 0
    house.clock.advance(days=30)  # what nobody orders is not looked up for its fill rate either
    start = time.process_time()
    swept = house.drift_sweep.run()
    spent = time.process_time() - start
    assert swept.rest == keys
    peak = peak_mebibytes()
    open_cases = sum(1 for item in tables[1].scan() if str(item["pk"]).startswith("CASE#drift"))
    return spent, peak, sum(table.requests for table in tables), swept.numbers, open_cases


def main(keys: int) -> None:
    spent, peak, requests, numbers, cases = run(keys)
    say = sys.stdout.write
    say(
        f"{keys:,} stock keys, {numbers:,} numbers of {len(SYSTEMS)} systems compared, {cases:,} cases of drift\n"
    )
    say(
        f"  processor time {spent:,.0f} s ({spent / keys * 1000:.3f} ms a key); peak of the process {peak:,.0f} MiB\n"
    )
    say(
        f"  requests {requests:,} ({requests / keys:.3f} a key); at {REQUEST_S * 1000:.0f} ms each, one after another, "
    )
    say(f"{requests * REQUEST_S / 60:,.0f} min (modelled)\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else KEYS)
