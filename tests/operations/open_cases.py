"""The open cases of a house by their kind, as someone finds them who is to decide about one."""

from __future__ import annotations

from shared.domain.cases import CaseKind, CaseStatus
from tests.operations.house import House


def case_ids(house: House, kind: CaseKind) -> list[str]:
    """Return the ids of the open cases of a kind."""
    return [case.id for case in house.cases.list(CaseStatus.OPEN) if case.kind is kind]


def case_of(house: House, kind: CaseKind) -> str:
    """Return the id of the only open case of a kind."""
    [case] = case_ids(house, kind)
    return case
