"""The demo's stage: a runtime of its own, the fake channels, and the doors that the story goes through.

Everything goes over the real transports: signed webhooks and the API over HTTP, files into the drop bucket. Only
the declaration of the network and of the items is written straight to the registry, as ``onecount apply`` does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from infra.local.fake_channels.control import carry_out
from infra.local.fake_channels.server import DEMO_TOKEN, DEMO_WEBHOOK_SECRET, FakeChannels
from infra.local.processes import free_port, port_is_free
from infra.local.runtime import LocalRuntime
from infra.local.state import LocalRuntimeError
from infra.network_file import read_network
from shared.domain.network import Listing
from shared.domain.stock import ChannelId, Sku, SourceId
from shared.store.dynamodb import DynamoTable
from shared.store.registry import Code, Registry

CHANNELS_PORT = 4580
WAIT_S = 240.0
"""How long a number may take to come: a machine with other work takes minutes for what a quiet one does in seconds."""

EVERYONE = ("viewer", "operator", "approver", "admin", "reserver")

Say = Callable[[str], None]


class StoryError(AssertionError):
    """A step's numbers are not what they must be."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer over HTTP."""

    status: int
    body: Any


@dataclass(slots=True)
class Stage:
    """Everything a step needs."""

    runtime: LocalRuntime
    channels: FakeChannels
    say: Say
    token: str
    items: dict[Sku, int] = field(default_factory=dict)

    # ---- doors ----------------------------------------------------------------------------------------------

    def api(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Call the API as someone with every scope."""
        named = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        return send(method, f"{self.runtime.api_url}{path}", body, named)

    def webhook(self, source: str, kind: str, data: Mapping[str, object], delivery: str) -> Answer:
        """Send a signed webhook in the Standard Webhooks form."""
        now = datetime.now(UTC)
        raw = json.dumps({"type": f"stock.{kind}", "timestamp": now.isoformat(), "data": data}).encode()
        secret = self.runtime.secret("source", source)
        return send("POST", self.runtime.webhook_url(source), raw, signed(raw, secret, delivery, now))

    def drop(self, source: str, name: str, text: str) -> None:
        """Put a file where a source drops its files."""
        key = f"{source}/{name}"
        self.runtime.client("s3").put_object(Bucket=self.runtime.info.bucket, Key=key, Body=text.encode())

    def sweep(self) -> None:
        """Do now what runs every minute."""
        name = self.runtime.info.functions["collect-failures"]
        self.runtime.client("lambda").invoke(FunctionName=name, Payload=b"{}")

    # ---- looking --------------------------------------------------------------------------------------------

    def stock(self, sku: str, as_of: datetime | None = None) -> dict[str, Any]:
        """Return the stock of an item at the demo's one location; zeros where nothing is known."""
        asked = "" if as_of is None else f"?as_of={quote(as_of.isoformat())}"
        answer = self.api("GET", f"/v1/stock/{quote(sku, safe='')}{asked}")
        locations = answer.body.get("locations") or [
            {"on_hand": 0, "available": 0, "reserved": 0, "sources": []}
        ]
        return {**locations[0], "channels": answer.body.get("channels", [])}

    def shop_shows(self, sku: str) -> int | None:
        """Return the number that the shop shows."""
        return self.channels.shown("shopify", str(self.items[Sku(sku)]), "7001")

    def marketplace_shows(self, sku: str) -> int | None:
        """Return the number that the marketplace shows."""
        return self.channels.shown("marketplace", f"M-{sku}", "EAST")

    def shop_writes(self, sku: str) -> list[Mapping[str, object]]:
        """Return every quantity written to the shop for an item: from which number to which."""
        item = self.items[Sku(sku)]
        return [
            entry
            for call in self.channels.calls_of("shopify")
            if call.operation == "write" and call.outcome == "written"
            for entry in call.quantities
            if str(entry["item"]).endswith(str(item))
        ]

    def until(
        self,
        what: str,
        look: Callable[[], object],
        wanted: object,
        within_s: float = WAIT_S,
        every_s: float = 0.1,
    ) -> None:
        """Wait for a number to become what it must be."""
        deadline = time.monotonic() + within_s
        while (found := look()) != wanted:
            if time.monotonic() > deadline:
                raise StoryError(f"{what}: {found!r} after {within_s:.0f} s, must be {wanted!r}")
            time.sleep(every_s)

    def settle(self) -> None:
        """Wait until nothing is under way."""
        try:
            self.runtime.settle(within_seconds=WAIT_S)
        except LocalRuntimeError as error:
            raise StoryError(str(error)) from error

    def must(self, what: str, found: object, wanted: object) -> None:
        """Check a number."""
        if found != wanted:
            raise StoryError(f"{what}: {found!r}, must be {wanted!r}")


@contextmanager
def stage(root: Path, say: Say, folder: Path | None = None, more: Path | None = None) -> Iterator[Stage]:
    """Bring everything up, empty, and take it down afterwards; what it keeps lies in ``folder``.

    ``more`` is a network file whose systems and locations are declared beside the demo's own.
    """
    folder = folder or root / ".onecount" / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    port = CHANNELS_PORT if port_is_free(CHANNELS_PORT) else free_port()
    network = folder / "network.yaml"
    declared = _declared(root / "infra" / "local" / "network.yaml", more)
    network.write_text(declared.replace(f":{CHANNELS_PORT}/", f":{port}/"), encoding="utf-8")
    with (
        FakeChannels(port=port) as channels,
        LocalRuntime.isolated(root, folder / "runtime", network=network) as runtime,
    ):
        token = runtime.token(EVERYONE, "demo")
        runtime.set_secret("channel", "shopify", DEMO_TOKEN)
        runtime.set_secret("channel", "marketplace", DEMO_WEBHOOK_SECRET)
        made = Stage(runtime, channels, say, token)
        registry(made).declare(read_network(network))
        yield made


def _declared(network: Path, more: Path | None) -> str:
    """Return a network file's text, with the sections of another added to its own."""
    text = network.read_text(encoding="utf-8")
    if more is None:
        return text
    ours, theirs = yaml.safe_load(text), yaml.safe_load(more.read_text(encoding="utf-8"))
    merged = {section: {**ours[section], **theirs.get(section, {})} for section in ours}
    return yaml.safe_dump(merged, sort_keys=False)


def registry(made: Stage) -> Registry:
    """Open the registry of the demo's runtime."""
    return Registry(DynamoTable(made.runtime.client("dynamodb"), made.runtime.info.tables["registry"]))


def import_items(made: Stage, skus: int, in_shop: int, in_marketplace: int) -> None:
    """Declare the items, the shop's and the marketplace's listings, and the shop's codes for them."""
    names = [Sku(f"SKU-{number:05d}") for number in range(1, skus + 1)]
    made.items |= {sku: 900_000 + number for number, sku in enumerate(names[:in_shop], start=1)}
    shop, marketplace = ChannelId("shopify"), ChannelId("marketplace")
    book = registry(made)
    book.add_items(names)
    book.map_codes(
        {Code(SourceId("shopify"), "inventory_item_id", str(item)): sku for sku, item in made.items.items()},
        "demo",
    )
    book.add_listings(
        Listing(shop, sku, f"gid://shopify/InventoryItem/{item}") for sku, item in made.items.items()
    )
    book.add_listings(Listing(marketplace, sku, f"M-{sku}") for sku in names[:in_marketplace])
    items = [
        {"item_id": item, "location_id": 7001, "sku": sku, "quantity": 0} for sku, item in made.items.items()
    ]
    carry_out(made.channels, {"do": "create_items", "items": items})
    levels = [{"item_id": f"M-{sku}", "location_id": "EAST", "quantity": 0} for sku in names[:in_marketplace]]
    carry_out(made.channels, {"do": "set_levels", "channel": "marketplace", "levels": levels})


def signed(raw: bytes, secret: str, delivery: str, at: datetime) -> dict[str, str]:
    """Sign a body as Standard Webhooks demand."""
    stamp = str(int(at.timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{delivery}.{stamp}.".encode() + raw
    digest = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": delivery,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{digest}",
    }


def send(method: str, url: str, body: object, headers: Mapping[str, str]) -> Answer:
    """Send one request; a body that is not bytes goes as JSON."""
    raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, raw, dict(headers), method=method)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as found:
            status, text = found.status, found.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    try:
        return Answer(status, json.loads(text or b"null"))
    except ValueError:
        return Answer(status, text)
