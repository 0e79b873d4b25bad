"""What is wrong with a field that pydantic refused, in our own words alone: for declarations, options and requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_PREFIX = "Value error, "
"""What pydantic puts before whatever a validator of ours says."""


def reason_of(error: ErrorDetails) -> str:
    """Return why a field was refused."""
    return error["msg"].removeprefix(_PREFIX)
