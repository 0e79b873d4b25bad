"""The HTTP door to a target: the ``/v1`` API with a token, and webhook URLs; a problem becomes an error to act on.

Redirects are not followed (a token must not travel to another address), and a loopback address is never asked
through a proxy.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode, urlsplit

from infra.cli.console import CommandError

TIMEOUT_S = 35.0
"""API Gateway gives up after 29 seconds."""

TOKEN_VARIABLE = "ONECOUNT_TOKEN"  # noqa: S105 - the name of a variable, not a token


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer over HTTP."""

    status: int
    body: bytes


_REFUSED_TOKEN = (
    f"see that the token in {TOKEN_VARIABLE} is of this target's issuer and has not run out; for the local runtime "
    "unset it, or mint one with `onecount token`"
)
_BROKEN_OFF = "repeat the command: what was done stays done, and it goes on from there"

Send: TypeAlias = "Callable[[str, str, Mapping[str, str], bytes | None], Answer]"
"""Makes a request: method, URL, headers, body."""


class ProblemError(CommandError):
    """The API refused: ``status`` and ``problem`` (RFC 9457) are what it said."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        title, detail = problem.get("title") or f"HTTP {status}", problem.get("detail")
        remedy = str(problem.get("remedy") or (_BROKEN_OFF if status >= 500 else ""))
        details = [_short(line) for line in problem.get("lines") or ()]
        super().__init__(f"{title}: {detail}" if detail else str(title), remedy, details)


def _short(line: Mapping[str, Any]) -> str:
    """Say of a line what was asked for and what may be had; without a location, at all that the channel sells from.

    A reservation may have what is promised to its channel (``available_to_promise``), a transfer what is ``available``.
    """
    where = line["location"] or "all locations of the channel"
    left = line["available_to_promise"] if "available_to_promise" in line else line["available"]
    return f"{line['sku']} at {where}: asked {line['requested']}, may have {left}"


class Api:
    """The ``/v1`` API of a target.

    Parameters
    ----------
    base
        What comes before ``/v1``.
    token
        Gives the bearer token; called when it is first needed.
    """

    def __init__(self, base: str, token: Callable[[], str], send: Send) -> None:
        self._base = base.rstrip("/")
        self._token = token
        self._send = send

    def get(self, *path: str, **query: object) -> dict[str, Any]:
        """Read what lies under ``/v1/{path}``.

        Raises
        ------
        ProblemError
        """
        asked = {name: str(value) for name, value in query.items() if value is not None}
        return self._call("GET", path, f"?{urlencode(asked)}" if asked else "", None, {})

    def post(self, *path: str, body: object = None, key: str | None = None) -> dict[str, Any]:
        """Change something; ``key`` is the Idempotency-Key where the call takes one.

        Raises
        ------
        ProblemError
        """
        headers = {} if key is None else {"Idempotency-Key": key}
        return self._call("POST", path, "", None if body is None else json.dumps(body).encode(), headers)

    def delete(self, *path: str, key: str | None = None) -> dict[str, Any]:
        """Take something back; ``key`` is the Idempotency-Key under which it was said, where the call takes one.

        Raises
        ------
        ProblemError
        """
        return self._call("DELETE", path, "", None, {} if key is None else {"Idempotency-Key": key})

    def _call(
        self, method: str, path: tuple[str, ...], query: str, body: bytes | None, more: Mapping[str, str]
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token()}", "Accept": "application/json", **more}
        if body is not None:
            headers["Content-Type"] = "application/json"
        url = "/".join([self._base, "v1", *(quote(part, safe="") for part in path)]) + query
        return answered(self._send(method, url, headers, body), {401: _REFUSED_TOKEN})


def answered(answer: Answer, remedies: Mapping[int, str] | None = None) -> dict[str, Any]:
    """Return an answer's JSON object; ``remedies`` are, by status, what is known better here than there.

    Raises
    ------
    ProblemError
        When it is a refusal, or no JSON at all.
    """
    try:
        said = json.loads(answer.body)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        detail = f"the answer is not JSON: {answer.body[:200].decode('utf-8', 'replace')!r}"
        said = {
            "title": f"HTTP {answer.status}",
            "detail": detail,
            "remedy": "check the address, then repeat",
        }
        raise ProblemError(answer.status, said)
    if answer.status >= 300:
        known = (remedies or {}).get(answer.status)
        better = {} if known is None else {"remedy": known}
        raise ProblemError(answer.status, {"title": said.get("message"), **said, **better})
    return said


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def send(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
    """Make one request.

    Raises
    ------
    CommandError
        When no answer came.
    """
    address = urlsplit(url)
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if _is_loopback(address.hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, body, dict(headers), method=method)  # noqa: S310 - http(s) of a target
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT_S) as answer:
            return Answer(answer.status, answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(refused.code, refused.read())
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise CommandError(
            f"no answer from {address.scheme}://{address.netloc}: {reason}",
            "see that it runs (`onecount status`); repeating the command is safe",
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
