"""The authorizer of every ``/v1`` call: verifies the bearer token and passes on who calls and with which scopes.

What a scope may do is decided by the API itself, call by call; here a token is only good or not. One that is not is
denied by a policy, which API Gateway answers with 401 and remembers, so that repeating it costs nothing and leaves
no traceback in a log. Only when no token can be judged at all (the issuer's keys cannot be had) this function fails.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import jwt

from functions.authorize_request.signing_keys import SigningKeys
from shared.runtime.logging import log_to_stdout
from shared.runtime.settings import AuthorizeRequestSettings

ALGORITHMS = ["RS256", "ES256"]
SCOPES = ("viewer", "operator", "approver", "admin", "reserver")
"""The scopes that mean something to the API; a token may carry others."""

CLOCK_SKEW_S = 30
LONGEST_SUBJECT = 256

log_to_stdout("authorize_request")
log = logging.getLogger(__name__)


@cache
def settings() -> AuthorizeRequestSettings:
    return AuthorizeRequestSettings.read()


@cache
def keys() -> SigningKeys:
    client = jwt.PyJWKClient(settings().jwks_url, cache_jwk_set=False, timeout=5)
    return SigningKeys(lambda: client.get_signing_keys(refresh=True))


class BadTokenError(Exception):
    """A token is not good: says why in a word, and nothing of what is in it."""


def handle(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Return a policy that lets the caller through, or one that denies everything.

    Raises
    ------
    KeysUnavailableError
    """
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    scheme, _, token = (headers.get("authorization") or "").partition(" ")
    trusted, known = settings(), keys()
    try:
        if scheme.lower() != "bearer":
            raise BadTokenError("no_bearer")
        claims = _verified(token, known, trusted)
        subject, scopes = _subject(claims), _scopes(claims)
    except BadTokenError as error:
        log.warning("token_refused", extra={"reason": str(error)})
        return _policy(event, "Deny", "nobody")
    return _policy(event, "Allow", subject) | {"context": {"subject": subject, "scopes": scopes}}


def _verified(token: str, known: SigningKeys, trusted: AuthorizeRequestSettings) -> dict[str, Any]:
    """Return the claims of a token that the issuer signed for us and that is valid now.

    What is read before the signature is checked may be anything at all, however deeply nested.
    """
    try:
        kid = jwt.get_unverified_header(token).get("kid")
        key = known.get(kid) if isinstance(kid, str) else None
        if key is None or key.algorithm_name not in ALGORITHMS:
            raise BadTokenError("unknown_key")
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=ALGORITHMS,
            audience=trusted.audience,
            issuer=trusted.issuer,
            leeway=CLOCK_SKEW_S,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BadTokenError(type(error).__name__) from error
    return claims


def _subject(claims: dict[str, Any]) -> str:
    subject = claims["sub"]
    if isinstance(subject, str) and subject.isprintable() and 0 < len(subject) <= LONGEST_SUBJECT:
        return subject
    raise BadTokenError("bad_subject")


def _scopes(claims: dict[str, Any]) -> str:
    """Return the granted scopes that mean something here, however the issuer writes them."""
    granted = claims["scope"] if "scope" in claims else claims.get("scp", "")
    words = granted.split() if isinstance(granted, str) else granted
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise BadTokenError("bad_scope")
    return " ".join(scope for scope in SCOPES if scope in words)


def _policy(event: dict[str, Any], effect: str, principal: str) -> dict[str, Any]:
    """Judge every call of the stage at once: the policy depends on the token alone, and is remembered for it."""
    stage_arn = "/".join(str(event["methodArn"]).split("/")[:2])
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": f"{stage_arn}/*/v1/*"}
    return {
        "principalId": principal,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
    }
