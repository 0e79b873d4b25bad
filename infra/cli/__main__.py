"""The ``onecount`` command line: ``python -m infra.cli``."""

from __future__ import annotations

from infra.cli.app import onecount
from infra.cli.checkout import CheckoutRuntime
from infra.cli.console import Session
from infra.cli.target import resolve

if __name__ == "__main__":
    onecount(prog_name="onecount", obj=Session(resolve, CheckoutRuntime()))
