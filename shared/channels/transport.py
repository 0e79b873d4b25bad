"""HTTP to the outside, told apart by what may have happened there.

The push protocol acts on one question: may the channel have received the request? So an exchange has two
halves, and the half in which it broke decides the error:

=================================  ==========================================  ====================
half                               what can break                              raised
=================================  ==========================================  ====================
reach: parse, resolve, connect,    no such host, refused, connect time-out,    ``NotSentError``
TLS handshake                      bad certificate, header that cannot be sent
exchange: send, wait, read         reset, time-out, truncated or oversized     ``NoAnswerError``
                                   answer, broken framing
=================================  ==========================================  ====================

No retry happens here: whether a second attempt is harmless is the push protocol's decision. Redirects are
answers, not followed: a channel that moved is a setting to correct, and following would repeat a write at an
address nobody declared. Every request opens its own connection: on a reused one that the channel has just
closed, "was it sent?" has no answer, and each false doubt costs the channel's whole lateness.
"""

from __future__ import annotations

import re
import ssl
import time
from http.client import HTTPException
from urllib.parse import SplitResult, urlsplit

from urllib3 import Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from shared.channels.contract import HttpRequest, HttpResponse, NoAnswerError, NotSentError

MAX_ANSWER_BYTES = 8_000_000
"""An answer larger than this is not read to its end: no channel has reason to send one."""

CONNECT_TIMEOUT_S = 3.0
READ_CHUNK_BYTES = 65_536
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class HttpTransport:
    """A ``Transport`` over real connections.

    Parameters
    ----------
    max_answer_bytes
        Answers beyond this are given up as ``NoAnswerError``.
    connect_timeout_s
        Limit for connecting, within the request's own ``timeout_s``.
    tls
        Whom to trust; the system's certificates by default.
    """

    def __init__(
        self,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._max_answer_bytes = max_answer_bytes
        self._connect_timeout_s = connect_timeout_s
        self._tls = tls

    def send(self, request: HttpRequest) -> HttpResponse:
        """Return the answer, whatever its status.

        ``timeout_s`` bounds the exchange: it is checked between waits, and no wait is longer than what was left
        when the answer began. (A server that drips its header lines one by one is bounded by the caller's own
        time limit only.)

        Raises
        ------
        NotSentError
            The request certainly did not leave: bad address, no host, refused, no trusted TLS.
        NoAnswerError
            It may have arrived, but no complete answer within the limits came back.
        """
        deadline = time.monotonic() + request.timeout_s
        address = _address(request)
        connection = self._connection(address, request.timeout_s)
        try:
            _reach(connection, address)
            return self._exchange(connection, address, request, deadline)
        finally:
            connection.close()

    def _connection(self, address: SplitResult, timeout_s: float) -> HTTPConnection:
        timeout = Timeout(connect=min(self._connect_timeout_s, timeout_s), read=timeout_s)
        host = address.hostname or ""
        if address.scheme == "http":
            return HTTPConnection(host, address.port or 80, timeout=timeout.connect_timeout)
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return HTTPSConnection(
            host, address.port or 443, timeout=timeout.connect_timeout, ssl_context=self._tls
        )

    def _exchange(
        self, connection: HTTPConnection, address: SplitResult, request: HttpRequest, deadline: float
    ) -> HttpResponse:
        target = address.path or "/"
        if address.query:
            target = f"{target}?{address.query}"
        try:
            connection.timeout = _left(deadline)
            connection.request(
                request.method,
                target,
                body=request.body,
                headers={**request.headers, "Connection": "close"},
                preload_content=False,
                decode_content=False,
            )
            connection.timeout = _left(deadline)
            response = connection.getresponse()
            body = self._read(response, deadline)
        except (OSError, HTTPException, HTTPError) as failure:
            raise NoAnswerError(
                f"{address.hostname}: no complete answer ({type(failure).__name__})"
            ) from failure
        return HttpResponse(
            status=response.status,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=body,
        )

    def _read(self, response: BaseHTTPResponse, deadline: float) -> bytes:
        """Read to the declared end; a body that is cut short raises inside ``read1``."""
        chunks: list[bytes] = []
        size = 0
        while chunk := response.read1(READ_CHUNK_BYTES):
            chunks.append(chunk)
            size += len(chunk)
            if size > self._max_answer_bytes:
                raise NoAnswerError(f"the answer is larger than {self._max_answer_bytes} bytes")
            _left(deadline)
        return b"".join(chunks)


def _address(request: HttpRequest) -> SplitResult:
    """Check everything that could stop the request before its first byte."""
    try:
        address = urlsplit(request.url)
        _ = address.port
    except ValueError as malformed:
        raise NotSentError(f"url is not an address: {malformed}") from malformed
    if address.scheme not in ("http", "https") or not address.hostname:
        raise NotSentError("url must be http(s)://host/...; correct it in the channel's options")
    sendable = re.fullmatch(r"[\x21-\x7e]*", address.path + address.query)
    if not sendable or not re.fullmatch(r"[A-Z]+", request.method):
        raise NotSentError("url or method holds a character that cannot be sent; percent-encode it")
    for name, value in request.headers.items():
        if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
            raise NotSentError(f"header {name!r} holds a character that cannot be sent; check the secret")
    return address


def _reach(connection: HTTPConnection, address: SplitResult) -> None:
    """Connect and finish the TLS handshake; whatever fails here fails before the request exists."""
    try:
        connection.connect()
    except (OSError, HTTPError, ValueError) as failure:
        raise NotSentError(f"{address.hostname}: not reached ({type(failure).__name__})") from failure


def _left(deadline: float) -> float:
    """Seconds left of the exchange, to bound its next wait."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise NoAnswerError("the exchange took longer than its time limit")
    return left
