"""The issuer's public keys: fetched when they are needed, believed for a while, and never fetched at a caller's whim.

A token names its key, and anybody may name a key that does not exist. That may be a new one, so the keys are fetched
again, but no more often than every ``BETWEEN_FETCHES_S`` seconds, whether fetching succeeds or fails.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import jwt

BELIEVED_S = 300.0
"""How long keys are believed without looking again; a key that the issuer withdraws is good for as long."""

OUTAGE_S = 3600.0
"""How long keys are believed while the issuer cannot be reached."""

BETWEEN_FETCHES_S = 10.0

log = logging.getLogger(__name__)


class KeysUnavailableError(Exception):
    """The issuer's keys could not be fetched, so no token can be judged."""


class SigningKeys:
    """The keys of one issuer, by their id."""

    def __init__(
        self, fetch: Callable[[], Sequence[jwt.PyJWK]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = float("-inf")

    def get(self, kid: str) -> jwt.PyJWK | None:
        """Return a key, or None if the issuer publishes none of that id.

        Raises
        ------
        KeysUnavailableError
        """
        now = self._clock()
        is_due = kid not in self._keys or now - self._fetched_at > BELIEVED_S
        if is_due and now - self._tried_at >= BETWEEN_FETCHES_S:
            self._refresh(now)
        if now - self._fetched_at > OUTAGE_S:
            raise KeysUnavailableError
        return self._keys.get(kid)

    def _refresh(self, now: float) -> None:
        self._tried_at = now
        try:
            keys = self._fetch()
        except (jwt.PyJWTError, OSError, ValueError) as error:
            log.error("signing_keys_not_fetched", extra={"reason": type(error).__name__})
            return
        self._keys = {key.key_id: key for key in keys if key.key_id is not None}
        self._fetched_at = now
