"""``send``, ``drop`` and ``secret set``: through the doors that the sources themselves use."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest

from shared.domain.network import Source
from shared.domain.stock import SourceId
from shared.sources.contract import Request
from shared.sources.registry import webhook_connector
from shared.store.table import Item, Key, Put
from tests.infra.cli.arrange import KEY_TEXT, Asked, Bench

ACCEPTED = {"message_id": "m1", "status": "accepted"}
OTHER_KEY = "whsec_" + base64.b64encode(b"another key of 24 bytes!").decode()


def authenticated(bench: Bench, asked: Asked, source: str) -> str:
    """Have the source's own connector prove a request; return the delivery's id."""
    declared: Source = bench.registry.network().sources[SourceId(source)]
    headers = {name.lower(): value for name, value in asked.headers.items()}
    connector = webhook_connector(declared.connector)
    return connector.authenticate(Request(headers, asked.body), [KEY_TEXT], datetime.now(UTC), declared).id


def test_a_sent_webhook_is_one_that_the_receiving_side_believes(bench: Bench) -> None:
    bench.http.answer("POST", "/api/webhooks/erp", 202, ACCEPTED)

    result = bench.run("send", "erp", bench.file("b.json", '{"type": "stock.receipt"}'), "--id", "d-1")

    assert result.exit_code == 0
    assert "accepted: message m1" in result.stdout
    [asked] = bench.http.asked
    assert authenticated(bench, asked, "erp") == "d-1"
    assert asked.body == b'{"type": "stock.receipt"}'


def test_the_same_file_sent_twice_is_the_same_delivery(bench: Bench) -> None:
    bench.http.answer("POST", "/api/webhooks/erp", 202, ACCEPTED)
    one, other = bench.file("1.json", "{}"), bench.file("2.json", "[]")

    for file in (one, one, other):
        bench.run("send", "erp", file)

    ids = [authenticated(bench, asked, "erp") for asked in bench.http.asked]
    assert ids[0] == ids[1] != ids[2]


def test_a_shopify_webhook_carries_topic_shop_and_signature(bench: Bench) -> None:
    bench.http.answer("POST", "/api/webhooks/shopify", 202, ACCEPTED)

    result = bench.run("send", "shopify", "-", "--topic", "orders/create", "--id", "w1", stdin=b"{}")

    assert result.exit_code == 0
    assert authenticated(bench, bench.http.asked[0], "shopify") == "demo.myshopify.com|orders/create|w1"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["send", "shopify"], "names its topic"),
        (["send", "wms"], "takes no webhooks"),
        (["send", "nobody"], "declared: erp, shopify, wms"),
        (["drop", "erp"], "drops no files"),
        (["drop", "nobody"], "is not declared"),
    ],
)
def test_what_a_source_cannot_take_is_refused_with_what_it_can(
    bench: Bench, arguments: list[str], says: str
) -> None:
    result = bench.run(*arguments, bench.file("b", "{}"))

    assert result.exit_code == 1
    assert says in result.stderr
    assert "remedy: " in result.stderr
    assert bench.http.asked == []


def test_a_refusal_of_the_webhook_is_shown_with_its_remedy(bench: Bench) -> None:
    problem = {"title": "Not authentic", "detail": "no signature fits", "remedy": "sign again"}
    bench.http.answer("POST", "/api/webhooks/erp", 401, problem)

    result = bench.run("send", "erp", bench.file("b", "{}"))

    assert result.exit_code == 1
    assert result.stderr == "error: Not authentic: no signature fits\nremedy: sign again\n"


def test_a_source_without_a_secret_says_how_to_get_one(bench: Bench) -> None:
    bench.secrets.texts.clear()

    result = bench.run("send", "erp", bench.file("b", "{}"))

    assert result.exit_code == 1
    assert "onecount secret set source erp" in result.stderr


def test_a_dropped_file_lies_under_the_prefix_of_its_source(bench: Bench) -> None:
    file = bench.file("stock.csv", b"\xef\xbb\xbfItem,Qty\r\n")

    bench.run("drop", "wms", file)
    said = bench.json("drop", "wms", file, "--as", "other.csv")

    assert said == {"key": "wms/other.csv"}
    assert bench.drops.files == {
        "wms/stock.csv": b"\xef\xbb\xbfItem,Qty\r\n",
        "wms/other.csv": b"\xef\xbb\xbfItem,Qty\r\n",
    }


def test_stdin_is_dropped_under_a_name_or_not_at_all(bench: Bench) -> None:
    assert bench.run("drop", "wms", "-", stdin=b"x").exit_code == 1
    assert bench.run("drop", "wms", "-", "--as", "s.csv", stdin=b"x").exit_code == 0
    assert bench.drops.files == {"wms/s.csv": b"x"}


def test_a_new_secret_keeps_the_old_one_as_previous_and_is_never_printed(bench: Bench) -> None:
    result = bench.run("secret", "set", "source", "erp", stdin=f"{OTHER_KEY}\n")

    assert result.exit_code == 0
    assert json.loads(bench.secrets.text("source", "erp")) == {"current": OTHER_KEY, "previous": KEY_TEXT}
    assert OTHER_KEY not in result.output
    assert KEY_TEXT not in result.output


def test_setting_the_same_secret_again_does_not_forget_the_previous_one(bench: Bench) -> None:
    bench.run("secret", "set", "source", "erp", stdin=OTHER_KEY)

    said = bench.json("secret", "set", "source", "erp", stdin=OTHER_KEY)

    assert said["changed"] is False
    assert json.loads(bench.secrets.text("source", "erp"))["previous"] == KEY_TEXT


@pytest.mark.parametrize("given", ["", "\n", "two words \n", "a\nb\n", "ä"])
def test_a_secret_that_no_header_carries_is_refused(bench: Bench, given: str) -> None:
    result = bench.run("secret", "set", "source", "erp", stdin=given)

    assert result.exit_code == 1
    assert json.loads(bench.secrets.text("source", "erp")) == {"current": KEY_TEXT}


def standard(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (standard(b"x"), "1 byte"),
        (standard(b"k" * 23), "23 bytes"),
        ("hunter2", "not base64"),
        ("whpk_" + base64.b64encode(b"short").decode(), "5 bytes"),
    ],
)
def test_a_signing_secret_that_could_be_guessed_or_signs_nothing_is_refused(
    bench: Bench, given: str, reason: str
) -> None:
    result = bench.run("secret", "set", "source", "erp", stdin=given)

    assert result.exit_code == 1
    assert reason in result.stderr
    assert "openssl rand -base64 32" in result.stderr
    assert given not in result.stderr
    assert json.loads(bench.secrets.text("source", "erp")) == {"current": KEY_TEXT}


@pytest.mark.parametrize(
    "given", [standard(b"k" * 24), standard(b"k" * 64), "whpk_" + base64.b64encode(b"k" * 32).decode()]
)
def test_a_signing_secret_as_the_specification_wants_it_is_taken(bench: Bench, given: str) -> None:
    assert bench.run("secret", "set", "source", "erp", stdin=given).exit_code == 0


def test_the_secret_of_a_source_that_signs_otherwise_is_its_own_affair(bench: Bench) -> None:
    assert bench.run("secret", "set", "source", "shopify", stdin="shpss_0123456789abcdef").exit_code == 0


def test_a_secret_that_the_channel_could_not_use_does_not_replace_one_that_works(bench: Bench) -> None:
    result = bench.run("secret", "set", "channel", "shop", stdin="plain")

    assert result.exit_code == 1
    assert "whsec_" in result.stderr
    assert json.loads(bench.secrets.text("channel", "shop")) == {"current": KEY_TEXT}


def test_a_secret_of_something_that_is_not_deployed_is_refused(bench: Bench) -> None:
    result = bench.run("secret", "set", "channel", "nowhere", stdin="x")

    assert result.exit_code == 1
    assert "there is no secret for channel nowhere" in result.stderr


def test_after_a_rotation_what_is_sent_is_signed_with_the_new_secret(bench: Bench) -> None:
    bench.http.answer("POST", "/api/webhooks/erp", 202, ACCEPTED)
    bench.run("secret", "set", "source", "erp", stdin=OTHER_KEY)

    bench.run("send", "erp", bench.file("b", "{}"), "--id", "d")

    headers = bench.http.asked[0].headers
    signed = f"d.{headers['webhook-timestamp']}.{{}}".encode()
    digest = hmac.digest(base64.b64decode(OTHER_KEY.removeprefix("whsec_")), signed, hashlib.sha256)
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


def replayed(bench: Bench, message: str, status: str, **outcomes: int) -> None:
    """Let the API answer the replay of a message."""
    said = {"status": status, "outcomes": outcomes}
    bench.http.answer("POST", f"/api/v1/messages/{message}/replay", 200, said)


def test_a_window_of_messages_is_replayed_in_the_order_in_which_they_came(bench: Bench) -> None:
    for name, source, hour in (
        ("late", "erp", 9),
        ("early", "erp", 7),
        ("before", "erp", 5),
        ("other", "wms", 8),
    ):
        came = f"2026-11-01T{hour:02d}:00:00.000000Z"
        bench.inbox.write([Put(Key(f"MSG#{name}"), {"source": source, "received_at": came})])
        replayed(bench, name, "posted", posted=1)

    said = bench.json("replay", "--source", "erp", "--since", "2026-11-01T06:00:00Z")

    assert said == {"replayed": 2, "became": {"posted": 2}}
    assert [asked.path.split("/")[-2] for asked in bench.http.asked] == ["early", "late"]


def test_a_replay_of_what_was_posted_before_is_said_to_have_no_effect(bench: Bench) -> None:
    replayed(bench, "m1", "posted", duplicate=2)
    replayed(bench, "m2", "posted", observed=1)
    replayed(bench, "m3", "posted", duplicate=1, posted=1)
    replayed(bench, "m4", "parked", unknown=1)
    names = ("m1", "m2", "m3", "m4")

    assert bench.json("replay", *names)["became"] == {"no_effect": 2, "posted": 1, "parked": 1}
    assert "no effect  2" in bench.run("replay", *names).stdout


def test_a_message_whose_count_was_rejected_is_not_listed_or_shown_as_posted(bench: Bench) -> None:
    came: Item = {"source": "wms", "received_at": "2026-11-01T12:00:00.000000Z", "kind": "webhook"}
    bench.inbox.write(
        [
            Put(Key("MSG#m1"), {**came, "status": "posted", "outcomes": {"waits": 1}}),
            Put(Key("MSG#m2"), {**came, "status": "posted", "outcomes": {"posted": 1}}),
        ]
    )
    event = {"event": "wms/C1/1/count/", "what": "count of on_hand", "code": "TEA", "stock_keys": []}
    rejected = {**event, "quantity": 12, "outcome": "rejected", "reason": "by ann at noon: wrong shelf"}
    said = {"message_id": "m1", "status": "posted", "events": [rejected], "more_events": False, "body": ""}
    bench.http.answer("GET", "/api/v1/messages/m1", 200, said)

    listed = bench.json("messages", "--since", "2026-11-01T00:00:00Z")["messages"]
    shown = bench.run("message", "m1").stdout

    assert {row["message_id"]: row["status"] for row in listed} == {"m1": "rejected", "m2": "posted"}
    assert "posted" not in shown
    assert "by ann at noon: wrong shelf" in shown


def test_an_undo_that_finds_nothing_says_so_in_words(bench: Bench) -> None:
    nothing = {"events": 0, "already": 3, "kept": {}, "moved": [], "waits": [], "stock_keys": 0, "next": None}
    bench.http.answer("POST", "/api/v1/messages/m1/undo", 200, nothing)

    said = bench.run("undo", "m1", "--reason", "sent twice", "--yes").stdout

    assert "nothing to undo: all of it was undone before" in said
    assert "counter" not in said


def test_an_undo_that_needs_a_second_person_halfway_says_what_is_undone_and_fails(bench: Bench) -> None:
    part = {"events": 500, "already": 0, "kept": {}, "moved": [], "waits": [], "stock_keys": 1, "next": 500}
    needs = {"case": {"title": "ben asks to undo message m1"}, "needs": "the word of a second person"}

    def say(asked: Asked) -> tuple[int, object] | None:
        if not asked.path.endswith("/undo"):
            return None
        return (202, needs) if json.loads(asked.body)["next"] else (200, part)

    bench.http.answers.append(say)

    said = bench.run("undo", "m1", "--reason", "sent twice", "--yes")

    assert said.exit_code == 1
    assert "500 events are undone, and the rest is not: ben asks to undo message m1" in said.stderr
    assert "nothing was changed" not in said.stdout


@pytest.mark.parametrize(
    "arguments", [[], ["m1", "--since", "2026-11-01T06:00:00Z"], ["--since", "yesterday"]]
)
def test_replay_wants_messages_or_a_window_whose_times_are_instants(
    bench: Bench, arguments: list[str]
) -> None:
    assert bench.run("replay", *arguments).exit_code == 2


@pytest.mark.parametrize("option", ["--since", "--until"])
@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_messages_of_no_time_of_ours_are_not_looked_for(bench: Bench, option: str, instant: str) -> None:
    said = bench.run("messages", option, instant)
    assert (said.exit_code, "is no instant of our time" in said.stderr) == (2, True)


def test_messages_of_a_source_that_there_is_not_are_not_said_to_be_replayed(bench: Bench) -> None:
    said = bench.run("replay", "--source", "wsm", "--since", "2026-11-01T06:00:00Z")
    assert said.exit_code == 1
    assert "source 'wsm' is not declared" in said.stderr
    assert bench.json("replay", "--source", "manual", "--since", "2026-11-01T06:00:00Z")["replayed"] == 0


def test_a_channel_secret_that_could_be_guessed_is_refused(bench: Bench) -> None:
    short = "whsec_" + base64.b64encode(b"sixteen bytes ab").decode()

    result = bench.run("secret", "set", "channel", "shop", stdin=short)

    assert result.exit_code == 1
    assert "the secret of channel shop is shorter than 24 bytes" in result.stderr
    assert "onecount secret set channel shop" in result.stderr
    assert json.loads(bench.secrets.text("channel", "shop")) == {"current": KEY_TEXT}


def test_a_secret_that_nothing_would_use_is_refused(bench: Bench) -> None:
    bench.secrets.texts["source", "wms"] = bench.secrets.text("source", "erp")

    result = bench.run("secret", "set", "source", "wms", stdin=OTHER_KEY)

    assert result.exit_code == 1
    assert "nothing uses a secret of source wms: its connector csv_snapshot reads files" in result.stderr
    assert json.loads(bench.secrets.text("source", "wms")) == {"current": KEY_TEXT}
