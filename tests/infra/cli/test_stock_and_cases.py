"""Reading the house and acting on it: stock, journal, reservations, cases, dead letters, pushes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from infra.local.doctor import Finding
from shared.domain.network import Listing
from shared.domain.stock import ChannelId, Sku
from shared.operations.fan_out import Lane
from shared.store.listings import Paces
from tests.infra.cli.arrange import INFO, NETWORK, NOON, Bench

SHORT = {
    "title": "Insufficient stock",
    "detail": "not enough stock for A",
    "remedy": "reserve less",
    "lines": [{"sku": "A", "location": "east", "requested": 9, "available_to_promise": 3}],
}


def test_an_item_is_shown_side_by_side(bench: Bench) -> None:
    bench.count("A/1", 5)
    bench.registry.add_listings([Listing(ChannelId("shop"), Sku("A/1"), "S-1")])

    lines = bench.run("stock", "A/1").stdout.splitlines()

    assert lines[4].split()[:6] == ["east", "5", "0", "0", "0", "5"]
    assert lines[-1].split()[:3] == ["east", "shop", "3"]
    assert "available 5, safety_stock -2" in lines[-1]
    assert bench.http.asked[0].url.endswith("/v1/stock?sku=A%2F1")


def test_a_number_that_should_have_been_said_again_is_called_stale(bench: Bench) -> None:
    bench.count("A", 5)
    shown = bench.json("stock", "A")
    said = {"element": "on_hand", "meaning": "on_hand", "quantity": 4, "expected": 5, "drift": -1}
    said |= {"as_of": "2026-11-02T12:00:00Z"}
    fresh, stale = {**said, "source": "erp", "stale": False}, {**said, "source": "planner", "stale": True}
    shown["locations"][0]["sources"] = [fresh, stale]
    bench.http.answer("GET", "/api/v1/stock", 200, shown)
    lines = bench.run("stock", "A").stdout.splitlines()
    assert [line.split()[1] for line in lines if line.endswith("(stale)")] == ["planner"]
    assert any(" erp " in line for line in lines)


def test_an_instant_is_asked_for_as_it_was_given(bench: Bench) -> None:
    bench.registry.add_items([Sku("A")])

    bench.run("stock", "A", "--as-of", "2026-11-01T12:00:00+01:00")

    assert bench.http.asked[0].query == {"sku": "A", "as_of": "2026-11-01T12:00:00+01:00"}


def test_the_journal_lists_every_line_with_its_event(bench: Bench) -> None:
    bench.count("A", 5)

    result = bench.run("journal", "A", "--location", "east")

    assert "count" in result.stdout
    assert result.stdout.splitlines()[-1].split()[-1] == "wms/A"


def test_an_entry_that_changes_no_number_is_listed_so_that_none_seems_to_be_missing(bench: Bench) -> None:
    bare = {"posted_at": "2026-11-02T12:00:00Z", "lines": []}
    entries = [{**bare, "seq": 2}, {**bare, "seq": 1}]
    bench.http.answer("GET", "/api/v1/journal", 200, {"entries": entries, "cursor": None})

    said = bench.run("journal", "A", "--location", "east").stdout.splitlines()

    assert [line.split()[0] for line in said[-2:]] == ["2", "1"]
    assert all("no line" in line for line in said[-2:])


def test_the_journal_is_read_page_by_page_up_to_the_limit(bench: Bench) -> None:
    entry = {"seq": 0, "posted_at": "2026-11-02T12:00:00Z", "lines": []}
    bench.http.answer(
        "GET",
        "/api/v1/journal",
        200,
        {"entries": [{**entry, "seq": n} for n in range(200)], "cursor": "9"},
    )

    said = bench.json("journal", "A", "--location", "east", "--limit", "400")

    assert len(said["entries"]) == 400
    assert [asked.query.get("cursor") for asked in bench.http.asked] == [None, "9"]


def test_a_reservation_is_asked_for_with_all_its_lines_under_its_key(bench: Bench) -> None:
    made = {"id": "r1", "channel": "shop", "status": "confirmed", "lines": []}
    bench.http.answer("POST", "/api/v1/reservations", 201, made)

    bench.run("reserve", "--channel", "shop", "--line", "A=2", "--line", "odd=sku=1", "--key", "k-1")

    [asked] = bench.http.asked
    assert asked.headers["Idempotency-Key"] == "k-1"
    assert asked.headers["Authorization"] == "Bearer a-token"
    assert json.loads(asked.body) == {
        "channel": "shop",
        "lines": [{"sku": "A", "quantity": 2}, {"sku": "odd=sku", "quantity": 1}],
    }


def test_a_reservation_may_be_asked_for_with_a_lifetime_which_is_shown(bench: Bench) -> None:
    made = {"id": "r1", "channel": "shop", "status": "confirmed", "lines": []}
    bench.http.answer("POST", "/api/v1/reservations", 201, {**made, "expires_at": "2026-11-02T12:15:00Z"})
    wanted = ["reserve", "--channel", "shop", "--line", "A=2", "--key", "k"]

    result = bench.run(*wanted, "--expires-in-s", "900")

    assert json.loads(bench.http.asked[0].body)["expires_in_s"] == 900
    assert "2026-11-02T12:15:00Z" in result.stdout
    assert bench.run(*wanted, "--expires-in-s", "0").exit_code == 2


def test_a_shortfall_is_told_line_by_line(bench: Bench) -> None:
    bench.http.answer("POST", "/api/v1/reservations", 409, SHORT)

    result = bench.run("reserve", "--channel", "shop", "--line", "A=9", "--key", "k")

    assert result.exit_code == 1
    assert "  A at east: asked 9, may have 3" in result.stderr
    assert result.stderr.endswith("remedy: reserve less\n")


def test_a_shortfall_of_all_locations_is_not_told_of_one(bench: Bench) -> None:
    line = {"sku": "A", "location": None, "requested": 9, "available_to_promise": 3}
    bench.http.answer("POST", "/api/v1/reservations", 409, {**SHORT, "lines": [line]})

    result = bench.run("reserve", "--channel", "shop", "--line", "A=9", "--key", "k")

    assert "  A at all locations of the channel: asked 9, may have 3" in result.stderr


def test_a_transfer_that_its_origin_lacks_the_stock_for_is_told_line_by_line(bench: Bench) -> None:
    line = {"sku": "A", "location": "east", "requested": 9, "available": 3}
    bench.http.answer("POST", "/api/v1/transfers/t1/approve", 409, {**SHORT, "lines": [line]})

    result = bench.run("transfers", "approve", "t1", "--key", "k")

    assert result.exit_code == 1
    assert "  A at east: asked 9, may have 3" in result.stderr


def test_a_token_that_is_refused_says_where_it_came_from(bench: Bench) -> None:
    bench.http.answer(
        "GET", "/api/v1/dead-letters", 401, {"title": "Unauthorized", "remedy": "send a header"}
    )

    result = bench.run("dead-letters")

    assert result.exit_code == 1
    assert "error: Unauthorized" in result.stderr
    assert "ONECOUNT_TOKEN" in result.stderr


def test_an_answer_that_is_no_json_is_an_error_too(bench: Bench) -> None:
    bench.http.answer("GET", "/api/v1/dead-letters", 502, b"<html>Bad Gateway</html>")

    result = bench.run("dead-letters")

    assert result.exit_code == 1
    assert "HTTP 502: the answer is not JSON" in result.stderr


def test_a_case_is_mapped_and_an_action_gets_what_it_needs_and_nothing_else(bench: Bench) -> None:
    case = bench.unknown_code("erp", "sku", "X 1")
    shown = bench.json("case", case)
    bench.http.answer("POST", f"/api/v1/cases/{case}/map", 200, {"case": shown, "replayed": 2})

    result = bench.run("case", case, "map", "--sku", "A")

    assert result.exit_code == 0
    assert "messages taken up again: 2" in result.stdout
    assert json.loads(bench.http.asked[-1].body) == {"sku": "A"}
    assert bench.run("case", case, "map").exit_code == 2
    assert bench.run("case", case, "ignore").exit_code == 2
    assert bench.run("case", case, "retry", "--sku", "A").exit_code == 2


def test_approving_what_no_message_waits_for_speaks_of_none(bench: Bench) -> None:
    case = bench.unknown_code("erp", "sku", "X 1")
    said = {"case": bench.json("case", case), "replayed": 0}
    bench.http.answer("POST", f"/api/v1/cases/{case}/approve", 200, said)

    assert "again" not in bench.run("case", case, "approve").stdout


def test_a_case_whose_messages_went_on_says_so_and_not_that_somebody_retried(bench: Bench) -> None:
    case = bench.unknown_code("erp", "sku", "X 1")
    closed = {**bench.json("case", case), "status": "resolved", "resolution": "retried"}
    bench.http.answer("POST", f"/api/v1/cases/{case}/approve", 200, {"case": closed, "replayed": 1})

    said = bench.run("case", case, "approve").stdout

    assert "what waited was taken up again" in said
    assert "retried" not in said


def test_a_case_is_assigned_and_commented_with_what_each_needs(bench: Bench) -> None:
    case = bench.unknown_code("erp", "sku", "X")
    shown = bench.shown(case)
    for action in ("assign", "comment", "approve"):
        bench.http.answer("POST", f"/api/v1/cases/{case}/{action}", 200, {"case": shown})
    assert (
        bench.run("case", case, "assign", "--owner", "ben", "--due-at", "2026-11-03T06:00:00Z").exit_code == 0
    )
    assert json.loads(bench.http.asked[-1].body) == {"owner": "ben", "due_at": "2026-11-03T06:00:00Z"}
    assert bench.run("case", case, "comment", "--text", "the batch").exit_code == 0
    assert bench.run("case", case, "assign").exit_code == 2
    assert bench.run("case", case, "comment", "--owner", "ben").exit_code == 2

    waits = {"case": shown, "needs": "the approval of a second person"}
    bench.http.answer("POST", f"/api/v1/cases/{case}/approve", 202, waits)
    said = bench.run("case", case, "approve", "--seen", "5").stdout
    assert "it still needs the approval of a second person" in said


def test_the_work_queue_is_ranked_with_one_line_for_each_cause(bench: Bench) -> None:
    case = bench.shown(bench.unknown_code("erp", "sku", "X"))
    group = {
        "about": ["drift", "erp"],
        "cases": 40,
        "values": ["120.50 EUR"],
        "units": 48,
        "oldest": "2026-11-01T12:00:00.000000Z",
        "overdue": 3,
        "ranked_by": "price x units x hours open",
        "first": [case],
    }
    answer = {"groups": [group], "more_groups": 2, "looked_at": 4000, "is_all": False}
    bench.http.answer("GET", "/api/v1/work-queue", 200, answer)

    result = bench.run("cases", "ranked", "--owner", "-", "--overdue")
    assert bench.http.asked[-1].query == {"owner": "-", "overdue": "true"}
    for text in ("120.50 EUR", "drift, erp", "and 2 more groups", "the oldest 4000 open cases"):
        assert text in result.stdout


def test_an_entry_by_hand_is_sent_with_its_key_and_says_how_to_take_it_back_or_where_it_waits(
    bench: Bench,
) -> None:
    about = {"message_id": "m1", "sku": "A", "location": "east"}
    bench.http.answer("POST", "/api/v1/movements", 201, {"status": "posted", "case": None, **about})
    bench.http.answer("POST", "/api/v1/counts", 202, {"status": "held", "case": "count_approval:x", **about})
    where = ("--location", "east", "--reason", "fell down", "--key", "k1")

    adjusted = bench.run("adjust", "A", "--by", "-3", "--bin", "B1", *where, "--at", "2026-11-01T06:00:00Z")
    sent = bench.http.asked[-1]
    counted = bench.run("count", "A", "40", *where)

    assert json.loads(sent.body) == {
        "sku": "A",
        "quantity": -3,
        "location": "east",
        "reason": "fell down",
        "bin": "B1",
        "occurred_at": "2026-11-01T06:00:00Z",
    }
    assert {name.lower(): value for name, value in sent.headers.items()}["idempotency-key"] == "k1"
    assert "onecount undo m1 --reason TEXT" in adjusted.stdout
    assert (
        "held: A at east changes when an approver decides `onecount case count_approval:x`" in counted.stdout
    )


def test_redriving_where_there_is_nothing_says_so_in_words(bench: Bench) -> None:
    bench.http.answer("POST", "/api/v1/dead-letters/redrive", 200, {"redriven": {}, "left": 0})

    said = bench.run("dead-letters", "redrive").stdout

    assert said == "there is no dead letter in any queue that could be sent again; nothing was done\n"


def test_a_channel_that_takes_nothing_is_said_beside_its_numbers(bench: Bench) -> None:
    bench.registry.add_items([Sku("A")])
    bench.registry.add_listings([Listing(ChannelId("shop"), Sku("A"), "S-A")])
    bench.count("A", 5)
    Paces(bench.stock).failed(ChannelId("shop"), "connection refused", NOON)

    said = bench.run("stock", "A").stdout

    assert (
        "shop has taken nothing since 2026-11-02T12:00:00Z (connection refused); what it shows may be old"
        in said
    )


def test_cases_of_a_status_are_listed(bench: Bench) -> None:
    case = bench.unknown_code("erp", "sku", "X")

    assert case in bench.run("cases").stdout
    assert bench.run("cases", "--status", "resolved").stdout == "no resolved cases\n"


def test_redrive_sends_all_dead_letters_again_or_those_of_one_queue(bench: Bench) -> None:
    bench.http.answer("POST", "/api/v1/dead-letters/redrive", 200, {"redriven": {"q-dead": 2}, "left": 0})

    assert bench.json("dead-letters", "redrive") == {"redriven": {"q-dead": 2}, "left": 0}
    bench.run("dead-letters", "redrive", "--queue", "q-dead")

    assert [asked.body for asked in bench.http.asked] == [b"", b'{"queue": "q-dead"}']
    assert bench.run("dead-letters", "--queue", "q-dead").exit_code == 2


def test_a_resync_queues_a_look_at_every_listing_of_that_channel(bench: Bench) -> None:
    bench.registry.add_listings([Listing(ChannelId("shop"), Sku(f"S{n}"), f"{n}") for n in range(1200)])
    bench.registry.add_listings([Listing(ChannelId("other"), Sku("S1"), "1")])

    said = bench.json("push", "--channel", "shop", "--resync")

    assert said == {"channel": "shop", "queued": 1200}
    assert len(set(bench.lanes.skus)) == 1200
    assert {(lane, hint.channel) for lane, hint, _ in bench.lanes.sent} == {(Lane.BULK, "shop")}


def test_after_a_resync_nothing_that_was_known_before_is_believed(bench: Bench) -> None:
    bench.registry.add_listings([Listing(ChannelId("shop"), Sku("S1"), "1")])
    before = datetime.now(UTC)

    bench.json("push", "--channel", "shop", "--resync")

    since = Paces(bench.stock).look_from(ChannelId("shop"))
    assert since is not None
    assert before <= since <= min(hint.since for _, hint, _ in bench.lanes.sent)


def test_a_resync_of_an_undeclared_channel_says_which_there_are(bench: Bench) -> None:
    result = bench.run("push", "--channel", "nowhere", "--resync")

    assert result.exit_code == 1
    assert "declared: shop" in result.stderr


def test_a_token_is_minted_for_the_local_runtime_only(bench: Bench) -> None:
    assert bench.run("token", "--scope", "viewer", "--scope", "operator").stdout == "local:viewer+operator\n"

    deployed = bench.run("token", "--scope", "viewer", "--stage", "dev")
    assert deployed.exit_code == 1
    assert "its own issuer" in deployed.stderr


def test_up_says_where_everything_is_and_how_to_try_it(bench: Bench) -> None:
    network = bench.file("n.yaml", NETWORK)

    result = bench.run("up", "--network", network)

    assert [str(path) for path, _ in bench.runtime.ups] == [network]
    for said in (INFO.webhook_url, f"{INFO.api_url}/v1", INFO.bucket, "curl -H"):
        assert said in result.stdout
    assert result.stderr == "starting\n"


def test_doctor_names_what_is_missing_with_its_remedy_and_exits_1(bench: Bench) -> None:
    assert bench.run("doctor").exit_code == 0
    bench.runtime.findings.append(Finding("git", False, "not found", "Install git."))

    told, parsed = bench.run("doctor"), bench.run("doctor", "--json")

    assert (told.exit_code, parsed.exit_code) == (1, 1)
    assert "git: Install git." in told.output
    said = json.loads(parsed.stdout)
    assert not said["ok"]
    assert said["findings"][-1] == {
        "what": "git",
        "ok": False,
        "detail": "not found",
        "remedy": "Install git.",
    }


def test_status_exits_1_unless_all_of_it_is_up(bench: Bench) -> None:
    assert bench.run("status").exit_code == 0

    bench.run("down", "--wipe")

    assert bench.runtime.wiped == [True]
    assert bench.run("status").exit_code == 1
    assert bench.json("status")["up"] is False


def test_the_demo_ends_as_its_story_ended(bench: Bench) -> None:
    bench.runtime.demo_code = 1

    spoken, in_json = bench.run("demo"), bench.run("demo", "--json")

    assert (spoken.exit_code, in_json.exit_code) == (1, 1)
    assert "1. a receipt" in spoken.stdout
    assert json.loads(in_json.stdout) == {"passed": False}


def test_a_channel_that_fails_otherwise_now_is_said_with_the_newest_reason(bench: Bench) -> None:
    bench.registry.add_items([Sku("A")])
    bench.registry.add_listings([Listing(ChannelId("shop"), Sku("A"), "S-A")])
    paces = Paces(bench.stock)
    paces.failed(ChannelId("shop"), "connection refused", NOON)
    paces.failed(ChannelId("shop"), "unauthorized", NOON + timedelta(hours=1))

    said = bench.run("stock", "A").stdout

    assert "shop has taken nothing since 2026-11-02T12:00:00Z (unauthorized)" in said
    paces.answered(ChannelId("shop"))
    assert "has taken nothing" not in bench.run("stock", "A").stdout


@pytest.mark.parametrize("quantity", ["-5", "-50"])
def test_a_count_below_zero_is_refused_in_words(bench: Bench, quantity: str) -> None:
    result = bench.run("count", "MUG", quantity, "--location", "east", "--reason", "x", "--key", "k")

    assert result.exit_code == 2
    assert "it must be 0 or more" in result.stderr
