"""The guide's example is real: it is run here as it stands in the guide."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from shared.domain.events import Count
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import MessageId, SourceId
from shared.sources.contract import AuthenticationError, Fault, Report, Request, WebhookConnector

GUIDE = Path(__file__).parents[2] / "infra" / "guides" / "write-a-source.md"
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SOURCE = Source(SourceId("acme"), "acme_levels")
BODY = (
    b'{"id": "T-9", "at": "2026-11-21T08:00:00Z", "levels": ['
    b'{"item": "TEA-1", "site": "LEEDS", "units": 40}, {"item": "TEA-2", "site": "LEEDS", "units": "40"}]}'
)


@pytest.fixture
def connector() -> WebhookConnector:
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    module: dict[str, object] = {}
    exec(compile(example, str(GUIDE), "exec"), module)  # noqa: S102 - the guide's own example
    return cast(WebhookConnector, module["CONNECTOR"])


def test_the_example_lets_in_who_signs_and_nobody_else(connector: WebhookConnector) -> None:
    good = Request({"x-acme-signature": hmac.new(b"s", BODY, hashlib.sha256).hexdigest()}, BODY)
    assert connector.authenticate(good, ["old", "s"], NOW, SOURCE).id == hashlib.sha256(BODY).hexdigest()
    for secrets in (["other"], [""], []):
        with pytest.raises(AuthenticationError):
            connector.authenticate(good, secrets, NOW, SOURCE)


def test_the_example_reads_each_level_and_faults_the_bad_one(connector: WebhookConnector) -> None:
    message = Message(MessageId("m"), SOURCE.id, BODY, NOW, {})
    report, fault = connector.translate(message, SOURCE)
    assert isinstance(report, Report)
    assert isinstance(report.event, Count)
    assert (report.event.key, report.event.quantity) == ("acme/T-9/TEA-1/count/LEEDS", 40)
    assert isinstance(fault, Fault)
    assert fault.field == "levels[1].units"
