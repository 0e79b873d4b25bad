"""The tracer of a house, facts that are told to it, and how a chain reads."""

from __future__ import annotations

from shared.domain.stock import MessageId
from shared.domain.trace import Chain, Stage
from shared.operations.message_view import MessageView
from shared.operations.trace import Tracer
from tests.operations.deliveries import body
from tests.operations.house import House, at
from tests.operations.scripted_channel import ScriptedChannel


def tracer(house: House) -> Tracer:
    """Return the tracer of a house."""
    messages = MessageView(house.stock, house.registry, house.clock)
    return Tracer(house.stock, house.inbox, house.cases, house.registry, house.view, messages)


def told(house: House, kind: str, document: str, minute: float, units: int, source: str = "wms") -> MessageId:
    """Let a system report something that happened at a minute, and apply it."""
    said = body(kind, document, {"sku": "TEA", "quantity": units}, occurred_at=at(minute))
    name = house.store(source, said, delivery=document)
    house.clock.advance(seconds=2)
    house.settle()
    return name


def stages(chain: Chain) -> list[tuple[str, str, int | None]]:
    """Return of each step its stage, its system and the seconds that it took."""
    return [
        (str(step.stage), step.system, None if step.took is None else round(step.took.total_seconds()))
        for step in chain.steps
    ]


def pushed(house: House, channel: ScriptedChannel) -> None:
    """Push what is due, three seconds from now."""
    house.clock.advance(seconds=3)
    house.push_due(channel)


def posted(chain: Chain, stage: Stage = Stage.POSTED) -> list[str]:
    """Return what the steps of a stage say, in order of the words."""
    return sorted(step.says for step in chain.steps if step.stage is stage)
