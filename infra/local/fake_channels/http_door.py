"""The HTTP door of the fake channels: reads a request, lets the faults in force have their way, answers."""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from infra.local.fake_channels import control
from infra.local.fake_channels.faults import Fault
from infra.local.fake_channels.receiver import Reply, summary
from infra.local.fake_channels.shop import SHOP, UserError

if TYPE_CHECKING:
    from infra.local.fake_channels.server import FakeChannels

GRAPHQL_PATH = re.compile(r"/shopify/admin/api/([^/]+)/graphql\.json")
WEBHOOK_PATH = re.compile(r"/webhook/([A-Za-z0-9_-]+)(/levels)?")
MAX_BODY = 8_000_000


@dataclass(slots=True)
class Exchange:
    """One request in hand: what to run, and how to answer."""

    channel: str
    writes: bool
    run: Callable[[UserError | None], Reply]
    key: str | None = None


class ChannelServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], channels: FakeChannels) -> None:
        self.channels = channels
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that hung up first: a time-out is what some tests are about."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: ChannelServer
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the calls are in the log of ``/_control``."""

    def _serve(self) -> None:
        channels = self.server.channels
        address = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), MAX_BODY))
        if address.path == "/_control":
            self._reply(control.answer(channels, self.command, body))
            return
        understood = self._understand(channels, address.path, address.query, headers, body)
        if isinstance(understood, Reply):
            channels.log(SHOP, "refused", understood, summary(understood.body))
            self._reply(understood)
        else:
            self._exchange(channels, understood)

    def _understand(
        self, channels: FakeChannels, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Reply | Exchange:
        if found := GRAPHQL_PATH.fullmatch(path):
            if self.command == "POST":
                return channels.answer_shop(found[1], headers, body)
        elif (found := WEBHOOK_PATH.fullmatch(path)) and (self.command == "GET") == bool(found[2]):
            return channels.answer_receiver(found[1], self.command, headers, query, body)
        return Reply(HTTPStatus.NOT_FOUND, {"errors": "Not Found"})

    def _exchange(self, channels: FakeChannels, exchange: Exchange) -> None:
        injected: UserError | None = None
        silent = False
        late: float | None = None
        for fault in channels.faults.take(exchange.channel, exchange.writes):
            match fault.mode:
                case "slow":
                    time.sleep(fault.seconds)
                case "down" | "status":
                    reply = _faulty(fault)
                    channels.log(exchange.channel, "refused", reply, fault.mode)
                    self._reply(reply)
                    return
                case "user_error":
                    injected = _injected(fault)
                case "lost":
                    silent = True
                case "late":
                    silent, late = True, fault.seconds
        if late is not None:
            channels.run_late(exchange, injected, late)
            self._drop()
            return
        reply = exchange.run(injected)
        if silent:
            self._drop()
        else:
            self._reply(reply)

    def _reply(self, reply: Reply) -> None:
        content = b"" if reply.body is None else json.dumps(reply.body, default=str).encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.body is not None:
            self.send_header("Content-Type", "application/json")
        if reply.status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def _faulty(fault: Fault) -> Reply:
    status = HTTPStatus.SERVICE_UNAVAILABLE if fault.mode == "down" else fault.status
    headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
    return Reply(status, {"errors": "as told"}, headers)


def _injected(fault: Fault) -> UserError:
    path = None if fault.entry is None else ("input", "quantities", str(fault.entry), "inventoryItemId")
    return UserError(fault.code, "as told", path)
