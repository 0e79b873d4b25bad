"""Releasing: what waited for a code, a unit or a location to be declared is applied by itself once it is.

Every road to a declaration ends here: an import, an operator's mapping, a change through the API, an applied network
file. Whoever declares may release at once; the sweep looks every minute, so that a crash in between, or a road that
nobody thought of, costs a minute and not the message.

A message that waits for many causes (a file with a thousand unknown codes) is applied once, not once for each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice

from shared.domain.cases import Case, CaseKind
from shared.domain.stock import ChannelId, LocationId, MessageId, Sku, SourceId
from shared.store.cases import Cases
from shared.store.inbox import Inbox, MessageNotFoundError, MessageStatus, UnreadableMessageError
from shared.store.registry import Code, Registry
from shared.store.table import TableError

WAITING = (CaseKind.UNKNOWN_CODE, CaseKind.UNIT, CaseKind.KIT_STOCK)
"""Kinds of case that a declaration releases."""

AT_ONCE = 500
"""Messages that one run applies; the rest follow in the next."""

log = logging.getLogger(__name__)


class Releaser:
    """Applies again what no longer has to wait."""

    def __init__(
        self,
        cases: Cases,
        inbox: Inbox,
        registry: Registry,
        apply_again: Callable[[MessageId], MessageStatus],
        clock: Callable[[], datetime],
    ) -> None:
        self._cases = cases
        self._inbox = inbox
        self._registry = registry
        self._apply_again = apply_again
        self._clock = clock

    def run(self) -> int:
        """Release every case whose cause is gone; return how many messages were applied again.

        The messages are pending again before a case is closed, so that a crash on the way leaves them to the sweep;
        and the cases are closed before they are applied, so that one which fails again stands open again.
        """
        parked: dict[str, list[MessageId]] = {}
        seen: dict[str, int] = {}
        messages: dict[MessageId, bool] = {}
        for case in releasable(self._cases.open_of(WAITING), self._registry):
            waiting = list(islice(self._cases.parked(case.id), AT_ONCE))
            if case.kind is CaseKind.UNKNOWN_CODE and any(map(self._is_file, waiting)):
                continue
            parked[case.id], seen[case.id] = waiting, case.occurrences
            messages |= dict.fromkeys(waiting, False)
            if len(messages) >= AT_ONCE:
                break
        now = self._clock()
        gone = {message for message in messages if not self._inbox.reopen(message, now)}
        for case_id, waiting in parked.items():
            if len(waiting) < AT_ONCE:  # of a case with more, the others follow in the next run
                why = "released: what it waited for has been declared"
                self._cases.close(case_id, why, now, seen=seen[case_id])  # filed anew meanwhile: the next run
        done = gone | {message for message in messages if message not in gone and self._apply(message)}
        for case_id, waiting in parked.items():
            for message in waiting:
                if message in done:
                    self._cases.unpark(case_id, message)
        return len(messages) - len(gone)

    def _is_file(self, message: MessageId) -> bool:
        """Whether a message is a file: the rows of files that wait for codes are released by who reads them."""
        try:
            return self._inbox.load(message).kind == "file"
        except (MessageNotFoundError, UnreadableMessageError, OSError):
            return False

    def _apply(self, message: MessageId) -> bool:
        try:
            return self._apply_again(message) is MessageStatus.POSTED
        except (TableError, MessageNotFoundError, OSError) as error:
            log.warning("message_left_to_sweep", extra={"message_id": message, "reason": str(error)})
            return False


def releasable(cases: Iterable[Case], registry: Registry) -> list[Case]:
    """Return those of some open cases that have nothing to wait for any more."""
    codes: dict[str, Code] = {}
    skus: dict[str, Sku] = {}
    free: list[Case] = []
    waiting = list(cases)
    for case in waiting:
        if case.kind is not CaseKind.UNKNOWN_CODE:
            skus[case.id] = Sku(str(case.facts["sku"]))
        elif case.facts.get("kind") != "location":
            source, kind, code = (str(case.facts[name]) for name in ("source", "kind", "code"))
            codes[case.id] = Code(SourceId(source), kind, code)
        elif _is_declared(case, registry):
            free.append(case)
    known = registry.skus(codes.values()) if codes else {}
    items = registry.items.find(skus.values()) if skus else {}
    for case in waiting:
        if case.id in codes:
            is_free = codes[case.id] in known
        elif case.id in skus:
            item = items.get(skus[case.id])
            has_changed = item is not None and item.version != case.facts.get("item_version")
            is_free = has_changed or _is_named_anew(case, registry)
        else:
            continue
        if is_free:
            free.append(case)
    return free


def _is_declared(case: Case, registry: Registry) -> bool:
    """Whether a location code of a source, or where its channel sells from, stands for something now."""
    network = registry.network()
    code = str(case.facts["code"])
    source = network.sources.get(SourceId(str(case.facts["source"])))
    if source is None:
        return False
    channel = network.channels.get(ChannelId(code.removeprefix("demand_location of channel ")))
    if channel is not None and code.startswith("demand_location"):
        return bool(channel.served_from)
    return source.locations.get(code, LocationId(code)) in network.locations


def _is_named_anew(case: Case, registry: Registry) -> bool:
    """Whether the source's word for a unit has been declared to stand for another unit of ours."""
    source = registry.network().sources.get(SourceId(str(case.facts["source"])))
    names = {} if source is None else source.options.get("units")
    unit, ours = case.facts.get("unit"), case.facts.get("our_unit")
    return isinstance(names, dict) and unit in names and names[unit] != ours
