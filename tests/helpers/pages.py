"""The pages of docs/ as what they hold: the files they tell the reader to write and the commands they give."""

import re
import shlex
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
_FILE = re.compile(r"^`([\w./-]+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files(page: str) -> dict[str, str]:
    """Path -> content of every fenced block that stands under a line with nothing but a path in backquotes."""
    return dict(_FILE.findall((DOCS / page).read_text(encoding="utf-8")))


def commands(page: str) -> list[list[str]]:
    """Every command of the `sh` blocks as words; comments are gone."""
    blocks = _SHELL.findall((DOCS / page).read_text(encoding="utf-8"))
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]
