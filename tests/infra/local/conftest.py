"""One runtime for all tests here that need a running one: started once, on free ports, gone with the test run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.runtime import LocalRuntime
from tests.infra.local.miniature import miniature

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRuntime]:
    folder = tmp_path_factory.mktemp("runtime")
    with LocalRuntime.isolated(
        ROOT, folder / "state", assemble=lambda: miniature(folder / "assembly")
    ) as runtime:
        yield runtime
