"""Root cause: from what a source said and what is known to have happened, the handoff that failed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.drift import Statement, Told, parse_formula
from shared.domain.root_cause import (
    Account,
    Change,
    Hypothesis,
    Mirror,
    Nature,
    RootCause,
    Sibling,
    Sphere,
    explain,
    is_within_latency,
)
from shared.domain.stock import EventKey, LocationId, Sku, SourceId, StockKey

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
KEY = StockKey(Sku("TEA"), LocationId("east"))
OTHER = StockKey(Sku("MUG"), LocationId("east"))


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def event(document: str, type_: str = "shipment") -> EventKey:
    return EventKey(f"wms/{document}/1/{type_}/")


def change(
    document: str, minute: float, quantity: int, type_: str = "shipment", nature: Nature = Nature.MOVEMENT
) -> Change:
    return Change(event(document, type_), nature, at(minute), at(minute), {"on_hand": quantity})


def reserved(document: str, minute: float, quantity: int, order: str) -> Change:
    nature = Nature.RESERVED if quantity > 0 else Nature.RELEASED
    return Change(
        EventKey(f"shop/order/{document}"), nature, at(minute), at(minute), {"reserved": quantity}, order
    )


HISTORY = (
    change("R-1", 0, 500, "receipt"),
    change("S-1", 20, -8),
    change("S-2", 70, -17),
    change("R-2", 130, 50, "receipt"),
    change("S-3", 190, -5),
    change("S-4", 250, -23),
)
"""One thing an hour; the statements of ``account`` fall half an hour later."""


def account(
    said: Sequence[int],
    changes: Sequence[Change] = HISTORY,
    *,
    meaning: str = "on_hand",
    latency: float = 15,
    first: float = 40,
    every: float = 60,
    **more: object,
) -> Account:
    """Return an account of a source that said some numbers, one an hour."""
    statements = [Statement(quantity, at(first + every * n)) for n, quantity in enumerate(said)]
    names = ("on_hand", "quality_hold", "damaged", "incoming", "in_transit", "reserved")
    newest = statements[-1].as_of
    level = {name: sum(c.amounts.get(name, 0) for c in changes if c.at <= newest) for name in names}
    level |= {"available": level["on_hand"] - level["quality_hold"] - level["damaged"] - level["reserved"]}
    level |= {"safety_stock": 0}
    return Account(
        KEY,
        SourceId("erp"),
        parse_formula(meaning),
        level,
        statements,
        sorted(changes, key=lambda c: c.at),
        latency=timedelta(minutes=latency),
        **more,  # type: ignore[arg-type]
    )


def first(found: Account) -> Hypothesis:
    return explain(found).first


def test_an_event_that_was_never_counted_is_named() -> None:
    found = first(account([492, 475, 475, 470, 447]))
    assert (found.cause, found.events) == (RootCause.MISSING_EVENT, (event("R-2", "receipt"),))
    assert found.sphere is Sphere.INTEGRATION
    assert found.confidence > 80


def test_an_event_that_was_counted_twice_is_named() -> None:
    found = first(account([492, 475, 575, 570, 547]))
    assert (found.cause, found.events) == (RootCause.DUPLICATE_EVENT, (event("R-2", "receipt"),))


def test_two_events_are_named_where_only_both_explain_the_difference() -> None:
    found = first(account([492, 492, 492, 487, 464]))
    assert found.cause is RootCause.MISSING_EVENT
    assert found.events == (event("S-2"), event("R-2", "receipt"))


def test_a_source_that_heard_of_nothing_since_an_instant_is_late() -> None:
    found = first(account([492, 475, 475, 475, 475]))
    assert found.cause is RootCause.POSTING_DELAY
    assert found.events == (event("R-2", "receipt"), event("S-3"), event("S-4"))


def test_a_source_that_has_counted_newer_events_elsewhere_is_not_late() -> None:
    said = [492, 475, 525, 520, 520]
    alive = Sibling(EventKey("wms/S-99/1/shipment/"), at(255), is_counted=True)
    silent = Sibling(EventKey("wms/S-99/1/shipment/"), at(255), is_counted=False)
    assert first(account(said, siblings=[alive])).cause is RootCause.MISSING_EVENT
    assert first(account(said, siblings=[silent])).cause is RootCause.POSTING_DELAY


def test_a_receipt_read_by_the_case_instead_of_the_piece_is_named_with_its_factor() -> None:
    found = first(account([492, 475, 480, 475, 452], packs={"case": 10}))
    assert (found.cause, found.events) == (RootCause.UNIT_MISMATCH, (event("R-2", "receipt"),))
    assert "case holds 10" in found.said


def test_a_whole_number_said_in_cases_is_a_unit_mismatch_without_a_guilty_event() -> None:
    changes = [change("R-1", 0, 480, "receipt"), change("S-1", 20, -24), change("S-2", 70, -36)]
    found = first(account([38, 35], changes, packs={"case": 12}))
    assert (found.cause, found.events) == (RootCause.UNIT_MISMATCH, ())


def test_a_number_that_follows_another_formula_is_a_definition_mismatch() -> None:
    changes = [
        *HISTORY,
        reserved("1", 30, 6, "shop/1"),
        reserved("2", 100, 9, "shop/2"),
        reserved("1x", 200, -6, "shop/1"),
    ]
    found = first(account([486, 460, 510, 511, 488], changes))
    assert found.cause is RootCause.DEFINITION_MISMATCH
    assert found.meaning in ("available", "on_hand - reserved")


def test_a_number_that_was_set_by_hand_is_told_with_the_time_between_which_it_was() -> None:
    found = first(account([492, 475, 525, 600, 577]))
    assert (found.cause, found.sphere) == (RootCause.MANUAL_OVERRIDE, Sphere.PROCESS)
    assert found.began == (at(160), at(220))


def test_a_correction_that_the_source_told_of_is_the_guilty_event_of_an_override() -> None:
    told = Told(EventKey("erp/ADJ-7/1/adjustment/"), at(200), 31)
    found = first(account([492, 475, 525, 551, 528], told=[told]))
    assert (found.cause, found.events) == (RootCause.MANUAL_OVERRIDE, (told.event,))


def test_a_count_that_was_not_handed_on_is_named() -> None:
    changes = [*HISTORY, change("C-1", 215, -12, "count", Nature.COUNT)]
    found = first(account([492, 475, 525, 520, 497], changes))
    assert (found.cause, found.events) == (RootCause.COUNT_NOT_PROPAGATED, (event("C-1", "count"),))


def test_a_lost_receipt_whose_document_is_written_unlike_its_kin_is_a_matter_of_its_reference() -> None:
    odd = event("PO-450007", "receipt")
    changes = [*HISTORY[:3], change("PO-450007", 130, 50, "receipt"), *HISTORY[4:]]
    kin = [event(f"45000{n}", "receipt") for n in range(20)]
    found = first(account([492, 475, 475, 470, 447], changes, kin=kin))
    assert (found.cause, found.events) == (RootCause.DOCUMENT_REFERENCE, (odd,))


def test_a_receipt_that_the_source_knows_under_another_reference_too_is_a_matter_of_its_reference() -> None:
    changes = [*HISTORY[:3], change("PO-4711", 130, 50, "receipt"), *HISTORY[4:]]
    told = Told(EventKey("erp/004711/1/receipt/"), at(140), 50)
    found = first(account([492, 475, 575, 570, 547], changes, told=[told]))
    assert (found.cause, found.events) == (RootCause.DOCUMENT_REFERENCE, (event("PO-4711", "receipt"),))
    assert "erp/004711" in found.said


def test_a_number_that_went_back_to_an_older_one_was_overwritten_by_an_old_batch() -> None:
    found = first(account([492, 475, 525, 475, 452]))
    assert found.cause is RootCause.STALE_OVERWRITE
    assert found.events == (event("R-2", "receipt"), event("S-3"))
    assert "went back to 475, true from 2026-11-01 13:10:00 until 2026-11-01 14:10:00" in found.said


def test_units_that_a_cancelled_order_still_holds_are_a_reservation_leak() -> None:
    changes = [*HISTORY, reserved("1", 100, 9, "shop/1"), reserved("1/cancelled", 200, -9, "shop/1")]
    found = first(account([492, 466, 516, 511, 488], changes, meaning="available"))
    assert found.cause is RootCause.RESERVATION_LEAK
    assert "shop/1" in found.said


def test_mirrored_differences_are_a_mapping_swap_with_both_keys() -> None:
    drifts = [(at(40 + 60 * n), [d]) for n, d in enumerate([0, 0, 50, 50, 50])]
    found = first(account([492, 475, 475, 470, 447], mirrors=[Mirror(OTHER, drifts)]))
    assert (found.cause, found.partner) == (RootCause.MAPPING_SWAP, OTHER)
    assert found.events == (event("R-2", "receipt"),)


def test_a_count_taken_while_goods_were_under_way_names_them() -> None:
    leaving = change("S-9", 100, -40)
    found = first(account([492, 435], [*HISTORY[:3], leaving], first=40, every=45, is_counted_by_hand=True))
    assert (found.cause, found.sphere) == (RootCause.COUNT_IN_MOTION, Sphere.PROCESS)
    assert found.events == (leaving.event,)


def test_a_number_that_wanders_is_called_unexplained() -> None:
    found = first(account([492, 478, 519, 551, 402]))
    assert (found.cause, found.sphere) == (RootCause.UNEXPLAINED, Sphere.UNKNOWN)


def test_two_explanations_that_fit_equally_well_stand_first_with_equal_confidence() -> None:
    changes = [*HISTORY, change("S-5", 252, -23)]
    found = explain(account([492, 475, 525, 520, 497], changes)).hypotheses
    assert [one.cause for one in found[:2]] == [RootCause.MISSING_EVENT] * 2
    assert {one.events for one in found[:2]} == {(event("S-4"),), (event("S-5"),)}
    assert found[0].confidence == found[1].confidence


@pytest.mark.parametrize("number", [2, 8])
def test_however_many_explanations_fit_equally_well_none_of_them_is_left_out(number: int) -> None:
    same = [change(f"S-{10 + n}", 251 + n / 10, -23) for n in range(number)]
    found = explain(account([492, 475, 525, 520, 520 - 23 * (number - 1)], [*HISTORY[:-1], *same]))
    assert {one.events for one in found.equal} == {(one.event,) for one in same}
    assert {one.cause for one in found.equal} == {RootCause.MISSING_EVENT}


def test_confidences_are_shares_of_one_whole() -> None:
    found = explain(account([492, 475, 475, 470, 447])).hypotheses
    assert sum(one.confidence for one in found) <= 101
    assert [one.confidence for one in found] == sorted((one.confidence for one in found), reverse=True)


def test_every_hypothesis_says_what_to_do_and_what_would_confirm_it() -> None:
    for one in explain(account([492, 475, 475, 470, 447], packs={"case": 10})).hypotheses:
        assert one.said
        assert one.remedy
        assert one.confirm
        assert one.evidence


def test_where_nothing_differs_there_is_nothing_to_explain() -> None:
    assert explain(account([492, 475, 525])).hypotheses == ()


def test_an_account_without_a_statement_is_refused() -> None:
    empty = account([492])
    with pytest.raises(ValueError, match="nothing to explain"):
        explain(Account(KEY, empty.source, empty.meaning, empty.level, [], []))


@pytest.mark.parametrize(
    ("newest", "latency", "within"),
    [(520, 35, True), (520, 20, False), (517, 35, False), (497, 35, False)],
    ids=["missing the young event", "the event is too old", "another number", "nothing differs"],
)
def test_a_difference_that_latency_allows_is_posting_delay_within_limits(
    newest: int, latency: float, within: bool
) -> None:
    found = account([492, 475, 525, 520, newest], latency=latency)
    assert is_within_latency(found) is within


def test_a_standing_difference_is_no_posting_delay_because_something_of_its_size_is_young() -> None:
    changes = [*HISTORY, change("S-5", 278, -23)]
    found = account([492, 475, 525, 520, 520, 497], changes, latency=10)
    assert not is_within_latency(found)


@pytest.mark.parametrize("length", [1_000, 20_000])
def test_the_work_is_bounded_whatever_the_length_of_the_history(length: int) -> None:
    changes = [change(f"S-{n}", n * 6, -1 - n % 7) for n in range(length)]
    said = [10 - sum(1 + n % 7 for n in range(hours * 10 + 1)) for hours in range(1, length // 10)]
    found = explain(account(said, changes, first=61, every=60))
    assert 0 < found.statements <= 50
    assert found.changes == 400
    assert found.work < 400_000
