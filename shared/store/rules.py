"""The rules of the house as the registry keeps them: one text, in the words of ``network.yaml``."""

from __future__ import annotations

import json
from datetime import time, timedelta
from typing import Any, Literal, cast

from shared.domain.cases import CaseKind
from shared.domain.damping import Damping
from shared.domain.digest import DigestTime
from shared.domain.handoffs import DeclaredPath
from shared.domain.money import parse_money
from shared.domain.rules import FourEyes, Rules
from shared.store.table import Item


def rules_words(rules: Rules) -> dict[str, Any]:
    """Write rules as plain values; what is not declared is left out."""
    said: dict[str, Any] = {}
    if rules.four_eyes is not None:
        amount = rules.four_eyes.amount
        said["four_eyes"] = {
            "above": None if amount is None else str(amount),
            "units_above": rules.four_eyes.units,
        }
    if rules.due:
        said["due_minutes"] = {
            str(kind): int(limit.total_seconds() // 60) for kind, limit in sorted(rules.due.items())
        }
    if rules.write_paths:
        said["write_paths"] = [
            {
                "from": path.giver,
                "to": path.taker,
                "mechanism": path.mechanism,
                "every_minutes": None if path.every is None else int(path.every.total_seconds() // 60),
            }
            for path in rules.write_paths
        ]
    if rules.damping != Damping():
        minutes = int(rules.damping.within.total_seconds() // 60)
        said["damping"] = {"swings": rules.damping.swings, "within_minutes": minutes}
    if rules.digest != DigestTime():
        told = rules.digest
        said["digest"] = False if told is None else {"at": f"{told.at:%H:%M}", "time_zone": told.zone}
    return said


def rules_text(rules: Rules) -> str:
    """Write rules as they are stored."""
    return json.dumps(rules_words(rules), sort_keys=True)


def read_rules(item: Item | None) -> Rules:
    """Read stored rules; where none are, those that need no declaration."""
    said = {} if item is None else cast("dict[str, Any]", json.loads(cast(str, item["declared"])))
    eyes = said.get("four_eyes")
    return Rules(
        None
        if eyes is None
        else FourEyes(None if eyes["above"] is None else parse_money(eyes["above"]), eyes["units_above"]),
        {CaseKind(kind): timedelta(minutes=limit) for kind, limit in said.get("due_minutes", {}).items()},
        tuple(_path(path) for path in said.get("write_paths", ())),
        _damping(said["damping"]) if "damping" in said else Damping(),
        _digest(said["digest"]) if "digest" in said else DigestTime(),
    )


def _digest(said: dict[str, str] | Literal[False]) -> DigestTime | None:
    return None if said is False else DigestTime(time.fromisoformat(said["at"]), said["time_zone"])


def _damping(said: dict[str, int]) -> Damping:
    return Damping(said["swings"], timedelta(minutes=said["within_minutes"]))


def _path(said: dict[str, Any]) -> DeclaredPath:
    every = said["every_minutes"]
    return DeclaredPath(
        said["from"], said["to"], said["mechanism"], None if every is None else timedelta(minutes=every)
    )
