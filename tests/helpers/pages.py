"""README and the pages of docs/ as what they hold: files that they tell the reader to write, and commands."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = ["../README.md", *sorted(path.name for path in DOCS.glob("*.md"))]
_FILE = re.compile(r"^`([\w./-]+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`((?:leyden|scripts/\w+|tensorboard|pip) [^`]*)`(?!`)")
_LIKE_A_COMMAND = re.compile(r"^ {4} *(leyden|scripts/\w+|tensorboard|pip|srun) .*", re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """A command as printed, one line or several joined by backslashes.

    Attributes:
        words: as the shell splits it, comments left out.
        status: the exit status that its comment announces, "# ... status 1", or 0.
        inline: whether it stands in the text, not in a block.
    """

    words: tuple[str, ...]
    status: int = 0
    inline: bool = False

    def __str__(self) -> str:
        return shlex.join(self.words)


def files(page: str) -> dict[str, str]:
    """Path -> content of every fenced block that stands under a line with nothing but a path in backquotes."""
    return dict(_FILE.findall(_text(page)))


def commands(page: str) -> list[list[str]]:
    """The words of every command of the page's shell blocks."""
    return [list(command.words) for command in printed(page) if not command.inline]


def printed(page: str) -> Iterator[Command]:
    """Every command of the `sh` blocks, then those in the text.

    Of the text only what has arguments and leaves none out by "...": `leyden check data` is the name of a command.
    """
    text = _text(page)
    for language, block in _FENCED.findall(text):
        for line in block.replace("\\\n", " ").splitlines() if language == "sh" else ():
            if words := shlex.split(line, comments=True):
                announced = re.search(r"#.*\bstatus (\d)", line)
                yield Command(tuple(words), int(announced.group(1)) if announced else 0)
    for quoted in _INLINE.findall(_FENCED.sub("", text)):
        words = shlex.split(quoted)
        if any("=" in word or word.startswith("-") for word in words[1:]) and "..." not in quoted:
            yield Command(tuple(words), inline=True)


def strays(page: str) -> list[str]:
    """Lines that look like a command and stand in no `sh` block, where the tests would not find them."""
    rest = _FENCED.sub(lambda block: "" if block[1] == "sh" else indent(block[2], "    "), _text(page))
    return [found.group() for found in _LIKE_A_COMMAND.finditer(rest)]


def _text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")
