"""The fake channels' commands, for the demo and for tests in other processes.

``POST /_control`` takes ``{"do": command, ...}``:

====================  =======================================================================================
command               fields
====================  =======================================================================================
create_items          ``items``: list of ``{item_id, location_id, sku, quantity, variant_id?, tracked?, bundle?}``
set_levels            ``channel?``, ``levels``: list of ``{item_id, location_id, quantity}`` (for a receiver its
                      own ids)
place_order           ``lines``: list of ``{item_id, location_id, quantity}``, ``deliver?``
cancel_order          ``order``, ``deliver?``
fail                  ``channel``, ``mode``, and the fields of ``faults.py``
recover               ``channel?``
throttle              ``held?`` (points left now, 0 by default), ``size?``, ``per_second?``
behave                for the shop ``anonymous_errors?``, ``replay_rechecks?``, ``echo?`` (``{url, secret}`` or
                      null); for a receiver (``channel``) ``compares?``, ``knows_items?``, ``states_results?``
refuse, accept        nothing: close or open the channels' port (use the control port for ``accept``)
settle                nothing: wait until all echoes are delivered
clear_calls           nothing
====================  =======================================================================================

``deliver`` is ``{url, secret, times?, reversed?}``: the order's webhook and one level update an item, each
``times`` times, in order or back to front. ``GET /_control`` shows calls, levels, orders and faults.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from infra.local.fake_channels.deliveries import Destination, order_body
from infra.local.fake_channels.faults import MODES, Fault
from infra.local.fake_channels.receiver import Reply
from infra.local.fake_channels.shop import SHOP, Item, Order, UnknownStockError

if TYPE_CHECKING:
    from infra.local.fake_channels.server import FakeChannels

Fields = Mapping[str, Any]
SWITCHES = ("anonymous_errors", "replay_rechecks", "compares", "knows_items", "states_results")


class CommandError(Exception):
    """A command that cannot be carried out; says which field and what to send instead."""


def answer(channels: FakeChannels, method: str, body: bytes) -> Reply:
    """Answer a request to ``/_control``."""
    if method == "GET":
        return Reply(HTTPStatus.OK, inspect(channels))
    try:
        return Reply(HTTPStatus.OK, carry_out(channels, json.loads(body)))
    except KeyError as missing:
        return Reply(HTTPStatus.BAD_REQUEST, {"error": f"field {missing} is missing; see control.py"})
    except (CommandError, UnknownStockError, ValueError, TypeError, AttributeError) as wrong:
        return Reply(HTTPStatus.BAD_REQUEST, {"error": str(wrong)})


def carry_out(channels: FakeChannels, command: Fields) -> dict[str, object]:
    """Carry out one command and return what it has to say."""
    do = COMMANDS.get(command["do"])
    if do is None:
        raise CommandError(f"do: {command['do']!r} is unknown; send one of {', '.join(sorted(COMMANDS))}")
    return {"done": command["do"], **(do(channels, command) or {})}


def inspect(channels: FakeChannels) -> dict[str, object]:
    """Return everything the fake channels hold."""
    with channels.shop.lock:
        levels = {SHOP: [_level(item, at, quantity) for (item, at), quantity in channels.shop.levels.items()]}
        orders = [order_body(order) for order in channels.shop.orders.values()]
    for name, receiver in list(channels.receivers.items()):
        with receiver.lock:
            levels[name] = [_level(item, at, quantity) for (item, at), quantity in receiver.levels.items()]
    return {
        "calls": [asdict(call) for call in list(channels.calls)],
        "levels": levels,
        "orders": orders,
        "faults": [asdict(fault) for fault in channels.faults.active()],
    }


def _level(item: str, location: str, quantity: int | None) -> dict[str, object]:
    return {"item_id": item, "location_id": location, "quantity": quantity}


def _create_items(channels: FakeChannels, command: Fields) -> None:
    for entry in command["items"]:
        number = str(entry["item_id"])
        item = Item(
            id=number,
            sku=entry["sku"],
            variant=str(entry.get("variant_id", int(number) + 1)),
            tracked=entry.get("tracked", True),
            bundle=entry.get("bundle", False),
        )
        channels.shop.stock(item, str(entry["location_id"]), int(entry["quantity"]))


def _set_levels(channels: FakeChannels, command: Fields) -> None:
    channel = command.get("channel", SHOP)
    for level in command["levels"]:
        item, location, quantity = str(level["item_id"]), str(level["location_id"]), int(level["quantity"])
        if channel == SHOP:
            channels.shop.set_level(item, location, quantity)
        else:
            receiver = channels.receiver(channel)
            with receiver.lock:
                receiver.levels[item, location] = quantity


def _place_order(channels: FakeChannels, command: Fields) -> dict[str, object]:
    lines = [
        (str(line["item_id"]), str(line["location_id"]), int(line["quantity"])) for line in command["lines"]
    ]
    order = channels.shop.place_order(lines)
    return _deliver(channels, command, "orders/create", order)


def _cancel_order(channels: FakeChannels, command: Fields) -> dict[str, object]:
    order = channels.shop.cancel_order(int(command["order"]))
    return _deliver(channels, command, "orders/cancelled", order)


def _deliver(channels: FakeChannels, command: Fields, topic: str, order: Order) -> dict[str, object]:
    answer: dict[str, object] = {"order": order_body(order)}
    deliver = command.get("deliver")
    if deliver:
        repeated = [
            delivery
            for delivery in channels.deliveries.of_order(topic, order)
            for _ in range(int(deliver.get("times", 1)))
        ]
        if deliver.get("reversed"):
            repeated.reverse()
        to = Destination(deliver["url"], deliver["secret"])
        answer["statuses"] = channels.deliveries.send(to, repeated)
    return answer


def _fail(channels: FakeChannels, command: Fields) -> None:
    if command["mode"] not in MODES:
        raise CommandError(f"mode: {command['mode']!r} is unknown; send one of {', '.join(sorted(MODES))}")
    names = {field.name for field in fields(Fault)}
    channels.faults.add(
        Fault(**{name: value for name, value in {"channel": SHOP, **command}.items() if name in names})
    )


def _recover(channels: FakeChannels, command: Fields) -> None:
    channels.faults.recover(command.get("channel"))


def _throttle(channels: FakeChannels, command: Fields) -> None:
    bucket = channels.graphql.bucket
    bucket.size = int(command.get("size", bucket.size))
    bucket.per_second = int(command.get("per_second", bucket.per_second))
    bucket.held = float(command.get("held", 0))
    bucket.seen_at = bucket.now()


def _behave(channels: FakeChannels, command: Fields) -> None:
    channel = command.get("channel", SHOP)
    target = channels.shop.behaviour if channel == SHOP else channels.receiver(channel)
    for switch in SWITCHES:
        if switch in command:
            if not hasattr(target, switch):
                raise CommandError(f"{switch}: {channel} has no such switch; see control.py")
            setattr(target, switch, bool(command[switch]))
    if "echo" in command:
        echo = command["echo"]
        channels.echo = None if echo is None else Destination(echo["url"], echo["secret"])


def _refuse(channels: FakeChannels, command: Fields) -> None:
    channels.refuse_connections()


def _accept(channels: FakeChannels, command: Fields) -> None:
    channels.accept_connections()


def _settle(channels: FakeChannels, command: Fields) -> None:
    channels.deliveries.settle()


def _clear_calls(channels: FakeChannels, command: Fields) -> None:
    channels.calls.clear()


COMMANDS: Mapping[str, Callable[[FakeChannels, Fields], dict[str, object] | None]] = {
    "create_items": _create_items,
    "set_levels": _set_levels,
    "place_order": _place_order,
    "cancel_order": _cancel_order,
    "fail": _fail,
    "recover": _recover,
    "throttle": _throttle,
    "behave": _behave,
    "refuse": _refuse,
    "accept": _accept,
    "settle": _settle,
    "clear_calls": _clear_calls,
}
