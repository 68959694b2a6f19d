"""Text of strangers in exports: no formula in CSV, no markup in Markdown, no script in the page."""

import csv
import doctest
import io
import re
from pathlib import Path

import pytest

from leyden.cli.main import main
from leyden.reporting import csv_text as csv_module
from leyden.reporting.csv_text import csv_text
from leyden.reporting.markdown import Markup, code, escape, table
from leyden.reporting.terminal.findings import markdown
from run_folders import write

HOSTILE = "=cmd|' /C calc'!A0 <script>x</script> \"'><img src=x> ![p](http://x) `c` *b* \x1b[31m\n# h"


def test_the_examples_hold() -> None:
    done = doctest.testmod(csv_module)
    assert done.attempted
    assert not done.failed


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", "\n=", "\uff1d", "\uff0b"])
def test_no_cell_is_a_formula(start: str) -> None:
    ((cell,),) = csv.reader(io.StringIO(csv_text([[f"{start}x"]])))
    assert cell.startswith("'")
    assert "\r" not in cell


def test_numbers_stay_numbers() -> None:
    values = [-1, -0.5, 1e-9, None, "-3", "+2", "-1e-3", "nan", True]
    ((*found,),) = csv.reader(io.StringIO(csv_text([values])))
    assert found == ["-1", "-0.5", "1e-09", "", "-3", "+2", "-1e-3", "nan", "True"]


def test_markdown_of_foreign_text_is_text() -> None:
    assert escape("a_b 0.5 [0.4, 0.6] -0.3") == "a_b 0.5 [0.4, 0.6] -0.3"
    for text in ("*b*", "_i_", "`c`", "~s~", "$x$", "a|b", r"\*"):
        assert re.sub(r"\\([\\*_`~$|])", "", escape(text)) != text
        assert not re.search(r"(?<!\\)[*`~$|]", escape(text).replace("\\\\", ""))
    assert escape("![p](http://x)") == r"\!\[p\](http://x)"
    assert escape("<b>&") == "&lt;b&gt;&amp;"
    assert escape("a\n# h") == "a # h"
    assert table(["x"], [[Markup("**b**")], ["**b**"]]).splitlines()[2:] == ["| **b** |", r"| \*\*b\*\* |"]
    assert code("a`b``c") == "``` a`b``c ```"


def test_findings_in_markdown_are_one_item_each() -> None:
    found = {"id": HOSTILE, "level": "error", "message": HOSTILE, "where": HOSTILE, "advice": [HOSTILE]}
    lines = markdown([found], ["leyden", "train"]).splitlines()
    assert len(lines) == 2
    assert not any("<script>" in re.sub(r"(`+).*?\1", "", line) for line in lines)


def test_a_report_of_hostile_names_is_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, model in (
        (1, "cnn"),
        (2, "cnn"),
        (3, HOSTILE[:40].replace("/", "")),
        (4, HOSTILE[40:].replace("/", "")),
    ):
        write(Path("runs"), seed=seed, model=model, experiment=HOSTILE, accuracy=0.8 + seed / 100)
    names = {"--html": "r.html", "--csv": "a.csv", "--csv-runs": "b.csv", "--markdown": "m.md"}
    assert main(["report", *(word for pair in names.items() for word in pair)]) == 0
    html, text = Path("r.html").read_text(), Path("m.md").read_text()
    assert "<script>x" not in html
    assert "<img" not in html + text
    assert "<script>" not in text
    assert "](http" not in text.replace(r"\](", "")
    for name in ("a.csv", "b.csv"):
        cells = [cell for row in csv.reader(io.StringIO(Path(name).read_text())) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "@", "+", "\t"))]
        assert any(cell.startswith("'=") for cell in cells)
    assert "\x1b" not in html + text + Path("a.csv").read_text() + Path("b.csv").read_text()
