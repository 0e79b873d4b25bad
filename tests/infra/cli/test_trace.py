"""``trace``: what is asked for, how it is told, and a picture that a stranger's text cannot break out of."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from infra.cli.trace_page import picture, took, trace_page
from tests.infra.cli.arrange import Bench

EVIL = "<script>alert(1)</script>\"'&"


def step(stage: str, system: str, took_ms: int | None = None, says: str = "x") -> dict[str, Any]:
    return {
        "stage": stage,
        "system": system,
        "at": "2026-11-01T12:00:00.000000Z",
        "says": says,
        "sku": None,
        "location": None,
        "took_ms": took_ms,
    }


STEPS = [
    step("occurred", "wms"),
    step("received", "onecount", 2_100),
    step("posted", "ledger", 400),
    step("pushing", "shop", 900),
    step("confirmed", "shop", 300),
]
CHAIN = {
    "about": "receipt GR-1",
    "event": "wms/GR-1/1/receipt/",
    "message_id": "m1",
    "took_ms": 3_700,
    "steps": STEPS,
    "notes": ["marketplace was sent nothing"],
    "cases": [{"id": "drift:erp:TEA:east:on_hand", "status": "open", "title": "erp says 3"}],
}


def test_a_chain_is_told_step_by_step_with_the_time_of_each(bench: Bench) -> None:
    bench.http.answer("GET", "/api/v1/trace", 200, {"chains": [CHAIN], "more": True})
    said = bench.run("trace", "--event", "wms/GR-1/1/receipt/").stdout
    assert bench.http.asked[-1].query == {"event": "wms/GR-1/1/receipt/"}
    for text in (
        "receipt GR-1  (3.7 s in all)",
        "2.1 s",
        "400 ms",
        "marketplace was sent nothing",
        "drift:erp",
    ):
        assert text in said
    assert "there is more than was followed" in said


def test_the_picture_is_one_file_that_loads_nothing(bench: Bench, tmp_path: Path) -> None:
    bench.http.answer("GET", "/api/v1/trace", 200, {"chains": [CHAIN], "more": False})
    file = tmp_path / "trace.html"
    assert bench.run("trace", "--order", "1001", "--html", str(file)).exit_code == 0
    page = file.read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    for loaded in ("<script", "<img", "<link", "url(", "src="):
        assert loaded not in page
    assert page.count("http") == page.count("http-equiv") + page.count("http://www.w3.org/2000/svg")


def test_a_text_of_somebody_else_stays_text() -> None:
    steps = [step("occurred", EVIL), step(EVIL, EVIL, 1, EVIL)]
    chain = {**CHAIN, "about": EVIL, "steps": steps, "notes": [EVIL]}
    chain["cases"] = [{"id": EVIL, "status": EVIL, "title": EVIL}]
    page = trace_page(EVIL, [chain])
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 8
    assert ElementTree.fromstring(picture(steps)).tag.endswith("svg")  # noqa: S314  our own picture


def test_each_step_is_joined_to_the_one_that_handed_over_to_it() -> None:
    drawn = ElementTree.fromstring(picture(STEPS))  # noqa: S314  our own picture
    svg = "{http://www.w3.org/2000/svg}"
    assert len(drawn.findall(f".//{svg}circle")) == len(STEPS)
    assert len(drawn.findall(f".//{svg}path")) == len(STEPS) - 1
    lanes = [text.text for text in drawn.findall(f"{svg}text")]
    assert lanes == ["wms", "onecount", "ledger", "shop"]


def test_what_was_undone_is_told_and_drawn_behind_its_posting(bench: Bench, tmp_path: Path) -> None:
    undone = step("undone", "ledger", says="TEA@east: on_hand -10")
    note = "it was undone by ann at 2026-11-01T12:05:04.000000Z, which moved TEA@east: on_hand -10"
    steps = [*STEPS, undone]
    chain = {**CHAIN, "steps": steps, "notes": [note]}
    bench.http.answer("GET", "/api/v1/trace", 200, {"chains": [chain], "more": False})
    file = tmp_path / "trace.html"
    said = bench.run("trace", "--message", "m1", "--html", str(file)).stdout
    page = file.read_text(encoding="utf-8")
    for text in ("undone", "TEA@east: on_hand -10", note):
        assert text in said
        assert text in page
    svg = "{http://www.w3.org/2000/svg}"
    drawn = ElementTree.fromstring(picture(steps))  # noqa: S314  our own picture
    assert drawn.find(f".//{svg}g[@class='undone']") is not None
    assert len(drawn.findall(f".//{svg}path")) == len(STEPS)


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [
        (None, ""),
        (0, "0 ms"),
        (999, "999 ms"),
        (-1_500, "-1.5 s"),
        (150_000, "2.5 min"),
        (9_000_000, "2.5 h"),
    ],
)
def test_a_time_is_written_for_a_person(milliseconds: int | None, said: str) -> None:
    assert took(milliseconds) == said


@pytest.mark.parametrize(
    "asked",
    [[], ["--location", "east"], ["--push", "1", "--sku", "A"], ["--sku", "A", "--channel", "shop"]],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(bench: Bench, asked: list[str]) -> None:
    assert bench.run("trace", *asked).exit_code == 2
    assert bench.http.asked == []
