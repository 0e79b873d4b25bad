"""What is stored of the ledger is read as it was written, also by an older release."""

from __future__ import annotations

import json
import zlib

from shared.domain.ledger import NO_COUNT, Cause, Line, Slot
from shared.domain.stock import WHOLE, Counter, EventKey
from shared.store.ledger_items import pack_lines, unpack_lines
from tests.operations.house import at

SLOT = Slot(WHOLE, Counter.ON_HAND)
MOVED = Line(SLOT, -10, at(1), EventKey("wms/s/1/shipment/"), Cause.MOVEMENT)
RESTATED = Line(SLOT, 10, at(2), MOVED.event_key, Cause.RESTATED, EventKey("files/snapshot/a"))


def test_lines_are_read_as_they_were_written_with_the_count_that_they_restate() -> None:
    assert unpack_lines(pack_lines([MOVED, RESTATED])) == [MOVED, RESTATED]


def test_lines_of_before_they_named_the_count_that_they_restate_are_read_without_it() -> None:
    rows = json.loads(zlib.decompress(pack_lines([MOVED, RESTATED])))
    older = zlib.compress(json.dumps([row[:6] for row in rows]).encode())
    assert unpack_lines(older) == [MOVED, RESTATED._replace(of_count=NO_COUNT)]
