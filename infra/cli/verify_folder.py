"""Where ``verify`` lays a table out: a folder on this machine's disk, from which an interrupted run goes on.

::

    verify.json            whose table it is, and in how many parts and shares
    part-03/share-17       what part 3 of the scan found of share 17 of the SKUs, an item a line
    said-17.json           what was proven of share 17

A part is written beside and renamed when it is whole, so what has a name is complete.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO, cast

from infra.cli.console import CommandError
from shared.domain.stock import LocationId, Sku, StockKey
from shared.operations.verify import Discrepancy, Mend, Verified
from shared.store.table import Item

SHARES = 64
"""Shares of the SKUs: as many times the memory of one share is what the table would take."""


class FolderSpool:
    """A spool in a folder; see the module.

    Raises
    ------
    CommandError
        When the folder was filled from another stage, or is no such folder.
    """

    def __init__(self, folder: Path, stage: str, parts: int) -> None:
        self._folder = folder
        self._files: dict[int, TextIO] = {}
        self._open = ExitStack()
        manifest = folder / "verify.json"
        foreign = CommandError(
            f"{folder} is no folder that verify filled", "give the folder that it named, or an empty one"
        )
        if not manifest.exists():
            if any(folder.iterdir()):
                raise foreign
            manifest.write_text(json.dumps({"stage": stage, "parts": parts, "shares": SHARES}), "utf-8")
        try:
            known = json.loads(manifest.read_text("utf-8"))
            of, self.segments, self.shares = str(known["stage"]), int(known["parts"]), int(known["shares"])
        except (ValueError, LookupError, TypeError) as error:
            raise foreign from error
        if of != stage:
            raise CommandError(f"{folder} holds what was read of stage {of!r}", f"go on with --stage {of}")

    def is_kept(self, segment: int) -> bool:
        return self._part(segment).exists()

    def put(self, share: int, item: Item) -> None:
        file = self._files.get(share)
        if file is None:
            if not self._files:
                shutil.rmtree(self._beside, ignore_errors=True)
                self._beside.mkdir()
            path = self._beside / f"share-{share:02d}"
            file = self._files[share] = self._open.enter_context(path.open("w", encoding="utf-8"))
        file.write(json.dumps(item, default=_text, ensure_ascii=False, separators=(",", ":")) + "\n")

    def keep(self, segment: int) -> None:
        self._open.close()
        if not self._files:
            self._beside.mkdir(exist_ok=True)
        self._files = {}
        self._beside.rename(self._part(segment))

    def items(self, share: int) -> Iterator[Item]:
        for segment in range(self.segments):
            path = self._part(segment) / f"share-{share:02d}"
            if path.exists():
                with path.open(encoding="utf-8") as lines:
                    yield from map(_item, lines)

    def proven(self, share: int) -> Verified | None:
        path = self._said(share)
        return _verified(json.loads(path.read_text("utf-8"))) if path.exists() else None

    def say(self, share: int, verified: Verified) -> None:
        beside = self._folder / "said.part"
        beside.write_text(json.dumps(asdict(verified)), "utf-8")
        beside.rename(self._said(share))

    @property
    def _beside(self) -> Path:
        return self._folder / "part.part"

    def _part(self, segment: int) -> Path:
        return self._folder / f"part-{segment:02d}"

    def _said(self, share: int) -> Path:
        return self._folder / f"said-{share:02d}.json"


def _text(packed: bytes) -> str:
    """Write bytes as text of one character each; only journal entries have any."""
    return packed.decode("latin-1")


def _item(line: str) -> Item:
    item = cast(Item, json.loads(line))
    if str(item["pk"]).startswith("JRN#") and isinstance(item.get("lines"), str):
        item["lines"] = cast(str, item["lines"]).encode("latin-1")
    return item


def _verified(said: dict[str, Any]) -> Verified:
    wrong = [
        Discrepancy(**{**one, "key": _key(one["key"]), "mend": Mend(one["mend"])})
        for one in said["discrepancies"]
    ]
    return Verified(**{**said, "discrepancies": wrong, "moving": [_key(one) for one in said["moving"]]})


def _key(said: dict[str, str]) -> StockKey:
    return StockKey(Sku(said["sku"]), LocationId(said["location"]))
