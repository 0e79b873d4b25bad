"""The local issuer of tokens: the same authorizer path as on AWS, with a key that never leaves this machine.

On AWS the API trusts an identity provider by its issuer, audience and published keys. Here this small server
publishes the keys, and whoever may read the key file (0600) may mint a token.

    python -m infra.local.issuer STATE_FOLDER PORT [--parent PID]
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.local.assembly import AUDIENCE
from infra.local.processes import end_with_parent
from infra.local.state import LocalRuntimeError, StateDirectory

SCOPES = ("viewer", "operator", "approver", "admin", "reserver")
ALGORITHM = "RS256"
JWKS_PATH = "/.well-known/jwks.json"
_CONFIGURATION_PATH = "/.well-known/openid-configuration"
_KEY_BITS = 2048


class SigningKey:
    """The key of one state directory, made at its first use."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key
        numbers = key.public_key().public_numbers()
        self._modulus, self._exponent = _unsigned(numbers.n), _unsigned(numbers.e)
        thumbprint = json.dumps(
            {"e": self._exponent, "kty": "RSA", "n": self._modulus}, separators=(",", ":"), sort_keys=True
        )
        self.id = _base64url(hashlib.sha256(thumbprint.encode()).digest())

    @classmethod
    def of(cls, state: StateDirectory) -> SigningKey:
        """Read the key, or make it, readable by its owner alone."""
        path = state.issuer / "key.pem"
        if not path.exists():
            _write_key(path)
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise LocalRuntimeError(
                f"{path} is not an RSA key.", "Delete it; a new one is made at the next start."
            )
        return cls(key)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public half, as a JSON Web Key Set."""
        key = {
            "kty": "RSA",
            "use": "sig",
            "alg": ALGORITHM,
            "kid": self.id,
            "n": self._modulus,
            "e": self._exponent,
        }
        return {"keys": [key]}

    def mint(
        self,
        issuer: str,
        scopes: Iterable[str],
        subject: str,
        *,
        lifetime: timedelta,
        audience: str = AUDIENCE,
    ) -> str:
        """A signed token.

        Raises
        ------
        LocalRuntimeError
            If a scope is not one of ``SCOPES``.
        """
        wanted = tuple(scopes)
        unknown = sorted(set(wanted) - set(SCOPES))
        if unknown:
            raise LocalRuntimeError(
                f"unknown scope {', '.join(unknown)}.", f"The scopes are {', '.join(SCOPES)}."
            )
        now = datetime.now(UTC)
        claims = {
            "iss": issuer,
            "aud": audience,
            "sub": subject,
            "scope": " ".join(wanted),
            "iat": now,
            "exp": now + lifetime,
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM, headers={"kid": self.id})


def _write_key(path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
        handle.write(pem)
    os.replace(fresh, path)


def serve(key: SigningKey, port: int) -> ThreadingHTTPServer:
    """A server on 127.0.0.1:``port`` that publishes the keys; the caller runs ``serve_forever``."""
    issuer = f"http://127.0.0.1:{port}"
    documents = {
        JWKS_PATH: key.jwks(),
        _CONFIGURATION_PATH: {
            "issuer": issuer,
            "jwks_uri": issuer + JWKS_PATH,
            "response_types_supported": ["token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "scopes_supported": list(SCOPES),
        },
    }

    class Publisher(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            document = documents.get(self.path)
            body = json.dumps(document or {"error": "not found"}).encode()
            self.send_response(200 if document else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Nothing worth a line happens here."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Publisher)
    server.daemon_threads = True
    return server


def _unsigned(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def main() -> None:
    """Serve until SIGTERM; with ``--parent PID`` also no longer than that process lives."""
    folder, port, *rest = sys.argv[1:]
    if rest[:1] == ["--parent"]:
        threading.Thread(target=end_with_parent, args=(int(rest[1]),), daemon=True).start()
    with serve(SigningKey.of(StateDirectory(Path(folder))), int(port)) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
