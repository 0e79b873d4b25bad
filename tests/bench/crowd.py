"""``make crowd``: 16 clients at one SKU of the local runtime, all at once; then every number must be exact.

Reservations, releases and counts go through the API, movements through the signed webhook, 5,000 of them mixed by a
seed. What must come of it is worked out from what was acknowledged: the facts sorted by valid time, and summed; a
reservation counts if it was answered with 201 and was not released. Exits 1 if a single unit is off.
"""

from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from infra.local.demo.stage import Answer, Stage, import_items, stage
from infra.local.demo.story import ROOT
from shared.operations.verify import Verifier
from shared.store.dynamodb import DynamoTable

CLIENTS, OPERATIONS, SKU = 16, 5_000, "SKU-00001"
MOST_ASKED = 30
CONTENTION = ("reservation_met_another", "posting_met_another", "posting_overtaken")
"""What the functions log when they meet each other on an item: conflicts, and postings folded again."""

STOCK = 2_000
"""Units received before the crowd comes: few enough that many reservations are refused."""


@dataclass(slots=True)
class Crowd:
    """What the clients did and were told."""

    world: Stage
    facts: list[tuple[datetime, int, int]] = field(default_factory=list)
    held: dict[str, int] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    last: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(hours=1))

    def instant(self) -> datetime:
        """Return an instant of its own for each fact, none in the future."""
        with self.lock:
            self.last = max(self.last + timedelta(microseconds=1), datetime.now(UTC) - timedelta(minutes=30))
            return self.last

    def act(self, number: int) -> None:
        """Do the operation of a number; the same seed does the same."""
        drawn = random.Random(number)  # noqa: S311
        start = time.perf_counter()
        what = drawn.choices(["reserve", "release", "move", "count"], [50, 25, 20, 5])[0]
        told = getattr(self, what)(number, drawn)
        with self.lock:
            self.answers[f"{what}: {told}"] += 1
            self.took.append(time.perf_counter() - start)

    def patiently(self, ask: Callable[[], Answer]) -> tuple[Answer | None, int]:
        """Ask until there is an answer, as a caller does who keeps his key; return it, and how often it was asked."""
        for asked in range(1, MOST_ASKED + 1):
            try:
                said = ask()
            except OSError:
                continue
            if said.status not in (429, 502, 503, 504):
                return said, asked
        return None, MOST_ASKED

    def reserve(self, number: int, drawn: random.Random) -> str:
        units = drawn.randint(1, 5)
        body = {"channel": "marketplace", "lines": [{"sku": SKU, "quantity": units}]}
        key = f"crowd-{number}"
        said, asked = self.patiently(
            lambda: self.world.api("POST", "/v1/reservations", body, Idempotency_Key=key)
        )
        if said is not None and said.status == 201:
            with self.lock:
                self.held[said.body["id"]] = units
        return _told(said, asked)

    def release(self, _number: int, _drawn: random.Random) -> str:
        with self.lock:
            if not self.held:
                return "nothing to release"
            name, units = self.held.popitem()
        said, asked = self.patiently(lambda: self.world.api("DELETE", f"/v1/reservations/{name}"))
        if said is None or said.status != 200:
            with self.lock:
                self.held[name] = units
        return _told(said, asked)

    def move(self, number: int, drawn: random.Random) -> str:
        return self.tell("adjustment", number, drawn.choice([-3, -2, -1, 1, 2, 3, 40]), self.instant())

    def count(self, number: int, drawn: random.Random) -> str:
        units, at = drawn.randint(1_500, 2_500), self.instant()
        body = {
            "sku": SKU,
            "location": "east",
            "quantity": units,
            "counted_at": at.isoformat(),
            "reason": "crowd",
        }
        key = f"crowd-{number}"
        said, asked = self.patiently(lambda: self.world.api("POST", "/v1/counts", body, Idempotency_Key=key))
        if said is not None and said.status == 201:
            self.note(at, 1, units)
        return _told(said, asked)

    def tell(self, kind: str, number: int, units: int, at: datetime) -> str:
        line = {"line": "1", "sku": SKU, "location": "east", "quantity": units}
        data = {"document": f"crowd-{number}", "occurred_at": at.isoformat(), "lines": [line]}
        said, asked = self.patiently(lambda: self.world.webhook("modern-wms", kind, data, f"msg-{number}"))
        if said is not None and said.status in (200, 202):
            self.note(at, 0, units)
        return _told(said, asked)

    def note(self, at: datetime, is_count: int, units: int) -> None:
        with self.lock:
            self.facts.append((at, is_count, units))

    def on_hand(self) -> int:
        """Return what the acknowledged facts leave: sorted by valid time, a count sets, a movement adds."""
        balance = 0
        for _, is_count, units in sorted(self.facts):
            balance = units if is_count else balance + units
        return balance


def _told(said: Answer | None, asked: int) -> str:
    if said is None:
        return "never answered"
    return f"{said.status}" + (" after asking again" if asked > 1 else "")


def _noted(world: Stage) -> Counter[str]:
    """Count what the functions logged of meeting each other."""
    logs, noted = world.runtime.client("logs"), Counter[str]()
    for name in ("inventory-api", "apply-messages"):
        group = f"/aws/lambda/{world.runtime.info.functions[name]}"
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
            noted.update(
                what for event in page["events"] for what in CONTENTION if f'"{what}"' in event["message"]
            )
    return noted


def run(operations: int = OPERATIONS) -> bool:
    """Let the crowd in, wait until everything is posted, and compare; return whether all is exact."""
    with (
        tempfile.TemporaryDirectory() as folder,
        stage(ROOT, lambda _: None, folder=Path(folder) / "s") as world,
    ):
        import_items(world, 5, 0, 1)
        crowd = Crowd(world)
        crowd.tell("receipt", 0, STOCK, crowd.instant())
        world.until("the opening receipt", lambda: world.stock(SKU)["on_hand"], STOCK)
        start = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(crowd.act, range(1, operations + 1)))
        answered = time.perf_counter() - start
        world.until("the last fact", lambda: world.stock(SKU)["on_hand"], crowd.on_hand(), within_s=300)
        world.runtime.settle()
        posted = time.perf_counter() - start
        stock, reserved = world.stock(SKU), sum(crowd.held.values())
        table = DynamoTable(world.runtime.client("dynamodb"), world.runtime.info.tables["stock"])
        wrong = Verifier(table).verify().discrepancies
        must = {
            "on_hand": crowd.on_hand(),
            "reserved": reserved,
            "available": crowd.on_hand() - reserved,
        }
        found = {name: stock[name] for name in must}
        noted = _noted(world)
    took = sorted(crowd.took)
    say = sys.stdout.write
    say(f"{operations:,} operations by {CLIENTS} clients on one SKU: answered in {answered:.1f} s ")
    say(f"({operations / answered:.0f}/s), all posted after {posted:.1f} s; ")
    say(f"p50 {took[len(took) // 2] * 1000:.0f} ms, p95 {took[len(took) * 95 // 100] * 1000:.0f} ms\n")
    for what, times in sorted(crowd.answers.items()):
        say(f"  {what:<44} {times:>6,}\n")
    for what in CONTENTION:
        say(f"  {what:<44} {noted[what]:>6,}\n")
    for name, number in must.items():
        say(f"  {name:<12} must be {number:>6,}  is {found[name]:>6,}\n")
    say(f"  verify: {len(wrong)} discrepancies\n")
    return found == must and not wrong


if __name__ == "__main__":
    sys.exit(0 if run(int(sys.argv[1]) if len(sys.argv) > 1 else OPERATIONS) else 1)
