"""What holds for every command: help, a place in the README, JSON on request, errors that say the remedy."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from infra.cli.app import onecount
from infra.cli.console import Session, printable, table
from infra.cli.target import ROOT
from tests.infra.cli.arrange import NETWORK, Bench, refused

EXPLAINED = {
    "source": "erp",
    "sku": "A",
    "location": "east",
    "element": "on_hand",
    "observed": 7,
    "expected": 5,
    "drift": 2,
    "as_of": "2026-11-01T12:00:00.000000Z",
    "hypotheses": [
        {
            "cause": "missing_event",
            "sphere": "integration",
            "confidence": 90,
            "said": "erp never counted wms/S-1/1/shipment/",
            "evidence": [
                {
                    "what": "movement in the ledger",
                    "at": "2026-11-01T11:00:00.000000Z",
                    "quantity": -2,
                    "event": "e",
                },
                {"what": "agrees with 3 of 3 statements", "at": None, "quantity": None, "event": None},
            ],
            "remedy": "send it again",
            "confirm": "no posting of it",
        }
    ],
}
COUNTED = {"cases": 2, "open": 1, "units": 7, "share": 100}
DRIFT = {
    "since": "2026-11-01T12:00:00.000000Z",
    "cases": 2,
    "open": 1,
    "units": 7,
    "most_at": ["east"],
    "sites": [{"site": "east", **COUNTED}],
    "handoffs": [{"handoff": "wms to erp", **COUNTED}],
    "causes": [{"cause": "missing_event", **COUNTED}],
    "paths": [{"site": "east", "handoff": "wms to erp", "cause": "missing_event", **COUNTED}],
}
PATH = {
    "from": "wms",
    "to": "onecount",
    "mechanism": "webhook (standard_webhooks)",
    "bypasses_us": False,
    "every_s": None,
    "authority": ["counts at east"],
    "events_last_hour": 3,
    "events_last_day": 40,
    "arriving_ms": {"count": 40, "p50": 1000, "p95": 3000, "p99": None},
    "posting_ms": {"count": 0, "p50": None, "p95": None, "p99": None},
    "last_at": "2026-11-01T12:00:00.000000Z",
    "failures": 1,
    "last_failure": {"at": "2026-11-01T11:00:00.000000Z", "reason": "refused"},
}
ROLLED_OUT = {
    "kind": "channel",
    "name": "shop",
    "is_live": False,
    "rules": [
        {"skus": "*", "location": None, "mode": "shadow", "since": "2026-11-01T12:00:00.000000Z"},
        {"skus": "MUG*", "location": "east", "mode": "live", "since": None},
    ],
}
SHADOW = {
    "sources": [
        {
            "source": "wms",
            "is_complete": False,
            "stock_keys": 1,
            "would_have_posted": [{"what": "receipt", "events": 2, "units": 12}],
            "most": [
                {
                    "sku": "A",
                    "location": "east",
                    "events": 2,
                    "first_at": "2026-11-01T12:00:00.000000Z",
                    "last_at": "2026-11-01T12:05:00.000000Z",
                }
            ],
            "parts": {
                "said": 5,
                "compared": 3,
                "equal": 2,
                "not_in_ledger": 2,
                "most_apart": [
                    {
                        "sku": "A",
                        "location": "east",
                        "bin": "R1",
                        "lot": "-",
                        "element": "on_hand",
                        "theirs": 4,
                        "ours": 6,
                        "as_of": "2026-11-01T12:05:00.000000Z",
                    }
                ],
            },
        }
    ],
    "channels": [
        {
            "channel": "shop",
            "is_complete": True,
            "listings": 1,
            "would_have_pushed": 2,
            "differ_now": 1,
            "stand_above_now": 1,
            "most_apart": [
                {
                    "sku": "A",
                    "location": "east",
                    "mode": "shadow",
                    "ours": 3,
                    "theirs": None,
                    "since": "2026-11-01T12:00:00.000000Z",
                }
            ],
            "prevented_oversells": 1,
            "prevented_units": 3,
            "oversells": [
                {
                    "order": "shop/1002",
                    "line": "1",
                    "sku": "A",
                    "location": "east",
                    "at": "2026-11-01T12:00:00.000000Z",
                    "ordered": 4,
                    "units": 3,
                    "ours": 3,
                    "theirs": 10,
                }
            ],
        }
    ],
}
DRILL = {
    "kind": "channel",
    "name": "shop",
    "minutes": 60,
    "events_last_day": 40,
    "known_minutes": 20,
    "looked_at": 2,
    "is_complete": False,
    "units": {
        "oversold": {"usual": 1, "busiest": 3},
        **{risk: {"usual": 0, "busiest": 0} for risk in ("orders_delayed", "not_promised", "withheld")},
    },
    "at_risk": [
        {
            "sku": "A",
            "location": "east",
            "channel": "shop",
            "risk": "oversold",
            "usual": 1,
            "busiest": 3,
            "why": "it shows 5",
        }
    ],
    "more": 1,
}
ADVICE: dict[str, list[dict[str, object]]] = {
    "buffers": [
        {
            "channel": "shop",
            "safety_stock": 0,
            "advised": 2,
            "listings": 3,
            "too_small_for": 1,
            "why": "seen within 4 s",
            "short": [{"sku": "A", "location": "east", "withheld": 0, "needed": 2}],
        }
    ],
    "counts": [
        {
            "sku": "A",
            "location": "east",
            "counted_at": None,
            "moved": 40,
            "drift": 0,
            "expected": 1,
            "value": "12.50 EUR",
            "why": "never counted",
        }
    ],
    "movements": [
        {
            "sku": "A",
            "location": "east",
            "kind": "receipt",
            "event": "wms/GR-1/1/receipt/1",
            "at": "2026-11-01T12:00:00.000000Z",
            "units": 500,
            "why": "of 20 half are within 1 of 5",
        }
    ],
    "sites": [],
}
MATCHED = {"compared": 200, "matched": 199, "rate": 9950, "units_off": 2}
MATCH_RATE = {
    "from": "2026-11-01",
    "to": "2026-11-01",
    "counts": [{"location": "east", "source": "wms", **MATCHED}],
    "snapshots": [],
    "systems": [{"location": "east", "source": "erp", **MATCHED, "equal": 198, "swept_on": None}],
    "days": [
        {
            "day": "2026-11-01",
            "location": "east",
            **MATCHED,
            "interventions": {"adjustments": 1},
            "systems": {"erp": {"compared": 2, "matched": 1, "rate": 5000}},
        }
    ],
    "cutover": [
        {
            "location": "east",
            "passes": True,
            "days_passed": 7,
            "days_needed": 7,
            "rate_needed": 9950,
            "last_day": "2026-10-31",
            "compared": 200,
            "matched": 199,
            "rate": 9950,
            "why": [],
        }
    ],
}
KPIS = {
    "from": "2026-11-01",
    "to": "2026-11-01",
    "kpis": [
        {
            "name": "event_to_posting",
            "says": "how long",
            "rows": [{"source": "wms", "count": 2, "p50_ms": 1023, "p95_ms": None}],
            "not_measured": None,
        },
        {"name": "oversells", "says": "how often", "rows": [], "not_measured": None},
        {"name": "fill_rate", "says": "how much", "rows": [], "not_measured": "it is not kept"},
    ],
}
NEW_SECRET = "whsec_" + "bmV3" * 8
RESERVATION = {
    "id": "r1",
    "channel": "shop",
    "status": "confirmed",
    "lines": [{"sku": "A", "location": "east", "quantity": 2, "open": 2}],
}
RECOMMENDED = {
    "location": "west",
    "recommendations": [
        {
            "from": "east",
            "to": "west",
            "units": 5,
            "lead_time_h": 48,
            "cost": "80 EUR",
            "worth": "50 EUR",
            "is_worth_its_cost": False,
            "lines": [{"sku": "A B", "quantity": 5, "why": "0 available"}],
            "request": {"reason": "recommended"},
        }
    ],
    "unmet": [{"sku": "C", "units": 2, "why": "1 available"}],
    "cursor": None,
}
SENT = {"requested_units": 2, "shipped": 2, "in_transit": 1, "received": 1, "lost": 0}
TRANSFER = {
    "id": "t1",
    "status": "receiving",
    "from": "east",
    "to": "west",
    **SENT,
    "lines": [{"sku": "A", **SENT}],
    "requested": {"by": "ann", "at": "2026-11-01T11:00:00.000000Z", "reason": "west runs out"},
    "approved": {"by": "ben", "at": "2026-11-01T11:30:00.000000Z", "reason": ""},
    "closed": None,
    "lead_time_h": 12,
    "due_at": "2026-11-02T00:00:00.000000Z",
    "movements": [
        {
            "event": "e",
            "sku": "A",
            "effect": "shipped",
            "quantity": 2,
            "occurred_at": "2026-11-01T12:00:00.000000Z",
        }
    ],
}


def commands(group: click.Group = onecount, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, member in group.commands.items():
        if isinstance(member, click.Group):
            yield from commands(member, f"{path}{name} ")
        else:
            yield f"{path}{name}", member


ALL = dict(commands())


@pytest.mark.parametrize("name", ALL)
def test_every_command_says_what_it_is_for_in_a_line_that_fits(name: str) -> None:
    line = ALL[name].get_short_help_str(1000)

    assert line.endswith(".")
    assert len(line) <= 62


@pytest.mark.parametrize("name", ALL)
def test_every_option_says_what_it_does(name: str) -> None:
    options = [option for option in ALL[name].params if isinstance(option, click.Option)]

    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", ALL)
def test_every_command_stands_in_the_readme(name: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `onecount ([^`]+)`", readme, flags=re.MULTILINE)

    assert any(row == name or row.startswith(f"{name} ") for row in rows)


def test_the_readme_names_every_command_that_takes_no_stage() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [listed] = re.findall(r"All but (.+?) take `--stage NAME`", readme)

    stageless = {name for name, one in ALL.items() if "stage" not in {option.name for option in one.params}}
    assert set(re.findall(r"`([^`]+)`", listed)) == stageless


def test_the_readme_names_no_command_that_does_not_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `onecount ([^`]+)`", readme, flags=re.MULTILINE)

    assert rows
    assert [row for row in rows if not any(row == n or row.startswith(f"{n} ") for n in ALL)] == []


@pytest.fixture
def calls(bench: Bench) -> dict[str, list[str]]:
    """One call of each command that succeeds on the bench."""
    bench.count("A", 5)
    case = bench.unknown_code("erp", "sku", "X")
    bench.http.answer("POST", "/api/v1/reservations", 201, RESERVATION)
    bench.http.answer("DELETE", "/api/v1/reservations/r1", 200, RESERVATION)
    bench.http.answer("POST", "/api/v1/reservations/r1/fulfil", 200, RESERVATION)
    bench.http.answer("DELETE", "/api/v1/reservations/r1/fulfil", 200, RESERVATION)
    bench.http.answer("POST", "/api/v1/set-aside", 200, {"units": 3, "before": 0})
    recalled = {"sku": "A", "lot": "L", "set_on_hold": {"east": 3}, "not_told_apart": ["west"]}
    bench.http.answer("POST", "/api/v1/lots/recall", 200, recalled)
    bench.http.answer("GET", "/api/v1/dead-letters", 200, {"queues": {"q-dead": 3}})
    message = {"message_id": "m1", "source": "erp", "headers": {"webhook-id": "1"}, "body": "{}"}
    bench.http.answer("GET", "/api/v1/messages/m1", 200, message)
    bench.http.answer(
        "POST", "/api/v1/messages/m1/replay", 200, {"status": "posted", "outcomes": {"posted": 1}}
    )
    bench.http.answer("POST", "/api/webhooks/erp", 202, {"message_id": "m1", "status": "accepted"})
    moved = {"sku": "A", "location": "east", "counter": "on_hand", "before": 5, "after": 0}
    undone = {
        "events": 1,
        "already": 0,
        "kept": {},
        "waits": [],
        "moved": [moved],
        "stock_keys": 1,
        "next": None,
    }
    bench.http.answer("POST", "/api/v1/messages/m1/undo", 200, undone)
    bench.http.answer("GET", "/api/v1/explanations", 200, {"explanations": [EXPLAINED]})
    bench.http.answer("GET", "/api/v1/drift", 200, DRIFT)
    bench.http.answer("GET", "/api/v1/write-paths", 200, {"paths": [PATH]})
    bench.http.answer("GET", "/api/v1/match-rate", 200, MATCH_RATE)
    bench.http.answer("GET", "/api/v1/kpis", 200, KPIS)
    bench.http.answer("GET", "/api/v1/trace", 200, {"chains": [], "more": False})
    bench.http.answer("GET", "/api/v1/registry/rollouts", 200, {"systems": [ROLLED_OUT]})
    bench.http.answer("GET", "/api/v1/shadow-report", 200, SHADOW)
    bench.http.answer("GET", "/api/v1/drills/outage", 200, DRILL)
    for topic, rows in ADVICE.items():
        said = {"topic": topic, "rows": rows, "more": 1, "looked_at": 3, "is_complete": False}
        bench.http.answer("GET", f"/api/v1/advice/{topic}", 200, said)
    entered = {"status": "posted", "case": None, "message_id": "m1", "sku": "A", "location": "east"}
    bench.http.answer("POST", "/api/v1/movements", 201, entered)
    bench.http.answer("POST", "/api/v1/counts", 201, entered)
    bench.http.answer("GET", "/api/v1/transfers", 200, {"transfers": [TRANSFER], "cursor": None})
    bench.http.answer("GET", "/api/v1/transfers/t1", 200, TRANSFER)
    bench.http.answer("GET", "/api/v1/transfers/recommendations", 200, RECOMMENDED)
    bench.http.answer("POST", "/api/v1/transfers", 201, TRANSFER)
    for action in ("approve", "ship", "receive", "close"):
        bench.http.answer("POST", f"/api/v1/transfers/t1/{action}", 200, TRANSFER)
    items = bench.file("items.csv", "sku\nA\n")
    body = bench.file("body.json", "{}")
    exports = [bench.file("wms.csv", "sku,qty\nA,5\n"), bench.file("shop.csv", "sku,qty\nA,4\n")]
    return {
        "audit": ["audit", *exports],
        "demo": ["demo"],
        "up": ["up"],
        "status": ["status"],
        "down": ["down"],
        "doctor": ["doctor"],
        "apply": ["apply", bench.file("network.yaml", NETWORK), "--yes"],
        "items import": ["items", "import", items],
        "secret set": ["secret", "set", "source", "erp"],
        "rollout": ["rollout"],
        "shadow-report": ["shadow-report"],
        "advice": ["advice"],
        "drill outage": ["drill", "outage", "shop"],
        "send": ["send", "erp", body],
        "drop": ["drop", "wms", body],
        "message": ["message", "m1"],
        "messages": ["messages"],
        "replay": ["replay", "m1"],
        "undo": ["undo", "m1", "--reason", "sent twice"],
        "stock": ["stock", "A"],
        "journal": ["journal", "A", "--location", "east"],
        "adjust": ["adjust", "A", "--by", "-1", "--location", "east", "--reason", "broken", "--key", "k"],
        "count": ["count", "A", "5", "--location", "east", "--reason", "counted", "--key", "k"],
        "verify": ["verify"],
        "rebuild": ["rebuild"],
        "recall": ["recall", "A", "L", "--reason", "glass"],
        "reserve": ["reserve", "--channel", "shop", "--line", "A=2", "--key", "k"],
        "fulfil": ["fulfil", "r1", "--line", "A=1", "--key", "k"],
        "unfulfil": ["unfulfil", "r1", "--key", "k"],
        "set-aside": ["set-aside", "A", "3", "--channel", "shop", "--location", "east"],
        "release": ["release", "r1"],
        "transfers request": [
            *("transfers", "request", "--from", "east", "--to", "west", "--line", "A=2"),
            *("--reason", "west runs out", "--key", "k"),
        ],
        "transfers approve": ["transfers", "approve", "t1", "--key", "k"],
        "transfers ship": ["transfers", "ship", "t1", "--line", "A=1", "--key", "k"],
        "transfers receive": ["transfers", "receive", "t1", "--key", "k"],
        "transfers close": ["transfers", "close", "t1", "--reason", "over", "--accept-loss", "--key", "k"],
        "transfers list": ["transfers", "list"],
        "transfers show": ["transfers", "show", "t1"],
        "transfers recommend": ["transfers", "recommend", "--to", "west"],
        "push": ["push", "--channel", "shop", "--resync"],
        "trace": ["trace", "--order", "1001"],
        "write-paths": ["write-paths"],
        "match-rate": ["match-rate", "--from", "2026-11-01", "--to", "2026-11-01"],
        "cutover": ["cutover"],
        "kpis": ["kpis", "--to", "2026-11-01"],
        "cases": ["cases"],
        "case": ["case", case],
        "explain": ["explain", "A@east"],
        "drift": ["drift"],
        "incident": ["incident", "--kind", "missing_event", "--seed", "1"],
        "dead-letters": ["dead-letters"],
        "token": ["token", "--scope", "viewer"],
        "simulate": ["simulate", "--seed", "1", "--deliveries", "20"],
    }


@pytest.mark.parametrize("name", ALL)
def test_every_command_answers_in_json(name: str, bench: Bench, calls: dict[str, list[str]]) -> None:
    result = bench.run(*calls[name], "--json", stdin=NEW_SECRET)

    assert result.exit_code == 0, result.output
    assert isinstance(json.loads(result.stdout), dict)


@pytest.mark.parametrize("name", ALL)
def test_every_command_answers_in_words(name: str, bench: Bench, calls: dict[str, list[str]]) -> None:
    result = bench.run(*calls[name], stdin=NEW_SECRET)

    assert result.exit_code == 0, result.output
    assert result.output.strip()


def test_a_command_works_on_the_local_runtime_unless_a_stage_is_named(bench: Bench) -> None:
    bench.run("cases")
    bench.run("cases", "--stage", "dev")

    assert bench.stages == [None, "dev"]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_target_that_is_not_there_is_an_error_with_its_remedy(bench: Bench, as_json: bool) -> None:
    session = Session(refused("it does not run"), bench.runtime)
    result = CliRunner().invoke(onecount, ["cases", *(["--json"] if as_json else [])], obj=session)

    assert result.exit_code == 1
    if as_json:
        said = json.loads(result.stdout)["error"]
        assert (said["reason"], said["remedy"]) == ("it does not run", "start it")
    else:
        assert result.stderr == "error: it does not run\nremedy: start it\n"


MUCH = """
from infra.cli.console import Session, command
import click

@command("much", targeted=False)
@click.pass_obj
def much(session):
    session.show({"lines": ["a line"] * 100_000}, ["a line"] * 100_000)

much(obj=Session(None, None))
"""


@pytest.mark.parametrize("as_json", [False, True])
def test_a_reader_that_has_seen_enough_ends_the_command_without_a_word(as_json: bool) -> None:
    command = [sys.executable, "-c", MUCH, *(["--json"] if as_json else [])]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(  # noqa: S603 - our own
        command, cwd=ROOT, env=buffered, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline()
        running.stdout.close()
        said = running.stderr.read()

    assert said == ""
    assert running.returncode == 141


def test_a_wrong_command_line_exits_with_2(bench: Bench) -> None:
    assert bench.run("reserve", "--channel", "shop").exit_code == 2
    assert bench.run("reserve", "--channel", "shop", "--line", "A=0", "--key", "k").exit_code == 2
    assert bench.run("push", "--channel", "shop").exit_code == 2


@pytest.mark.parametrize(("known", "is_said"), [(59, True), (60, False)])
def test_a_drill_says_where_less_is_known_than_the_outage_lasts(
    bench: Bench, known: int, is_said: bool
) -> None:
    bench.http.answer("GET", "/api/v1/drills/outage", 200, {**DRILL, "known_minutes": known})
    said = bench.run("drill", "outage", "shop", "--as", "channel").output
    assert (f"known are only {known} minutes" in said) is is_said


def test_a_table_lines_numbers_up_to_the_right_and_shows_nothing_as_a_dash() -> None:
    assert table(("sku", "units"), [("A", 5), ("LONG", None), ("B", 1200)]) == [
        "sku   units",
        "----  -----",
        "A         5",
        "LONG      -",
        "B      1200",
    ]


def test_what_another_system_sent_cannot_steer_the_terminal() -> None:
    assert printable("red \x1b[31m\x9b alert\n\tend") == "red \ufffd[31m\ufffd alert\n\tend"
