"""The transport says ``NotSentError`` only when the request certainly did not leave."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from shared.channels.contract import HttpRequest, NoAnswerError, NotSentError
from shared.channels.transport import HttpTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Thing: a\r\n\r\nhi"


@contextmanager
def peer(behave: Callable[[socket.socket], None]) -> Iterator[tuple[str, list[bytes]]]:
    """Serve one connection by ``behave`` after reading what is sent; yield its address and what it got."""
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                got.append(_everything(connection))
                behave(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", got
        thread.join(timeout=5)


def _everything(connection: socket.socket) -> bytes:
    """Read until the test's request is there, or what came instead of it pauses."""
    connection.settimeout(0.5)
    read = b""
    with contextlib.suppress(TimeoutError):
        while not read.endswith(b'{"a":1}') and (part := connection.recv(65_536)):
            read += part
    return read


def saying(*parts: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        for part in parts:
            try:
                connection.sendall(part)
            except ConnectionError:
                return
            time.sleep(pause)

    return behave


def post(address: str, timeout_s: float = 2.0, **headers: str) -> HttpRequest:
    return HttpRequest("POST", address, headers, b'{"a":1}', timeout_s)


def test_a_complete_answer_comes_back_with_lower_case_headers_whatever_its_status() -> None:
    with peer(saying(OK.replace(b"200 OK", b"418 No"))) as (address, got):
        response = HttpTransport().send(post(f"http://{address}/x?y=1", Thing="v"))

    assert (response.status, response.headers["x-thing"], response.body) == (418, "a", b"hi")
    assert got[0].startswith(b"POST /x?y=1 HTTP/1.1\r\n")
    assert b"Thing: v\r\n" in got[0]
    assert got[0].endswith(b'\r\n\r\n{"a":1}')


def test_an_answer_in_chunks_is_put_together() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with peer(saying(head, b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n", pause=0.01)) as (address, _):
        assert HttpTransport().send(post(f"http://{address}")).body == b"abcde"


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    moved = b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    with peer(saying(moved)) as (address, _):
        assert HttpTransport().send(post(f"http://{address}")).status == 307


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n"],
        [b"not http at all\r\n\r\n"],
    ],
    ids=["hung up", "cut short", "cut chunk", "broken chunk", "not http"],
)
def test_a_broken_answer_is_no_answer(parts: list[bytes]) -> None:
    with peer(saying(*parts)) as (address, got), pytest.raises(NoAnswerError):
        HttpTransport().send(post(f"http://{address}"))
    assert got


def test_a_reset_after_sending_is_no_answer() -> None:
    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    with peer(reset) as (address, _), pytest.raises(NoAnswerError):
        HttpTransport().send(post(f"http://{address}"))


def test_silence_is_no_answer_within_the_time_limit() -> None:
    started = time.monotonic()
    with peer(lambda _: time.sleep(0.5)) as (address, _), pytest.raises(NoAnswerError):
        HttpTransport().send(post(f"http://{address}", timeout_s=0.2))
    assert time.monotonic() - started < 2


def test_a_dripping_answer_does_not_outlast_the_time_limit() -> None:
    drips = [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", *[b"x"] * 40]
    with peer(saying(*drips, pause=0.05)) as (address, _), pytest.raises(NoAnswerError):
        HttpTransport().send(post(f"http://{address}", timeout_s=0.3))


def test_an_oversized_answer_is_given_up() -> None:
    big = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000
    with peer(saying(big)) as (address, _), pytest.raises(NoAnswerError, match="larger than 1000"):
        HttpTransport(max_answer_bytes=1000).send(post(f"http://{address}"))


def test_a_refused_connection_was_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(NotSentError):
        HttpTransport().send(post(f"http://127.0.0.1:{port}"))


def test_a_host_that_does_not_exist_was_not_sent() -> None:
    with pytest.raises(NotSentError):
        HttpTransport().send(post("http://nowhere.invalid/"))


def test_a_failed_tls_handshake_was_not_sent_and_shows_no_request() -> None:
    with peer(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as (address, got), pytest.raises(NotSentError):
        HttpTransport().send(post(f"https://{address}", Authorization="token"))
    assert b"POST" not in got[0]
    assert b"token" not in got[0]


@pytest.mark.parametrize(
    "request_",
    [
        post("ftp://127.0.0.1/x"),
        post("127.0.0.1/x"),
        post("http://127.0.0.1:99999/x"),
        post("http://[::1/x"),
        post("http://127.0.0.1/a b"),
        post("http://127.0.0.1/x", Token="a\nX-Other: b"),
        HttpRequest("POST", "http://127.0.0.1/x", {"To ken": "a"}, b""),
        HttpRequest("PO ST", "http://127.0.0.1/x", {}, b""),
    ],
)
def test_what_cannot_be_sent_is_said_before_anything_is(request_: HttpRequest) -> None:
    with pytest.raises(NotSentError):
        HttpTransport().send(request_)
