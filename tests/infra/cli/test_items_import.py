"""``items import``: identifiers arrive as they were written, and a bad row costs itself alone."""

from __future__ import annotations

import pytest

from shared.domain.cases import Case, CaseKind
from shared.domain.stock import ChannelId, MessageId, Sku
from tests.infra.cli.arrange import NOON, Bench

HEADER = "sku,channel:shop,code:erp:sku\n"


def listing(bench: Bench, sku: str) -> str | None:
    found = bench.registry.listings(ChannelId("shop"), [Sku(sku)])
    return found[Sku(sku)].external_id if Sku(sku) in found else None


def test_items_listings_and_codes_are_written_and_the_listings_are_pushed(bench: Bench) -> None:
    said = bench.json("items", "import", bench.file("i.csv", f"{HEADER}A,S-1,E-1\nB,,E-2\nC,S-3,\n"))

    assert (said["items"], said["listings"], said["codes"], said["bad_rows"]) == (3, 2, 2, 0)
    assert [bench.registry.is_item(Sku(sku)) for sku in "ABC"] == [True, True, True]
    assert [listing(bench, sku) for sku in "ABC"] == ["S-1", None, "S-3"]
    assert bench.skus("erp", "sku", "E-1", "E-2") == ["A", "B"]
    assert bench.lanes.skus == ["A", "C"]


@pytest.mark.parametrize(
    "identifier",
    [
        "00123",
        "1E3",
        "NA",
        "true",
        "21-4092",
        "0x1F",
        "12345678901234567890",
        "1_000",
        "a#b%c",
        "ÄÖ 1",
        "=1+1",
    ],
)
def test_an_identifier_is_never_mangled(bench: Bench, identifier: str) -> None:
    bench.run("items", "import", bench.file("i.csv", f"{HEADER}{identifier},{identifier},{identifier}\n"))

    assert bench.registry.is_item(Sku(identifier))
    assert listing(bench, identifier) == identifier
    assert bench.skus("erp", "sku", identifier) == [identifier]


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_anything(bench: Bench) -> None:
    content = b"\xef\xbb\xbf" + f"{HEADER}A,S-1,E-1\nB,S-2,E-2\n".replace("\n", "\r\n").encode()

    said = bench.json("items", "import", bench.file("i.csv", content))

    assert (said["items"], said["bad_rows"]) == (2, 0)
    assert bench.skus("erp", "sku", "E-1", "E-2") == ["A", "B"]


def test_semicolons_are_understood_where_the_header_proves_them(bench: Bench) -> None:
    said = bench.json("items", "import", bench.file("i.csv", "sku;channel:shop\nA,1;S-1\n"))

    assert said["items"] == 1
    assert listing(bench, "A,1") == "S-1"


def test_a_line_break_in_a_quoted_note_is_no_row(bench: Bench) -> None:
    content = 'sku,note,channel:shop\nA,"two\nlines",S-1\nB,plain,S-2\n'

    said = bench.json("items", "import", bench.file("i.csv", content))

    assert (said["items"], said["bad_rows"]) == (2, 0)
    assert listing(bench, "A") == "S-1"


def test_a_line_break_in_an_identifier_costs_that_row_alone(bench: Bench) -> None:
    said = bench.json("items", "import", bench.file("i.csv", f'{HEADER}"A\nA",S-1,E-1\nB,S-2,E-2\n'))

    assert bench.registry.is_item(Sku("B"))
    assert not bench.registry.is_item(Sku("A\nA"))
    assert said["faults"][0]["row"] == 2


def test_an_unclosed_quote_costs_its_row_alone(bench: Bench) -> None:
    rows = "".join(f"SKU-{n},S-{n},E-{n}\n" for n in range(3, 500))

    said = bench.json("items", "import", bench.file("i.csv", f'{HEADER}"A,S-1,E-1\n{rows}'))

    assert (said["items"], said["bad_rows"]) == (497, 1)
    assert said["faults"][0]["row"] == 2


def test_bad_rows_are_named_with_field_reason_and_remedy_and_the_rest_is_imported(bench: Bench) -> None:
    content = f"{HEADER}A,S-1,E-1\n,S-2,E-2\nA,S-3,E-3\nB,S-1,E-4\nC,S-5,E-1\nD,S-6\nE,S-7,E-7\n"

    result = bench.run("items", "import", bench.file("i.csv", content), "--json")

    assert result.exit_code == 1
    said = bench.json("items", "import", bench.file("i.csv", content))
    assert [(f["row"], f["field"]) for f in said["faults"]] == [
        (3, "sku"),
        (4, "sku"),
        (5, "channel:shop"),
        (6, "code:erp:sku"),
        (7, "row"),
    ]
    assert all(fault["reason"] and fault["remedy"] for fault in said["faults"])
    assert [bench.registry.is_item(Sku(sku)) for sku in "ABCDE"] == [True, False, False, False, True]
    assert listing(bench, "A") == "S-1"


def test_bad_rows_are_listed_in_words_too(bench: Bench) -> None:
    result = bench.run("items", "import", bench.file("i.csv", "sku\nA\nA\n"))

    assert result.exit_code == 1
    assert "'A' is in row 2 already" in result.stdout
    assert "1 items imported" in result.stdout


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("item,channel:shop", "has no column sku"),
        ("sku,channel:nowhere", "'channel:nowhere' names a channel that is not declared"),
        ("sku,code:nobody:upc", "'code:nobody:upc' names a source that is not declared"),
        ("sku,code:erp", "does not say the kind of code"),
        ("sku,chanel:shop", "'chanel:shop' is no column that is known"),
        ("sku,sku", "has column 'sku' twice"),
        ("", "is empty"),
    ],
)
def test_a_wrong_header_is_refused_before_anything_is_written(bench: Bench, header: str, says: str) -> None:
    result = bench.run("items", "import", bench.file("i.csv", f"{header}\nA,B\n" if header else ""))

    assert result.exit_code == 1
    assert says in result.stderr
    assert "remedy: " in result.stderr
    assert not bench.registry.is_item(Sku("A"))


def test_other_columns_are_passed_over_and_that_is_said(bench: Bench) -> None:
    result = bench.run("items", "import", bench.file("i.csv", "colour,sku,name\nred,A,Tea\n"))

    assert result.exit_code == 0
    assert "columns passed over: colour, name" in result.stderr
    assert bench.registry.is_item(Sku("A"))


def test_the_same_file_again_pushes_nothing_and_a_changed_id_pushes_that_item(bench: Bench) -> None:
    bench.run("items", "import", bench.file("i.csv", "sku,channel:shop\nA,S-1\nB,S-2\n"))
    bench.lanes.sent.clear()

    again = bench.json("items", "import", bench.file("i.csv", "sku,channel:shop\nA,S-1\nB,S-2\n"))
    assert (again["listings"], bench.lanes.skus) == (0, [])

    bench.run("items", "import", bench.file("i.csv", "sku,channel:shop\nA,S-1\nB,S-9\n"))
    assert bench.lanes.skus == ["B"]
    assert listing(bench, "B") == "S-9"


def test_messages_that_waited_for_a_code_are_applied_again_and_others_wait_on(bench: Bench) -> None:
    known = bench.unknown_code("erp", "sku", "E-1")
    bench.unknown_code("erp", "sku", "E-9")
    bench.http.answer("POST", f"/api/v1/cases/{known}/retry", 200, {"replayed": 3})

    said = bench.json("items", "import", bench.file("i.csv", f"{HEADER}A,,E-1\n"))

    assert said["messages_released"] == 3
    assert [asked.path.split("/")[-1] for asked in bench.http.asked] == ["retry"]


def test_files_that_wait_for_many_codes_are_said_to_go_on_by_themselves(bench: Bench) -> None:
    case = Case(
        "unknown_codes:erp:m", CaseKind.UNKNOWN_CODES, "60 codes", "map them", NOON, NOON, {}, MessageId("m")
    )
    bench.cases.file(case)

    result = bench.run("items", "import", bench.file("i.csv", "sku\nA\n"))

    assert "1 files wait for codes" in result.stdout


def test_items_may_come_from_stdin(bench: Bench) -> None:
    assert bench.run("items", "import", "-", stdin="sku\nA\n").exit_code == 0
    assert bench.registry.is_item(Sku("A"))
    assert "stdin: header has no column sku" in bench.run("items", "import", "-", stdin="x\nA\n").stderr


def test_many_rows_are_written_in_chunks_without_losing_one(bench: Bench) -> None:
    rows = "".join(f"{n:05d},S-{n},E-{n}\n" for n in range(2345))

    result = bench.run("items", "import", bench.file("i.csv", HEADER + rows), "--json")

    assert result.exit_code == 0
    assert "2345 items" in result.stderr
    assert len(set(bench.lanes.skus)) == 2345
    assert bench.skus("erp", "sku", "E-0", "E-2344") == ["00000", "02344"]


def test_an_id_of_a_channel_that_is_another_items_is_refused_across_files(bench: Bench) -> None:
    bench.run("items", "import", bench.file("i.csv", "sku,channel:shop\nMUG,9009\n"))
    taken = bench.file("j.csv", "sku,channel:shop\nHAT,9009\nTEA,9010\n")

    dry = bench.json("items", "import", taken, "--dry-run")
    result = bench.run("items", "import", taken)

    assert result.exit_code == 1
    assert "'9009' is the id of 'MUG' there" in result.stdout
    assert "give 'MUG' another id there first" in result.stdout
    assert (dry["bad_rows"], dry["listings"], dry["faults"][0]["field"]) == (1, 1, "channel:shop")
    assert [listing(bench, sku) for sku in ("MUG", "HAT", "TEA")] == ["9009", None, "9010"]
    assert not bench.registry.is_item(Sku("HAT"))


def test_an_id_moves_to_another_item_when_the_file_gives_its_holder_another(bench: Bench) -> None:
    bench.run("items", "import", bench.file("i.csv", "sku,channel:shop\nMUG,9009\n"))

    result = bench.run("items", "import", bench.file("j.csv", "sku,channel:shop\nHAT,9009\nMUG,9010\n"))

    assert result.exit_code == 0
    assert [listing(bench, sku) for sku in ("MUG", "HAT")] == ["9010", "9009"]


@pytest.fixture
def moving(bench: Bench) -> str:
    """A file that takes MUG's code for X3, and is fine otherwise."""
    bench.run("items", "import", bench.file("i.csv", "sku,code:erp:sku\nMUG,W-MUG\n"))
    return bench.file("j.csv", "sku,code:erp:sku\nX3,W-MUG\nTEA,W-TEA\n")


def test_a_code_is_not_taken_from_another_item_without_being_told_to(bench: Bench, moving: str) -> None:
    result = bench.run("items", "import", moving)

    assert result.exit_code == 1
    assert "W-MUG: MUG -> X3 takes a code from another item" in result.stdout
    assert "pass --move-codes where 'W-MUG' is no longer 'MUG'" in result.stdout
    assert "1 items imported, 1 codes mapped" in result.stdout
    assert bench.skus("erp", "sku", "W-MUG", "W-TEA") == ["MUG", "TEA"]


def test_a_code_that_moves_is_named_in_the_dry_run_and_in_the_result(bench: Bench, moving: str) -> None:
    refused = bench.run("items", "import", moving, "--dry-run")
    dry = bench.run("items", "import", moving, "--dry-run", "--move-codes")
    assert "W-MUG: MUG -> X3" in refused.stdout
    assert "W-MUG: MUG -> X3\n" in dry.stdout
    assert (refused.exit_code, dry.exit_code) == (1, 0)
    assert bench.skus("erp", "sku", "W-MUG") == ["MUG"]

    done = bench.run("items", "import", moving, "--move-codes")

    assert "W-MUG: MUG -> X3\n" in done.stdout
    assert bench.skus("erp", "sku", "W-MUG") == ["X3"]
    again = bench.json("items", "import", moving)
    assert (again["moved_codes"], again["bad_rows"]) == ([], 0)
