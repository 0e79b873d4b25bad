"""How every command speaks: one answer on stdout, progress on stderr, and errors that end with what to do.

``--json`` turns the answer (and an error) into one JSON document on stdout. Exit codes: 0 done, 1 it could not be
done or something is wrong, 2 the command line itself is wrong, 141 whoever read the answer (``| head``) had enough.

Texts come from other systems (titles, message bodies), so what could steer a terminal is taken out before printing.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from infra.local.state import LocalRuntimeError
from shared.store.table import TableError

if TYPE_CHECKING:
    from infra.cli.checkout import Runtime
    from infra.cli.target import Target

READER_GONE = 141
"""Exit code when whoever read the output has closed it, as a shell says it: 128 + SIGPIPE."""

Resolve = Callable[["str | None"], "Target"]


class CommandError(Exception):
    """A command cannot do what was asked.

    Attributes
    ----------
    reason, remedy
        What is wrong, and what to do about it.
    details
        Everything that is wrong where it is more than one thing, a line each.
    """

    def __init__(self, reason: str, remedy: str = "", details: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.details = tuple(details)


class Session:
    """What one call of the command line works with.

    Parameters
    ----------
    resolve
        Finds the target of a stage; None is the default, the local runtime.
    runtime
        Starts, stops and describes the local runtime.
    """

    def __init__(self, resolve: Resolve, runtime: Runtime) -> None:
        self._resolve = resolve
        self.runtime = runtime
        self.as_json = False
        self.stage: str | None = None

    @cached_property
    def target(self) -> Target:
        """The one target of this call."""
        return self._resolve(self.stage)

    def show(self, answer: object, lines: Iterable[str]) -> None:
        """Print the answer: as JSON if that was asked for, else the lines."""
        if self.as_json:
            click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
            return
        for line in lines:
            click.echo(printable(line))

    def say(self, text: str) -> None:
        """Print progress, beside the answer."""
        click.echo(printable(text), err=True)

    def fail(self, error: CommandError) -> None:
        """Print an error."""
        if self.as_json:
            said = {"reason": error.reason, "remedy": error.remedy, "details": list(error.details)}
            click.echo(json.dumps({"error": said}, indent=2, ensure_ascii=False))
            return
        self.say(f"error: {error.reason}")
        for line in error.details:
            self.say(f"  {line}")
        if error.remedy:
            self.say(f"remedy: {error.remedy}")


def session_of(context: click.Context) -> Session:
    """Return the session that this call began with."""
    session = context.find_object(Session)
    if session is None:
        raise TypeError("a command was called without a session; start it with python -m infra.cli")
    return session


class Command(click.Command):
    """A command with ``--json``, with ``--stage`` where it works on a target, and with errors that say the remedy."""

    def __init__(self, *args: Any, targeted: bool = True, **more: Any) -> None:
        super().__init__(*args, **more)
        if targeted:
            self.params.append(_stage_option())
        self.params.append(_json_option())

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; what an operator can act on becomes an error message and exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _let_go_of_stdout()
            ctx.exit(READER_GONE)
        except known_errors() as error:
            session_of(ctx).fail(_explained(error))
            ctx.exit(1)


def _let_go_of_stdout() -> None:
    """Have what is still to be written go nowhere, or Python would complain about it when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def command(name: str, *, targeted: bool = True) -> Callable[[Callable[..., Any]], Command]:
    """Declare a command; its docstring is its help.

    Parameters
    ----------
    targeted
        Whether it takes ``--stage``; what concerns this machine alone does not.
    """
    return click.command(name, cls=Command, targeted=targeted)


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lay out rows under headers, numbers to the right; a dash stands for nothing."""
    body = [list(row) for row in rows]
    texts = [["-" if cell in (None, "") else printable(str(cell)) for cell in row] for row in body]
    widths = [max(map(len, column)) for column in zip(headers, *texts, strict=True)]
    numeric = [
        any(isinstance(row[index], int) for row in body)
        and all(isinstance(row[index], int) or row[index] is None for row in body)
        for index in range(len(headers))
    ]

    def line(cells: Sequence[str]) -> str:
        laid = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        ]
        return "  ".join(laid).rstrip()

    return [line(list(headers)), line(["-" * width for width in widths]), *map(line, texts)]


def fields(values: Mapping[str, object]) -> list[str]:
    """Lay out named values, one a line."""
    width = max(map(len, values), default=0)
    return [f"{name.ljust(width)}  {'-' if value in (None, '') else value}" for name, value in values.items()]


def file_name(content: BinaryIO) -> str | None:
    """Return the name of a file that was opened for a command, without its folder; None for stdin."""
    name = getattr(content, "name", None)
    return PurePath(name).name if isinstance(name, str) and name not in ("-", "<stdin>") else None


def brief(moment: str | None) -> str | None:
    """Return an ISO 8601 instant to the second, as a table shows it."""
    return None if moment is None else re.sub(r"\.\d+", "", moment)


def printable(text: str) -> str:
    """Return the text without what could steer a terminal; tabs and line ends stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _json_option() -> click.Option:
    def note(context: click.Context, _: click.Parameter, value: bool) -> None:
        session_of(context).as_json = value

    return click.Option(
        ["--json"], is_flag=True, expose_value=False, is_eager=True, callback=note, help="Answer as JSON."
    )


def _stage_option() -> click.Option:
    def note(context: click.Context, _: click.Parameter, value: str | None) -> None:
        session_of(context).stage = value

    text = "The deployed stage to work on, with your AWS credentials.  [default: the local runtime]"
    return click.Option(["--stage"], expose_value=False, callback=note, metavar="NAME", help=text)


def known_errors() -> tuple[type[Exception], ...]:
    """Return what an operator can act on; anything else is a fault of ours and shows its traceback."""
    from botocore.exceptions import BotoCoreError, ClientError

    return (CommandError, LocalRuntimeError, TableError, BotoCoreError, ClientError, OSError)


def _explained(error: Exception) -> CommandError:
    if isinstance(error, CommandError):
        return error
    if isinstance(error, LocalRuntimeError):
        return CommandError(error.reason, error.remedy)
    if isinstance(error, TableError):
        remedy = "run the same command again: what was written stays, and nothing is written twice"
        return CommandError(f"a table did not do what was asked: {error}", remedy)
    if isinstance(error, OSError):
        return CommandError(str(error), "see that the file or address is there and readable, then try again")
    remedy = "check your AWS credentials, their permissions and the region (AWS_PROFILE, AWS_DEFAULT_REGION)"
    return CommandError(f"AWS: {error}", remedy)
