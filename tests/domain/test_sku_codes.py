"""Codes that differ in spelling alone: what is left of them, in what they differ, and that they meet in one shard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.sku_codes import Shards, affixes, bare, differences, trimmed


@pytest.mark.parametrize(
    ("one", "other", "how"),
    [
        ("00123", "123", ("leading zeros",)),
        ("AB-12", "AB12", ("separators",)),
        ("AB-12", "ab 12", ("separators", "upper and lower case")),
        ("A-00123", "a123", ("leading zeros", "separators", "upper and lower case")),
        ("ab12", "AB12", ("upper and lower case",)),
    ],
)
def test_codes_of_one_item_say_in_what_they_differ(one: str, other: str, how: tuple[str, ...]) -> None:
    assert bare(one) == bare(other)
    assert differences(one, other) == differences(other, one) == how


@pytest.mark.parametrize(("one", "other"), [("100", "1000"), ("105", "1005"), ("A1", "B1"), ("1E3", "1000")])
def test_other_codes_stay_other_codes(one: str, other: str) -> None:
    assert bare(one) != bare(other)


@pytest.mark.parametrize(
    ("code", "found"),
    [("ERP-00123", ("ERP-", "")), ("123-EA", ("", "-EA")), ("00123", ("", "")), ("tea", ("", ""))],
)
def test_affixes_are_letters_before_and_after_the_digits(code: str, found: tuple[str, str]) -> None:
    assert affixes(code) == found


def test_whole_words_are_taken_off_the_ends_of_a_code_the_fewest_first() -> None:
    assert list(trimmed("ERP-T-001")) == [("ERP-", "T-001", ""), ("ERP-T-", "001", "")]
    assert list(trimmed("001-EA")) == [("", "001", "-EA")]
    assert list(trimmed("00123")) == list(trimmed("tea")) == []


codes = st.from_regex(r"[A-Z]{0,3}-?[0-9]{4,9}", fullmatch=True)


@given(codes, st.integers(1, 97), st.sampled_from(["ERP-", "sku", ""]), st.sampled_from(["-EA", "x", ""]))
def test_every_spelling_of_a_code_falls_into_one_shard(
    code: str, count: int, prefix: str, suffix: str
) -> None:
    spellings = [code, code.lower(), code.replace("-", ""), f"{prefix}{code}{suffix}"]

    assert len(set(Shards(count).of(spellings))) == 1


@given(st.lists(st.text(st.characters(exclude_characters="\n"), min_size=1), max_size=20), st.integers(1, 8))
def test_any_code_has_a_shard_and_keeps_it(some: list[str], count: int) -> None:
    shards = Shards(count)
    first = shards.of(some)

    assert all(0 <= shard < count for shard in first)
    assert first == Shards(count).of(some) == shards.of(some)
