"""``make bench``: what the house costs, each figure beside a floor that is measured in the same run.

Nothing here asserts a time. Write units are counted from the items that were really written, by DynamoDB's rule (a
kilobyte or part of one, double in a transaction), and so are labelled modelled: an emulator bills nobody.
"""

from __future__ import annotations

import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from infra.local.demo.stage import Stage, import_items, stage
from infra.local.demo.story import ROOT
from shared.domain.events import Demand, DemandEffect, Leg, Movement, MovementKind, Origin, effect_hash
from shared.domain.fold import fold
from shared.domain.ledger import Clock, LedgerState, Slot
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import (
    WHOLE,
    ChannelId,
    Counter,
    EventKey,
    LocationId,
    MessageId,
    Sku,
    SourceId,
    StockKey,
)
from shared.operations.facts import Fact
from shared.operations.post import Poster
from shared.sources.contract import DroppedFile
from shared.store.attributes import image_from_item
from shared.store.dynamodb import DynamoTable, client_config
from shared.store.layout import INDEXES
from shared.store.memory import MemoryTable
from shared.store.registry import Network
from shared.store.table import Action, Check, Table
from tests.bench import hot_sku
from tests.operations.deliveries import drop, rows
from tests.operations.house import House

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
KEY = StockKey(Sku("HOT-1"), LocationId("east"))
BATCH = 95
LINES = 90
WRITES_PER_ITEM = 50
"""Transactions that one item takes in a second, at some 20 ms each."""

ROWS = 1_000_000
SNAPSHOT_ROWS = 5_000
IN_SHOP = 1_000
FILE_SKUS = range(IN_SHOP + 1, IN_SHOP + 5_001)
"""SKUs that a file counts while others, which the shop lists, are received."""

DELIVERIES = 30
POSTINGS = 40


def row(what: str, figure: str, floor: str, ratio: str) -> None:
    sys.stdout.write(f"{what:<58} {figure:>22} {floor:>30} {ratio:>9}\n")
    sys.stdout.flush()


def rate(work: Callable[[], int], seconds: float = 1.0) -> float:
    """Return how many units a second ``work`` does, best of three."""
    best = 0.0
    for _ in range(3):
        done, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds:
            done += work()
        best = max(best, done / spent)
    return best


def movements(first: int, number: int) -> list[Movement]:
    return [
        Movement(
            EventKey(f"bench/{index}"),
            KEY.sku,
            MovementKind.ADJUSTMENT,
            (Leg(KEY.location, 3 if index % 2 else -2),),
            NOON + timedelta(seconds=index % 50),
            Origin(SourceId("wms"), MessageId("m")),
        )
        for index in range(first, first + number)
    ]


def bench_fold() -> None:
    batch = movements(0, BATCH)
    state = LedgerState(KEY, 1, {Slot(WHOLE, Counter.ON_HAND): Clock(100, NOON, None)})

    def folding() -> int:
        fold(state, batch)
        return BATCH

    def summing() -> int:
        balance = 100
        lines = []
        for event in batch:
            for leg in event.legs:
                balance += leg.quantity
                lines.append((event.key, leg.quantity, event.occurred_at))
        return BATCH

    figure, floor = rate(folding), rate(summing)
    row("fold, events/s", f"{figure:,.0f}", f"plain loop {floor:,.0f}", f"{figure / floor:.2f}x")


class CountingTable(MemoryTable):
    """Counts requests, and the write units that DynamoDB would bill for what was written."""

    def __init__(self, indexes: Sequence[str] = INDEXES["stock"], **more: Any) -> None:
        super().__init__(indexes, **more)
        self.requests = self.writes = self.write_units = 0

    def get_many(self, keys):  # type: ignore[no-untyped-def]
        self.requests += (len(keys) + 99) // 100
        return super().get_many(keys)

    def write(self, actions: Sequence[Action]) -> None:
        super().write(actions)
        self.requests += 1
        self.writes += 1
        for action in actions:
            item = None if isinstance(action, Check) else self.get(action.key)
            size = 0 if item is None else len(str(image_from_item(item)))
            self.write_units += max(1, -(-size // 1024)) * (2 if len(actions) > 1 else 1)


def facts(first: int, number: int) -> list[Fact]:
    return [Fact(event, effect_hash(event)) for event in movements(first, number)]


def order_lines(first: int, number: int) -> list[Fact]:
    demands = [
        Demand(
            EventKey(f"bench/order-{index}"),
            KEY.sku,
            ChannelId("shop"),
            f"order-{index}",
            "1",
            DemandEffect.ORDERED,
            1,
            NOON,
            Origin(SourceId("shop"), MessageId("m")),
            KEY.location,
        )
        for index in range(first, first + number)
    ]
    return [Fact(demand, effect_hash(demand)) for demand in demands]


def bench_hot_sku() -> None:
    """What one movement, and one line of an order, costs when a batch of them is folded into one transaction."""
    for what, made, number in (("movement", facts, BATCH), ("order line", order_lines, LINES)):
        table = CountingTable()
        poster = Poster(table, lambda: NOON)
        poster.post(facts(0, BATCH), Network({}, {}, {}))
        table.requests = table.write_units = table.writes = 0
        for turn in range(1, 21):
            poster.post(made(turn * number, number), Network({}, {}, {}))
        posted = 20 * number
        requests, units = table.requests / posted, table.write_units / posted
        rate = WRITES_PER_ITEM * posted / table.writes
        one = f"requests for one {what} of a hot SKU, folded"
        row(one, f"{requests:.3f}", "one by one 3", f"{requests / 3:.3f}x")
        row("  write units for it (modelled)", f"{units:.2f}", "one by one 4", f"{units / 4:.2f}x")
        row(
            f"  a second (modelled: {WRITES_PER_ITEM} transactions a second for an item)",
            f"{rate:,.0f}",
            f"one by one {WRITES_PER_ITEM}",
            f"{rate / WRITES_PER_ITEM:.0f}x",
        )


def bench_reservations() -> None:
    """16 clients that reserve a hot SKU one unit at a time, with one promise counter and with allotments."""
    one, several = hot_sku.run(is_hot=False, with_detection=False), hot_sku.run(is_hot=True)
    for what, figure, floor in (
        ("reservations/s of a hot SKU, 16 clients (modelled)", several.per_second, one.per_second),
        ("requests for one", several.requests, one.requests),
        ("conflicts for one", several.conflicts, one.conflicts),
        ("write units for one, conflicts included (modelled)", several.write_units, one.write_units),
    ):
        row(what, f"{figure:,.2f}", f"one counter {floor:,.2f}", f"{figure / floor:.2f}x")


def bench_post(client: object, name: str) -> None:
    """Posting against the very same transactions written bare, turn by turn: both meet what else the machine does."""
    recorded: list[list[Action]] = []

    class Recording(DynamoTable):
        def write(self, actions: Sequence[Action]) -> None:
            recorded.append(list(actions))
            super().write(actions)

    poster = Poster(Recording(client, name), lambda: NOON)  # type: ignore[arg-type]
    bare: Table = DynamoTable(client, name)  # type: ignore[arg-type]
    posting, floor = [], []
    for turn in range(POSTINGS + 1):
        batch = facts(10_000 + turn * BATCH, BATCH)
        recorded.clear()
        start = time.perf_counter()
        poster.post(batch, Network({}, {}, {}))
        posting.append(time.perf_counter() - start)
        renamed = [[_elsewhere(action) for action in actions] for actions in recorded]
        start = time.perf_counter()
        for actions in renamed:
            bare.get_many([action.key for action in actions if action.key.pk.startswith("BAL#")])
            bare.write(actions)
        floor.append(time.perf_counter() - start)
    ours, theirs = (
        statistics.median(posting[1:]),
        statistics.median(floor[1:]),
    )  # the first finds nothing open
    row(
        "post, movements/s on the local runtime",
        f"{BATCH / ours:,.0f}",
        f"bare calls {BATCH / theirs:,.0f}",
        f"{ours / theirs:.2f}x",
    )


def _elsewhere(action: Action) -> Action:
    """The same action on another key, so that the bare calls write what posting wrote."""
    from dataclasses import replace

    key = action.key._replace(pk=action.key.pk.replace("bench/", "bare/").replace("HOT-1", "HOT-2"))
    return replace(action, key=key)


_READ_A_FILE = """
import sys, time
from tests.bench.__main__ import stock_parts
from tests.bench.memory import peak_mebibytes
start = time.perf_counter()
rows = sum(stock_parts(sys.argv[1]))
seconds = time.perf_counter() - start
print(rows / seconds, peak_mebibytes())
"""


def stock_parts(path: str) -> Iterator[int]:
    """Read the file of ``bench_csv`` and yield how many rows each part of it has."""
    from shared.sources.csv_snapshot import CsvSnapshot
    from shared.sources.snapshot_block import SnapshotBlock

    source = Source(
        SourceId("wms"),
        "csv_snapshot",
        options={
            "sku_column": "Item",
            "quantity_column": "On Hand",
            "location_column": "Site",
            "as_of": {"from": "written_at"},
        },
    )
    file = DroppedFile("stock.csv", NOON, "1")
    message = Message(MessageId("m"), source.id, b"", NOON, {})
    with Path(path).open("rb") as content:
        for part in CsvSnapshot().blocks(content, file, message, source):
            yield len(part) if isinstance(part, SnapshotBlock) else 1


def write_stock_file(path: Path, rows: int) -> None:
    """Write a stock file in no order: identifiers that tempt a parser, six sites, and a few rows that are not plain."""
    odd = ("00123", "1E3", "NA", "true", "21-4092", "0x1F", "12345678901234567890", "1_000")
    with path.open("w") as file:
        file.write("Item,Description,Site,On Hand\n")
        for n in range(rows):
            sku = f"{odd[n % 8]}-{n * 7919 % rows:07d}"
            text = '"tea, green"' if n % 20_000 == 1 else "tea"
            file.write(f"{sku},{text},SITE {n * 31 % 6},{n * 97 % 4001}\n")


def bench_csv() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stock.csv"
        write_stock_file(path, ROWS)
        # A process of its own, so that its peak is the reading's alone.
        told = [
            subprocess.run(  # noqa: S603
                [sys.executable, "-c", _READ_A_FILE, str(path)],
                check=True,
                cwd=ROOT,
                capture_output=True,
                text=True,
            ).stdout.split()
            for _ in range(3)
        ]
        start = time.perf_counter()
        with path.open(newline="") as file:
            plain = sum(1 for _ in csv.reader(file))
        floor = plain / (time.perf_counter() - start)
    best, peak = max(float(rows) for rows, _ in told), max(float(mebibytes) for _, mebibytes in told)
    row(
        f"stock file of {ROWS:,} rows: parsed, validated, mapped, rows/s",
        f"{best:,.0f}",
        f"csv.reader alone {floor:,.0f}",
        f"{best / floor:.2f}x",
    )
    row("  the same, peak of the whole process, MiB", f"{peak:.0f}", "-", "-")


_COMPARE_TWO_FILES = """
import sys
from pathlib import Path
from infra.audit.first_look import Input, first_look
from infra.audit.proof import Role
from tests.bench.memory import peak_mebibytes
before = peak_mebibytes()
inputs = [Input(Path(path), Role.SYSTEM, path, {}) for path in sys.argv[1:]]
report = first_look(inputs, ask=lambda question: None, say=lambda text: None)
print(report.seconds, peak_mebibytes(), before)
"""


def bench_compare() -> None:
    """Two exports of a million keys, of which one of a hundred differs: read, matched, causes sought, in slices."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("wms.csv", "erp.csv")]
        for turn, path in enumerate(paths):
            with path.open("w") as file:
                file.write("SKU,On Hand\n")
                order = (n * 7919 % ROWS for n in range(ROWS)) if turn else range(ROWS)
                file.writelines(f"S-{n:07d},{n * 97 % 4001 + (turn if n % 100 == 0 else 0)}\n" for n in order)
        told = subprocess.run(  # noqa: S603
            [sys.executable, "-c", _COMPARE_TWO_FILES, *map(str, paths)],
            check=True,
            cwd=ROOT,
            capture_output=True,
            text=True,
        ).stdout.split()
        start = time.perf_counter()
        numbers = [_as_dict(path) for path in paths]
        differing = sum(1 for sku, units in numbers[0].items() if numbers[1].get(sku) != units)
        floor = time.perf_counter() - start
    spent, peak, before = map(float, told)
    row(
        f"audit of two exports of {ROWS:,} keys, {differing:,} differ, s",
        f"{spent:.1f}",
        f"two dicts, no causes {floor:.1f}",
        f"{spent / floor:.2f}x",
    )
    row(
        "  the same, peak of the process, MiB",
        f"{peak:.1f}",
        f"once imported {before:.1f}",
        f"+{peak - before:.1f}",
    )


def _as_dict(path: Path) -> dict[str, int]:
    with path.open(newline="") as file:
        rows = csv.reader(file)
        next(rows)
        return {sku: int(units) for sku, units in rows}


class CountingHouse(House):
    """Every operation over tables that count."""

    def _table(self, name: str, *indexes: str) -> CountingTable:
        return CountingTable(indexes, clock=self.clock, name=name)


def bench_snapshots() -> None:
    """A full snapshot that posts, and the next one, in which one row of a hundred has changed."""
    skus = [f"S{n:05d}" for n in range(SNAPSHOT_ROWS)]
    house = CountingHouse(skus=skus)
    units: list[float] = []
    for turn in range(2):
        numbers = [(sku, n % 50 + 1 + (turn if n % 100 == 0 else 0)) for n, sku in enumerate(skus)]
        dropped = drop(house, f"stock_2026110{turn + 1}T0600.csv", rows(*numbers), sequencer=f"0{turn}")
        house.clock.advance(days=turn)
        tables = [house.stock, house.inbox_table, house.cases_table]
        before = sum(cast(CountingTable, table).write_units for table in tables)
        start = time.perf_counter()
        house.ingester.ingest(dropped)
        spent = time.perf_counter() - start
        units.append(sum(cast(CountingTable, table).write_units for table in tables) - before)
        if not turn:
            row("file rows/s posted, processor time over memory", f"{SNAPSHOT_ROWS / spent:,.0f}", "-", "-")
    naive = 4 * SNAPSHOT_ROWS
    for what, spent_units in zip(
        ("first full snapshot", "full snapshot with 1 % changes"), units, strict=True
    ):
        each = f"{spent_units / SNAPSHOT_ROWS:.2f}"
        row(f"{what}, write units for a row (modelled)", each, "each row 4", f"{spent_units / naive:.2f}x")


_IMPORT = """
import time
start = time.perf_counter()
import {module}
print(time.perf_counter() - start)
"""


def bench_import() -> None:
    """What a function that just starts loads, in a process of its own; boto3 is what its first request loads besides."""

    def milliseconds(module: str) -> float:
        command = [sys.executable, "-c", _IMPORT.format(module=module)]
        told = [
            subprocess.run(command, check=True, cwd=ROOT, capture_output=True).stdout  # noqa: S603
            for _ in range(5)
        ]
        return min(map(float, told)) * 1000

    floor = milliseconds("boto3")
    handler = milliseconds("functions.receive_webhook.handler")
    row(
        "import of the webhook handler, ms", f"{handler:.0f}", f"boto3 {floor:.0f}", f"{handler / floor:.1f}x"
    )


def bench_latency(made: Stage) -> None:
    """From a webhook's answer to the moment when the shop shows the number, one at a time."""
    _say_waits("idle", [_wait(made, number, f"idle-{number}", 8) for number in range(DELIVERIES)])


def bench_latency_busy(made: Stage) -> None:
    """The same, of other items, from the drop of a file until its last row is posted and compared."""
    text = "Item,Site,On Hand\n" + "".join(f"SKU-{n:05d},EAST DC,{n % 50 + 1}\n" for n in FILE_SKUS)
    as_of = datetime.now(UTC) - timedelta(hours=1)
    start = time.perf_counter()
    made.drop("legacy-wms", f"stock_{as_of:%Y%m%dT%H%M}.csv", text)
    waits: list[float] = []
    last, wanted = f"SKU-{FILE_SKUS[-1]:05d}", FILE_SKUS[-1] % 50 + 1
    while made.stock(last)["on_hand"] != wanted:
        waits.append(_wait(made, DELIVERIES + len(waits), f"busy-{len(waits)}", 8))
    spent = time.perf_counter() - start
    row("file rows/s on the local runtime, dropped to posted", f"{len(FILE_SKUS) / spent:,.0f}", "-", "-")
    _say_waits(f"while {len(FILE_SKUS):,} SKUs change", waits)


def _wait(made: Stage, number: int, delivery: str, wanted: int) -> float:
    """Report a receipt of ten; milliseconds from the answer until the shop shows what may be sold of it."""
    sku = f"SKU-{number + 1:05d}"
    line = {"line": "1", "sku": sku, "location": "east", "quantity": 10}
    happened = datetime.now(UTC) - timedelta(seconds=1)
    data = {"document": f"B-{delivery}", "occurred_at": happened.isoformat(), "lines": [line]}
    made.webhook("modern-wms", "receipt", data, delivery)
    start = time.perf_counter()
    while made.shop_shows(sku) != wanted:
        time.sleep(0.005)
    return (time.perf_counter() - start) * 1000


def _say_waits(when: str, waits: list[float]) -> None:
    p95 = sorted(waits)[int(len(waits) * 0.95)]
    row(
        f"webhook accepted to channel confirmed, {when}, ms",
        f"p50 {statistics.median(waits):,.0f}  p95 {p95:,.0f}",
        "-",
        f"of {len(waits)}",
    )


@contextmanager
def quiet() -> Iterator[Stage]:
    with (
        tempfile.TemporaryDirectory() as folder,
        stage(ROOT, lambda _: None, folder=Path(folder) / "stage") as made,
    ):
        import_items(made, FILE_SKUS[-1], IN_SHOP, 0)
        yield made


def main() -> None:
    row("what", "figure", "floor of the same run", "ratio")
    bench_fold()
    bench_hot_sku()
    bench_reservations()
    bench_csv()
    bench_compare()
    bench_snapshots()
    bench_import()
    with quiet() as made:
        bench_latency(made)
        bench_latency_busy(made)
        made.settle()
        os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
        import boto3

        client = boto3.client(
            "dynamodb",
            endpoint_url=made.runtime.info.endpoint,
            region_name="us-east-1",
            config=client_config(),
        )
        bench_post(client, made.runtime.outputs["StockTable"])


if __name__ == "__main__":
    main()
