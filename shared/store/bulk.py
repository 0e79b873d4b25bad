"""Many conditional writes that do not depend on each other, in as few requests as they fit."""

from __future__ import annotations

from collections.abc import Sequence

from shared.store.table import MAX_ACTIONS, Key, Put, Table, Update, WriteRefusedError


def write_each(table: Table, updates: Sequence[Put | Update]) -> set[Key]:
    """Write every update whose conditions hold, and return the keys of those.

    Each stands for itself: they share transactions only to share the round trip. An update that is refused is left
    out, and the others of its transaction are written again without it.
    """
    done: set[Key] = set()
    waiting = list(updates)
    while waiting:
        chunk, rest = waiting[:MAX_ACTIONS], waiting[MAX_ACTIONS:]
        try:
            table.write(chunk)
        except WriteRefusedError as refused:
            at_fault = {refusal.action.key for refusal in refused.refusals}
            waiting = [update for update in chunk if update.key not in at_fault] + rest
        else:
            done.update(update.key for update in chunk)
            waiting = rest
    return done
