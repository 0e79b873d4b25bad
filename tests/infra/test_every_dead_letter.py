"""A dead letter of every kind that the template has, sent again twice after 25 hours: the end is exact.

After 24 hours a stream has forgotten its records, so what its consumer gave up can only be found in the tables. The
kinds are read from the synthesized template: a queue that is added there must be added here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.network import Channel
from shared.domain.stock import ChannelId, Sku, StockKey
from shared.operations.fan_out import Hint
from shared.operations.notifications import drops
from shared.operations.promises import Promises
from shared.operations.redrive_preview import RedrivePreview
from shared.runtime.queues import SqsDeadLetters, hint_text, read_hint
from shared.store.inbox import MessageStatus
from tests.infra.templates import Templates
from tests.operations.house import EAST, NOON, WEST, House, at, movement, network
from tests.operations.queue_service import QueueService
from tests.operations.scripted_channel import ScriptedChannel

SHOP, FEED = ChannelId("shop"), ChannelId("partner-feed")
FILE = "files/stock_20261101T1100.csv"
DROP, SHOP_URGENT, SHOP_BULK = "drop-dead", "push-shop-urgent-dead", "push-shop-bulk-dead"
FEED_URGENT, FEED_BULK = "push-partner-feed-urgent-dead", "push-partner-feed-bulk-dead"
STREAMS = {"apply-messages-failures", "reconcile-stock-failures", "fan-out-changes-failures"}
SKUS = {SHOP_URGENT: "S1", SHOP_BULK: "S2", FEED_URGENT: "F1", FEED_BULK: "F2"}


def kinds_in(templates: Templates) -> set[str]:
    """Return every queue of the template in which something can end, without the stage's name."""
    names = {
        str(resource["Properties"]["QueueName"])
        for template in templates.stacks.values()
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::SQS::Queue"
    }
    ends = {name for name in names if name.endswith(("-dead", "-failures"))}
    return {name.removeprefix("onecount-prod-").removeprefix("onecount-") for name in ends}


@dataclass
class Plant:
    """The house with real dead-letter queues beside it, on one clock, and a consumer for each queue."""

    house: House
    service: QueueService = field(default_factory=QueueService)
    channels: dict[ChannelId, ScriptedChannel] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.service.time = self.house.clock()
        self.letters = SqsDeadLetters(
            cast(Any, self.service), [DROP, *SKUS], self.house.clock, self.house.clock.sleep
        )
        self.house.desk._queues = self.letters
        for queue in (DROP, *SKUS):
            self.service.put(queue)
            self.service.put(queue.removesuffix("-dead"))

    def later(self, **by: float) -> None:
        self.house.clock.advance(**by)
        self.service.time = self.house.clock()

    def redrive(self, **only: Any) -> dict[str, int]:
        self.service.time = self.house.clock()
        return self.house.desk.redrive(**only)

    def consume(self) -> None:
        """Let each queue's function have what lies in its queue."""
        for queue in (DROP, *SKUS):
            alive = self.service.queues[queue.removesuffix("-dead")]
            bodies = [message.body for message in alive]
            alive.clear()
            for body in bodies:
                self._consumed(queue, body)

    def _consumed(self, queue: str, body: str) -> None:
        if queue == DROP:
            for drop in drops(body):
                self.house.ingester.ingest(drop)
        else:
            hint = read_hint(body)
            channel = self.channels[hint.channel]
            assert self.house.pusher(channel, hint.channel).push({hint.sku: hint}) == []


def notification() -> str:
    body = {"key": FILE, "versionId": "v1", "sequencer": "01", "size": 30}
    return json.dumps({"Records": [{"eventTime": NOON.isoformat(), "s3": {"object": body}}]})


@pytest.fixture
def plant() -> Plant:
    feed = Channel(FEED, "scripted", {EAST: "E"}, EAST, calls_per_minute=100_000)
    house = House(network(feed), skus=("S1", "S2", "F1", "F2", "IN", "OBS", "FILE"))
    made = Plant(house, channels={name: ScriptedChannel(levels={}) for name in (SHOP, FEED)})
    for queue, sku in SKUS.items():
        channel = SHOP if "shop" in queue else FEED
        house.list_on(channel, sku)
        made.channels[channel].levels[Sku(sku)] = 3
        house.post(movement(f"R-{sku}", -60, 9, key=StockKey(Sku(sku), EAST)))
    house.post(movement("R-OBS", -60, 9, key=StockKey(Sku("OBS"), EAST)))
    house.settle()
    house.lanes.waiting.clear()
    return made


def died(plant: Plant) -> None:
    """Let a message of every kind die: files and pushes to their queues, and three streams' records to nowhere."""
    house = plant.house
    plant.service.put(DROP, notification())
    for queue, sku in SKUS.items():
        channel = SHOP if "shop" in queue else FEED
        plant.service.put(queue, hint_text(Hint(channel, Sku(sku), house.clock())))
    told(house, "wms", "receipt", "GR-1", "IN", 7)  # apply_messages gives it up
    applied = told(house, "erp", "count", "C-1", "OBS", 4)
    house.applier.apply(applied)  # reconcile_stock gives up the observation
    house.post(movement("M-S1", 0, -2, key=StockKey(Sku("S1"), EAST)))  # fan_out_changes gives up the change
    house.lose_stream()
    for name in sorted(STREAMS):
        house.failures.records.append(json.dumps({"DDBStreamBatchInfo": {"shardId": name}}))


def told(house: House, source: str, kind: str, document: str, sku: str, units: int) -> Any:
    line = {"line": "1", "sku": sku, "location": "east", "quantity": units}
    body = {
        "type": f"stock.{kind}",
        "timestamp": at(-5).isoformat(),
        "data": {"document": document, "lines": [line]},
    }
    return house.store(source, body, delivery=document)


def shown(plant: Plant) -> dict[str, int | None]:
    return {sku: level for channel in plant.channels.values() for sku, level in channel.levels.items()}


def assert_exact_end(plant: Plant) -> None:
    """Everything is where it would be if nothing had ever died, once."""
    house = plant.house
    on_hand = {sku: house.on_hand(StockKey(Sku(sku), EAST)) for sku in ("S1", "S2", "F1", "F2", "IN", "OBS")}
    assert on_hand == {"S1": 7, "S2": 9, "F1": 9, "F2": 9, "IN": 7, "OBS": 9}
    assert house.on_hand(StockKey(Sku("FILE"), WEST)) == 5
    assert shown(plant) == {"S1": 7, "S2": 9, "F1": 9, "F2": 9}
    pending = [
        str(item["pk"]) for item in house.inbox_table.scan() if item.get("status") == MessageStatus.PENDING
    ]
    assert pending == []
    assert [case.id for case in house.cases.list(CaseStatus.OPEN)] == ["drift:erp:OBS:east:on_hand"]
    assert [*house.fan_out.dirty_since(house.clock())] == []
    assert [*house.observations.not_compared_since(house.clock())] == []
    assert plant.letters.counts() == dict.fromkeys((DROP, *SKUS), 0)
    house.assert_exact()


def test_every_kind_of_the_template_is_planted_here(prod: Templates) -> None:
    assert kinds_in(prod) == {DROP, *SKUS, *STREAMS}


def test_a_dead_letter_of_every_kind_redriven_twice_after_25_hours_ends_exactly(plant: Plant) -> None:
    house = plant.house
    house.archive.put(FILE, b"sku,qty,site\nFILE,5,west\n")
    died(plant)
    plant.later(hours=25)

    for expected in (dict.fromkeys((DROP, *SKUS), 1), {}):
        assert plant.redrive() == expected
        plant.consume()
        house.sweep.run()
        for hint in house.lanes.due():  # the sweep has told the channels, too
            house.pusher(plant.channels[hint.channel], hint.channel).push({hint.sku: hint})
        plant.later(minutes=5)
    house.sweep.run()

    assert_exact_end(plant)
    writes = {channel: list(one.written) for channel, one in plant.channels.items()}
    died_again = [notification(), *(hint_text(Hint(SHOP, Sku("S1"), NOON)) for _ in range(2))]
    plant.service.put(DROP, died_again[0])
    plant.service.put(SHOP_BULK, *died_again[1:])
    plant.redrive()
    plant.consume()
    assert_exact_end(plant)
    assert {channel: list(one.written) for channel, one in plant.channels.items()} == writes


def test_a_dry_run_says_of_every_kind_what_would_happen_and_does_nothing(plant: Plant) -> None:
    house = plant.house
    house.archive.put(FILE, b"sku,qty,site\nFILE,5,west\n")
    died(plant)
    promises = Promises(house.stock, house.registry, house.clock)
    preview = RedrivePreview(
        plant.letters, house.listings, promises, house.registry, house.ingester, house.inbox
    )

    def foretold() -> dict[str, str]:
        plant.service.time = house.clock()
        return {queue: one.would for queue in (DROP, *SKUS) for one in preview.letters(queue)}

    assert foretold() == {
        DROP: "it is read for the first time",
        SHOP_URGENT: "east: 7 is sent, it shows nobody knows what",
        SHOP_BULK: "east: 9 is sent, it shows nobody knows what",
        FEED_URGENT: "east: 9 is sent, it shows nobody knows what",
        FEED_BULK: "east: 9 is sent, it shows nobody knows what",
    }
    assert foretold() == foretold()
    assert shown(plant) == dict.fromkeys(("S1", "S2", "F1", "F2"), 3)
    before = plant.letters.counts()
    plant.redrive()
    plant.consume()
    died(plant)
    house.post(movement("M2-S1", 0, -2, key=StockKey(Sku("S1"), EAST)))
    assert foretold() == {
        DROP: "nothing: all of it is in the ledger already",
        SHOP_URGENT: "east: 5 is sent, it shows 7",
        SHOP_BULK: "east: nothing, it shows 9 already",
        FEED_URGENT: "east: nothing, it shows 9 already",
        FEED_BULK: "east: nothing, it shows 9 already",
    }
    assert plant.letters.counts() == before


def test_a_letter_that_nobody_can_read_and_one_of_a_channel_that_is_gone_are_told_apart(plant: Plant) -> None:
    house = plant.house
    plant.service.put(DROP, "no notification")
    plant.service.put(SHOP_BULK, hint_text(Hint(ChannelId("closed"), Sku("S1"), NOON)))
    plant.service.put(FEED_BULK, hint_text(Hint(FEED, Sku("S1"), NOON)))
    promises = Promises(house.stock, house.registry, house.clock)
    preview = RedrivePreview(
        plant.letters, house.listings, promises, house.registry, house.ingester, house.inbox
    )
    plant.service.time = house.clock()
    said = [one.would for queue in (DROP, SHOP_BULK, FEED_BULK) for one in preview.letters(queue)]
    assert said == [
        "it is tried again as it is; nobody can say more of it",
        "nothing: its channel is declared no more",
        "nothing: the channel does not list it",
    ]


def test_what_a_stream_gave_up_is_recovered_by_the_sweep_alone(plant: Plant) -> None:
    """Without any redrive: what the streams gave up is in the tables."""
    house = plant.house
    told(house, "wms", "receipt", "GR-1", "IN", 7)
    house.lose_stream()
    plant.later(hours=25)
    house.sweep.run()
    assert house.on_hand(StockKey(Sku("IN"), EAST)) == 7
    assert CaseKind.MESSAGE_FAILED not in {case.kind for case in house.cases.list(CaseStatus.OPEN)}
