"""``verify`` proves that the numbers add up; ``rebuild`` works those out anew that do not."""

from __future__ import annotations

import getpass
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias, cast

import click

from infra.cli.console import CommandError, Session, command, fields
from infra.cli.target import LOCAL, Target
from infra.cli.verify_folder import FolderSpool
from shared.domain.stock import LocationId, Sku, StockKey
from shared.operations.rebuild import RebuildBusyError, Rebuilder, Rebuilt
from shared.operations.verify import Discrepancy, Mend, Verified, Verifier
from shared.store.account import Account

PARTS = 16
"""Parts in which a deployed table is read; an interrupted run reads at most one again."""

GUIDE = "infra/guides/operate.md"

Places: TypeAlias = "tuple[str, ...]"


@command("verify")
@click.option("--sku", help="Verify one item alone.")
@click.option(
    "--location",
    "locations",
    multiple=True,
    help="With --sku: there alone.  [default: every declared location]",
)
@click.option(
    "--from",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Go on with an interrupted run: the folder that it named.",
)
@click.pass_obj
def verify(session: Session, sku: str | None, locations: Places, folder: Path | None) -> None:
    """Prove that every balance equals its journal.

    And that every unit is promised once. Nobody is stopped meanwhile. The whole table is read once and laid out in a
    folder on this machine, so it may be of any size, and an interrupted run goes on with --from. Exits 1 and names each
    number that does not add up, and the journal entry or bucket where it begins; and also where nothing of --sku is found.
    """
    if sku is None and locations:
        raise click.UsageError("--location needs --sku")
    target = session.target
    verified = _whole(session, folder) if sku is None else _one(target, sku, locations)
    figures = {name: n for name, n in asdict(verified).items() if name not in ("discrepancies", "moving")}
    wrong = [_discrepancy(one) for one in verified.discrepancies]
    moving = [{"sku": key.sku, "location": key.location} for key in verified.moving]
    is_found = sku is None or bool(verified.journal_entries or verified.order_lines or wrong or moving)
    is_proven = is_found and not wrong and not moving
    lines = fields({name.replace("_", " "): number for name, number in figures.items()})
    session.show(
        {**figures, "proven": is_proven, "discrepancies": wrong, "moving": moving},
        [*lines, "proven: every balance equals its journal"] if is_proven else lines,
    )
    if is_proven:
        return
    if session.as_json:
        raise click.exceptions.Exit(1)
    if not is_found:
        raise _nothing_found(cast(str, sku), locations)
    raise _not_proven(verified)


def _nothing_found(sku: str, locations: Places) -> CommandError:
    where = f" at {', '.join(locations)}" if locations else ""
    return CommandError(
        f"nothing of {sku} was found{where}: no journal and no order line, so there is nothing to prove",
        "check the SKU and the locations for typing errors",
    )


def _one(target: Target, sku: str, locations: Places) -> Verified:
    verified = Verified()
    verifier = Verifier(target.stock, time.sleep)
    for key in _keys(target, sku, locations):
        read = verifier.verify_key(key)
        read.stock_keys = min(read.journal_entries, 1)
        verified.add(read)
    return verified


def _whole(session: Session, folder: Path | None) -> Verified:
    """Verify the whole table through a folder, which is gone when all is said."""
    if folder is not None and not folder.is_dir():
        raise CommandError(f"there is no folder {folder}", "give the folder that the interrupted run named")
    at = folder or Path(tempfile.mkdtemp(prefix="onecount-verify-"))
    spool = _spool(session.target, at)
    session.say(f"laid out in {at}; if this is interrupted, onecount verify --from {at} goes on")
    verified = Verifier(session.target.stock, time.sleep).verify(_progress(session), spool)
    shutil.rmtree(at)
    return verified


def _spool(target: Target, folder: Path) -> FolderSpool:
    return FolderSpool(folder, target.stage, 1 if target.stage == LOCAL else PARTS)


def _progress(session: Session) -> Callable[[int], None]:
    return lambda number: session.say(f"{number} entries read")


def _not_proven(verified: Verified) -> CommandError:
    wrong, moving = verified.discrepancies, verified.moving
    said = [f"{len(wrong)} numbers do not add up"] if wrong else []
    said += [f"{len(moving)} stock keys kept changing and are not proven"] if moving else []
    remedy = (
        f"see `onecount rebuild` for what can be worked out anew, and {GUIDE} for the rest; report it as a fault"
        if wrong
        else "verify these again when less happens: --sku S --location L"
    )
    details = [_in_words(one) for one in wrong] + [
        f"{key.sku} at {key.location}: not proven" for key in moving
    ]
    return CommandError(", ".join(said), remedy, details)


@command("rebuild")
@click.option("--sku", help="Rebuild one item alone.  [default: whatever verify finds]")
@click.option(
    "--location", "locations", multiple=True, help="With --sku: there alone.  [default: everywhere]"
)
@click.option("--write", is_flag=True, help="Put it right.  [default: only say what differs]")
@click.option(
    "--compared", is_flag=True, help="With --sku: nothing of it is lost, you have compared with a backup."
)
@click.pass_obj
def rebuild(session: Session, sku: str | None, locations: Places, write: bool, compared: bool) -> None:
    """Work out anew what follows from journals, where it differs.

    Balances, clocks, buckets, variances of counts, what is available, and the history of order lines. Says what
    differs; with --write puts it right, beside whoever posts, and writes down who did. Refuses where an entry of the
    journal, or anything else that is told once, is lost or was altered, or may be. Exits 1 while anything does not add up.
    """
    if sku is None and (locations or compared):
        raise click.UsageError(f"--{'location' if locations else 'compared'} needs --sku")
    target = session.target
    with tempfile.TemporaryDirectory(prefix="onecount-rebuild-") as folder:
        scanned = Verifier(target.stock, time.sleep).accounts(
            _progress(session), _spool(target, Path(folder)), None if sku is None else Sku(sku)
        )
        known = (account for account in scanned if not locations or account.key.location in locations)
        tried = [_rebuilt(target, account, write, compared) for account in known]
    if sku is not None and not tried:
        raise _nothing_found(sku, locations)
    done = [one for one in tried if one.found]
    is_right = all(one.written and not one.left for one in done)
    session.show(
        {"written": write, "adds_up": is_right, "stock_keys": [_said(one) for one in done]},
        [line for one in done for line in _told(one, write)]
        or ["everything adds up; there is nothing to rebuild"],
    )
    if is_right:
        return
    if session.as_json:
        raise click.exceptions.Exit(1)
    raise _not_right(done, write)


def _rebuilt(target: Target, known: Account, write: bool, compared: bool) -> Rebuilt:
    try:
        rebuilder = Rebuilder(target.stock, lambda: datetime.now(UTC))
        actor = f"command line, {getpass.getuser()}"
        return rebuilder.rebuild(known.key, actor, known=known, compared=compared, dry_run=not write)
    except RebuildBusyError as error:
        raise CommandError(
            str(error), "rebuild it again when less happens there; what was put right stays right"
        ) from error


def _not_right(done: Sequence[Rebuilt], write: bool) -> CommandError:
    refused = [wrong for one in done for wrong in one.refused]
    left = [wrong for one in done for wrong in one.left]
    if refused:
        return CommandError(
            f"{len({wrong.key for wrong in refused})} stock keys cannot be rebuilt: what they follow from is damaged, or may be",
            f"restore what is lost from a backup first, or make sure that nothing is; {GUIDE} says how",
            [_in_words(wrong) for wrong in refused],
        )
    if write or all(wrong.mend is Mend.APART for one in done for wrong in one.found):
        return CommandError(
            "rebuilding does not mend everything", f"see {GUIDE}", [_in_words(wrong) for wrong in left]
        )
    return CommandError("these numbers do not add up", "add --write to put them right")


def _told(one: Rebuilt, write: bool) -> Iterable[str]:
    how = (
        "put right"
        if one.written
        else "refused"
        if one.refused
        else "left"
        if write
        else "would be put right"
    )
    yield f"{one.key.sku} at {one.key.location}: {how}"
    for wrong in one.found:
        yield f"  {wrong.what}: {wrong.found} -> {wrong.expected} ({wrong.where})"


def _said(one: Rebuilt) -> dict[str, Any]:
    return {
        "sku": one.key.sku,
        "location": one.key.location,
        "written": one.written,
        "found": [_discrepancy(wrong) for wrong in one.found],
        "refused": [_discrepancy(wrong) for wrong in one.refused],
        "left": [_discrepancy(wrong) for wrong in one.left],
    }


def _keys(target: Target, sku: str, locations: Places) -> list[StockKey]:
    places = locations or tuple(target.registry.network().locations)
    return [StockKey(Sku(sku), LocationId(place)) for place in places]


def _in_words(wrong: Discrepancy) -> str:
    where = f" ({wrong.where})" if wrong.where else ""
    return f"{wrong.key.sku} at {wrong.key.location}: {wrong.what} must be {wrong.expected}, is {wrong.found}{where}"


def _discrepancy(found: Discrepancy) -> dict[str, Any]:
    return {
        "sku": found.key.sku,
        "location": found.key.location,
        "what": found.what,
        "expected": found.expected,
        "found": found.found,
        "where": found.where,
        "mend": found.mend,
    }
