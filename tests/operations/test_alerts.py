"""People are told once of what is overdue, and each morning what is open, the weightiest first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from shared.domain.cases import OURSELVES, Case, CaseKind, CaseStatus, Fact
from shared.domain.digest import TOLD, DigestTime, subject
from shared.domain.item_changes import Declaration, changed
from shared.domain.items import Change
from shared.domain.money import parse_money
from shared.domain.rules import Rules
from shared.operations.alerts import TOLD_AT_ONCE
from shared.operations.case_life import CaseLife
from shared.operations.dead_letters import DeadLetter
from shared.operations.parts import PartsFailedError
from tests.operations.house import NOON, TEA, House

MORNING = datetime(2026, 11, 2, 7, 0, tzinfo=UTC)


def opened(house: House, name: str, kind: CaseKind = CaseKind.OVERSOLD, **facts: Fact) -> str:
    now = house.clock()
    house.cases.file(Case(f"{kind}:{name}", kind, f"title of {name}", "bring stock in", now, now, facts))
    return f"{kind}:{name}"


def told(house: House) -> list[str]:
    """Take what people were told, without its subjects."""
    texts = [text for _, text in house.messenger.told]
    house.messenger.told.clear()
    return texts


def alerted(house: House) -> list[str]:
    """Take the alerts, without the digests, which the sweep sends too."""
    return [text for text in told(house) if text.startswith("These should")]


# ---- overdue ----------------------------------------------------------------------------------------------------


def test_a_case_that_nobody_decides_in_time_is_raised_and_told_once() -> None:
    house = House()
    case = opened(house, "tea")
    house.clock.advance(minutes=55)
    house.sweep.run()
    assert alerted(house) == []
    house.clock.advance(minutes=5)
    house.sweep.run()
    [text] = alerted(house)
    assert "title of tea" in text
    assert "owner: nobody; oversold:tea" in text
    assert "do: bring stock in" in text
    assert house.cases.get(case).escalated_at == house.clock()
    assert [(d.by, d.action) for d in house.cases.deeds(case)] == [(OURSELVES, "escalate")]

    for _ in range(3):
        house.clock.advance(minutes=5)
        house.sweep.run()
    assert alerted(house) == []


def test_what_somebody_raises_before_its_time_is_told_too() -> None:
    house = House()
    case = opened(house, "tea")
    CaseLife(house.cases, house.clock).escalate(case, "the shop is live", "ann")
    house.sweep.run()
    assert len(alerted(house)) == 1
    house.clock.advance(hours=2)
    house.sweep.run()
    assert alerted(house) == []


def test_thousands_of_one_cause_are_one_message_with_one_entry() -> None:
    house = House()
    for number in range(150):
        opened(house, str(number), CaseKind.PUSH_FAILED, channel="shop", sku=f"S{number}")
    house.clock.advance(hours=1)
    house.sweep.run()
    [text] = alerted(house)
    assert "(150 cases of one cause: push_failed, shop)" in text
    assert text.count("do: ") == 1


def test_more_than_one_alert_holds_is_told_by_the_next() -> None:
    house = House()
    for number in range(TOLD_AT_ONCE + 7):
        opened(house, str(number), CaseKind.MESSAGE_FAILED)
    house.clock.advance(hours=2)
    assert [house.alerts.escalate(), house.alerts.escalate(), house.alerts.escalate()] == [TOLD_AT_ONCE, 7, 0]


def test_it_is_looked_for_every_five_minutes_only() -> None:
    house = House()
    opened(house, "tea")
    house.clock.advance(minutes=61)
    assert house.alerts.escalate() == 0
    house.clock.advance(minutes=4)
    assert house.alerts.escalate() == 1


def test_an_alert_that_could_not_be_sent_is_sent_by_the_next_sweep() -> None:
    house = House()
    opened(house, "tea")
    house.clock.advance(hours=1)
    house.messenger.broken = True
    with pytest.raises(PartsFailedError, match="escalated_cases"):
        house.sweep.run()
    house.messenger.broken = False
    house.clock.advance(minutes=5)
    house.sweep.run()
    assert len(alerted(house)) == 1


def test_a_case_that_opens_again_is_told_again() -> None:
    house = House()
    case = opened(house, "tea")
    house.clock.advance(hours=1)
    house.alerts.escalate()
    house.cases.close(case, "enough again", house.clock())
    opened(house, "tea")
    house.clock.advance(hours=1)
    assert house.alerts.escalate() == 1


# ---- the digest -------------------------------------------------------------------------------------------------


def test_the_digest_comes_once_a_day_when_its_time_has_come() -> None:
    house = House()
    house.clock.now = MORNING - timedelta(minutes=1)
    assert house.alerts.digest() == 0
    house.clock.now = MORNING
    assert [house.alerts.digest(), house.alerts.digest()] == [1, 0]
    house.clock.now = MORNING + timedelta(hours=23, minutes=59)
    assert house.alerts.digest() == 0
    house.clock.now = MORNING + timedelta(days=1)
    assert house.alerts.digest() == 1


def test_the_digest_ranks_by_what_stands_at_risk_and_counts_what_is_late_and_nobodys() -> None:
    house = House()
    [item] = house.registry.items.find([TEA]).values()
    priced = changed(item, Declaration(TEA, price=parse_money("2.50 EUR")), Change("ann", NOON))
    house.registry.items.change([(item, priced)])
    opened(house, "age", CaseKind.HELD)
    worth = opened(house, "worth", CaseKind.OVERSOLD, sku="TEA", location="east", exposure=8)
    CaseLife(house.cases, house.clock).assign(worth, "ben", "ann", MORNING + timedelta(days=1))
    house.letters.queues = {"push-shop-bulk-dead": [DeadLetter("1", "{}")], "drop-dead": []}
    house.clock.now = MORNING
    house.alerts.digest()

    [(line, text)] = house.messenger.told
    assert line == "Onecount test: 2 open, 1 overdue"
    assert text.startswith("Monday, 02 November 2026: 2 cases open, 1 overdue, 1 without an owner.")
    assert text.index("title of worth") < text.index("title of age")
    assert "at risk: 20.00 EUR; since 01 Nov 12:00 UTC; owner: ben" in text
    assert text.endswith("Dead letters: 1 in push-shop-bulk-dead")


def test_a_morning_without_cases_says_so_and_a_long_list_ends() -> None:
    house = House()
    house.clock.now = MORNING
    house.alerts.digest()
    assert told(house) == ["Monday, 02 November 2026: no case is open."]
    for number in range(TOLD + 3):
        opened(house, str(number), CaseKind.CONFLICT)
    house.clock.advance(days=1)
    house.alerts.digest()
    [text] = told(house)
    assert "and 3 cases more: onecount cases ranked" in text


def test_a_digest_that_could_not_be_sent_is_sent_by_the_next_sweep() -> None:
    house = House()
    house.clock.now = MORNING
    house.messenger.broken = True
    with pytest.raises(OSError, match="topic"):
        house.alerts.digest()
    house.messenger.broken = False
    assert house.alerts.digest() == 1


@pytest.mark.parametrize(
    ("zone", "now", "day"),
    [
        ("UTC", "2026-11-02T06:59:59+00:00", None),
        ("UTC", "2026-11-02T07:00:00+00:00", "2026-11-02"),
        ("Europe/Berlin", "2026-11-02T06:00:00+00:00", "2026-11-02"),
        ("Asia/Tokyo", "2026-11-01T22:30:00+00:00", "2026-11-02"),
    ],
)
def test_the_morning_is_that_of_the_declared_zone(zone: str, now: str, day: str | None) -> None:
    due = DigestTime(time(7), zone).due(datetime.fromisoformat(now))
    assert (None if due is None else due.isoformat()) == day


def test_whoever_wants_no_digest_gets_none() -> None:
    house = House()
    house.declare(replace(house.registry.network(fresh=True), rules=Rules(digest=None)))
    house.clock.now = MORNING
    assert (house.alerts.digest(), house.messenger.told) == (0, [])
    assert house.cases.list(CaseStatus.OPEN) == []


def test_a_subject_is_one_short_line_of_plain_letters() -> None:
    said = subject("prod", "Zeile\N{EM DASH} " * 40)
    assert len(said) <= 100
    assert said.isascii()
