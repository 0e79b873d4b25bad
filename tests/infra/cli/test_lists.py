"""Long lists: how they end, how they go on, and deciding many cases at once; what became of a message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.domain.network import Listing
from shared.domain.stock import ChannelId, Sku
from tests.infra.cli.arrange import Asked, Bench

ODD = ["A/B #1", "50% off", "a?b&c=d+e", "\N{TEAPOT} tea", "..", "%2F"]


@pytest.mark.parametrize("sku", ODD)
def test_an_item_of_any_sku_is_shown_with_its_journal(bench: Bench, sku: str) -> None:
    bench.count(sku, 5)
    assert bench.json("stock", sku)["sku"] == sku
    assert len(bench.json("journal", sku, "--location", "east")["entries"]) == 1


def test_an_earlier_instant_shows_nothing_that_is_true_of_today(bench: Bench) -> None:
    bench.count("A", 5)
    bench.registry.add_listings([Listing(ChannelId("shop"), Sku("A"), "S-1")])
    assert "may sell" in bench.run("stock", "A").stdout
    then = bench.run("stock", "A", "--as-of", "2026-11-02T11:00:00Z")
    assert then.exit_code == 0
    assert "may sell" not in then.stdout


def test_a_list_of_cases_says_that_there_are_more_and_goes_on(bench: Bench) -> None:
    names = {bench.unknown_code("erp", "sku", f"X{number}") for number in range(7)}

    first = bench.json("cases", "--limit", "4")
    assert f"--cursor '{first['cursor']}'" in bench.run("cases", "--limit", "4").stdout
    second = bench.json("cases", "--limit", "4", "--cursor", first["cursor"])
    assert second["cursor"] is None
    assert {case["id"] for case in first["cases"] + second["cases"]} == names

    assert "--all" not in bench.run("cases", "--limit", "7").stdout
    assert len(bench.json("cases", "--all")["cases"]) == 7


def test_more_than_a_page_of_cases_is_listed_at_once(bench: Bench) -> None:
    for number in range(203):
        bench.unknown_code("erp", "sku", f"X{number}")
    assert len(bench.json("cases", "--all")["cases"]) == 203
    assert len(bench.json("cases", "--limit", "202")["cases"]) == 202
    assert len(bench.json("cases")["cases"]) == 50


def test_pages_that_are_short_are_no_end(bench: Bench) -> None:
    pages = {None: ([], "a"), "a": ([1], "b"), "b": ([], "c"), "c": ([2], None)}

    def answers(asked: Asked) -> tuple[int, Any] | None:
        if not asked.path.endswith("/cases"):
            return None
        rows, cursor = pages[asked.query.get("cursor")]
        shown = bench.shown(bench.unknown_code("erp", "sku", "X"))
        said = [{**shown, "id": str(n), "title": "t"} for n in rows]
        return 200, {"cases": said, "cursor": cursor}

    bench.http.answers.append(answers)
    assert [case["id"] for case in bench.json("cases", "--kind", "drift")["cases"]] == ["1", "2"]
    assert bench.http.asked[-1].query == {"status": "open", "limit": "49", "cursor": "c", "kind": "drift"}


def test_a_long_journal_says_that_there_is_more(bench: Bench) -> None:
    entry = {"seq": 3, "posted_at": "2026-11-02T12:00:00Z", "lines": []}
    bench.http.answer("GET", "/api/v1/journal", 200, {"entries": [entry] * 2, "cursor": "7"})
    assert "--cursor '7'" in bench.run("journal", "A", "--location", "east", "--limit", "2").stdout
    assert bench.json("journal", "A", "--location", "east", "--limit", "2")["cursor"] == "7"
    bench.run("journal", "A", "--location", "east", "--limit", "2", "--cursor", "7")
    assert bench.http.asked[-1].query["cursor"] == "7"


# ---- deciding many cases ----------------------------------------------------------------------------------------


class Desk:
    """Acts on so many cases, two in a call."""

    def __init__(self, bench: Bench, meant: int, refused: dict[str, str] | None = None) -> None:
        self.asked: list[dict[str, Any]] = []
        self._meant = meant
        self._refused = refused or {}
        bench.http.answers.append(self)

    def __call__(self, asked: Asked) -> tuple[int, Any] | None:
        if not asked.path.endswith("/cases/actions"):
            return None
        body = json.loads(asked.body)
        self.asked.append(body)
        done = int(body.get("cursor", 0)) + 2
        part = min(2, self._meant - done + 2)
        more = str(done) if done < self._meant else None
        acted = 0 if body.get("dry_run") else part
        refused = {} if body.get("dry_run") or more else self._refused
        return 200, {"matched": part, "done": acted, "refused": refused, "cursor": more}


IGNORE = ("cases", "ignore", "--kind", "drift", "--source", "erp", "--reason", "counted on Sunday")


def test_all_cases_of_a_kind_are_counted_before_they_are_ignored(bench: Bench) -> None:
    desk = Desk(bench, 5)
    result = bench.run(*IGNORE, stdin="y\n")
    assert "ignore 5 open cases?" in result.stderr
    assert result.exit_code == 0, result.output
    assert [("dry_run" in asked, asked.get("cursor")) for asked in desk.asked] == [
        *[(True, cursor) for cursor in (None, "2", "4")],
        *[(False, cursor) for cursor in (None, "2", "4")],
    ]
    said = {"action": "ignore", "kind": "drift", "source": "erp", "reason": "counted on Sunday"}
    assert desk.asked[3] == said


def test_nothing_is_decided_unless_somebody_agrees(bench: Bench) -> None:
    desk = Desk(bench, 2)
    for stdin in ("n\n", ""):
        result = bench.run(*IGNORE, stdin=stdin)
        assert (result.exit_code, "nothing was done" in result.stderr) == (1, True)
    assert bench.json(*IGNORE, "--dry-run") == {"matched": 2}
    assert all(asked["dry_run"] for asked in desk.asked)


def test_what_could_not_be_done_is_named(bench: Bench) -> None:
    Desk(bench, 3, {"drift:1": "it has nothing to retry"})
    result = bench.run("cases", "retry", "--kind", "drift", "--yes")
    assert "drift:1: it has nothing to retry" in result.stdout


@pytest.mark.parametrize(
    "wrong",
    [
        ("retry",),
        ("retry", "--kind", "drift", "--reason", "x"),
        ("retry", "--kind", "drift", "--limit", "3"),
        ("ignore", "--kind", "drift"),
        ("ignore", "--kind", "drift", "--reason", "x", "--all"),
        ("list", "--yes"),
        ("--dry-run",),
    ],
)
def test_an_action_takes_its_own_options_and_no_other(bench: Bench, wrong: tuple[str, ...]) -> None:
    assert bench.run("cases", *wrong).exit_code == 2
    assert bench.http.asked == []


# ---- messages ---------------------------------------------------------------------------------------------------


def test_a_message_shows_what_became_of_each_event_and_all_of_its_body(bench: Bench) -> None:
    key = {"sku": "A", "location": "east"}
    event = {"event": "erp/1", "what": "receipt", "code": "a", "stock_keys": [key], "quantity": 3}
    unknown = {**event, "stock_keys": [], "outcome": "unknown_code", "reason": "sku 'a' stands for nothing"}
    first = {
        "message_id": "m1",
        "headers": {},
        "events": [{**event, "outcome": "posted", "reason": ""}, unknown],
        "more_events": True,
        "body": "one ",
        "next_offset": 4,
    }

    def answers(asked: Asked) -> tuple[int, Any] | None:
        if not asked.path.endswith("/messages/m1"):
            return None
        return 200, {"body": "two"} if asked.query.get("offset") == "4" else first

    bench.http.answers.append(answers)
    shown = bench.run("message", "m1").stdout
    assert [line.split()[2:5] for line in shown.splitlines() if line.startswith("erp/1")] == [
        ["A@east", "3", "posted"],
        ["a", "3", "unknown_code"],
    ]
    assert "more events" in shown
    assert shown.endswith("one two\n")
    assert bench.json("message", "m1")["body"] == "one two"
