"""What is wrong with an option is said in our own words, whichever validator found it."""

from __future__ import annotations

import pytest

from shared.sources.snapshot_layout import parse_layout


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"decimal": ",", "thousands": ","}, "decimal and thousands cannot be the same mark"),
        ({"location_column": "site", "location": "east"}, "give either location_column or a fixed location"),
    ],
)
def test_a_wrong_option_is_told_without_the_word_of_a_library(options: dict[str, str], reason: str) -> None:
    as_of = {"from": "file_name", "pattern": r"(?P<stamp>\d{8})", "format": "%Y%m%d", "time_zone": "UTC"}
    found = parse_layout({"sku_column": "sku", "quantity_column": "qty", "as_of": as_of, **options})
    assert isinstance(found, list)
    assert [fault.reason for fault in found] == [reason]
