"""``python -m infra.local.fake_channels --port N``: serve the fake channels until the process is ended."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading

from infra.local.fake_channels.server import DEMO_TOKEN, DEMO_WEBHOOK_SECRET, FakeChannels


def main() -> None:
    """Serve, and print where as one line of JSON."""
    parser = argparse.ArgumentParser(prog="infra.local.fake_channels", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="the channels' port; 0 takes a free one")
    parser.add_argument("--control-port", type=int, default=0, help="the port of /_control alone")
    parser.add_argument("--token", default=DEMO_TOKEN, help="the Admin API token that the shop accepts")
    parser.add_argument("--webhook-secret", default=DEMO_WEBHOOK_SECRET, help="the receivers' whsec_ secret")
    chosen = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with FakeChannels(chosen.port, chosen.control_port, chosen.token, chosen.webhook_secret) as channels:
        where = {"shopify": channels.shopify_url, "control": channels.control_url, "port": channels.port}
        sys.stdout.write(json.dumps(where) + "\n")
        sys.stdout.flush()
        ended.wait()


if __name__ == "__main__":
    main()
