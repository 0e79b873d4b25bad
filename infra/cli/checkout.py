"""The local runtime of this checkout, as the commands that start, stop and describe it see it.

What runs it is imported only when it is asked for: most commands need none of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from infra.cli.target import ROOT

if TYPE_CHECKING:
    from infra.local.doctor import Finding
    from infra.local.runtime_info import RuntimeInfo, RuntimeStatus

Say = Callable[[str], None]


class Runtime(Protocol):
    """Starts, stops and describes the local runtime."""

    def network(self) -> Path:
        """Return the network file that was deployed last; the demo's if there has been none."""
        ...

    def up(self, network: Path, may_remove: bool, say: Say) -> RuntimeInfo:
        """Bring it to the present sources; return where to reach it.

        ``may_remove`` lets what has been applied there lose its queues and secrets.
        """
        ...

    def down(self, wipe: bool, say: Say) -> bool:
        """Stop it; return whether it had been running."""
        ...

    def status(self) -> RuntimeStatus:
        """Say what of it runs."""
        ...

    def demo(self, say: Say) -> int:
        """Tell the demo's story; return its exit code."""
        ...

    def doctor(self) -> list[Finding]:
        """Look at everything that a machine needs."""
        ...


class CheckoutRuntime:
    """The runtime that lives in this checkout's ``.onecount``."""

    def network(self) -> Path:
        from infra.local.runtime import network_of

        return network_of(ROOT)

    def up(self, network: Path, may_remove: bool, say: Say) -> RuntimeInfo:
        from infra.local.runtime import up

        return up(ROOT, network=network, may_remove=may_remove, say=say)

    def down(self, wipe: bool, say: Say) -> bool:
        from infra.local.runtime import down

        return down(ROOT, wipe=wipe, say=say)

    def status(self) -> RuntimeStatus:
        from infra.local.runtime import status

        return status(ROOT)

    def demo(self, say: Say) -> int:
        from infra.local.demo import run

        return run(say)

    def doctor(self) -> list[Finding]:
        from infra.local.doctor import doctor

        return doctor(ROOT)
