"""How much memory a process held at most."""

from __future__ import annotations

import re
import resource
from pathlib import Path


def peak_mebibytes() -> float:
    """Return the most MiB that this program held; Linux would add to ``ru_maxrss`` what started it, so its own page is read."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s*(\d+) kB", status.read_text())[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
