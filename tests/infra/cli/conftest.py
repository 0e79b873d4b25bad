"""A target in memory for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.infra.cli.arrange import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.declare()
    return made


@pytest.fixture
def bare(tmp_path: Path) -> Bench:
    """A target on which nothing has been declared yet."""
    return Bench(tmp_path)
