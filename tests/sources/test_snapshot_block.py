"""Reading many plain rows at once says exactly what reading them one by one says, whatever lies between them."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import MessageId, SourceId
from shared.sources.contract import DroppedFile, Fault, Report
from shared.sources.csv_snapshot import CsvSnapshot, Part
from shared.sources.snapshot_block import SnapshotBlock
from shared.sources.snapshot_rows import SeenRows

WRITTEN = datetime(2026, 11, 21, 2, 15, tzinfo=UTC)
FILE = DroppedFile("stock.csv", WRITTEN, "0055AED6")
NOW = {"from": "written_at"}
LONG = {"sku_column": "sku", "quantity_column": "qty", "location_column": "site", "as_of": NOW}
FIXED = {"sku_column": "sku", "quantity_column": "qty", "location": "HALL", "as_of": NOW}
TIMED = {**LONG, "as_of": {"from": "column", "column": "at", "time_zone": "UTC"}}
WIDE = {"sku_column": "sku", "location_columns": {"qty": "NORTH", "more": "SOUTH"}, "as_of": NOW}
LAYOUTS: list[dict[str, Any]] = [
    LONG,
    FIXED,
    TIMED,
    WIDE,
    {**LONG, "skip_blank_sku": True, "skip_blank_quantity": True},
    {**LONG, "footer_pattern": "^Total"},
    {**LONG, "decimal": ",", "thousands": "."},
]
HEADER = "sku,qty,site,at,more"
IDENTIFIERS = [
    "00123", "1E3", "NA", "true", "21-4092", "0x1F", "12345678901234567890", "1_000", "null", "=1+1", "A/1%", "GRÜN",
    "Total", " padded ", "in side", "", " ", "\t", "\u00a0x", "\u0085", "x\u0085y", "bad\ufffd", "nul\0", "\x1c", "\u2028",
    "x" * 200, "x" * 201, "/" * 150, "Ü" * 199, "\ud800",
]  # fmt: skip
QUANTITIES = [
    "0", "8", "008", " 7 ", "8.00", "8,00", "39.5", "-1", "(5)", "+3", "1_000", "1E3", "\u0663", "\u00b2", "9" * 12,
    "9" * 13, "", " ", "\u00a05", "1.234",
]  # fmt: skip
TIMES = ["2026-11-20", "2026-11-20T06:00:00Z", "soon", ""]
ODD_LINES = [
    "", "   ", ",,,,", "A,1,X", "A,1,X,2026-11-20,1,,", "A,1,X,2026-11-20,1,extra", '"A",1,X,2026-11-20,1',
    'A,"1', '"two\nlines",1,X,2026-11-20,1', 'A,1,"X,2026-11-20,1', "Total: 3 rows", "A;1;X", '"', '""', 'x"y,1,X,2026-11-20,1',
]  # fmt: skip

CELLS = st.tuples(
    st.sampled_from(IDENTIFIERS) | st.text(st.characters(exclude_characters=',\n\r"'), max_size=6),
    st.sampled_from(QUANTITIES),
    st.sampled_from(["X", "Y", " X", "", "place\0"]),
    st.sampled_from(TIMES),
    st.sampled_from(QUANTITIES),
)


@st.composite
def plain_runs(draw: st.DrawFn) -> list[str]:
    """Draw rows that are all plain, from few to several blocks of them; runs may repeat each other's SKUs."""
    start, number = draw(st.integers(0, 300)), draw(st.integers(1, 200))
    quantity = draw(st.integers(0, 2))
    return [f"S{n},{quantity},X,2026-11-20,{n % 3}" for n in range(start, start + number)]


SHIFTED = [
    ["A1,1,X,2026-11-20", "7,B1,1,X,2026-11-20,8"],
    ["A2,1,X,2026-11-20,1,7", "8,X,2026-11-20,2"],
    ["A3,1,X", "2026-11-20,1,A4,1,X,2026-11-20,1"],
    ["", "A5,1,X,2026-11-20,1,A6,1,X,2026-11-20"],
]
"""Short and long lines whose cells add up to those of whole ones."""

LINES = st.lists(
    st.one_of(
        plain_runs(),
        st.sampled_from(SHIFTED),
        CELLS.map(lambda cells: [",".join(cells)]),
        st.sampled_from(ODD_LINES).map(lambda x: [x]),
    ),
    max_size=8,
)


def parts(raw: bytes, options: dict[str, Any], *, row_by_row: bool = False) -> list[Part]:
    source = Source(SourceId("wms"), "csv_snapshot", options=options)
    message = Message(MessageId("m-1"), source.id, b"", WRITTEN, {})
    return list(CsvSnapshot().blocks(io.BytesIO(raw), FILE, message, source, row_by_row=row_by_row))


def flat(found: list[Part]) -> list[Report | Fault]:
    answers: list[Report | Fault] = []
    for part in found:
        answers += part.reports() if isinstance(part, SnapshotBlock) else [part]
    return answers


def rows_in_blocks(found: list[Part]) -> int:
    return sum(len(part) for part in found if isinstance(part, SnapshotBlock))


@settings(max_examples=300)
@given(LINES, st.sampled_from(LAYOUTS), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_a_block_says_what_its_rows_say(
    runs: list[list[str]], options: dict[str, Any], newline: str, ends: bool
) -> None:
    text = newline.join([HEADER, *(line for run in runs for line in run)]) + (newline if ends else "")
    raw = text.encode("utf-8", "surrogatepass")
    assert flat(parts(raw, options)) == parts(raw, options, row_by_row=True)


@given(st.lists(st.integers(0, 400), max_size=40), st.lists(st.integers(0, 3), min_size=1, max_size=3))
def test_what_was_seen_is_found_again_however_it_was_remembered(runs: list[int], says: list[int]) -> None:
    seen, known = SeenRows(), dict[int, tuple[int, int]]()
    for row, start in enumerate(runs, start=2):
        about = [start + n for n in range(len(says))]
        together = seen.add_all(about, says, range(row, row + len(says)))
        assert together == known.keys().isdisjoint(about)
        for offset, (name, said) in enumerate(zip(about, says, strict=True)):
            if together:
                known[name] = (row + offset, said)
            else:
                assert seen.add(name, said, row + offset) == known.get(name)
                known.setdefault(name, (row + offset, said))


@pytest.mark.parametrize("options", [LONG, FIXED, TIMED, WIDE])
def test_a_plain_file_is_read_in_blocks_alone(options: dict[str, Any]) -> None:
    lines = [f" S{n} , {n},X,2026-11-20,7" for n in range(20_000)]
    found = parts("\n".join([HEADER, *lines]).encode(), options)
    assert rows_in_blocks(found) == 20_000


def test_a_row_that_is_not_plain_costs_few_others_their_speed() -> None:
    lines = [f"S{n},{n},X,2026-11-20,7" for n in range(20_000)]
    lines[10_000] = 'S10000,"10",X,2026-11-20,7'
    found = parts("\n".join([HEADER, *lines]).encode(), LONG)
    assert 19_700 < rows_in_blocks(found) < 20_000
    assert len(flat(found)) == 20_000


def test_identifiers_are_never_mangled_in_a_block() -> None:
    skus = ["00123", "1E3", "NA", "true", "21-4092", "0x1F", "12345678901234567890", "1_000", "null", "=1+1"]
    found = parts("\n".join([HEADER, *(f"{sku},1,007,,1" for sku in skus)]).encode(), LONG)
    assert rows_in_blocks(found) == len(skus)
    events = [answer.event for answer in flat(found) if isinstance(answer, Report)]
    assert [event.sku for event in events] == skus
