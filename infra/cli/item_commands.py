"""``items import``: the items, their listings and their codes, from a CSV file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import BinaryIO

import click

from infra.cli.console import CommandError, Session, command, file_name, table
from infra.cli.item_file import ItemFile
from infra.cli.item_import import Imported, ItemImport
from infra.cli.target import Target
from shared.domain.cases import CaseKind
from shared.operations.release import WAITING, releasable
from shared.sources.reading import UnreadableError
from shared.store.channel_ids import ListingChangedError
from shared.store.items import ItemChangedError
from shared.store.ledger import Ledger
from shared.store.references import ReferenceChangedError

CASES_LOOKED_AT = 10_000


@click.group("items")
def items() -> None:
    """Items, where they are listed, and their codes."""


@command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Say what would change, and write nothing.")
@click.option("--owner", default="items import", show_default=True, help="Who answers for the codes.")
@click.option("--move-codes", is_flag=True, help="Let rows take codes that stand for another item now.")
@click.pass_obj
def import_items(session: Session, file: BinaryIO, dry_run: bool, owner: str, move_codes: bool) -> None:
    """Import items, listings and codes from a CSV file.

    Columns: sku; description, class, owner, tracks_lots, tracks_expiry, hot; base_unit and pack:<unit> for its units;
    components for a kit; effective_from; channel:<channel> for the channel's own id and unit:<channel> for the pack
    that it sells; code:<source>:<kind> for the source's code. A bad row is skipped and named, and the exit code is 1;
    so is one that takes a channel's id from another item, or its code without --move-codes.
    """
    target = session.target
    try:
        content = ItemFile(file, target.registry.network(fresh=True))
    except UnreadableError as error:
        fault = error.fault
        name = file_name(file) or "stdin"
        raise CommandError(f"{name}: {fault.field} {fault.reason}", fault.remedy) from error
    if content.columns.ignored:
        session.say(f"columns passed over: {', '.join(content.columns.ignored)}")
    ledger = Ledger(target.stock)
    items = ItemImport(target.registry, target.lanes, ledger, owner, is_dry=dry_run, moves_codes=move_codes)
    try:
        done = items.run(content.rows(), lambda number: session.say(f"{number} items"))
    except (ItemChangedError, ListingChangedError, ReferenceChangedError) as error:
        reason = f"others keep changing the same items, listings or codes: {error}"
        raise CommandError(reason, "run the same command again: what was written stays") from error
    released = 0 if dry_run else release_waiting(target)
    files = 0 if dry_run else files_waiting(target)
    told = {**asdict(done), "messages_released": released, "files_waiting": files, "dry_run": dry_run}
    session.show(told, _dry_summary(done) if dry_run else _summary(done, released, files))
    if done.bad_rows:
        raise click.exceptions.Exit(1)


def _dry_summary(done: Imported) -> Iterator[str]:
    yield from _faults(done)
    yield from map(str, done.moved_codes)
    yield (
        f"{done.changed:,} items change, {done.new:,} are new, {done.items - done.changed - done.new:,} stay; "
        f"{done.codes:,} codes, {done.listings:,} listings new or changed, {done.bad_rows:,} rows refused; "
        "nothing was written"
    )


def _faults(done: Imported) -> Iterator[str]:
    if done.faults:
        yield from table(
            ("row", "field", "reason", "remedy"), [(f.row, f.field, f.reason, f.remedy) for f in done.faults]
        )
        if done.bad_rows > len(done.faults):
            yield f"... and {done.bad_rows - len(done.faults)} more"
        yield ""


def _summary(done: Imported, released: int, files: int) -> Iterator[str]:
    yield from _faults(done)
    yield from map(str, done.moved_codes)
    yield (
        f"{done.items} items imported, {done.codes} codes mapped, "
        f"{done.listings} new or changed listings on their way to their channels"
    )
    if released:
        yield f"{released} messages that waited for one of these codes were applied again"
    if files:
        yield f"{files} files wait for codes: the rows whose codes are known now post by themselves within a minute"
    if done.bad_rows:
        yield f"{done.bad_rows} rows were skipped: correct them and import the file again"


def release_waiting(target: Target) -> int:
    """Retry every case that waits for a code or a unit which is known now; return how many messages were applied again."""
    waiting = target.cases.open_of(WAITING, CASES_LOOKED_AT)
    return sum(
        int(target.api.post("cases", case.id, "retry").get("replayed", 0))
        for case in releasable(waiting, target.registry)
    )


def files_waiting(target: Target) -> int:
    """Count the files that wait for many codes: they are read again by the sweep, not here."""
    return sum(1 for _ in target.cases.open_of([CaseKind.UNKNOWN_CODES], CASES_LOOKED_AT))


items.add_command(import_items)
