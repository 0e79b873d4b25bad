"""What the command line's tests arrange: a target in memory, answers of the API made by the API's own views."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit

from click.testing import CliRunner, Result

from functions.inventory_api import views
from infra.cli.app import onecount
from infra.cli.checkout import Say
from infra.cli.console import CommandError, Session
from infra.cli.http_door import Answer, Api
from infra.cli.target import ROOT, Target
from infra.local.doctor import Finding
from infra.local.runtime_info import RuntimeInfo, RuntimeStatus
from infra.network_file import read_network
from shared.domain.cases import Case, CaseKind, CaseStatus
from shared.domain.events import Count, Origin, effect_hash
from shared.domain.rules import Rules
from shared.domain.stock import EventKey, LocationId, MessageId, Sku, SourceId, StockKey
from shared.operations.facts import Fact
from shared.operations.fan_out import Hint, Lane
from shared.operations.post import Poster
from shared.operations.stock_view import StockView
from shared.store.cases import Cases
from shared.store.layout import INDEXES
from shared.store.ledger import Ledger
from shared.store.memory import MemoryTable
from shared.store.registry import Code, Network, Registry

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
NETWORK = """
sources:
  wms: {connector: csv_snapshot, drop: wms/, meaning: {on_hand: on_hand},
        options: {sku_column: Item, quantity_column: Qty, location: east, as_of: {from: written_at}}}
  erp: {connector: standard_webhooks, meaning: {on_hand: on_hand}}
  shopify: {connector: shopify, channel: shop, options: {shop: demo.myshopify.com}}
locations:
  east: {counts: wms}
channels:
  shop:
    connector: signed_webhook
    locations: {east: EAST}
    safety_stock: 2
    options: {url: 'http://127.0.0.1:9/levels'}
"""
KEY_TEXT = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"


@dataclass
class FakeLanes:
    """Keeps the hints that were queued, with their lane and delay."""

    sent: list[tuple[Lane, Hint, int]] = field(default_factory=list)
    broken: bool = False

    def send(self, lane: Lane, hints: Sequence[Hint], delay_s: int = 0) -> None:
        if self.broken:
            raise OSError("hints could not be queued")
        self.sent += [(lane, hint, delay_s) for hint in hints]

    @property
    def skus(self) -> list[str]:
        return sorted(hint.sku for _, hint, _ in self.sent)


@dataclass
class FakeSecrets:
    """Secrets in a dictionary."""

    texts: dict[tuple[str, str], str]

    def text(self, kind: str, name: str) -> str:
        return self.texts.get((kind, name), "")

    def store(self, kind: str, name: str, text: str) -> None:
        self.texts[kind, name] = text


@dataclass
class FakeDrops:
    """The drop bucket in a dictionary."""

    files: dict[str, bytes] = field(default_factory=dict)

    def put(self, key: str, content: BinaryIO) -> None:
        self.files[key] = content.read()


@dataclass(frozen=True)
class Asked:
    """A request that was made."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.url).query).items()}


Answers = Callable[[Asked], "tuple[int, Any] | None"]


@dataclass
class FakeHttp:
    """The other end of HTTP: answers by method and path, noting what was asked."""

    answers: list[Answers] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def __call__(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        asked = Asked(method, url, headers, body or b"")
        self.asked.append(asked)
        for answers in reversed(self.answers):
            if (found := answers(asked)) is not None:
                status, said = found
                return Answer(status, said if isinstance(said, bytes) else json.dumps(said).encode())
        return Answer(404, json.dumps({"title": "Not found", "detail": f"{method} {asked.path}"}).encode())

    def answer(self, method: str, path: str, status: int, said: Any) -> None:
        """Answer one call, from now on."""

        def one(asked: Asked) -> tuple[int, Any] | None:
            return (status, said) if (asked.method, unquote(asked.path)) == (method, path) else None

        self.answers.append(one)


class FakeRuntime:
    """A local runtime that is up or not, and starts nothing."""

    def __init__(self) -> None:
        self.is_up = True
        self.ups: list[tuple[Path, bool]] = []
        self.last_network = ROOT / "infra" / "local" / "network.yaml"
        self.demo_code = 0
        self.wiped: list[bool] = []
        self.findings = [Finding("Python", True, "3.11.7"), Finding("Node", True, "v20.1.0")]

    def network(self) -> Path:
        return self.last_network

    def up(self, network: Path, may_remove: bool, say: Say) -> RuntimeInfo:
        say("starting")
        self.ups.append((network, may_remove))
        self.is_up = True
        return INFO

    def down(self, wipe: bool, say: Say) -> bool:
        say("stopping")
        self.wiped.append(wipe)
        ran, self.is_up = self.is_up, False
        return ran

    def status(self) -> RuntimeStatus:
        pid = 7 if self.is_up else None
        return RuntimeStatus({"server": pid, "pump": pid}, INFO if self.is_up else None, {})

    def demo(self, say: Say) -> int:
        say("1. a receipt")
        return self.demo_code

    def doctor(self) -> list[Finding]:
        return self.findings


INFO = RuntimeInfo(
    endpoint="http://127.0.0.1:1",
    api_url="http://127.0.0.1:1/api",
    webhook_url="http://127.0.0.1:1/api/webhooks/{source}",
    bucket="drops",
    tables={},
    queues={},
    functions={},
    issuer="http://127.0.0.1:2",
    pids={},
    digest="d",
)


class Bench:
    """A whole target in memory, and the command line over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stock = MemoryTable(INDEXES["stock"])
        self.inbox = MemoryTable(INDEXES["inbox"])
        self.registry = Registry(MemoryTable(["by_channel"]))
        self.cases = Cases(MemoryTable(["by_status"]))
        self.lanes = FakeLanes()
        secret = json.dumps({"current": KEY_TEXT})
        self.secrets = FakeSecrets(
            {("source", name): secret for name in ("wms", "erp", "shopify")} | {("channel", "shop"): secret}
        )
        self.drops = FakeDrops()
        self.http = FakeHttp([self._api])
        self.runtime = FakeRuntime()
        self.stages: list[str | None] = []
        self.deployed = False

    def target(self, stage: str | None) -> Target:
        self.stages.append(stage)
        return Target(
            stage=stage or "local",
            api=Api("http://127.0.0.1:1/api", lambda: "a-token", self.http),
            webhooks_url="http://127.0.0.1:1/api/webhooks",
            send=self.http,
            stock=self.stock,
            inbox=self.inbox,
            registry=self.registry,
            cases=self.cases,
            lanes=self.lanes,
            secrets=self.secrets,
            drops=self.drops,
            mint=None if stage else lambda scopes, subject: f"{subject}:{'+'.join(scopes)}",
        )

    def run(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        """Run the command line."""
        session = Session(self.target, self.runtime)
        return CliRunner().invoke(onecount, list(arguments), input=stdin, obj=session, catch_exceptions=False)

    def json(self, *arguments: str, stdin: str | bytes | None = None) -> Any:
        """Run a command with ``--json`` and return what it says."""
        return json.loads(self.run(*arguments, "--json", stdin=stdin).stdout)

    def file(self, name: str, content: str | bytes) -> str:
        """Write a file and return its path."""
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def declare(self, text: str = NETWORK) -> None:
        """Declare a network in the registry."""
        self.registry.declare(read_network(Path(self.file("declared.yaml", text))))

    def count(self, sku: str, quantity: int, *, at: str = "east") -> None:
        """Have the WMS count an item."""
        origin = Origin(SourceId("wms"), MessageId("m"))
        count = Count(EventKey(f"wms/{sku}"), Sku(sku), LocationId(at), quantity, NOON, origin)
        Poster(self.stock, lambda: NOON).post([Fact(count, effect_hash(count))], Network({}, {}, {}))

    def unknown_code(self, source: str, kind: str, code: str) -> str:
        """Open a case that waits for a code."""
        case = Case(
            id=f"unknown_code:{source}:{kind}:{code}",
            kind=CaseKind.UNKNOWN_CODE,
            title=f"{source} names {code}",
            remedy="map it",
            opened_at=NOON,
            updated_at=NOON,
            facts={"source": source, "kind": kind, "code": code},
        )
        self.cases.file(case)
        return case.id

    def shown(self, case: str) -> dict[str, Any]:
        """Return a case as the API shows it."""
        return views.case_view(self.cases.get(case), Rules(), NOON)

    def skus(self, source: str, kind: str, *codes: str) -> list[str]:
        """Return the SKU behind each code that is known."""
        wanted = [Code(SourceId(source), kind, code) for code in codes]
        found = self.registry.skus(wanted)
        return [found[code] for code in wanted if code in found]

    def _api(self, asked: Asked) -> tuple[int, Any] | None:
        """Answer what can be read from the tables, in the API's own words."""
        if asked.method != "GET" or not asked.path.startswith("/api/v1/"):
            return None
        what, *rest = [unquote(part) for part in asked.path.removeprefix("/api/v1/").split("/")]
        query = asked.query
        if what == "journal":
            key = StockKey(Sku(query["sku"]), LocationId(query["location"]))
            entries = [views.journal_view(entry) for entry in Ledger(self.stock).journal(key)]
            return 200, {"entries": entries, "cursor": None}
        if what == "stock":
            as_of = datetime.fromisoformat(query["as_of"]) if "as_of" in query else None
            view = StockView(self.stock, self.registry, lambda: NOON)
            return 200, views.item_view(view.item(Sku(query["sku"]), as_of))
        if what == "cases" and rest:
            return 200, self.shown(rest[0])
        if what == "cases":
            page = self.cases.page(CaseStatus(query["status"]), int(query["limit"]), query.get("cursor"))
            return 200, {"cases": [self.shown(case.id) for case in page.cases], "cursor": page.cursor}
        return None


def refused(reason: str) -> Callable[[str | None], Target]:
    """Return a way to a target that is not there."""

    def resolve(_: str | None) -> Target:
        raise CommandError(reason, "start it")

    return resolve
