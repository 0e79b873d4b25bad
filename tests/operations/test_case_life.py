"""Cases among people: owned, due, spoken about, raised, decided by two, and what was done is written down."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from shared.domain.cases import OURSELVES, Case, CaseKind, CaseStatus, Fact
from shared.domain.count_decisions import ChangedSinceSeenError
from shared.domain.item_changes import Declaration, changed
from shared.domain.items import Change
from shared.domain.money import Money, parse_money
from shared.domain.network import Location, Tolerance
from shared.domain.rules import DUE_WITHIN, FourEyes, Rules
from shared.domain.stock import Sku, SourceId
from shared.operations.case_desk import MOST_AT_ONCE, NotPossibleError
from shared.operations.case_life import CaseLife
from shared.operations.case_selection import NOBODY, Selection
from shared.operations.ingest import Drop
from shared.operations.work_queue import WorkQueue
from shared.store.cases import CaseNotFoundError
from tests.operations.deliveries import body
from tests.operations.house import EAST, ERP, NOON, TEA, WMS, House, at, count, movement, network

EURO = "EUR"


def opened(house: House, name: str, kind: CaseKind = CaseKind.DRIFT, **facts: Fact) -> str:
    now = house.clock()
    house.cases.file(Case(f"{kind}:{name}", kind, name, "look", now, now, facts))
    return f"{kind}:{name}"


def life(house: House) -> CaseLife:
    return CaseLife(house.cases, house.clock)


def queue(house: House) -> WorkQueue:
    return WorkQueue(house.cases, house.registry, house.clock)


def priced(house: House, sku: str, price: str) -> None:
    [item] = house.registry.items.find([Sku(sku)]).values()
    after = changed(item, Declaration(Sku(sku), price=parse_money(price)), Change("ann", NOON))
    house.registry.items.change([(item, after)])


def ruled(house: House, rules: Rules) -> None:
    house.declare(replace(house.registry.network(fresh=True), rules=rules))


# ---- owned and due ----------------------------------------------------------------------------------------------


def test_a_case_is_taken_on_until_an_instant_and_given_back() -> None:
    house = House()
    case = opened(house, "a")
    tomorrow = NOON + timedelta(days=1)

    taken = life(house).assign(case, "ben", "ann", tomorrow, "knows the ERP")
    assert (taken.owner, taken.due_at) == ("ben", tomorrow)
    assert life(house).assign(case, "", "ben").owner == ""

    said = [(deed.by, deed.action, deed.why) for deed in house.cases.deeds(case)]
    assert said == [
        ("ann", "assign", f"to ben until {tomorrow.isoformat()}: knows the ERP"),
        ("ben", "assign", "to nobody"),
    ]


def test_a_case_is_due_after_the_time_of_its_kind_unless_a_rule_or_an_agreement_says_otherwise() -> None:
    house = House()
    case = house.cases.get(opened(house, "a", CaseKind.OVERSOLD))

    assert Rules().due_at(case) == NOON + DUE_WITHIN[CaseKind.OVERSOLD]
    own = Rules(due={CaseKind.OVERSOLD: timedelta(minutes=5)})
    assert own.due_at(case) == at(5)
    assert (own.is_overdue(case, at(4.9)), own.is_overdue(case, at(5))) == (False, True)
    agreed = life(house).assign(case.id, "ben", "ann", at(90))
    assert own.due_at(agreed) == at(90)
    house.cases.close(case.id, "enough again", at(1))
    assert own.is_overdue(house.cases.get(case.id), at(999)) is False


@pytest.mark.parametrize("kind", CaseKind)
def test_every_kind_has_its_time(kind: CaseKind) -> None:
    assert timedelta(0) < DUE_WITHIN[kind] <= timedelta(days=1)


def test_nothing_becomes_due_in_the_past_and_a_closed_case_has_no_owner_to_come() -> None:
    house = House()
    case = opened(house, "a")
    with pytest.raises(NotPossibleError, match="past"):
        life(house).assign(case, "ben", "ann", at(-1))
    house.case_desk.ignore(case, "counted", "ann")
    with pytest.raises(NotPossibleError, match="ignored"):
        life(house).assign(case, "ben", "ann")
    with pytest.raises(CaseNotFoundError):
        life(house).comment("drift:none", "who?", "ann")


def test_a_case_is_raised_once_while_it_is_open() -> None:
    house = House()
    case = opened(house, "a")
    assert life(house).escalate(case, "the shop is live", "ann").escalated_at == NOON
    with pytest.raises(NotPossibleError, match="raised before"):
        life(house).escalate(case, "again", "ann")


def test_what_was_done_is_written_down_with_who_when_and_why_also_what_nobody_did() -> None:
    house = House()
    case = opened(house, "a")
    life(house).comment(case, "the ERP runs its batch at two", "ann")
    house.clock.advance(minutes=1)
    house.case_desk.ignore(case, "counted", "ben")
    house.clock.advance(minutes=1)
    opened(house, "a")
    house.clock.advance(minutes=1)
    house.cases.close(case, "the numbers agree again", house.clock())

    assert [(d.at, d.by, d.action, d.why) for d in house.cases.deeds(case)] == [
        (at(0), "ann", "comment", "the ERP runs its batch at two"),
        (at(1), "ben", "ignored", "ignored by ben: counted"),
        (at(2), OURSELVES, "reopened", "a"),
        (at(3), OURSELVES, "resolved", "the numbers agree again"),
    ]


def test_a_case_that_opens_again_keeps_its_owner_and_nothing_else_that_was_agreed() -> None:
    house = House()
    case = opened(house, "a")
    life(house).assign(case, "ben", "ann", at(10))
    life(house).escalate(case, "soon", "ann")
    house.cases.close(case, "agrees", at(1))
    house.clock.advance(days=1)
    opened(house, "a")

    again = house.cases.get(case)
    assert (again.owner, again.due_at, again.escalated_at) == ("ben", None, None)


def test_cases_are_selected_by_owner_and_by_being_overdue() -> None:
    house = House()
    mine, others = opened(house, "mine"), opened(house, "others")
    life(house).assign(mine, "ann", "ann", at(30))
    house.clock.advance(minutes=40)

    def found(selection: Selection) -> list[str]:
        return [case.id for case in house.case_desk.find(selection, 10).cases]

    assert found(Selection(owner="ann")) == [mine]
    assert found(Selection(owner=NOBODY)) == [others]
    assert found(Selection(overdue=True)) == [mine]
    assert found(Selection(overdue=False)) == [others]


def test_more_cases_than_one_call_takes_are_done_by_going_on_at_its_cursor() -> None:
    house = House()
    for number in range(MOST_AT_ONCE + 5):
        opened(house, str(number), source="wms")
    wanted, later = Selection(CaseKind.DRIFT, SourceId("wms")), NOON + timedelta(hours=1)

    def ignore(case: Case) -> None:
        house.case_desk.ignore(case.id, "counted on Sunday", "ann")

    first = house.case_desk.for_each(wanted, ignore, later)
    second = house.case_desk.for_each(wanted, ignore, later, first.cursor)
    assert (first.done, second.done, second.cursor) == (MOST_AT_ONCE, 5, None)
    assert house.cases.list(CaseStatus.OPEN) == []


# ---- ranked -----------------------------------------------------------------------------------------------------


def test_cases_are_ranked_by_price_times_units_times_the_time_they_are_open() -> None:
    house = House()
    priced(house, "TEA", "2.50 EUR")
    priced(house, "MUG", "10.00 EUR")
    opened(house, "old", CaseKind.OVERSOLD, sku="TEA", location="east", exposure=8)  # 20.00 EUR
    house.clock.advance(hours=3)
    opened(house, "young", CaseKind.POSTING_DELAY, sku="MUG", location="west", units=3)  # 30.00 EUR
    house.clock.advance(hours=1)

    groups = queue(house).ranked(Selection()).groups
    assert [(group.members[0].case.title, group.weight) for group in groups] == [
        ("old", Decimal("80.00")),
        ("young", Decimal("30.00")),
    ]
    assert groups[0].values == (Money(Decimal("20.00"), EURO),)
    house.clock.advance(hours=6)
    assert queue(house).ranked(Selection()).groups[0].members[0].case.title == "young"


def test_a_case_of_no_known_price_is_ranked_by_units_and_one_of_no_units_by_age_and_says_so() -> None:
    house = House()
    priced(house, "MUG", "0.01 EUR")
    opened(house, "age", CaseKind.MESSAGE_FAILED)
    opened(house, "units", CaseKind.OVERSOLD, sku="TEA", location="east", exposure=5_000)
    opened(house, "value", CaseKind.POSTING_DELAY, sku="MUG", location="west", units=1)
    house.clock.advance(hours=2)

    groups = queue(house).ranked(Selection()).groups
    assert [(g.members[0].case.title, str(g.ranked_by), g.weight) for g in groups] == [
        ("value", "price x units x hours open", Decimal("0.02")),
        ("units", "units x hours open", Decimal(10_000)),
        ("age", "hours open", Decimal(2)),
    ]


def test_cases_of_one_cause_are_one_group_with_what_stands_at_risk_in_all_of_them() -> None:
    house = House()
    priced(house, "TEA", "2.00 EUR")
    priced(house, "MUG", "5.00 EUR")
    for sku, drift in (("TEA", 3), ("MUG", -2)):
        opened(house, sku, source="erp", cause="unit_mismatch", sku=sku, location="east", drift=drift)
    opened(house, "other", source="erp", cause="missing_event", sku="TEA", location="west", drift=1)
    house.clock.advance(hours=1)

    [together, alone] = queue(house).ranked(Selection()).groups
    assert (together.about, len(together.members)) == (("drift", "erp", "unit_mismatch"), 2)
    assert (together.units, together.values) == (5, (Money(Decimal("16.00"), EURO),))
    assert alone.about == ("drift", "erp", "missing_event")


def test_a_ranking_of_more_cases_than_it_looks_at_says_so() -> None:
    house = House()
    for number in range(40):
        opened(house, str(number), CaseKind.MESSAGE_FAILED)
    part = queue(house).ranked(Selection(), looked_at=8)
    assert (part.is_all, part.looked_at <= 8) == (False, True)
    assert queue(house).ranked(Selection()).is_all is True


def test_what_was_agreed_with_an_owner_goes_when_nobody_owns_the_case_any_more() -> None:
    house = House()
    case = opened(house, "a")
    until = NOON + timedelta(hours=1)
    life(house).assign(case, "ben", "ann", until)

    assert life(house).assign(case, "cy", "ann").due_at == until
    given_back = life(house).assign(case, "", "ann")
    assert (given_back.owner, given_back.due_at) == ("", None)
    assert life(house).assign(case, "", "ann", until).due_at == until


# ---- two people -------------------------------------------------------------------------------------------------


def careful(rule: FourEyes) -> tuple[House, str]:
    """A count that waits: the ledger says 100, somebody counted 50."""
    declared = network()
    place = Location(EAST, WMS, WMS, approve_beyond=Tolerance(percent_hundredths=1_000))
    house = House(replace(declared, locations={**declared.locations, EAST: place}, rules=Rules(rule)))
    house.post(movement("R1", -60, 100))
    said = house.store(
        "wms",
        {
            "type": "stock.count",
            "timestamp": at(-30).isoformat(),
            "data": {
                "document": "C1",
                "lines": [{"line": "1", "sku": "TEA", "location": "east", "quantity": 50}],
            },
        },
        delivery="1",
    )
    house.applier.apply(said)
    [case] = house.cases.list(CaseStatus.OPEN)
    assert case.kind is CaseKind.COUNT_APPROVAL
    return house, case.id


def test_a_change_above_the_amount_needs_a_second_person() -> None:
    house, case = careful(FourEyes(parse_money("100 EUR")))
    priced(house, "TEA", "2.01 EUR")  # 50 x 2.01 = 100.50

    assert house.case_desk.approve_count(case, "ann", seen=100) is False
    assert (house.on_hand(), house.cases.get(case).status) == (100, CaseStatus.OPEN)
    with pytest.raises(NotPossibleError, match=r"100\.50 EUR, above 100 EUR: a second person"):
        house.case_desk.approve_count(case, "ann", seen=100)
    assert house.case_desk.approve_count(case, "ben", seen=100) is True
    assert house.on_hand() == 50
    assert [(d.by, d.action) for d in house.cases.deeds(case)] == [
        ("ann", "first_approval"),
        ("ben", "resolved"),
    ]


def test_one_person_is_enough_up_to_the_amount() -> None:
    house, case = careful(FourEyes(parse_money("100 EUR")))
    priced(house, "TEA", "2.00 EUR")
    assert house.case_desk.approve_count(case, "ann", seen=100) is True
    assert house.on_hand() == 50


@pytest.mark.parametrize(
    ("rule", "enough"),
    [
        (FourEyes(units=50), True),
        (FourEyes(units=49), False),
        (FourEyes(parse_money("1000000 EUR")), False),
        (FourEyes(parse_money("1000000 EUR"), units=50), True),
    ],
)
def test_without_a_price_the_units_decide_and_without_those_two_people(rule: FourEyes, enough: bool) -> None:
    house, case = careful(rule)
    assert house.case_desk.approve_count(case, "ann", seen=100) is enough


def test_an_approval_counts_for_what_was_seen_and_for_nothing_else() -> None:
    house, case = careful(FourEyes(units=0))
    assert house.case_desk.approve_count(case, "ann", seen=100) is False
    house.post(movement("R2", -50, 4))
    with pytest.raises(ChangedSinceSeenError):
        house.case_desk.approve_count(case, "ben", seen=100)
    assert house.case_desk.approve_count(case, "ben", seen=104) is False
    assert house.case_desk.approve_count(case, "ann", seen=104) is True
    assert house.on_hand() == 50


def test_who_requested_a_change_does_not_approve_it() -> None:
    house, case = careful(FourEyes(units=0))
    house.cases.amend(case, {"requested_by": "ann"}, NOON)
    with pytest.raises(NotPossibleError, match="ann has requested it") as refused:
        house.case_desk.approve_count(case, "ann", seen=100)
    assert "ONECOUNT_TOKEN" in refused.value.remedy
    assert house.case_desk.approve_count(case, "ben", seen=100) is True


def test_one_person_is_enough_to_reject() -> None:
    house, case = careful(FourEyes(units=0))
    house.case_desk.reject_count(case, "wrong shelf", "ann")
    assert (house.on_hand(), house.cases.get(case).status) == (100, CaseStatus.RESOLVED)


def test_how_many_people_it_needs_follows_from_what_it_would_change_now() -> None:
    house, case = careful(FourEyes(units=50))
    house.post(movement("LATE", -45, 900))  # tells no case of itself
    assert house.cases.get(case).facts["known"] == 100

    assert house.case_desk.approve_count(case, "ann", seen=1000) is False
    assert (house.on_hand(), house.cases.get(case).approvals[0].state) == (1000, "seen 1000")
    assert house.case_desk.approve_count(case, "ben", seen=1000) is True
    assert house.on_hand() == 50


def test_a_number_that_is_not_true_any_more_is_no_first_word_either() -> None:
    house, case = careful(FourEyes(units=0))
    house.post(movement("LATE", -45, 900))

    with pytest.raises(ChangedSinceSeenError):
        house.case_desk.approve_count(case, "ann", seen=100)

    found = house.cases.get(case)
    assert (found.approvals, found.facts["known"]) == ((), 1000)


def suspended(limit: Tolerance | None) -> tuple[House, str]:
    """A count of 10 where there are 1003, so near a receipt of 3 that its outcomes are 3 apart."""
    declared = network()
    sources = {
        name: replace(source, clock_skew=timedelta(minutes=5)) for name, source in declared.sources.items()
    }
    place = Location(EAST, WMS, ERP, approve_beyond=limit)
    house = House(
        replace(
            declared,
            sources=sources,
            locations={**declared.locations, EAST: place},
            rules=Rules(FourEyes(units=50)),
        )
    )
    house.post(movement("R1", -600, 1000))
    line = {"sku": "TEA", "quantity": 3}
    house.applier.apply(house.store("erp", body("receipt", "E1", line, occurred_at=at(-30))))
    line = {"sku": "TEA", "quantity": 10}
    house.applier.apply(house.store("wms", body("count", "C1", line, occurred_at=at(-30))))
    [case] = house.cases.list(CaseStatus.OPEN)
    assert case.kind is CaseKind.COUNT_SUSPENDED
    return house, case.id


def test_a_suspended_count_is_weighed_by_what_it_changes_and_not_by_how_far_its_outcomes_are_apart() -> None:
    house, case = suspended(None)

    assert house.case_desk.approve_count(case, "ann", at=at(-29)) is False
    assert house.on_hand() == 1003
    assert house.case_desk.approve_count(case, "ben", at=at(-29)) is True
    assert house.on_hand() == 10
    house.assert_exact()


def test_a_suspended_count_beyond_the_limit_is_approved_with_the_number_that_was_seen() -> None:
    house, case = suspended(Tolerance(percent_hundredths=1_000))

    with pytest.raises(NotPossibleError, match="seen = 1003"):
        house.case_desk.approve_count(case, "ann", at=at(-29))
    with pytest.raises(ChangedSinceSeenError):
        house.case_desk.approve_count(case, "ann", at=at(-29), seen=1000)
    assert house.case_desk.approve_count(case, "ann", at=at(-31), seen=1000) is False
    assert house.case_desk.approve_count(case, "ben", at=at(-29), seen=1003) is False
    assert house.case_desk.approve_count(case, "ann", at=at(-29), seen=1003) is True
    assert house.on_hand() == 10
    house.assert_exact()


# ---- mapped -----------------------------------------------------------------------------------------------------


def test_one_code_of_a_file_with_many_unknown_ones_is_mapped_from_its_one_case() -> None:
    house = House(skus=("TEA", "MUG"))
    rows = "".join(f"NEW-{number},{number},east\n" for number in range(1, 200))
    case = filed(house, "sku,qty,site\n" + rows)

    assert case.kind is CaseKind.UNKNOWN_CODES
    with pytest.raises(NotPossibleError, match="name which code"):
        house.case_desk.map(case.id, TEA, "ann")
    with pytest.raises(NotPossibleError, match="no row of the file waits for 'NEW-999'"):
        house.case_desk.map(case.id, TEA, "ann", "NEW-999")
    house.case_desk.map(case.id, TEA, "ann", "NEW-7")

    still = house.cases.get(case.id)
    assert (still.status, still.facts["codes"]) == (CaseStatus.OPEN, 198)
    first = house.cases.deeds(case.id)[0]
    assert (first.by, first.action, first.why) == ("ann", "map", "sku NEW-7 is TEA")


def filed(house: House, text: str) -> Case:
    """Drop a file, and return the one case that it becomes."""
    key = "files/stock_20261101T1100.csv"
    house.archive.put(key, text.encode())
    house.ingester.ingest(Drop(key, "", "01", len(text), NOON))
    [case] = house.cases.list(CaseStatus.OPEN)
    return case


def test_a_count_within_the_limit_never_asks_for_anybody() -> None:
    house, _ = careful(FourEyes(units=0))
    house.post(count("C2", 0, 101))
    assert house.on_hand() == 101
