"""docs/reference.md: every group, each of Leyden's own options, and the arguments of each as a table."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from leyden.config.reference import Argument, Option
from leyden.config.signatures import RANGES
from leyden.config.type_words import REQUIRED
from leyden.config.validate import is_ours
from leyden.reporting.markdown import Markup, table
from leyden.reporting.terminal.option_page import columns_of

T = TypeVar("T")

_LONG = 20  # beyond so many arguments, the documentation of a class that is not Leyden's is the place to look

_HEAD = """\
# Reference

The groups in the order in which one composes an experiment, Leyden's options of each, and what every option takes,
as one types it. `leyden list GROUP OPTION` prints the same of one option, yours too. Written by
`scripts/reference.py` from `conf/` and the signatures: change those, not this page.

A default is the option's own, else the signature's; what is required has none. What Leyden fills in, facts of the
data and parts of the run, is refused on the command line."""


def reference_page(groups: Mapping[str, Sequence[Option]]) -> str:
    """The page as Markdown. groups: name -> its options, in order."""
    links = ", ".join(f"[{group}](#{group.replace('/', '')})" for group in groups)
    sections = [_section(group, options) for group, options in groups.items()]
    return "\n\n".join([_HEAD, f"Groups: {links}", *sections]) + "\n"


def _section(group: str, options: Sequence[Option]) -> str:
    """A group: what all its options take in the same way, then each option with what is its own."""
    elsewhere = {path: name for option in options for path, name in _foreign(option).items()}
    rows = [_kept(option, _named(options), elsewhere) for option in options]
    shared, filled = _shared(rows), _shared([option.filled_lines for option in options])
    parts = [f"## {group}"]
    parts += [f"Every option of `{group}` takes:", _table(shared)] if shared else []
    parts += [f"`{path}` takes more: see `{name}`." for path, name in elsewhere.items()]
    parts += _paragraph(filled)
    for option, arguments in zip(options, rows, strict=True):
        parts += [f"### {group}={option.name}", "\n".join(option.file.comments)]
        own = [argument for argument in arguments if argument not in shared]
        parts += [_words(own) if option.file.is_global else _table(own)] if own else []
        parts += _paragraph([line for line in option.filled_lines if line not in filled])
    return "\n\n".join(parts)


def _paragraph(filled: Sequence[str]) -> list[str]:
    return ["\n".join(f"{line[:1].upper()}{line[1:]}." for line in filled)] if filled else []


def _words(arguments: Sequence[Argument]) -> str:
    """What an experiment stands for, as one would type it."""
    return f"Stands for `{' '.join(f'{argument.name}={argument.default}' for argument in arguments)}`."


def _foreign(option: Option) -> dict[str, str]:
    """Path -> full name of each target outside Leyden that takes more than belongs on this page."""
    found = {path: name for path, name in option.targets.items() if not is_ours(name)}
    counts = {path: sum(a.name.startswith(f"{path}.") for a in option.arguments) for path in found}
    return {path: name for path, name in found.items() if counts[path] > _LONG}


def _named(options: Sequence[Option]) -> set[str]:
    """What the YAML of any of the options sets."""
    return {argument.name for option in options for argument in option.arguments if argument.is_set}


def _kept(option: Option, named: set[str], elsewhere: Mapping[str, str]) -> list[Argument]:
    """The arguments that the page shows: of what is documented elsewhere those that Leyden's options or ranges name."""
    ranged = {f"{path}.{name}" for path in elsewhere for name in RANGES.get(path, {})}
    return [
        a
        for a in option.arguments
        if a.name in named | ranged or not any(a.name.startswith(f"{path}.") for path in elsewhere)
    ]


def _shared(of_options: Sequence[Sequence[T]]) -> list[T]:
    """What is the same in every option of a group of several."""
    if len(of_options) < 2:
        return []
    return [item for item in of_options[0] if all(item in others for others in of_options[1:])]


def _table(arguments: Sequence[Argument]) -> str:
    columns = columns_of(arguments)
    for header in ("argument", "default"):
        columns[header] = [cell if cell == REQUIRED else f"`{cell}`" for cell in columns[header]]
    rows = (tuple(map(_own_markup, row)) for row in zip(*columns.values(), strict=True))
    return table(tuple(columns), rows)


def _own_markup(cell: str) -> Markup:
    """Keep the Markdown of Leyden's own docstrings in a cell, but for what would end the cell or be taken for HTML."""
    return Markup(cell.replace("|", r"\|").replace("<", "&lt;").replace("\n", " "))
