"""Every notebook runs from its first cell to its last, proves what it says, and leaves nothing behind."""

import ast
import re
from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from traitlets import default

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SLOW = ("why_does_it_fail",)  # trains for most of a minute
CELL_SECONDS = 120
MOST_BYTES = 200_000
MACHINE_PATH = re.compile(r"(?<![\w.])/(home|root|tmp|Users|usr|opt|var|mnt|work|private)/")


class ThisInterpreter(AsyncKernelManager):
    """Knows no kernel but that of the running interpreter, whatever the user has installed."""

    @default("kernel_spec_manager")
    def _only_native(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[])


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def asserts(source: str) -> int:
    """How many assert statements a code cell has at its own level, where they cannot be passed by."""
    python = "\n".join(line for line in source.splitlines() if not line.startswith(("%", "!")))
    blocks = [node for node in ast.parse(python).body if not isinstance(node, ast.FunctionDef)]
    return sum(isinstance(node, ast.Assert) for block in blocks for node in ast.walk(block))


def asserts_by_section(notebook: Any) -> dict[str, int]:
    """Of each heading that has code below it."""
    heading, found = "", Counter[str]()
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("#"):
            heading = cell.source.splitlines()[0]
        elif cell.cell_type == "code":
            found[heading] += asserts(cell.source)
    return dict(found)


def printed(cell: Any) -> str:
    """The text of a cell's outputs."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "".join(texts)


def test_there_are_notebooks() -> None:
    assert "from_formulas_to_a_run.ipynb" in [path.name for path in NOTEBOOKS]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=pytest.mark.slow if path.stem in SLOW else ())
        for path in NOTEBOOKS
    ],
)
def test_it_runs_and_leaves_nothing_behind(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "LEYDEN_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    beside = tmp_path / "beside"
    beside.mkdir()
    notebook = read(path)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        kernel_manager_class=ThisInterpreter,
        timeout=CELL_SECONDS,
        resources={"metadata": {"path": str(beside)}},
    )
    client.execute()  # raises at the first cell that fails
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    assert not [o for cell in code(notebook) for o in cell.outputs if o.output_type == "error"]
    assert list(beside.iterdir()) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_stored_outputs_are_whole_small_and_of_no_machine(path: Path) -> None:
    notebook = read(path)
    assert notebook.metadata.kernelspec.name == "python3"
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    assert path.stat().st_size < MOST_BYTES
    outputs = "".join(str(cell.outputs) for cell in code(notebook))
    assert not MACHINE_PATH.search(outputs)
    assert "Traceback" not in outputs
    assert '"stderr"' not in outputs


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_section_proves_what_it_says(path: Path) -> None:
    sections = asserts_by_section(read(path))
    numbered = {name: count for name, count in sections.items() if re.match(r"#+ (\d|The same)", name)}
    assert len(numbered) >= 2
    assert all(numbered.values()), numbered


def test_the_four_formulas_and_the_gates_are_compared_and_the_difference_shown() -> None:
    notebook = read(FOLDER / "from_formulas_to_a_run.ipynb")
    compared = [cell for cell in code(notebook) if "assert difference < 1e-6" in cell.source]
    assert len(compared) == 5
    for cell in compared:
        shown = [float(x) for x in re.findall(r"largest difference (\S+)", printed(cell))]
        assert shown
        assert max(shown) < 1e-6
    formulas = [c.source for c in notebook.cells if c.cell_type == "markdown" and "$$" in c.source]
    assert len(formulas) >= 5


def test_an_assert_that_could_be_passed_by_does_not_count() -> None:
    assert asserts("assert x\nfor y in z:\n    assert y") == 2
    assert asserts("%matplotlib inline\ndef f():\n    assert x") == 0
