"""Every token is good or not: none makes the authorizer fail, fetch keys at will, or say what is in it."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

import functions.authorize_request.handler as authorizer
from functions.authorize_request.signing_keys import (
    BELIEVED_S,
    BETWEEN_FETCHES_S,
    OUTAGE_S,
    KeysUnavailableError,
    SigningKeys,
)

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EVENT = {"methodArn": "arn:aws:execute-api:eu-west-1:1:api/prod/GET/v1/stock"}


@dataclass
class Issuer:
    """An issuer that publishes two keys, and counts who asks."""

    url: str = ""
    asked: int = 0
    is_down: bool = False
    keys: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {**RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "kid": "rsa", "use": "sig"},
            {**ECAlgorithm.to_jwk(EC.public_key(), as_dict=True), "kid": "ec", "use": "sig"},
        ]
    )


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    made = Issuer()

    class Publisher(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked += 1
            self.send_response(503 if made.is_down else 200)
            self.end_headers()
            self.wfile.write(b"" if made.is_down else json.dumps({"keys": made.keys}).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Publisher) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        made.url = f"http://127.0.0.1:{server.server_port}/jwks.json"
        for name, value in {
            "STAGE": "test",
            "ISSUER": "https://issuer",
            "AUDIENCE": "onecount",
            "JWKS_URL": made.url,
        }.items():
            monkeypatch.setenv(f"ONECOUNT_{name}", value)
        for cached in (authorizer.settings, authorizer.keys):
            cached.cache_clear()
        yield made
        server.shutdown()
    for cached in (authorizer.settings, authorizer.keys):
        cached.cache_clear()


def token(
    key: Any = RSA, kid: object = "rsa", algorithm: str = "RS256", header: Any = None, **claims: Any
) -> str:
    said: dict[str, Any] = {
        "iss": "https://issuer",
        "aud": "onecount",
        "sub": "ann",
        "exp": time.time() + 60,
        **claims,
    }
    said = {name: value for name, value in said.items() if value is not ...}
    return jwt.encode(said, key, algorithm, headers={"kid": kid, **(header or {})})


def raw(header: str, claims: str = "{}") -> str:
    parts = (header.encode(), claims.encode(), b"signature")
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def judged(authorization: str | None) -> tuple[str, dict[str, str]]:
    headers = {} if authorization is None else {"Authorization": authorization}
    said = authorizer.handle({**EVENT, "headers": headers}, None)
    json.dumps(said)
    [statement] = said["policyDocument"]["Statement"]
    assert statement["Resource"] == "arn:aws:execute-api:eu-west-1:1:api/prod/*/v1/*"
    return statement["Effect"], said.get("context", {})


def test_a_good_token_lets_through_with_the_scopes_that_mean_something(issuer: Issuer) -> None:
    one = token(scope="openid viewer reserver superuser")
    assert judged(f"Bearer {one}") == ("Allow", {"subject": "ann", "scopes": "viewer reserver"})
    other = token(EC, "ec", "ES256", scp=["operator"])
    assert judged(f"bearer {other}") == ("Allow", {"subject": "ann", "scopes": "operator"})
    assert judged(f"Bearer {token()}") == ("Allow", {"subject": "ann", "scopes": ""})


@pytest.mark.parametrize("scope", [5, None, True, {"viewer": 1}, ["viewer", 5], [["viewer"]], 1.5])
def test_scopes_that_are_no_text_are_refused(issuer: Issuer, scope: object) -> None:
    assert judged(f"Bearer {token(scope=scope)}")[0] == "Deny"
    assert judged(f"Bearer {token(scp=scope)}")[0] == "Deny"


BAD: dict[str, Callable[[], str]] = {
    "expired": lambda: token(exp=time.time() - 60),
    "of another issuer": lambda: token(iss="https://other"),
    "for another audience": lambda: token(aud="other"),
    "without an end": lambda: token(exp=...),
    "without a subject": lambda: token(sub=...),
    "with an empty subject": lambda: token(sub=""),
    "with an endless subject": lambda: token(sub="x" * 3000),
    "with a subject that steers": lambda: token(sub="a\nb"),
    "ending never": lambda: token(exp=float("inf")),
    "ending in a list": lambda: token(exp=[1]),
    "signed by a stranger": lambda: token(STRANGER),
    "signed by a stranger of an unknown name": lambda: token(STRANGER, "stranger"),
    "of another algorithm than its key": lambda: token(EC, "rsa", "ES256"),
    "signed with a shared secret": lambda: token("s" * 40, "rsa", "HS256"),
    "without a key": lambda: token(header={"kid": "?"}),
    "not signed": lambda: raw('{"alg":"none","kid":"rsa"}', '{"sub":"ann"}'),
    "with a key that is no name": lambda: raw('{"alg":"RS256","kid":["rsa"]}'),
    "without a key's name": lambda: raw('{"alg":"RS256"}'),
    "nested deeply in its header": lambda: raw("[" * 7000),
    "nested deeply in its claims": lambda: raw('{"alg":"RS256","kid":"rsa"}', '{"a":' + "[" * 7000),
    "of digits without end": lambda: raw('{"alg":"RS256","kid":' + "9" * 5000 + "}"),
    "that is a list": lambda: raw("[]"),
    "that is empty": lambda: "",
    "that is nonsense": lambda: "a.b.c",
    "of dots": lambda: "." * 5000,
    "not of this alphabet": lambda: "\N{TEAPOT}.\ud800.x",
}


@pytest.mark.parametrize("what", BAD)
def test_a_token_that_is_not_good_is_denied_in_one_line_without_its_content(
    issuer: Issuer, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    bad = BAD[what]()
    with caplog.at_level(logging.INFO):
        assert judged(f"Bearer {bad}") == ("Deny", {})
    [line] = [record for record in caplog.records if record.name.startswith("functions.")]
    assert (line.levelname, line.message, line.exc_info) == ("WARNING", "token_refused", None)
    assert line.__dict__["reason"].isidentifier()


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Basic YTpi", "Bearer  ", token()])
def test_what_is_no_bearer_token_is_denied(issuer: Issuer, authorization: str | None) -> None:
    assert judged(authorization)[0] == "Deny"


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(max_size=60),
    value=st.recursive(st.none() | st.text() | st.floats() | st.integers(), st.lists),
)
def test_no_token_at_all_makes_the_authorizer_fail(issuer: Issuer, text: str, value: object) -> None:
    for bad in (text, raw(text, text), raw(json.dumps(value)), raw(json.dumps({"alg": value, "kid": value}))):
        assert judged(f"Bearer {bad}")[0] == "Deny"


# ---- keys -------------------------------------------------------------------------------------------------------


def test_unknown_keys_fetch_the_issuers_keys_once(issuer: Issuer) -> None:
    assert judged(f"Bearer {token()}")[0] == "Allow"
    for number in range(30):
        assert judged(f"Bearer {token(STRANGER, f'unknown-{number}')}")[0] == "Deny"
    assert issuer.asked == 1


def test_an_issuer_that_is_down_is_not_asked_by_every_token(issuer: Issuer) -> None:
    issuer.is_down = True
    for _ in range(5):
        with pytest.raises(KeysUnavailableError):
            judged(f"Bearer {token()}")
    assert issuer.asked == 1


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_keys_are_fetched_anew_in_time_and_believed_for_a_while_when_the_issuer_is_down(
    issuer: Issuer,
) -> None:
    client, clock = jwt.PyJWKClient(issuer.url, cache_jwk_set=False), Clock()
    keys = SigningKeys(lambda: client.get_signing_keys(refresh=True), clock)
    assert keys.get("rsa") is not None
    issuer.keys.append({**issuer.keys[0], "kid": "new"})
    assert keys.get("new") is None
    clock.now += BETWEEN_FETCHES_S
    assert keys.get("new") is not None
    assert issuer.asked == 2

    del issuer.keys[0]
    clock.now += BELIEVED_S
    assert keys.get("rsa") is not None
    clock.now += 1
    assert keys.get("rsa") is None
    assert issuer.asked == 3

    issuer.is_down = True
    clock.now += OUTAGE_S
    assert keys.get("new") is not None
    clock.now += 1
    with pytest.raises(KeysUnavailableError):
        keys.get("new")
