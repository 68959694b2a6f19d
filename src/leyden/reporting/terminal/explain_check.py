"""The planted test of attributions in the terminal."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType

from leyden.reporting.terminal.layout import note, plain_table, text
from leyden.runs.explain_check import ExplainCheck, Share

_COLUMNS = ("pointing", "mass", "untrained", "its mass")


def check_lines(found: ExplainCheck, folder: Path | None) -> Iterator[RenderableType]:
    """A table of the methods, what it is over, and what is not to be trusted.

    folder: of the run with which it is stored; None: with none.
    """
    table = plain_table("", ("method", "left"), *((c, "right") for c in _COLUMNS), ("", "left"))
    for name, one in found.methods.items():
        null = f"{one.untrained_pointing.value:.2f}", f"{one.untrained_mass:.2f}"
        numbers = map(text, (_share(one.pointing), f"{one.mass:.2f}", *null))
        trusted = text("trusted", "green") if one.is_trusted else text("not trusted", "yellow")
        table.add_row(text(name.replace("_", " ")), *numbers, trusted)
    yield table
    trained = f", after {found.epochs} epochs on it" if found.epochs else ""
    yield note(
        f"over {found.rows} rows of {found.data} answered rightly (accuracy {found.accuracy:.2f}{trained}). pointing: "
        "the map's highest unit lies in the planted signal; mass: share of the positive attribution in it; untrained: "
        "the pointing of the same net at random weights"
    )
    for name, one in found.methods.items():
        if not one.is_trusted:
            yield text(found.remark(name), "yellow")
    if folder is not None:
        yield text(f"stored with {folder}")
    else:
        yield note("stored with no run: leyden check explain RUN stores it, and `leyden explain` shows it")


def _share(share: Share) -> str:
    interval = "" if share.low is None or share.high is None else f" [{share.low:.2f}, {share.high:.2f}]"
    return f"{share.value:.2f}{interval}"
