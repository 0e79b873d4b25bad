"""No bytes, from whomever, make a connector raise; and what it lets through can be stored and hashed."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.events import effect_hash
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import ChannelId, MessageId, SourceId
from shared.sources.contract import AuthenticationError, DroppedFile, Fault, Report, Request
from shared.sources.registry import file_connector, webhook_connector

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SOURCE = Source(SourceId("s"), "any", channel=ChannelId("c"))
TOPICS = ["orders/create", "orders/cancelled", "inventory_levels/update", "other", ""]
STANDARD = webhook_connector("standard_webhooks")
SHOPIFY = webhook_connector("shopify")

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "-1", "2026-11-21T08:00:00Z", "\ud800", "A/1", 10**60, 0, 3, "1"]),
)
NAMES = st.sampled_from(
    [
        "type", "timestamp", "data", "document", "version", "occurred_at", "lines", "line", "sku", "location",
        "quantity", "order", "order_line", "reason", "bin", "lot", "counter", "id", "updated_at", "cancelled_at",
        "line_items", "fulfillments", "status", "current_quantity", "fulfillable_quantity", "variant_id",
        "variant_inventory_management", "requires_shipping", "inventory_item_id", "location_id", "available",
    ]
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=12,
)
LINE: dict[str, Any] = {
    "line": "1", "sku": "A", "location": "X", "quantity": 1, "id": 1, "variant_inventory_management": "shopify",
}  # fmt: skip


def judge(answers: list[Report | Fault]) -> None:
    for answer in answers:
        if isinstance(answer, Fault):
            assert answer.field
            assert answer.reason
            assert answer.remedy
            f"{answer.field}{answer.reason}{answer.remedy}".encode()
        else:
            assert len(answer.event.key.encode()) <= 900
            effect_hash(answer.event)


def message(body: bytes, topic: str) -> Message:
    return Message(MessageId("m"), SOURCE.id, body, NOW, {"x-shopify-topic": topic})


@settings(max_examples=150)
@given(body=st.binary(max_size=200), topic=st.sampled_from(TOPICS))
def test_any_bytes_as_a_webhook_s_body_are_reports_or_faults(body: bytes, topic: str) -> None:
    for connector in (STANDARD, SHOPIFY):
        judge(list(connector.translate(message(body, topic), SOURCE)))


@settings(max_examples=200)
@given(
    type_=st.sampled_from(["receipt", "adjustment", "count", "pick"]),
    changes=st.dictionaries(NAMES, ANYTHING, max_size=3),
    data=st.dictionaries(NAMES, ANYTHING, max_size=2),
)
def test_a_stock_document_with_anything_in_its_fields_is_reports_or_faults(
    type_: str, changes: dict[str, object], data: dict[str, object]
) -> None:
    lines = [{**LINE, **changes}, LINE]
    body = {
        "type": f"stock.{type_}",
        "timestamp": "2026-11-21T08:00:00Z",
        "data": {"document": "D", "lines": lines, **data},
    }
    judge(list(STANDARD.translate(message(json.dumps(body).encode(), ""), SOURCE)))


@settings(max_examples=200)
@given(
    topic=st.sampled_from(TOPICS),
    changes=st.dictionaries(NAMES, ANYTHING, max_size=3),
    order=st.dictionaries(NAMES, ANYTHING, max_size=2),
)
def test_an_order_with_anything_in_its_fields_is_reports_or_faults(
    topic: str, changes: dict[str, object], order: dict[str, object]
) -> None:
    body = {
        "id": 1,
        "updated_at": "2026-11-21T08:00:00Z",
        "inventory_item_id": 1,
        "location_id": 2,
        "available": 3,
        "line_items": [{**LINE, **changes}],
        **order,
    }
    judge(list(SHOPIFY.translate(message(json.dumps(body).encode(), topic), SOURCE)))


@settings(max_examples=200)
@given(
    headers=st.dictionaries(
        st.sampled_from(
            [
                "webhook-id",
                "webhook-timestamp",
                "webhook-signature",
                "x-shopify-hmac-sha256",
                "x-shopify-topic",
            ]
        ),
        st.text(max_size=30) | st.sampled_from(["v1,AAAA", "v1a,AAAA", str(int(NOW.timestamp())), "m"]),
    ),
    secret=st.text(max_size=20).map(lambda text: "whsec_" + text)
    | st.sampled_from(["whsec_AAAA", "whpk_AA==", ""]),
)
def test_any_headers_are_refused_in_words_and_never_crash(headers: dict[str, str], secret: str) -> None:
    for connector in (STANDARD, SHOPIFY):
        with pytest.raises(AuthenticationError):
            connector.authenticate(Request(headers, b"{}"), [secret], NOW, SOURCE)


CELLS = st.text(st.sampled_from('A1",;\n\r.()- \t\ufeff\x00é'), max_size=60)


@settings(max_examples=300)
@given(
    content=st.binary(max_size=120) | CELLS.map(str.encode),
    header=st.sampled_from([b"", b"sku,qty,site\n", b"\xef\xbb\xbfsku,qty,site\r\n", b'"sku",qty,site,x\r']),
    encoding=st.sampled_from(["utf-8-sig", "utf-16", "cp1252", "utf-16-le"]),
    delimiter=st.sampled_from([",", "auto"]),
)
def test_any_bytes_as_a_file_are_reports_or_faults(
    content: bytes, header: bytes, encoding: str, delimiter: str
) -> None:
    options = {
        "sku_column": "sku", "quantity_column": "qty", "location_column": "site", "as_of": {"from": "written_at"},
        "encoding": encoding, "delimiter": delimiter,
    }  # fmt: skip
    source = Source(SourceId("f"), "csv_snapshot", options=options)
    file = DroppedFile("f.csv", NOW, "1")
    answers = list(
        file_connector("csv_snapshot").read(io.BytesIO(header + content), file, message(b"", ""), source)
    )
    judge(answers)


NOISE = st.sampled_from(["ok", '"', 'x"', '"",', '""', '"a\nb"', '"""', '"a""', '"x"y', 'x,"', '","'])


@settings(max_examples=300)
@given(noisy=st.lists(NOISE, max_size=12), noted=st.booleans())
def test_whatever_quotes_do_to_the_rows_around_it_a_sound_row_is_read(noisy: list[str], noted: bool) -> None:
    lines = ["sku,qty,site,note" if noted else "sku,qty,site"]
    for number, noise in enumerate(noisy):
        lines.append(f"S{number},1,X,-" if noted else f"S{number},1,X")
        lines.append(f"N{number},1,X,{noise}" if noted else f"N{number},1,{noise}")
    options = {
        "sku_column": "sku", "quantity_column": "qty", "location_column": "site", "as_of": {"from": "written_at"},
    }  # fmt: skip
    source = Source(SourceId("f"), "csv_snapshot", options=options)
    content = io.BytesIO("\n".join(lines).encode())
    answers = file_connector("csv_snapshot").read(
        content, DroppedFile("f.csv", NOW, "1"), message(b"", ""), source
    )
    read = {answer.event.key.split("/")[3] for answer in answers if isinstance(answer, Report)}
    assert {f"S{number}" for number in range(len(noisy))} <= read
