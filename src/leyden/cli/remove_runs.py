"""Removing runs: what would go, a question, and each under its lock. Nothing but runs' folders is touched."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from leyden.reporting.format import plural
from leyden.reporting.terminal.layout import plain_table, text
from leyden.reporting.terminal.run_page import size
from leyden.runs.lookup import is_run
from leyden.runs.records import Record
from leyden.runs.run import Run
from leyden.utils.console import console
from leyden.utils.errors import UserError

_LEVELS = 2  # folders above a run that are Leyden's own: the experiment's and runs/


def remove(records: Sequence[Record], agreed: Callable[[str], bool]) -> bool:
    """Remove the runs' folders if `agreed` says so to the question; whether they are gone.

    Raises:
        UserError: one of them is running, or is no run's folder; nothing was removed then.
    """
    for record in records:
        _verify(record)
    sizes = [_size(record.folder) for record in records]
    _show(records, sizes)
    if not agreed(f"Remove {plural(len(records), 'run')}, {size(sum(sizes))}?"):
        console.print("nothing is removed")
        return False
    for record in records:
        _remove(record.folder)
    console.print(f"removed {plural(len(records), 'run')}, {size(sum(sizes))}")
    return True


def _verify(record: Record) -> None:
    folder = record.folder
    if not is_run(folder):
        raise UserError(f"{folder} is not a run's folder; nothing is removed")
    if folder.is_symlink():
        raise UserError(f"{folder} is a link to a run elsewhere; name the run itself. Nothing is removed")
    if Run(folder).locked():
        raise UserError(f"{folder} is running: stop it first, or leave it out. Nothing is removed")


def _show(records: Sequence[Record], sizes: Sequence[int]) -> None:
    table = plain_table("", ("state", "left"), ("size", "right"), ("folder", "left"))
    for record, bytes_ in zip(records, sizes, strict=True):
        table.add_row(record.state, size(bytes_), text(str(record.folder)))
    console.print(table)


def _size(folder: Path) -> int:
    """Of every file in it; hard links (last and best may be one file) count once."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            status = (Path(place) / name).lstat()
            found[status.st_ino] = status.st_size
    return sum(found.values())


def _remove(folder: Path) -> None:
    """First out of sight by one rename, so that whenever it is killed there is no half of a run."""

    def begun() -> None:
        raise UserError(
            f"{folder} has been started in another process meanwhile; it and what follows it stay"
        )

    if not folder.exists():  # removed by another hand
        return
    parents = [parent.absolute() for parent in folder.parents][:_LEVELS]
    with Run(folder).lock(begun):
        hidden = folder.with_name(f".{folder.name}.removed")
        shutil.rmtree(hidden, ignore_errors=True)
        folder.rename(hidden)
        shutil.rmtree(hidden)
    for parent in parents:
        if parent in (Path.cwd(), *Path.cwd().parents) or any(parent.iterdir()):
            break
        parent.rmdir()
