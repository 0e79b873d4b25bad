"""Onecount as the network sees it: signed messages go in, drift cases come out.

The real operations over tables in memory, wired as in ``shared/runtime/wiring``; what the streams and the sweep do
between messages is done by ``settle``.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from infra.incidents.history import Happening, written
from infra.incidents.network import PACKS, SHOP_DOMAIN, SHOPFRONT, SKUS, START, WMS, network
from shared.domain.cases import Case, CaseKind, CaseStatus
from shared.domain.items import Item, Terms
from shared.domain.stock import MessageId, SourceId, StockKey
from shared.operations.apply_message import MessageApplier
from shared.operations.damping import Damper
from shared.operations.explain import Explainer
from shared.operations.post import Poster
from shared.operations.receive import Receiver
from shared.operations.reconcile import Reconciler
from shared.operations.record import Recorder
from shared.operations.stock_view import StockView
from shared.operations.telling import Teller
from shared.operations.unbinned_stock import UnbinnedWatch
from shared.operations.write_paths import PathWatch
from shared.store.cases import Cases
from shared.store.inbox import Inbox
from shared.store.layout import INDEXES
from shared.store.ledger_items import moved_of
from shared.store.memory import MemoryTable
from shared.store.observations import Observations, observation
from shared.store.registry import Registry
from shared.store.shadows import Shadows
from shared.store.traffic import Traffic

SIGNED_BY = "whsec_aW5jaWRlbnQtbGFiLXNlY3JldC1vZi1ub2JvZHk="
SHOP_SIGNED_BY = "incident-lab"
NOT_COMPARED_FOR = timedelta(seconds=60)


class LabSecrets:
    """Hands out each source's secret."""

    def of(self, _kind: str, name: str) -> tuple[str, ...]:
        return (SHOP_SIGNED_BY if name == SHOPFRONT else SIGNED_BY,)


class NoArchive:
    """Holds nothing: the lab's messages are small."""

    def put(self, name: str, body: bytes) -> None:
        raise OSError(f"{name} of {len(body)} bytes is larger than the lab's messages are")

    def get(self, name: str) -> bytes:
        raise OSError(f"{name} was never archived")


class Observer:
    """Onecount over fresh tables, at a time that the world sets."""

    def __init__(self) -> None:
        self.now = START
        clock: Callable[[], datetime] = lambda: self.now  # noqa: E731
        tables = {name: MemoryTable(indexes, clock=clock, name=name) for name, indexes in INDEXES.items()}
        self._stock, self._read = tables["stock"], 0
        registry = Registry(tables["registry"], lambda: 0.0)
        inbox = Inbox(tables["inbox"], NoArchive())
        self.cases = Cases(tables["cases"])
        observations = Observations(self._stock)
        view = StockView(self._stock, registry, clock)
        poster = Poster(self._stock, clock, lambda _: None)
        traffic = Traffic(self._stock, clock)
        damper = Damper(self._stock, self.cases, registry, clock)
        unbinned = UnbinnedWatch(self._stock, self.cases, registry, clock)
        teller = Teller(poster, self.cases, unbinned, clock)
        recorder = Recorder(
            poster, observations, self.cases, registry, traffic, damper, teller, Shadows(self._stock), clock
        )
        self._receiver = Receiver(inbox, registry, LabSecrets(), clock, 1_000_000)
        self._applier = MessageApplier(inbox, registry, recorder, self.cases, clock)
        self.explainer = Explainer(self._stock, view, observations, self.cases, registry)
        paths = PathWatch(traffic, self.cases, registry, clock)
        self._reconciler = Reconciler(
            view, observations, self.cases, registry, self.explainer, paths, damper, clock
        )
        self.messages = 0
        registry.declare(network())
        registry.add_items(SKUS)
        for sku, pack in PACKS.items():
            before = Item(sku)
            terms = Terms(base_unit="piece", packs={"case": Fraction(pack)})
            registry.items.change([(before, Item(sku, terms=(terms,), version=1, changed_at=START))])

    def hear(self, happening: Happening) -> None:
        """Receive what the authority, or the shop, says of one happening."""
        if happening.is_of_shop:
            self._receive(SHOPFRONT, _order(happening), _shop_headers)
        else:
            self._receive(WMS, _report(happening), self._headers)

    def hear_statement(
        self, source: SourceId, element: str, document: str, numbers: dict[StockKey, int], at: datetime
    ) -> None:
        """Receive the numbers that a system states."""
        lines = [
            {
                "line": str(number),
                "sku": key.sku,
                "location": key.location,
                "quantity": max(0, quantity),
                "counter": element,
            }
            for number, (key, quantity) in enumerate(numbers.items(), start=1)
        ]
        self._receive(source, _body("count", document, at, lines), self._headers)

    def settle(self) -> None:
        """Let the stream flow, and the sweep look at what was not compared for a minute."""
        while written := self._stock.written_since(self._read):
            self._read += len(written)
            moved, seen = [], []
            for item in written:
                if item is None:
                    continue
                pk = str(item["pk"])
                if pk.startswith("OBS#") and "observed_pk" in item:
                    seen.append(observation(item))
                elif (pk.startswith("BAL#") and item["sk"] == "-") or (
                    pk.startswith("PROMISE#") and "dirty_pk" in item
                ):
                    moved.append(moved_of(item))
            self._reconciler.observed(seen)
            self._reconciler.moved(moved)

    def sweep(self) -> None:
        """Compare what was said a while ago and not compared since."""
        self._reconciler.observed([*self._reconciler.waiting(self.now - NOT_COMPARED_FOR)])

    def drift_cases(self) -> list[Case]:
        """Return every drift case that was ever opened."""
        found = [case for status in CaseStatus for case in self.cases.list(status, 1000)]
        return [case for case in found if case.kind is CaseKind.DRIFT]

    def other_cases(self) -> list[Case]:
        """Return cases of any other kind: in the lab, a mistake of the lab."""
        found = [case for status in CaseStatus for case in self.cases.list(status, 1000)]
        return [case for case in found if case.kind is not CaseKind.DRIFT]

    def _receive(
        self, source: SourceId, body: dict[str, Any], sign: Callable[[bytes, str, datetime], dict[str, str]]
    ) -> None:
        self.messages += 1
        raw = json.dumps(body).encode()
        received = self._receiver.receive(source, sign(raw, f"msg-{self.messages}", self.now), raw)
        self._applier.apply(MessageId(received.message_id))

    @staticmethod
    def _headers(raw: bytes, delivery: str, now: datetime) -> dict[str, str]:
        stamp = str(int(now.timestamp()))
        secret = base64.b64decode(SIGNED_BY.removeprefix("whsec_"))
        digest = hmac.digest(secret, b".".join((delivery.encode(), stamp.encode(), raw)), "sha256")
        signature = base64.b64encode(digest).decode()
        return {"webhook-id": delivery, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}


def _shop_headers(raw: bytes, delivery: str, _now: datetime) -> dict[str, str]:
    topic = "orders/cancelled" if b'"cancelled_at": "' in raw else "orders/create"
    signature = base64.b64encode(hmac.digest(SHOP_SIGNED_BY.encode(), raw, "sha256")).decode()
    return {
        "x-shopify-hmac-sha256": signature,
        "x-shopify-topic": topic,
        "x-shopify-shop-domain": SHOP_DOMAIN,
        "x-shopify-webhook-id": delivery,
    }


def _body(type_: str, document: str, at: datetime, lines: list[dict[str, Any]]) -> dict[str, Any]:
    data = {"document": document, "occurred_at": written(at), "lines": lines}
    return {"type": f"stock.{type_}", "timestamp": written(at), "data": data}


def _report(happening: Happening) -> dict[str, Any]:
    line = {
        "line": "1",
        "sku": happening.key.sku,
        "location": happening.key.location,
        "quantity": happening.units,
        **happening.extra,
    }
    return _body(happening.type, happening.document, happening.at, [line])


def _order(happening: Happening) -> dict[str, Any]:
    number = int(happening.document)
    is_cancelled = happening.type == "cancelled"
    line = {
        "id": number * 10,
        "sku": happening.key.sku,
        "quantity": happening.units,
        "current_quantity": 0 if is_cancelled else happening.units,
        "variant_inventory_management": "shopify",
        "requires_shipping": True,
    }
    return {
        "id": number,
        "updated_at": written(happening.at),
        "cancelled_at": written(happening.at) if is_cancelled else None,
        "line_items": [line],
    }
