"""The ports of the operations, as AWS services: buckets and secrets. Queues and topics: ``queues``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from botocore.response import StreamingBody
    from types_boto3_s3 import S3Client
    from types_boto3_secretsmanager import SecretsManagerClient

SECRET_REMEMBERED_S = 60.0
"""How long a secret is used before it is read again: a rotation counts within a minute."""


@contextmanager
def answered(what: str) -> Iterator[None]:
    """Say an AWS service's failure as the ports promise it: ``OSError``, worth another try."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise OSError(f"{what}: {error.response['Error'].get('Code')}") from error
    except BotoCoreError as error:
        raise OSError(f"{what}: {type(error).__name__}") from error


class _ObjectBody(RawIOBase):
    """An object's bytes as they arrive, with failures on the way said as ``OSError``."""

    def __init__(self, body: StreamingBody, key: str) -> None:
        super().__init__()
        self._body = body
        self._key = key

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        with answered(f"{self._key} broke off"):
            piece = self._body.read(len(view))
        view[: len(piece)] = piece
        return len(piece)


class S3Archive:
    """Large message bodies, in the archive bucket."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, name: str, body: bytes) -> None:
        with answered(f"{name} cannot be archived"):
            self._client.put_object(Bucket=self._bucket, Key=name, Body=body)

    def get(self, name: str) -> bytes:
        with answered(f"{name} cannot be fetched from the archive"):
            return self._client.get_object(Bucket=self._bucket, Key=name)["Body"].read()


class S3Drops:
    """Dropped files, by exact version where the bucket keeps versions."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def open(self, key: str, version: str) -> BinaryIO:
        """Return the object's bytes as a stream.

        Raises
        ------
        OSError
            When the object is gone or cannot be read; reading from the stream may raise it too.
        """
        with answered(f"{key} cannot be read"):
            if version:
                found = self._client.get_object(Bucket=self._bucket, Key=key, VersionId=version)
            else:
                found = self._client.get_object(Bucket=self._bucket, Key=key)
        return cast(BinaryIO, BufferedReader(_ObjectBody(found["Body"], key), 1 << 16))


class ManagedSecrets:
    """Secrets of sources and channels: JSON with ``current`` and, while rotating, ``previous``."""

    def __init__(
        self, client: SecretsManagerClient, stage: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._stage = stage
        self._clock = clock
        self._known: dict[str, tuple[float, str]] = {}

    def of(self, kind: str, name: str) -> tuple[str, ...]:
        text = self.text(kind, name)
        if not text:
            return ()
        said = json.loads(text)
        return tuple(said[slot] for slot in ("current", "previous") if said.get(slot))

    def text(self, kind: str, name: str) -> str:
        """Return the stored text, or nothing where there is no such secret."""
        secret = f"onecount/{self._stage}/{kind}/{name}"
        known = self._known.get(secret)
        if known is None or self._clock() - known[0] > SECRET_REMEMBERED_S:
            try:
                value = self._client.get_secret_value(SecretId=secret)["SecretString"]
            except self._client.exceptions.ResourceNotFoundException:
                value = ""
            known = self._known[secret] = (self._clock(), value)
        return known[1]
