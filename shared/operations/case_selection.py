"""Which cases are meant: what a list, a ranking or a decision in bulk is narrowed by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.domain.cases import Case, CaseKind
from shared.domain.rules import Rules
from shared.domain.stock import ChannelId, MessageId, SourceId

NOBODY = "-"
"""The owner of cases that nobody has taken on."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Cases of which everything named here is true."""

    kind: CaseKind | None = None
    source: SourceId | None = None
    channel: ChannelId | None = None
    message: MessageId | None = None
    owner: str | None = None
    overdue: bool | None = None

    def covers(self, case: Case, rules: Rules, now: datetime) -> bool:
        """Whether a case is meant."""
        return (
            self.kind in (None, case.kind)
            and self.source in (None, case.facts.get("source"))
            and self.channel in (None, case.facts.get("channel"))
            and self.message in (None, case.message_id)
            and self.owner in (None, case.owner or NOBODY)
            and self.overdue in (None, rules.is_overdue(case, now))
        )
