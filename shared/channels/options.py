"""Reading a channel's declared options and secret, so that a wrong one is named before anything is sent.

Options come from ``network.yaml``, the secret from Secrets Manager as JSON ``{"current": "...", "previous":
"..."}`` (``previous`` only while a rotation is under way). No message here quotes a secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit


class ChannelOptionError(Exception):
    """A channel cannot be built: which option is wrong, why, and what to do about it."""

    def __init__(self, option: str, reason: str, remedy: str) -> None:
        super().__init__(f"{option}: {reason}; {remedy}")
        self.option = option
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Secret:
    """A channel's secret; ``previous`` is the one it replaced, while both may be in use."""

    current: str
    previous: str | None = None

    def __repr__(self) -> str:
        return "Secret(...)"


def text_option(options: Mapping[str, object], name: str, default: str | None = None) -> str:
    """Return a non-empty text option.

    Raises
    ------
    ChannelOptionError
    """
    value = options.get(name, default)
    if isinstance(value, str) and value.strip():
        return value.strip()
    reason = "is missing" if value is None else "must be a non-empty text"
    raise ChannelOptionError(name, reason, f"set options.{name} of this channel in network.yaml")


def count_option(options: Mapping[str, object], name: str, default: int, most: int) -> int:
    """Return a whole number from 1 to ``most``.

    Raises
    ------
    ChannelOptionError
    """
    value = options.get(name, default)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return value
    raise ChannelOptionError(
        name, f"{value!r} is not a whole number from 1 to {most}", f"correct options.{name}, or leave it out"
    )


def flag_option(options: Mapping[str, object], name: str) -> bool:
    """Return a yes/no option, no by default.

    Raises
    ------
    ChannelOptionError
    """
    value = options.get(name, False)
    if isinstance(value, bool):
        return value
    raise ChannelOptionError(
        name, f"{value!r} is neither true nor false", f"set options.{name}: true or false"
    )


def url_option(options: Mapping[str, object], name: str) -> str:
    """Return an address that may carry secrets and stock: https, or any scheme on the machine itself.

    Raises
    ------
    ChannelOptionError
    """
    value = text_option(options, name)
    try:
        address = urlsplit(value)
        host, _ = address.hostname or "", address.port
    except ValueError as malformed:
        raise ChannelOptionError(
            name, f"is not an address ({malformed})", "write https://host/path"
        ) from malformed
    if address.scheme not in ("http", "https") or not host:
        raise ChannelOptionError(name, f"{value!r} is not an http(s) address", "write https://host/path")
    if address.username or address.password:
        raise ChannelOptionError(name, "carries credentials", "put them in the channel's secret instead")
    if address.fragment:
        raise ChannelOptionError(name, "carries a #fragment", "remove it")
    if address.scheme == "http" and not _is_loopback(host):
        raise ChannelOptionError(
            name,
            "is not encrypted",
            "use https; http is allowed for a loopback host only, in tests and the demo",
        )
    return value


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def read_secret(secret: str) -> Secret:
    """Read the channel's secret.

    Raises
    ------
    ChannelOptionError
        When it is not the stated JSON, or holds characters that a header cannot carry (a stray newline).
    """
    remedy = 'store the secret as JSON {"current": "..."}'
    try:
        value = json.loads(secret)
    except (ValueError, RecursionError) as malformed:
        raise ChannelOptionError("secret", "is not JSON", remedy) from malformed
    if not isinstance(value, dict):
        raise ChannelOptionError("secret", "is not a JSON object", remedy)
    return Secret(current=_part(value, "current", remedy), previous=_previous(value, remedy))


def _previous(value: Mapping[str, object], remedy: str) -> str | None:
    return None if value.get("previous") in (None, "") else _part(value, "previous", remedy)


def _part(value: Mapping[str, object], name: str, remedy: str) -> str:
    part = value.get(name)
    if not isinstance(part, str) or not part:
        raise ChannelOptionError(f"secret.{name}", "is missing or not a text", remedy)
    if not part.isascii() or not part.isprintable() or part != part.strip():
        raise ChannelOptionError(
            f"secret.{name}",
            "holds white space or characters that no header carries",
            "store it again, trimmed",
        )
    return part
