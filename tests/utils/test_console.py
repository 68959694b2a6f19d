"""What is printed: without control characters, whole, on every kind of stdout."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Group

from leyden.reporting.terminal.findings import with_override
from leyden.reporting.terminal.layout import WholeTree, facts, note, plain_table, text
from leyden.utils.console import Printer
from leyden.utils.text import printable, printable_json

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202ered\r\x00"
COMMAND = "leyden train " + " ".join(f"data.source.root=/a/rather/long/path/{i}" for i in range(9))


def printed(renderable: object, width: int) -> str:
    out, printer = io.StringIO(), Printer()
    printer.file, printer.width = out, width
    printer.print(renderable)
    return out.getvalue()


def everything(value: str) -> Group:
    table = plain_table(value, ("n", "right"), ("folded", "left"))
    table.add_column("copied", no_wrap=True)
    table.add_row("12345", "some words that are folded", text(value))
    tree = WholeTree(text(value))
    tree.add(text(value))
    return Group(table, tree, facts([("name", value)]), text(value), note(value))


def test_control_characters_are_not_printed() -> None:
    out = printed(everything(HOSTILE), 80)
    assert "red" in out
    assert not [character for character in out if character in HOSTILE and not character.isprintable()]
    assert printed(HOSTILE, 80).rstrip("\n").isprintable()


@pytest.mark.parametrize("width", [1, 20, 60, 80, 500])
def test_what_is_copied_is_whole_at_any_width(width: int) -> None:
    out = printed(everything(COMMAND), width)
    assert (
        out.count(COMMAND) >= 6
    )  # a cell, two labels, a fact, a line and a note; not the title of the table
    assert all(line == line.rstrip() for line in out.splitlines())


def test_names_that_are_no_utf8_are_shown() -> None:
    assert printable("acht-\udcc3\udcbc") == "acht-\u00fc"
    assert printable("\udcff \ud800") == "\ufffd \ufffd"
    assert printable_json('"\x9b\x7f\u00fc"') == '"\\u009b\\u007f\u00fc"'


def test_advice_stays_words_of_one_command() -> None:
    assert (
        with_override(["leyden", "train", "seed=1"], "seed=2 ; touch x") == "leyden train seed=2 ';' touch x"
    )
    assert with_override(["leyden", "train"], "a='") == "leyden train 'a='\"'\"''"
    assert with_override(["leyden", "train"], "'a=[1, 2]' b=3") == "leyden train 'a=[1, 2]' b=3"


PROGRAM = """
import sys
from leyden.cli.main import command
from leyden.cli import main as module
from leyden.utils.console import console
def own(arguments=None):
    for i in range(20_000):
        console.print("caf\\u00e9", i)
    print("end")
    open(sys.argv[1], "w").write("went on")
    return 0
module.main = own
sys.exit(command())
"""


@pytest.mark.parametrize(
    "shell", ["PROGRAM | head -1", "PROGRAM >&-", "PROGRAM >/dev/null", "PROGRAM <&- >&- | cat"]
)
def test_no_stdout_ends_a_command(shell: str, tmp_path: Path) -> None:
    program = f"'{sys.executable}' '{tmp_path / 'program.py'}' '{tmp_path / 'done'}'"
    (tmp_path / "program.py").write_text(PROGRAM)
    line = f"set -o pipefail; {shell.replace('PROGRAM', program)}"
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "done").read_text() == "went on"
    assert done.stdout in ("", "caf\\xe9 0\n")
