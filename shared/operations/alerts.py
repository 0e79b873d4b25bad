"""Alerts: what is overdue or was raised is told to people, once, and each morning what is open, ranked.

One text tells of everything that is new, with all cases of one cause in one entry, so that a fault that opens thousands
sends one message. A text is sent before it is noted as sent: after a crash in between it is sent again, never lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from shared.domain.cases import OURSELVES, Case, Deed
from shared.domain.digest import digest_text, overdue_text, subject
from shared.domain.events import instant
from shared.operations.case_selection import Selection
from shared.operations.work_queue import WorkQueue
from shared.store.cases import Cases
from shared.store.registry import Registry

EVERY_MINUTES = 5
"""How often it is looked for what has become overdue."""

LOOKED_AT = 2_000
"""Open cases that are looked at, the oldest."""

TOLD_AT_ONCE = 200
"""Cases that one alert raises; the next one raises more."""

log = logging.getLogger(__name__)


class Messenger(Protocol):
    """Tells people: by mail, chat, or whatever has subscribed."""

    def tell(self, subject: str, text: str) -> None:
        """Send a text.

        Raises
        ------
        OSError
            When it could not be sent.
        """
        ...


class AlertDesk:
    """Tells people what waits for them."""

    def __init__(
        self,
        cases: Cases,
        registry: Registry,
        messenger: Messenger,
        dead_letters: Callable[[], Mapping[str, int]],
        stage: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._cases = cases
        self._registry = registry
        self._work = WorkQueue(cases, registry, clock)
        self._messenger = messenger
        self._dead_letters = dead_letters
        self._stage = stage
        self._clock = clock

    def escalate(self) -> int:
        """Every few minutes, raise what has become overdue, and tell of that and of what people raised.

        Returns
        -------
        How many cases were told of.

        Raises
        ------
        OSError
            When people could not be told; it is tried again.
        """
        now, rules = self._clock(), self._registry.network().rules
        if now.minute % EVERY_MINUTES:
            return 0
        found, _ = self._cases.oldest_open(LOOKED_AT)
        due = [
            case
            for case in found
            if not case.is_told and (case.escalated_at is not None or rules.is_overdue(case, now))
        ][:TOLD_AT_ONCE]
        if not due:
            return 0
        text = overdue_text(self._work.rank(due))
        what = f"{len(due)} case{'s' if len(due) > 1 else ''} overdue or raised"
        self._messenger.tell(subject(self._stage, what), text)
        for case in due:
            if case.escalated_at is None:
                why = f"nobody has decided it by {instant(rules.due_at(case))}"
                self._cases.escalate(case.id, Deed(now, OURSELVES, "escalate", why))
            self._cases.told(case.id)
        log.info("cases_escalated", extra={"cases": len(due)})
        return len(due)

    def digest(self) -> int:
        """Send the digest of the day, once, when its time has come; return whether it was sent.

        Raises
        ------
        OSError
            When it could not be sent; it is tried again.
        """
        now, rules = self._clock(), self._registry.network().rules
        day = None if rules.digest is None else rules.digest.due(now)
        if day is None or not self._cases.begin_day("digest", day.isoformat()):
            return 0
        try:
            work = self._work.ranked(Selection())
            cases: list[Case] = [one.case for group in work.groups for one in group.members]
            overdue = sum(rules.is_overdue(case, now) for case in cases)
            text = digest_text(day, work.groups, overdue, self._dead_letters())
            what = f"{len(cases)} open, {overdue} overdue" if cases else "nothing is open"
            self._messenger.tell(subject(self._stage, what), text)
        except Exception:
            self._cases.take_back_day("digest", day.isoformat())
            raise
        log.info("digest_sent", extra={"cases": len(cases), "overdue": overdue})
        return 1
