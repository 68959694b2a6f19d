"""`leyden cache`: list the decoded data sets in the cache, remove some. They are decoded again when they are needed.

leyden cache                              all, the largest first
leyden cache rm 05b8 ImageFolder          by fingerprint, its beginning, a glob, or the source's name
leyden cache rm '*' --yes                 all
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from leyden.cli.arguments import Arguments, confirm
from leyden.config.compose import compose
from leyden.data.cache_entries import CacheEntry, entries, remove, select
from leyden.reporting.format import UNKNOWN, count
from leyden.reporting.terminal.layout import plain_table, text
from leyden.reporting.terminal.run_list import age
from leyden.reporting.terminal.run_page import size
from leyden.utils.console import console
from leyden.utils.text import plural

COMMANDS = ("list", "rm")


def main(arguments: Sequence[str]) -> int:
    """List, or remove with `rm`; returns exit status 1 if nothing was removed for want of a confirmation."""
    parser = Arguments(
        prog="leyden cache",
        description="List or remove decoded data sets. Leyden decodes them again when they are needed.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=COMMANDS, default="list", help="default: list")
    parser.add_argument(
        "entries", nargs="*", metavar="ENTRY", help="a fingerprint, its beginning, a glob, or a source's name"
    )
    parser.add_argument("--yes", "-y", action="store_true", help="remove without confirmation")
    parser.add_argument(
        "--cache", type=Path, metavar="FOLDER", help="the cache (default: that of `leyden train`)"
    )
    given = parser.parse_intermixed_args(arguments)
    cache = (given.cache or Path(compose([])["cache"])).expanduser()
    if given.command == "rm" and not given.entries:
        parser.error("the following arguments are required: ENTRY")
    found = select(given.entries, cache) if given.entries else entries(cache)
    _print(found, cache)
    if given.command == "list":
        return 0
    question = f"Remove {plural(len(found), 'data set')}, {size(sum(entry.bytes for entry in found))}?"
    if not confirm(question, given.yes):
        console.print("nothing removed")
        return 1
    for entry in found:
        remove(entry)
    console.print(f"removed {plural(len(found), 'data set')}")
    return 0


def _print(found: Sequence[CacheEntry], cache: Path) -> None:
    """A line for each entry, and their sum."""
    if found:
        columns = (
            ("source", "left"),
            ("inputs", "right"),
            ("size", "right"),
            ("age", "right"),
            ("fingerprint", "left"),
        )
        table = plain_table("", *columns)  # type: ignore[arg-type]
        now = time.time()
        for entry in found:
            inputs = UNKNOWN if entry.inputs is None else count(entry.inputs)
            old = age(max(now - entry.changed, 0.0))
            table.add_row(text(entry.source or UNKNOWN), inputs, size(entry.bytes), old, text(entry.name))
        console.print(table)
    total = size(sum(entry.bytes for entry in found))
    console.print(f"{plural(len(found), 'data set')} in {cache}, {total}", soft_wrap=True, markup=False)
