"""One process that plays the channels: a Shopify shop and any number of signed-webhook receivers, over HTTP.

=======  ==============================================  ============================================
method   path                                            is
=======  ==============================================  ============================================
POST     ``/shopify/admin/api/{version}/graphql.json``   the shop's Admin API
POST     ``/webhook/{channel}``                          a receiver of availability
GET      ``/webhook/{channel}/levels``                   the receiver's reading back
GET      ``/_control``                                   calls, levels, orders and faults, to inspect
POST     ``/_control``                                   a command, see ``control.py``
=======  ==============================================  ============================================

``/_control`` also answers on a port of its own, which stays open while the channels' port refuses connections.
Everything is in memory and bound to 127.0.0.1.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any

from infra.local.fake_channels.deliveries import Deliveries, Destination
from infra.local.fake_channels.faults import Faults
from infra.local.fake_channels.http_door import ChannelServer, Exchange
from infra.local.fake_channels.receiver import Receiver, Reply, offers_in, summary
from infra.local.fake_channels.shop import SHOP, Shop, UserError
from infra.local.fake_channels.shop_graphql import VERSIONS, Call, CostBucket, ShopGraphql
from shared.channels.transport import HttpTransport

DEMO_TOKEN = "shpat_demo_token"  # noqa: S105 - the fake shop's only token
DEMO_WEBHOOK_SECRET = "whsec_b25lY291bnQtZGVtby1zZWNyZXQtMDE="  # noqa: S105


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One request to a channel, as it was understood."""

    number: int
    channel: str
    operation: str
    status: int
    outcome: str
    key: str | None = None
    quantities: tuple[Mapping[str, object], ...] = ()


@dataclass(slots=True)
class FakeChannels:
    """The fake channels; a context manager that serves while it is open.

    ``port`` and ``control_port`` 0 take free ones. ``clock`` gives the time in webhooks and signatures.
    """

    port: int = 0
    control_port: int = 0
    token: str = DEMO_TOKEN
    webhook_secret: str = DEMO_WEBHOOK_SECRET
    clock: Callable[[], datetime] = _now
    shop: Shop = field(init=False)
    graphql: ShopGraphql = field(init=False)
    deliveries: Deliveries = field(init=False)
    faults: Faults = field(default_factory=Faults)
    receivers: dict[str, Receiver] = field(default_factory=dict)
    echo: Destination | None = None
    calls: list[LoggedCall] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _servers: dict[str, ChannelServer] = field(default_factory=dict)
    _timers: list[threading.Timer] = field(default_factory=list)

    def __enter__(self) -> FakeChannels:
        self.shop = Shop(self.clock)
        self.graphql = ShopGraphql(self.shop, CostBucket(time.monotonic, seen_at=time.monotonic()))
        self.deliveries = Deliveries(self.shop, self.clock, HttpTransport())
        self.port = self._listen("channels", self.port)
        self.control_port = self._listen("control", self.control_port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for timer in self._timers:
            timer.cancel()
        for name in list(self._servers):
            self._hang_up(name)
        self.deliveries.close()

    @property
    def shopify_url(self) -> str:
        """The ``admin_url`` of the shop."""
        return f"http://127.0.0.1:{self.port}/shopify"

    @property
    def control_url(self) -> str:
        """Where commands go, also while connections to the channels are refused."""
        return f"http://127.0.0.1:{self.control_port}/_control"

    def webhook_url(self, channel: str) -> str:
        """The address of a receiver; its reading back is at ``/levels`` below it."""
        return f"http://127.0.0.1:{self.port}/webhook/{channel}"

    def receiver(self, channel: str) -> Receiver:
        """Return the receiver of that name, made when first asked for."""
        with self._lock:
            return self.receivers.setdefault(channel, Receiver(self.webhook_secret, self.clock))

    def refuse_connections(self) -> None:
        """Close the channels' port: connecting to it is refused."""
        with self._lock:
            self._hang_up("channels")

    def accept_connections(self) -> None:
        """Open the channels' port again."""
        with self._lock:
            if "channels" not in self._servers:
                self._listen("channels", self.port)

    def shown(self, channel: str, item: str, at: str) -> int | None:
        """Return the number that a channel shows; the call that made it so is in ``calls_of`` by then."""
        with self._lock:
            levels = self.shop.levels if channel == SHOP else self.receiver(channel).levels
            return levels.get((item, at))

    def calls_of(self, channel: str) -> list[LoggedCall]:
        """Return what that channel was asked, in order."""
        with self._lock:
            return [call for call in self.calls if call.channel == channel]

    def log(self, channel: str, operation: str, reply: Reply, outcome: str, **facts: Any) -> None:
        """Note one request."""
        with self._lock:
            number = len(self.calls) + 1
            self.calls.append(LoggedCall(number, channel, operation, reply.status, outcome, **facts))

    def run_late(self, exchange: Exchange, injected: UserError | None, seconds: float) -> None:
        """Run an exchange later; until then the shop holds its idempotency key as being in progress."""
        if exchange.key is not None:
            self.shop.in_progress.add(exchange.key)

        def run() -> None:
            self.shop.in_progress.discard(exchange.key or "")
            exchange.run(injected)

        self._after(seconds, run)

    def _after(self, seconds: float, work: Callable[[], object]) -> None:
        timer = threading.Timer(seconds, work)
        timer.daemon = True
        with self._lock:
            self._timers.append(timer)
        timer.start()

    def answer_shop(self, version: str, headers: Mapping[str, str], body: bytes) -> Reply | Exchange:
        """Understand a request to the Admin API."""
        if version not in VERSIONS:
            return Reply(HTTPStatus.NOT_FOUND, {"errors": "Not Found"})
        if headers.get("x-shopify-access-token") != self.token:
            message = "[API] Invalid API key or access token (unrecognized login or wrong password)"
            return Reply(HTTPStatus.UNAUTHORIZED, {"errors": message})
        call = self.graphql.prepare(body)
        if not isinstance(call, Call):
            return Reply(HTTPStatus.OK, call)
        return Exchange(SHOP, call.writes, lambda injected: self._run_shop(call, injected), call.key)

    def answer_receiver(
        self, channel: str, method: str, headers: Mapping[str, str], query: str, body: bytes
    ) -> Exchange:
        """Understand a request to a receiver."""
        receiver = self.receiver(channel)

        def run(_: UserError | None) -> Reply:
            reads = method == "GET"
            with self._lock:
                reply = receiver.show(headers, query) if reads else receiver.receive(headers, body)
                facts = {"key": headers.get("idempotency-key"), "quantities": tuple(offers_in(body))}
                self.log(channel, "read" if reads else "write", reply, summary(reply.body), **facts)
            return reply

        return Exchange(channel, method == "POST", run)

    def _run_shop(self, call: Call, injected: UserError | None) -> Reply:
        call.injected = injected
        with self._lock:
            reply = Reply(HTTPStatus.OK, self.graphql.run(call))
            self.log(
                SHOP,
                "write" if call.writes else "read",
                reply,
                _shop_outcome(call, reply.body),
                key=call.key,
                quantities=tuple(asdict(entry) for entry in call.quantities),
            )
        if call.change is not None and self.echo is not None:
            written = [(entry.item, entry.location) for entry in call.change.entries]
            self.deliveries.send_later(self.echo, self.deliveries.of_levels(written))
        return reply

    def _listen(self, name: str, port: int) -> int:
        server = ChannelServer(("127.0.0.1", port), self)
        self._servers[name] = server
        threading.Thread(target=server.serve_forever, args=(0.02,), name=name, daemon=True).start()
        return int(server.server_address[1])

    def _hang_up(self, name: str) -> None:
        server = self._servers.pop(name, None)
        if server is not None:
            server.shutdown()
            server.server_close()


def _shop_outcome(call: Call, body: Mapping[str, object] | None) -> str:
    if call.change is None:
        return summary(body)
    if call.change.errors:
        return ",".join(error.code for error in call.change.errors)
    return "replayed" if call.change.replayed else "written"
