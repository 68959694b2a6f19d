"""Remove runs: list them, ask for confirmation, remove each under its lock. Only folders of runs are removed."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from leyden.reporting.terminal.layout import plain_table, text
from leyden.reporting.terminal.run_page import size
from leyden.runs.lookup import is_run
from leyden.runs.records import Record
from leyden.runs.run import Run
from leyden.utils.console import console
from leyden.utils.errors import UserError
from leyden.utils.text import plural

_LEVELS = 2  # parent folders that belong to Leyden: the experiment's and runs/


def remove(records: Sequence[Record], confirm: Callable[[str], bool]) -> bool:
    """Remove the runs' folders if `confirm(question)` is true; returns whether they were removed.

    Raises:
        UserError: one of them is running, a link, or not a run's folder; nothing was removed.
    """
    for record in records:
        _verify(record)
    sizes = [_size(record.folder) for record in records]
    _print_table(records, sizes)
    if not confirm(f"Remove {plural(len(records), 'run')}, {size(sum(sizes))}?"):
        console.print("nothing removed")
        return False
    for record in records:
        _remove(record.folder)
    console.print(f"removed {plural(len(records), 'run')}, {size(sum(sizes))}")
    return True


def _verify(record: Record) -> None:
    folder = record.folder
    if not is_run(folder):
        raise UserError(f"{folder} is not a run's folder; nothing removed")
    if folder.is_symlink():
        raise UserError(f"{folder} is a symbolic link to a run; give the run's own folder. Nothing removed")
    if Run(folder).is_locked():
        raise UserError(f"{folder} is running: stop it first, or leave it out. Nothing removed")


def _print_table(records: Sequence[Record], sizes: Sequence[int]) -> None:
    table = plain_table("", ("state", "left"), ("size", "right"))
    table.add_column("folder", no_wrap=True)
    for record, bytes_ in zip(records, sizes, strict=True):
        table.add_row(record.state, size(bytes_), text(str(record.folder)))
    console.print(table)


def _size(folder: Path) -> int:
    """Return the size of all files in bytes; hard links (last and best may be one file) count once."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            status = (Path(parent) / name).lstat()
            found[status.st_ino] = status.st_size
    return sum(found.values())


def _remove(folder: Path) -> None:
    """Rename the folder to a hidden name before deleting it, so that a kill leaves no partial run."""

    def fail() -> None:
        raise UserError(
            f"{folder} has been started by another process; it and the runs after it were not removed"
        )

    if not folder.exists():  # removed by another process
        return
    parents = [parent.absolute() for parent in folder.parents][:_LEVELS]
    with Run(folder).lock(fail):
        hidden = folder.with_name(f".{folder.name}.removed")
        shutil.rmtree(hidden, ignore_errors=True)
        folder.rename(hidden)
        shutil.rmtree(hidden)
    for parent in parents:
        if parent in (Path.cwd(), *Path.cwd().parents) or any(parent.iterdir()):
            break
        parent.rmdir()
