"""Clients of the local runtime: dummy credentials, loopback only, no surprise from the machine's own AWS settings."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from infra.local.server import CREDENTIALS, REGION

_making = threading.Lock()


@cache
def _session() -> boto3.Session:
    """One for the process: each would read and keep the service models again, about 15 MB."""
    return boto3.Session(region_name=REGION)


def client(service: str, endpoint: str, *, read_timeout_seconds: float = 60.0, attempts: int = 3) -> Any:
    """A boto3 client of ``service`` on the runtime at ``endpoint``.

    Parameters
    ----------
    attempts
        Tries of one call; 1 where a repeat would do something twice.
    """
    with _making:
        return _session().client(
            service,
            aws_access_key_id=CREDENTIALS["aws_access_key_id"],
            aws_secret_access_key=CREDENTIALS["aws_secret_access_key"],
            endpoint_url=endpoint,
            config=Config(
                connect_timeout=5,
                read_timeout=read_timeout_seconds,
                retries={"total_max_attempts": attempts, "mode": "standard"},
                max_pool_connections=50,
                proxies={},
                s3={"addressing_style": "path"},
            ),
        )
