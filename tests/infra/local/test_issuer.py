"""The local issuer: its keys verify its tokens, and its key is the owner's alone."""

from __future__ import annotations

import json
import stat
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from infra.local.issuer import SigningKey, serve
from infra.local.processes import free_port
from infra.local.state import LocalRuntimeError, StateDirectory

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return SigningKey.of(StateDirectory(tmp_path_factory.mktemp("issuer")))


@pytest.fixture(scope="module")
def issuer(key: SigningKey) -> Iterator[str]:
    port = free_port()
    with serve(key, port) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{port}"
        server.shutdown()


def test_a_token_is_verified_with_what_the_issuer_publishes(key: SigningKey, issuer: str) -> None:
    with urllib.request.urlopen(f"{issuer}/.well-known/openid-configuration") as answer:
        configuration = json.load(answer)
    token = key.mint(issuer, ["viewer", "operator"], "ann", lifetime=HOUR)

    published = jwt.PyJWKClient(configuration["jwks_uri"]).get_signing_key_from_jwt(token)
    claims = jwt.decode(
        token, published.key, algorithms=["RS256"], audience="onecount", issuer=configuration["issuer"]
    )

    assert claims["sub"] == "ann"
    assert claims["scope"] == "viewer operator"
    assert claims["exp"] - claims["iat"] == 3600


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ({"issuer": "http://127.0.0.1:1"}, jwt.InvalidIssuerError),
        ({"audience": "somebody-else"}, jwt.InvalidAudienceError),
        ({"lifetime": -HOUR}, jwt.ExpiredSignatureError),
    ],
)
def test_a_token_of_another_issuer_for_another_audience_or_expired_is_told_from_ours(
    key: SigningKey, issuer: str, said: dict[str, Any], refused: type[Exception]
) -> None:
    token = key.mint(**{"issuer": issuer, "scopes": ["viewer"], "subject": "ann", "lifetime": HOUR, **said})
    published = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json").get_signing_key_from_jwt(token)

    with pytest.raises(refused):
        jwt.decode(token, published.key, algorithms=["RS256"], audience="onecount", issuer=issuer)


def test_a_token_of_a_key_that_the_issuer_does_not_publish_finds_none(tmp_path: Path, issuer: str) -> None:
    token = SigningKey.of(StateDirectory(tmp_path)).mint(issuer, ["admin"], "eve", lifetime=HOUR)

    with pytest.raises(jwt.PyJWKClientError):
        jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json").get_signing_key_from_jwt(token)


def test_an_unknown_path_is_not_found(issuer: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{issuer}/key.pem")
    with refused.value:
        assert refused.value.code == 404


def test_an_unknown_scope_is_refused_with_the_known_ones(key: SigningKey) -> None:
    with pytest.raises(LocalRuntimeError, match=r"unknown scope root.*viewer, operator"):
        key.mint("http://issuer", ["viewer", "root"], "ann", lifetime=HOUR)


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)

    first, second = SigningKey.of(state), SigningKey.of(state)

    assert first.id == second.id
    assert stat.S_IMODE((tmp_path / "issuer" / "key.pem").stat().st_mode) == 0o600


def test_no_private_part_is_published(key: SigningKey) -> None:
    (published,) = key.jwks()["keys"]

    assert set(published) == {"kty", "use", "alg", "kid", "n", "e"}
