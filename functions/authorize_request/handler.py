"""The authorizer of every ``/v1`` call: verifies the bearer token and passes on who calls and with which scopes.

What a scope may do is decided by the API itself, call by call; here a token is only good or not.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import jwt

from shared.runtime.logging import log_to_stdout
from shared.runtime.settings import AuthorizeRequestSettings

ALGORITHMS = ["RS256", "ES256"]
CLOCK_SKEW_S = 30

log_to_stdout("authorize_request")
log = logging.getLogger(__name__)


@cache
def settings() -> AuthorizeRequestSettings:
    return AuthorizeRequestSettings.read()


@cache
def keys() -> jwt.PyJWKClient:
    return jwt.PyJWKClient(settings().jwks_url, cache_keys=True, lifespan=300, timeout=5)


def handle(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Return a policy that lets the caller through, or raise ``Unauthorized``, which API Gateway answers with 401."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized
    try:
        claims = jwt.decode(
            token,
            keys().get_signing_key_from_jwt(token).key,
            algorithms=ALGORITHMS,
            audience=settings().audience,
            issuer=settings().issuer,
            leeway=CLOCK_SKEW_S,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
    except jwt.PyJWTError as error:
        log.warning("token_refused", extra={"reason": type(error).__name__})
        raise Unauthorized from error
    stage_arn = "/".join(event["methodArn"].split("/")[:2])
    return {
        "principalId": claims["sub"],
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": f"{stage_arn}/*/v1/*"}
            ],
        },
        "context": {"subject": claims["sub"], "scopes": _scopes(claims)},
    }


def _scopes(claims: dict[str, Any]) -> str:
    """Return the granted scopes, however the issuer writes them."""
    granted = claims.get("scope", claims.get("scp", ""))
    return " ".join(granted) if isinstance(granted, list) else str(granted)


class Unauthorized(Exception):  # noqa: N818 - API Gateway answers 401 only to this very text
    """The token is missing or not good."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")
