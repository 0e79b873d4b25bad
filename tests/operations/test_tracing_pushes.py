"""The trace of a fact on its way to the channels: what each was sent, refused, or not told yet."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.domain.listing import KEPT_PUSHES
from shared.domain.network import Channel
from shared.domain.stock import ChannelId
from shared.domain.trace import Stage
from shared.operations.fan_out import Hint, Lane
from shared.operations.trace import NothingToTraceError
from tests.operations.house import EAST, KEY, SHOP, TEA, House, network
from tests.operations.scripted_channel import ScriptedChannel
from tests.operations.tracing import pushed, told, tracer


def test_a_channel_whose_number_did_not_change_was_sent_nothing_and_says_so() -> None:
    house, channel = House(), ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    told(house, "receipt", "GR-1", -1, 10)
    pushed(house, channel)
    house.clock.advance(minutes=10)
    told(house, "receipt", "GR-2", 5, 4)
    message = told(house, "adjustment", "AD-1", 6, -4)
    pushed(house, channel)
    [chain] = tracer(house).message(message).chains
    assert chain.notes == ("shop was sent nothing of TEA@east since: its number did not change",)


def test_a_channel_that_was_not_told_yet_is_not_said_to_show_the_right_number() -> None:
    house, channel = House(), ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    message = told(house, "receipt", "GR-1", -1, 10)
    [chain] = tracer(house).message(message).chains
    assert chain.notes == (
        "shop has not been told of TEA@east yet: nobody knows what it shows, and 10 may be sold there",
    )
    channel.down = True
    pushed(house, channel)
    [chain] = tracer(house).message(message).chains
    assert "; it fails since 2026-11-01T" in chain.notes[0]
    assert chain.notes[0].endswith(": 503")


def test_a_push_that_the_channel_refuses_is_told_with_its_case() -> None:
    house, channel = House(), ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    channel.answers.append("refused")
    message = told(house, "receipt", "GR-1", -1, 30)
    pushed(house, channel)
    [chain] = tracer(house).message(message).chains
    [note] = chain.notes
    assert note == (
        "shop has taken nothing of TEA@east since: shop refuses the quantity of TEA at east: we do not sell it "
        "(case push_refused:shop:TEA:east, open)"
    )


def test_a_push_without_an_answer_is_said_to_be_on_its_way() -> None:
    house, channel = House(), ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    channel.answers.append("unheard")
    message = told(house, "receipt", "GR-1", -1, 30)
    pushed(house, channel)
    [chain] = tracer(house).message(message).chains
    [note] = chain.notes
    assert note.startswith("shop is just being told of TEA@east; without an answer by 2026-11-01T12:")


def test_a_push_names_the_postings_that_it_carried() -> None:
    house, channel = House(), ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    told(house, "receipt", "GR-1", -1, 10)
    pushed(house, channel)
    told(house, "receipt", "GR-2", 1, 5)
    told(house, "receipt", "GR-3", 2, 1)
    pushed(house, channel)

    head, *carried = tracer(house).push(SHOP, KEY, None).chains
    assert [step.says for step in head.steps][-1] == "took 16"
    assert sorted(chain.event.split("/")[1] for chain in carried) == ["GR-2", "GR-3"]
    first = house.listings.states(SHOP, [KEY])[KEY].pushes[0].generation
    assert [chain.event.split("/")[1] for chain in tracer(house).push(SHOP, KEY, first).chains[1:]] == [
        "GR-1"
    ]
    with pytest.raises(NothingToTraceError, match=f"remembered are generations {first}, "):
        tracer(house).push(SHOP, KEY, 999)


def test_a_listing_remembers_its_newest_pushes_and_says_when_an_older_one_is_gone() -> None:
    house, channel = House(), ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    first = told(house, "receipt", "GR-0", -1, 10)
    for number in range(1, KEPT_PUSHES + 3):
        pushed(house, channel)
        told(house, "receipt", f"GR-{number}", -1, 1)
    pushed(house, channel)
    assert len(house.listings.states(SHOP, [KEY])[KEY].pushes) == KEPT_PUSHES
    [chain] = tracer(house).message(first).chains
    assert chain.notes == ("shop was told at the latest then: only its newest pushes are kept",)


def test_two_channels_are_followed_each_by_itself() -> None:
    second = Channel(ChannelId("market"), "scripted", {EAST: "E"}, EAST, calls_per_minute=100_000)
    house, shop, market = (
        House(network(second)),
        ScriptedChannel(levels={TEA: 0}),
        ScriptedChannel(levels={TEA: 0}),
    )
    house.list_on(SHOP, "TEA")
    house.list_on(second.id, "TEA")
    message = told(house, "receipt", "GR-1", -1, 10)
    house.clock.advance(seconds=3)
    house.push_due(shop)
    house.clock.advance(seconds=4)
    house.lanes.send(Lane.BULK, [Hint(second.id, TEA, house.clock())])
    house.push_due(market, second.id)
    [chain] = tracer(house).message(message).chains
    began = {
        step.system: timedelta(seconds=round(step.took.total_seconds()))
        for step in chain.steps
        if step.stage is Stage.PUSHING and step.took
    }
    assert began == {"shop": timedelta(seconds=3), "market": timedelta(seconds=7)}


def test_a_case_that_was_over_before_a_fact_happened_is_not_of_its_chain() -> None:
    house, channel = House(), ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    channel.answers.append("refused")
    first = told(house, "receipt", "GR-1", -1, 30)
    pushed(house, channel)
    refused = "push_refused:shop:TEA:east"
    house.clock.advance(minutes=10)
    assert house.cases.close(refused, "the channel took it", house.clock())
    house.clock.advance(minutes=10)

    later = told(house, "receipt", "GR-2", 21, 4)

    [chain] = tracer(house).message(first).chains
    assert [name for name, _, _ in chain.cases] == [refused]
    [chain] = tracer(house).message(later).chains
    assert chain.cases == ()


def test_a_push_does_not_name_a_case_that_was_over_before_it_began() -> None:
    house, channel = House(), ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    told(house, "receipt", "GR-1", -1, 30)
    channel.answers.append("refused")
    pushed(house, channel)
    assert house.cases.close("push_refused:shop:TEA:east", "the shop lists it now", house.clock())
    house.clock.advance(minutes=10)
    told(house, "receipt", "GR-2", 11, 4)
    pushed(house, channel)

    [head, *_] = tracer(house).push(SHOP, KEY, None).chains

    assert head.cases == ()
