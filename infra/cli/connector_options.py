"""What is wrong with the options that a network file gives to its connectors: values, types, and names nobody reads.

An option that no connector reads would do nothing, without a word, so it is a mistake like any other.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches

from infra.network_file import Mistake
from shared.channels.registry import (
    ChannelOptionError,
    UnknownConnectorError,
    build_channel,
    channel_options,
)
from shared.channels.transport import HttpTransport
from shared.domain.network import Channel, Source
from shared.sources.registry import source_options
from shared.sources.snapshot_layout import parse_layout
from shared.store.registry import Network

_ANY_SECRET = '{"current": "whsec_%s"}' % base64.b64encode(bytes(32)).decode()  # noqa: UP031 - braces are JSON's


def connector_mistakes(network: Network) -> Iterator[Mistake]:
    """Yield what the connectors themselves find wrong with their options."""
    for source in network.sources.values():
        unstorable = [*_unstorable(f"sources.{source.id}.options", source.options)]
        yield from unstorable or _source_mistakes(source)
    for channel in network.channels.values():
        unstorable = [*_unstorable(f"channels.{channel.id}.options", channel.options)]
        yield from unstorable or _channel_mistakes(channel)


def _source_mistakes(source: Source) -> Iterator[Mistake]:
    known = source_options(source.connector)
    if known is None:
        return  # that the connector does not exist has been told
    at = f"sources.{source.id}.options"
    for name, value in source.options.items():
        if name in known and (reason := known[name](value)) is not None:
            yield Mistake(f"{at}.{name}", f"{reason}; correct it, or leave it out")
    names = [name for name in source.options if name != "drop"]  # the file has that beside the options
    yield from _unknown(at, source.connector, names, known)
    if source.connector == "csv_snapshot":
        yield from _layout_mistakes(source)


def _layout_mistakes(source: Source) -> Iterator[Mistake]:
    layout = parse_layout(source.options)
    for fault in layout if isinstance(layout, list) else ():
        yield Mistake(f"sources.{source.id}.{fault.field.removeprefix('source.')}", fault.reason)


def _channel_mistakes(channel: Channel) -> Iterator[Mistake]:
    """Build the connector with one option less at a time until it builds or repeats itself: each build names one."""
    options = dict(channel.options)
    if (known := channel_options(channel.connector)) is not None:
        yield from _unknown(f"channels.{channel.id}.options", channel.connector, options, known)
    while True:
        try:
            build_channel(replace(channel, options=options), _ANY_SECRET, HttpTransport())
            return
        except UnknownConnectorError as error:
            listed = ", ".join(error.known)
            yield Mistake(
                f"channels.{channel.id}.connector", f"{error.connector!r} does not exist; one of: {listed}"
            )
            return
        except ChannelOptionError as error:
            if error.option not in options and options != channel.options:
                return  # it is missing because it was wrong and taken out, and that has been told
            yield Mistake(f"channels.{channel.id}.options.{error.option}", f"{error.reason}; {error.remedy}")
            if options.pop(error.option, None) is None:
                return


def _unknown(at: str, connector: str, names: Iterable[str], known: Iterable[str]) -> Iterator[Mistake]:
    listed = sorted(known)
    for name in names:
        if name not in listed:
            near = get_close_matches(name, listed, n=1)
            remedy = f"write {near[0]}, or leave it out" if near else "leave it out"
            yield Mistake(
                f"{at}.{name}", f"{connector} has no such option, only {', '.join(listed)}; {remedy}"
            )


def _unstorable(path: str, value: object) -> Iterator[Mistake]:
    """Yield values that YAML made of a text that was meant as a text."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _unstorable(f"{path}.{name}", inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _unstorable(f"{path}.{number}", inner)
    elif value is not None and not isinstance(value, (str, int, float)):
        reason = f"YAML reads {str(value)!r} as a {type(value).__name__}; put it in quotes"
        yield Mistake(path, reason)
