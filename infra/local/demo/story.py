"""The story that the demo tells: one stock key after another through every door, each number checked.

A step whose numbers are not what they must be ends the demo with exit code 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra.local.demo.stage import Say, Stage, StoryError, import_items, stage
from infra.local.fake_channels.control import carry_out
from shared.domain.stock import Sku
from shared.operations.verify import Verifier
from shared.store.dynamodb import DynamoTable

ROOT = Path(__file__).resolve().parents[3]
SKUS, IN_SHOP, IN_MARKETPLACE = 5000, 100, 20
SAFETY = 2
PAGE = 200

Step = Callable[[Stage], None]


def opening(number: int) -> int:
    """Units of ``SKU-number`` in the opening snapshot."""
    return 20 + number % 80


def run(say: Say = print) -> int:
    """Tell the whole story; return 0 when every number was what it must be."""
    started = time.monotonic()
    say("Bringing the stack up on the embedded AWS runtime ...")
    with stage(ROOT, say) as made:
        say(f"  up after {time.monotonic() - started:.1f} s; API {made.runtime.api_url}")
        import_items(made, SKUS, IN_SHOP, IN_MARKETPLACE)
        say(f"  {SKUS:,} items, {IN_SHOP} of them in the shop, {IN_MARKETPLACE} on the marketplace")
        for number, step in enumerate(STEPS, start=1):
            say(f"\n{number}. {(step.__doc__ or '').strip()}")
            begun = time.monotonic()
            try:
                step(made)
            except StoryError as error:
                say(f"   WRONG: {error}")
                return 1
            say(f"   ok ({time.monotonic() - begun:.1f} s)")
    say(f"\nEvery number was what it must be ({time.monotonic() - started:.0f} s in all).")
    return 0


def opening_snapshot(made: Stage) -> None:
    """The legacy WMS drops its snapshot of 5,000 SKUs; the channels learn what they may sell."""
    as_of = datetime.now(UTC) - timedelta(hours=6)
    rows = "".join(f"SKU-{number:05d},EAST DC,{opening(number)}\n" for number in range(1, SKUS + 1))
    made.drop("legacy-wms", f"stock_{as_of:%Y%m%dT%H%M}.csv", "Item,Site,On Hand\n" + rows)
    made.until("SKU-05000 on hand", lambda: made.stock("SKU-05000")["on_hand"], opening(SKUS), every_s=2)
    listed = [f"SKU-{number:05d}" for number in range(1, IN_SHOP + 1)]
    wanted = [opening(number) - SAFETY for number in range(1, IN_SHOP + 1)]
    made.until("the shop's numbers", lambda: [made.shop_shows(sku) for sku in listed], wanted)
    page = made.api("GET", f"/v1/stock?location=east&limit={PAGE}").body["stock"]
    first = [opening(number) for number in range(1, PAGE + 1)]
    made.must("the first page of the stock list", [row["on_hand"] for row in page], first)
    made.say(f"   {SKUS:,} counts posted; the shop shows {sum(wanted):,} units of {IN_SHOP} items")


def receipt(made: Stage) -> None:
    """The modern WMS reports a receipt of 30 by signed webhook; the shop is told by compare-and-set."""
    before = made.shop_shows("SKU-00001")
    line = {"line": "1", "sku": "SKU-00001", "location": "east", "quantity": 30}
    answer = made.webhook("modern-wms", "receipt", _document("GR-1", 120, line), "msg-receipt-1")
    made.must("the webhook's answer", answer.status, 202)
    made.until("on hand", lambda: made.stock("SKU-00001")["on_hand"], 51)
    made.until("the shop shows", lambda: made.shop_shows("SKU-00001"), 49)
    write = made.shop_writes("SKU-00001")[-1]
    made.must("the compare-and-set", (write["change_from"], write["quantity"]), (before, 49))
    made.say(
        f"   on hand 21 -> 51; inventorySetQuantities changeFromQuantity {before} -> quantity 49, confirmed"
    )


def order_three_times(made: Stage) -> None:
    """The shop sells 4 and delivers the order three times; it is posted once, and not pushed back."""
    writes = len(made.shop_writes("SKU-00001"))
    order = _sell(made, "SKU-00001", 4, times=3)
    made.until("available", lambda: made.stock("SKU-00001")["available"], 47)
    made.must("the statuses", sorted(set(order["statuses"])), [200, 202])
    made.settle()
    stock = made.stock("SKU-00001")
    made.must("on hand, reserved", (stock["on_hand"], stock["reserved"]), (51, 4))
    made.must("the shop shows", made.shop_shows("SKU-00001"), 45)
    made.must("pushes", len(made.shop_writes("SKU-00001")), writes)
    made.until("the marketplace shows", lambda: made.marketplace_shows("SKU-00001"), 42)
    line = {
        "line": "1",
        "sku": "SKU-00001",
        "location": "east",
        "quantity": 4,
        "order": f"shopify/{order['order']['id']}",
        "order_line": str(order["order"]["line_items"][0]["id"]),
    }
    made.webhook("modern-wms", "pick", _document("PK-1", 1, line), "msg-pick-1")
    made.until("on hand after the pick", lambda: made.stock("SKU-00001")["on_hand"], 47)
    stock = made.stock("SKU-00001")
    made.must("reserved, available", (stock["reserved"], stock["available"]), (0, 47))
    made.say("   6 deliveries, 1 reservation of 4; the shop lowered itself to 45 and was sent nothing; the")
    made.say(
        "   marketplace was told 42; the WMS picks the 4: on hand 51 -> 47, reserved 4 -> 0, available 47"
    )


def late_pick(made: Stage) -> None:
    """A pick of 3 from before the snapshot arrives only now: the snapshot had seen it, so nothing moves."""
    line = {"line": "1", "sku": "SKU-00002", "location": "east", "quantity": 3}
    made.webhook("modern-wms", "pick", _document("PK-0", 7 * 60, line), "msg-pick-0")
    path = "/v1/stock/SKU-00002/journal?location=east"
    made.until("journal entries", lambda: len(made.api("GET", path).body["entries"]), 2)
    lines = made.api("GET", path).body["entries"][0]["lines"]
    told = [(line["cause"], line["quantity"]) for line in lines]
    made.must("the two lines", told, [("movement", -3), ("restated", 3)])
    made.must("on hand", made.stock("SKU-00002")["on_hand"], opening(2))
    then = datetime.now(UTC) - timedelta(hours=6, minutes=30)
    made.must("on hand half an hour before the snapshot", made.stock("SKU-00002", then)["on_hand"], -3)
    made.say(f"   on hand stays {opening(2)}; the journal says -3 then, +3 at the count; as of then: -3")


def cycle_count(made: Stage) -> None:
    """A cycle count arrives that was taken before a receipt we already have: the receipt survives it."""
    line = {"line": "1", "sku": "SKU-00003", "location": "east", "quantity": 25}
    made.webhook("modern-wms", "receipt", _document("GR-2", 30, line), "msg-receipt-2")
    made.until("on hand after the receipt", lambda: made.stock("SKU-00003")["on_hand"], opening(3) + 25)
    counted = datetime.now(UTC) - timedelta(hours=1)
    made.drop("legacy-wms", f"count_{counted:%Y%m%dT%H%M}.csv", "Item,Site,On Hand\nSKU-00003,EAST DC,21\n")
    made.until("on hand", lambda: made.stock("SKU-00003")["on_hand"], 46)
    made.say("   book 23, +25 received, counted 21 as of before the receipt: 46, not 21 and not 48")


def stale_erp(made: Stage) -> None:
    """The ERP still believes its old number: a drift case with both numbers, which closes when it catches up."""
    _erp_says(made, 23, minutes_ago=5, delivery="msg-erp-1")
    case = "drift:erp:SKU-00003:east:on_hand"
    made.until("the case", lambda: made.api("GET", f"/v1/cases/{case}").body.get("status"), "open")
    facts = made.api("GET", f"/v1/cases/{case}").body["facts"]
    made.must("both numbers", (facts["observed"], facts["expected"], facts["drift"]), (23, 46, -23))
    made.must("on hand", made.stock("SKU-00003")["on_hand"], 46)
    _erp_says(made, 46, minutes_ago=1, delivery="msg-erp-2")
    made.until("the case", lambda: made.api("GET", f"/v1/cases/{case}").body.get("status"), "resolved")
    made.say(
        "   ERP 23, ledger 46 as of the same instant: drift -23; our number does not move; case resolved"
    )


def unheard_sale(made: Stage) -> None:
    """The shop sells 5 and its webhook is lost; the next push collides, backs off, and learns of the sale."""
    _sell(made, "SKU-00004", 5, times=0)
    line = {"line": "1", "sku": "SKU-00004", "location": "east", "quantity": 10}
    made.webhook("modern-wms", "receipt", _document("GR-3", 1, line), "msg-receipt-3")
    made.until("available", lambda: made.stock("SKU-00004")["available"], opening(4) + 10 - 5)
    made.until("the shop shows", lambda: made.shop_shows("SKU-00004"), opening(4) + 10 - 5 - SAFETY)
    numbers = [int(str(write["quantity"])) for write in made.shop_writes("SKU-00004")]
    made.must("nothing more than could be sold was ever published", max(numbers[1:]), opening(4) + 3)
    made.say(
        f"   stale compare refused; recent orders fetched; {opening(4)} + 10 - 5 sold - 2 safety = {numbers[-1]}"
    )


def outage(made: Stage) -> None:
    """The shop goes down while 50 items change: dead letters and cases; then redrive, twice."""
    made.settle()  # what earlier steps still have to tell the shop would die too, and be counted
    carry_out(made.channels, {"do": "fail", "channel": "shopify", "mode": "down"})
    changed = range(11, 61)
    lines = [{"line": str(n), "sku": f"SKU-{n:05d}", "location": "east", "quantity": 100} for n in changed]
    made.webhook("modern-wms", "receipt", _document("GR-4", 1, *lines), "msg-receipt-4")
    made.until("dead letters", lambda: _dead_letters(made), 50)
    made.sweep()  # the one of every minute may run at the same time; then they file them between them
    made.until("push cases", lambda: _push_cases(made), 50, every_s=0.5)
    writes_before = {n: len(made.shop_writes(f"SKU-{n:05d}")) for n in changed}
    carry_out(made.channels, {"do": "recover", "channel": "shopify"})
    moved = made.api("POST", "/v1/dead-letters/redrive", {}).body["redriven"]
    made.must("redriven", sum(moved.values()), 50)
    again = made.api("POST", "/v1/dead-letters/redrive", {}).body["redriven"]
    wanted = [opening(n) + 100 - SAFETY for n in changed]
    made.until("the shop's numbers", lambda: [made.shop_shows(f"SKU-{n:05d}") for n in changed], wanted)
    made.settle()
    pushes = [len(made.shop_writes(f"SKU-{n:05d}")) - writes_before[n] for n in changed]
    made.must("pushes of each item", set(pushes), {1})
    made.must("push cases left", _push_cases(made), 0)
    made.say(
        f"   50 dead letters, 50 cases; redriven 50, then {sum(again.values())}; each item pushed once, with"
    )
    made.say("   the number that is true now; all 50 cases closed by themselves")


def unknown_code(made: Stage) -> None:
    """The modern WMS uses a code that nobody knows: it is parked, mapped, and posted by itself."""
    line = {"line": "1", "sku": "OLD-CODE-5", "location": "east", "quantity": 7}
    made.webhook("modern-wms", "receipt", _document("GR-5", 1, line), "msg-receipt-5")
    case = "unknown_code:modern-wms:sku:OLD-CODE-5"
    made.until("the case", lambda: made.api("GET", f"/v1/cases/{case}").body.get("status"), "open")
    made.must("on hand", made.stock("SKU-00005")["on_hand"], opening(5))
    answer = made.api("POST", f"/v1/cases/{case}/map", {"sku": "SKU-00005"})
    made.must("the mapping's answer", (answer.status, answer.body.get("replayed")), (200, 1))
    made.until("on hand", lambda: made.stock("SKU-00005")["on_hand"], opening(5) + 7)
    made.must("the case", answer.body["case"]["status"], "resolved")
    made.say(f"   parked with its message; mapped to SKU-00005: on hand {opening(5)} -> {opening(5) + 7}")


def side_by_side(made: Stage) -> None:
    """Every system's number beside ours, and the proof that every balance is the sum of its journal."""
    made.settle()
    made.say("   SKU        ledger  avail | legacy-wms  erp | shop may/shows | marketplace may/shows")
    for number in (1, 2, 3, 4, 5, 11, 60):
        made.say("   " + _row(made, f"SKU-{number:05d}"))
    table = DynamoTable(made.runtime.client("dynamodb"), made.runtime.info.tables["stock"])
    verified = Verifier(table).verify()
    made.must("discrepancies", [str(found) for found in verified.discrepancies], [])
    made.must("stock keys", verified.stock_keys, SKUS)
    made.say(
        f"   verify: {verified.stock_keys:,} stock keys, {verified.journal_entries:,} journal entries, "
        f"{verified.order_lines} order lines: every balance is the sum of its journal"
    )


STEPS: tuple[Step, ...] = (
    opening_snapshot,
    receipt,
    order_three_times,
    late_pick,
    cycle_count,
    stale_erp,
    unheard_sale,
    outage,
    unknown_code,
    side_by_side,
)


def _document(name: str, minutes_ago: int, *lines: dict[str, object]) -> dict[str, object]:
    happened = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    return {"document": name, "occurred_at": happened.isoformat(), "lines": list(lines)}


def _erp_says(made: Stage, quantity: int, minutes_ago: int, delivery: str) -> None:
    line = {"line": "1", "sku": "SKU-00003", "location": "east", "quantity": quantity}
    answer = made.webhook("erp", "count", _document(f"ERP-{delivery}", minutes_ago, line), delivery)
    made.must("the webhook's answer", answer.status, 202)


def _sell(made: Stage, sku: str, quantity: int, times: int) -> Any:
    """Sell in the shop; it delivers the order's and the level's webhook ``times`` times each."""
    lines = [{"item_id": made.items[Sku(sku)], "location_id": 7001, "quantity": quantity}]
    command: dict[str, object] = {"do": "place_order", "lines": lines}
    if times:
        secret = made.runtime.secret("source", "shopify")
        command["deliver"] = {"url": made.runtime.webhook_url("shopify"), "secret": secret, "times": times}
    return carry_out(made.channels, command)


def _dead_letters(made: Stage) -> int:
    queues = made.api("GET", "/v1/dead-letters").body["queues"]
    return sum(int(number) for queue, number in queues.items() if "shopify" in queue)


def _push_cases(made: Stage) -> int:
    open_cases = made.api("GET", "/v1/cases?limit=200").body["cases"]
    return sum(case["kind"] == "push_failed" for case in open_cases)


def _row(made: Stage, sku: str) -> str:
    stock = made.stock(sku)
    said = {source["source"]: source["quantity"] for source in stock["sources"]}
    may = {channel["channel"]: channel["available_to_promise"] for channel in stock["channels"]}
    shop = f"{may.get('shopify', '-')}/{made.shop_shows(sku)}"
    market = f"{may['marketplace']}/{made.marketplace_shows(sku)}" if "marketplace" in may else "-"
    return (
        f"{sku}  {stock['on_hand']:>6} {stock['available']:>6} | {said.get('legacy-wms', '-'):>10} "
        f"{said.get('erp', '-'):>4} | {shop:>14} | {market:>21}"
    )
