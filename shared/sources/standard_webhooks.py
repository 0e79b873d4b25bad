"""A system that posts stock events to us in the Standard Webhooks form: our own documented schema.

Authentication: see ``standard_signature``. The delivery id is ``webhook-id``.

The body::

    {"type": "stock.receipt", "timestamp": "2026-11-21T08:30:00Z",
     "data": {"document": "GR-1001", "occurred_at": "2026-11-21T09:28:12+01:00",
              "lines": [{"line": "1", "sku": "TEA-EARL-100", "location": "LEEDS", "quantity": 40,
                         "bin": "A-12", "lot": "L7"}]}}

==================  ===================  =============================================================
type                quantity             becomes
==================  ===================  =============================================================
stock.receipt       1 or more            Movement, on_hand up
stock.return        1 or more            Movement, on_hand up; and quality_hold or damaged by ``disposition``
stock.shipment      1 or more            Movement, on_hand down if stock leaves at the shipment
stock.pick          1 or more            Movement, on_hand down if stock leaves at the pick
stock.putaway       1 or more            Movement without legs: progress only
stock.pack          1 or more            Movement without legs: progress only
stock.adjustment    not 0, signed        Movement of ``counter`` (default ``on_hand``)
stock.hold          1 or more            Movement, quality_hold up: the units stay on hand, and cannot be sold
stock.release       1 or more            Movement, quality_hold down
stock.damage        1 or more            Movement, damaged up: the units stay on hand, and cannot be sold
stock.transfer_ship 1 or more            Movement, on_hand down here, in_transit up at ``to_location``
stock.transfer_receive 1 or more           Movement, in_transit down and on_hand up here
stock.count         0 or more            Count of ``counter`` (default ``on_hand``) as of ``occurred_at``
==================  ===================  =============================================================

* ``document``, ``line``, ``order`` and ``order_line`` are text or whole numbers; ``sku``, ``location``, ``bin``
  and ``lot`` are text. ``occurred_at`` falls back to ``timestamp``; both need a time zone.
* ``order`` with ``order_line`` names the order line that a pick or shipment fulfils; ``reason`` is kept as a
  reference.
* ``transfer`` names the transfer document of ours that a transfer_ship or transfer_receive moves units of; beside an
  adjustment of ``in_transit``, the one of which units are lost.
* ``version`` (text, compared as text) orders corrections of one count document. Movements have none: another
  version would be another event and move the stock again, so a movement is corrected by an adjustment.
* ``quantity`` is a whole number of the item's base unit; with ``unit`` beside it (``"quantity": 2.5, "unit": "case"``),
  or where the source's option ``unit`` says what it always sends, it may have decimals. How many base units a unit
  is, the item master says; what the sender's word for it stands for, the source's option ``units``.
* ``disposition`` of a return is ``sellable`` (default), ``quality_hold`` or ``damaged``.
* Option ``stock_leaves_at`` of the source: ``shipment`` (default) or ``pick``; the other is progress only.
* The same line id twice in one document is read once if it says the same, and is a fault if it does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.domain.events import Count, Event, Leg, Movement, MovementKind, Origin, Refs
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import WHOLE, Counter, Leaf, LocationId, Sku, why_no_name
from shared.domain.transfer import order_name
from shared.domain.units import Measure
from shared.sources.contract import Delivery, Fault, Report, Request
from shared.sources.options import one_of
from shared.sources.reading import (
    MAX_QUANTITY,
    Fields,
    UnreadableError,
    event_key,
    in_order,
    parse_json,
    refuse,
    shown,
)
from shared.sources.standard_signature import verify

_PREFIX = "stock."
_COUNT = "count"
_TYPES = frozenset({*MovementKind, _COUNT})
_TRANSFERRED = frozenset({MovementKind.TRANSFER_SHIP, MovementKind.TRANSFER_RECEIVE, MovementKind.ADJUSTMENT})
_DISPOSITIONS = ("sellable", Counter.QUALITY_HOLD, Counter.DAMAGED)
_STOCK_LEAVES_AT = ("shipment", "pick")


class StandardWebhooks:
    """The generic signed webhook; see the module."""

    def authenticate(
        self, request: Request, secrets: Sequence[str], now: datetime, source: Source
    ) -> Delivery:
        """Prove the request by any of its signatures under any of the secrets.

        Raises
        ------
        AuthenticationError
            When a header is missing or garbled, the time is outside the window, or no signature fits.
        """
        return verify(request, secrets, now)

    def translate(self, message: Message, source: Source) -> Iterable[Report | Fault]:
        """Say what the message reports, line by line; see the table in the module."""
        try:
            envelope = _read_envelope(message, source)
        except UnreadableError as error:
            return [error.fault]
        return list(_lines(envelope))


@dataclass(frozen=True, slots=True)
class _Envelope:
    """What all lines of one message share."""

    message: Message
    source: Source
    type: str
    document: str
    version: str
    occurred_at: datetime
    stock_leaves_at: str
    lines: Sequence[object]


def _read_envelope(message: Message, source: Source) -> _Envelope:
    body = Fields(parse_json(message.body), "")
    sent_type = body.text("type")
    type_ = sent_type.removeprefix(_PREFIX)
    if not sent_type.startswith(_PREFIX) or type_ not in _TYPES:
        known = ", ".join(sorted(_PREFIX + name for name in _TYPES))
        refuse("unsupported", "type", f"{shown(sent_type)} is not known", f"send one of: {known}")
    data = Fields(body.values.get("data"), "data")
    version = data.text_or("version", "")
    if version and type_ != _COUNT:
        refuse(
            "invalid_field",
            "data.version",
            "a movement has no version: another one would move the stock again",
            "leave it out, and correct a movement with stock.adjustment under a document of its own",
        )
    lines = data.items("lines")
    if not lines:
        refuse("missing_field", "data.lines", "is empty", "send at least one line")
    return _Envelope(
        message=message,
        source=source,
        type=type_,
        document=data.number_or_text("document"),
        version=version,
        occurred_at=data.moment("occurred_at") if data.has("occurred_at") else body.moment("timestamp"),
        stock_leaves_at=_stock_leaves_at(source),
        lines=lines,
    )


def _stock_leaves_at(source: Source) -> str:
    declared = source.options.get("stock_leaves_at", "shipment")
    if declared not in _STOCK_LEAVES_AT:
        refuse(
            "invalid_field",
            "source.options.stock_leaves_at",
            f"{shown(declared)} is not known",
            f"declare one of: {', '.join(_STOCK_LEAVES_AT)}",
        )
    return str(declared)


def _lines(envelope: _Envelope) -> Iterator[Report | Fault]:
    seen: dict[str, Report] = {}
    for index, value in enumerate(envelope.lines):
        path = f"data.lines[{index}]"
        try:
            report = _report(envelope, Fields(value, path))
        except UnreadableError as error:
            yield error.fault
            continue
        first = seen.setdefault(report.event.key, report)
        if first is report:
            yield report
        else:
            how = "the same content: it was taken once" if first == report else "different content"
            yield Fault(
                "invalid_field",
                f"{path}.line",
                f"this line id is there twice in the document, with {how}",
                "give every line of a document its own id; a line that was meant twice comes again under another one",
            )


def _report(envelope: _Envelope, line: Fields) -> Report:
    unit = line.text_or("unit", "")
    if not unit and not envelope.source.options.get("unit"):
        return Report(_event(envelope, line, line.quantity("quantity", _least(envelope))))
    quantity, places = line.measured("quantity", _least(envelope))
    measure = Measure(unit, places) if unit or places else None
    return Report(_event(envelope, line, quantity), measure=measure)


def _least(envelope: _Envelope) -> int:
    if envelope.type == _COUNT:
        return 0
    return -MAX_QUANTITY if envelope.type == MovementKind.ADJUSTMENT else 1


def _event(envelope: _Envelope, line: Fields, quantity: int) -> Event:
    order = line.number_or_text("order") if line.has("order") else None
    order_line = line.number_or_text("order_line") if line.has("order_line") else None
    if order_line is not None and order is None:
        refuse("missing_field", line.where("order"), "is missing beside order_line", "send both or neither")
    moved_for = _transfer_order(envelope.type, line)
    if moved_for is None and order is not None and order_line is not None:
        moved_for = (order, order_line)
    origin = Origin(envelope.source.id, envelope.message.id, _refs(envelope.document, order, line))
    line_id = line.number_or_text("line")
    key = event_key(envelope.source.id, envelope.document, line_id, envelope.type, envelope.version)
    sku, location = Sku(line.text("sku")), LocationId(line.text("location"))
    if envelope.type == _COUNT:
        return Count(
            key=key,
            sku=sku,
            location=location,
            quantity=quantity,
            as_of=envelope.occurred_at,
            origin=origin,
            element=_element(line, envelope.source),
            leaf=_leaf(line),
            version=in_order(envelope.version),
            document=f"{envelope.document}/{line_id}",
        )
    return Movement(
        key=key,
        sku=sku,
        kind=MovementKind(envelope.type),
        legs=_legs(envelope, line, location, quantity),
        occurred_at=envelope.occurred_at,
        origin=origin,
        order_line=moved_for,
    )


def _transfer_order(type_: str, line: Fields) -> tuple[str, str] | None:
    """Return the line of a transfer of ours that units are moved of, as that of the order that holds them."""
    if not line.has("transfer"):
        return None
    if type_ not in _TRANSFERRED:
        refuse(
            "invalid_field",
            line.where("transfer"),
            f"a {_PREFIX}{type_} moves nothing of a transfer",
            "send it with transfer_ship, transfer_receive, or an adjustment of in_transit",
        )
    return order_name(line.number_or_text("transfer")), line.text("sku")


def _legs(envelope: _Envelope, line: Fields, here: LocationId, units: int) -> tuple[Leg, ...]:
    """Return what the line changes; nothing where it only reports progress."""
    leaf, kind = _leaf(line), MovementKind(envelope.type)
    if kind is MovementKind.ADJUSTMENT:
        if units == 0:
            refuse("invalid_field", line.where("quantity"), "adjusts by 0", "send a number that is not 0")
        return (Leg(here, units, _counter(line), leaf),)
    match kind:
        case MovementKind.RECEIPT:
            return (Leg(here, units, leaf=leaf),)
        case MovementKind.RETURN:
            disposition = _disposition(line)
            withheld = () if disposition is None else (Leg(here, units, disposition, leaf),)
            return (Leg(here, units, leaf=leaf), *withheld)
        case MovementKind.HOLD:
            return (Leg(here, units, Counter.QUALITY_HOLD, leaf),)
        case MovementKind.RELEASE:
            return (Leg(here, -units, Counter.QUALITY_HOLD, leaf),)
        case MovementKind.DAMAGE:
            return (Leg(here, units, Counter.DAMAGED, leaf),)
        case MovementKind.TRANSFER_SHIP:
            there = LocationId(line.text("to_location"))
            if there == here:
                refuse(
                    "invalid_field",
                    line.where("to_location"),
                    "is where it leaves from",
                    "send the destination",
                )
            return (Leg(here, -units, leaf=leaf), Leg(there, units, Counter.IN_TRANSIT))
        case MovementKind.TRANSFER_RECEIVE:
            return (Leg(here, -units, Counter.IN_TRANSIT), Leg(here, units, leaf=leaf))
        case _:
            return (Leg(here, -units, leaf=leaf),) if kind == envelope.stock_leaves_at else ()


def _disposition(line: Fields) -> Counter | None:
    """Return the counter that withholds a returned unit from sale; None where it can be sold."""
    named = line.text_or("disposition", _DISPOSITIONS[0])
    if named not in _DISPOSITIONS:
        reason, remedy = f"{shown(named)} is not known", f"send one of: {', '.join(_DISPOSITIONS)}"
        refuse("invalid_field", line.where("disposition"), reason, remedy)
    return None if named == _DISPOSITIONS[0] else Counter(named)


def _counter(line: Fields) -> Counter:
    named = line.text_or("counter", Counter.ON_HAND)
    try:
        return Counter(named)
    except ValueError:
        refuse(
            "invalid_field",
            line.where("counter"),
            f"{shown(named)} is not a counter",
            f"send one of: {', '.join(Counter)}",
        )


def _element(line: Fields, source: Source) -> str:
    """Return what a count's number means: a counter, or an element that the source declares a meaning for."""
    named = line.text_or("counter", Counter.ON_HAND)
    known = [*Counter, *sorted(set(source.meaning) - set(Counter))]
    if named not in known:
        refuse(
            "invalid_field",
            line.where("counter"),
            f"{shown(named)} has no declared meaning",
            f"send one of: {', '.join(known)}; or declare its meaning for this source",
        )
    return str(named)


def _leaf(line: Fields) -> Leaf:
    bin_, lot = line.text_or("bin", ""), line.text_or("lot", "")
    for part, name in (("bin", bin_), ("lot", lot)):
        if (why := why_no_name(part, name)) is not None:
            refuse("invalid_field", line.where(part), *why)
    return Leaf(bin_ or WHOLE.bin, lot or WHOLE.lot)


def _refs(document: str, order: str | None, line: Fields) -> Refs:
    refs = {"document": document}
    if order is not None:
        refs["order"] = order
    if line.has("transfer"):
        refs["transfer"] = line.number_or_text("transfer")
    if line.has("reason"):
        refs["reason"] = line.text("reason")
    return tuple(sorted(refs.items()))


OPTIONS = {"stock_leaves_at": one_of(*_STOCK_LEAVES_AT)}
CONNECTOR = StandardWebhooks()
