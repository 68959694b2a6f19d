"""The order of imports and the other rules of docs/architecture.md, held over every file of the package."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import leyden
from leyden.data.modalities import MODALITIES

ROOT = Path(leyden.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# Low to high: a package may import itself and what stands before it, lazily and for types, too.
LAYERS = (
    *(
        "utils",
        "metrics",
        "nets",
        "losses",
        "optim",
        "decision",
        "data",
        "tasks",
        "config",
        "modules",
        "profiling",
    ),
    *(
        "health",
        "imbalance",
        "runs",
        "reporting",
        "tuning",
        "callbacks",
        "training",
        "inference",
        "interpretation",
        "sweeps",
    ),
    "cli",
)
TOP = {"leyden", "leyden.__main__"}  # re-export from, and start, whatever they want; imported by nobody
TOP_ENTRIES = 26
FUNCTION_LINES, FILE_LINES, INIT_LINES = 60, 400, 20

# place -> the packages outside Leyden that it must not import
WITHOUT = {
    **dict.fromkeys(("nets", "losses", "optim"), ("lightning",)),
    **dict.fromkeys(
        ("metrics", "decision", "imbalance/class_prior.py", "data/sampler.py", "data/sampling_policies.py"),
        ("torch", "lightning"),
    ),
}
# Names that Lightning and Hydra do not promise are read here only.
INTERNALS = {"config/hydra_internals.py", "utils/lightning_internals.py", "utils/training_step.py"}
INTERNAL_NAMES = re.compile(
    r"hydra\._internal|lightning\S* import _|\b(fit_loop|epoch_loop|_child_processes|_current_fx_name|_defaults)\b"
)


def dotted(path: Path) -> str:
    return ".".join(("leyden", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {dotted(path): path for path in FILES}


def imported(name: str, tree: ast.AST, known: set[str], package: str) -> Iterator[str]:
    """The modules of `known` that a file names: imported in any form and place, or written as a string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            found = [f"{base}.{a.name}" if f"{base}.{a.name}" in known else base for a in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = re.findall(r"\A(leyden(?:\.\w+)+)\Z", node.value)
            found = [longest(each, known) for each in found]
        else:
            continue
        yield from (each for each in found if each in known and each != name)


def longest(path: str, known: set[str]) -> str:
    """The module that a dotted path to a class or function begins with."""
    while path not in known and "." in path:
        path = path.rpartition(".")[0]
    return path


def graph(files: dict[str, tuple[str, bool]]) -> dict[str, set[str]]:
    """Module -> modules it imports. files: name -> (text, whether it is an `__init__`)."""
    found = {}
    for name, (text, is_package) in files.items():
        package = name if is_package else name.rpartition(".")[0]
        found[name] = set(imported(name, ast.parse(text), set(files), package))
    return found


def faults(imports: dict[str, set[str]]) -> list[str]:
    """Every import that goes up, a module that stands in no layer, and the first circle."""
    wrong = []
    for name, others in imports.items():
        own = level(name)
        if own is None:
            wrong.append(f"{name} stands in no package of LAYERS")
            continue
        for other in others:
            above = level(other)
            if above is None or above > own:
                wrong.append(f"{name} imports {other}")
    try:
        list(TopologicalSorter(imports).static_order())
    except CycleError as error:
        wrong.append(" -> ".join(error.args[1]))
    return sorted(wrong)


def level(name: str) -> int | None:
    """Where a module stands in the order; None: nowhere."""
    if name in TOP:
        return len(LAYERS)
    package = name.split(".")[1]
    return LAYERS.index(package) if package in LAYERS else None


def sources() -> dict[str, tuple[str, bool]]:
    return {n: (p.read_text(encoding="utf-8"), p.name == "__init__.py") for n, p in MODULES.items()}


def test_enough_files_are_seen() -> None:
    assert len(FILES) > 200
    assert len(graph(sources())["leyden.training.fit"]) > 5


def test_imports_go_down_and_in_no_circle() -> None:
    assert faults(graph(sources())) == []


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("utils.errors", "from leyden.training import build"),
        ("utils.errors", "from leyden.training.build import data"),
        ("utils.errors", "import leyden.training.build"),
        ("utils.errors", "def f():\n    from leyden import training"),
        ("utils.errors", "if TYPE_CHECKING:\n    from leyden.cli import main"),
        ("utils.errors", "from ..training import build"),
        ("utils.errors", "import_module('leyden.cli.main')"),
        ("utils.errors", "VERB = 'leyden.cli.main'"),
        ("utils.errors", "FUNCTION = 'leyden.training.build.data'"),
        ("utils.errors", "def f():\n    from leyden.utils import console"),  # which imports errors: a circle
        ("newcomer", "x = 1"),  # a file beside the packages
    ],
)
def test_each_way_around_the_order_is_seen(where: str, line: str) -> None:
    files = sources()
    assert faults(graph(files)) == []
    name = f"leyden.{where}"
    if where == "utils.errors" and "console" in line:
        files["leyden.utils.console"] = ("from leyden.utils import errors", False)
    files[name] = (f"{files[name][0] if name in files else ''}\n{line}\n", False)
    assert faults(graph(files))


def test_the_top_holds_packages() -> None:
    entries = [p.name for p in ROOT.iterdir() if p.name != "__pycache__"]
    files = {name for name in entries if (ROOT / name).is_file()}
    assert files == {"__init__.py", "__main__.py", "py.typed"}
    assert len(entries) + len({"conf"}) <= TOP_ENTRIES  # conf: put in by the wheel


def test_every_package_says_what_it_is() -> None:
    for folder in {path.parent for path in FILES}:
        init = folder / "__init__.py"
        assert init.exists(), folder
        assert ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))), init


@pytest.mark.parametrize("path", [p for p in FILES if p.name == "__init__.py"], ids=dotted)
def test_an_init_re_exports_only(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    kinds = (ast.Import, ast.ImportFrom, ast.Expr, ast.Assign, ast.If)
    assert path.parent == ROOT or all(isinstance(node, kinds) for node in ast.parse(text).body)
    assert path.parent == ROOT or len(text.splitlines()) <= INIT_LINES


def test_functions_and_files_can_be_read_at_once() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= FILE_LINES, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES, f"{path}: {node.name}"


def test_a_percentage_is_written_in_one_way() -> None:
    """By `percent`, or with a space before the sign as it does: not by Python's format, which writes 6.1%."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
                assert not ast.unparse(node.format_spec).endswith("%'"), f"{path}: line {node.lineno}"


def outside(path: Path) -> set[str]:
    """The packages that a file imports when it is run; not those named for types alone."""
    names = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) not in for_types and isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif id(node) not in for_types and isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("place", WITHOUT)
def test_what_is_plain_stays_plain(place: str) -> None:
    files = [p for p in FILES if p.relative_to(ROOT).as_posix().startswith(place)]
    assert files, place
    for path in files:
        assert not outside(path) & set(WITHOUT[place]), path


def users_of(pattern: str) -> set[str]:
    found = re.compile(pattern, re.M)
    return {p.relative_to(ROOT).as_posix() for p in FILES if found.search(p.read_text(encoding="utf-8"))}


def test_hydra_is_met_in_few_places() -> None:
    users = users_of(r"^\s*(from|import) hydra\b")
    assert {name.split("/")[0] for name in users} <= {"config", "sweeps"}
    assert users_of(r"hydra\.utils|from hydra import.*\butils\b") == set(), "Hydra calls no target of a run"


def test_what_frameworks_do_not_promise_is_in_three_files() -> None:
    found = {
        p.relative_to(ROOT).as_posix() for p in FILES if INTERNAL_NAMES.search(p.read_text(encoding="utf-8"))
    }
    assert found == INTERNALS


def test_only_the_data_layer_has_a_datamodule() -> None:
    assert users_of(r"\bLightningDataModule\)") == {"data/datamodule.py"}


# Where it may matter how inputs are stored, and which modality they are of.
STORAGE = {f"data/{name}.py" for name in ("table", "cache", "loader", "datamodule", "token_ids")}
STORED_AS = {"Dense", "Ragged"}


def has_own_modality(name: str) -> bool:
    """Whether a file is of one modality, or lists them."""
    return name == "data/modalities.py" or bool(set(Path(name).stem.split("_")) & set(MODALITIES))


def names_of_modalities(tree: ast.AST) -> Iterator[int]:
    """Lines that compare with the name of a modality, or a modality with any name; also as a case of a match."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [inner for side in (node.left, *node.comparators) for inner in ast.walk(side)]
        elif isinstance(node, ast.MatchValue):
            sides = list(ast.walk(node))
        else:
            continue
        literals = {x.value for x in sides if isinstance(x, ast.Constant) and isinstance(x.value, str)}
        called = {getattr(x, "attr", getattr(x, "id", "")) for x in sides}
        if literals & set(MODALITIES) or (literals and "modality" in called):
            yield node.lineno if isinstance(node, ast.Compare) else node.value.lineno


def kinds_of_storage(tree: ast.AST) -> Iterator[int]:
    """Lines with isinstance(..., Dense | Ragged)."""
    for node in ast.walk(tree):
        is_check = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance"
        inner = [getattr(x, "attr", getattr(x, "id", "")) for x in ast.walk(node)] if is_check else []
        if STORED_AS & set(inner):
            yield node.lineno  # type: ignore[attr-defined]


def test_modalities_are_asked_and_not_compared() -> None:
    found = []
    for path in FILES:
        name, tree = path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))
        if not has_own_modality(name):
            found += [f"{name}:{line}" for line in names_of_modalities(tree)]
            found += [f"{name}:{line}" for line in (() if name in STORAGE else kinds_of_storage(tree))]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        *(
            "data.modality == 'eeg'",
            "'text' != kind",
            "spec.modality in ('image', other)",
            "modality.name != 'x'",
        ),
        *("f(isinstance(x, Dense))", "isinstance(x, (FileColumn, table.Ragged))"),
        "match kind:\n    case 'audio':\n        pass",
    ],
)
def test_each_way_of_comparing_modalities_is_seen(line: str) -> None:
    tree = ast.parse(line)
    assert [*names_of_modalities(tree), *kinds_of_storage(tree)]


def test_other_comparisons_are_not_taken_for_it() -> None:
    tree = ast.parse(
        "wanted in ('any', data)\nmodality not in makers\nisinstance(x, FileColumn)\nx == 'texts'"
    )
    assert not [*names_of_modalities(tree), *kinds_of_storage(tree)]


@pytest.mark.parametrize(
    "place",
    [
        *("runs", "reporting", "config", "cli/main.py", "cli/arguments.py", "cli/list.py"),
        *("cli/completion.py", "cli/runs.py", "cli/remove_runs.py", "cli/report.py"),
    ],
)
def test_what_must_start_fast_imports_no_torch(place: str) -> None:
    names = [n for n, p in MODULES.items() if p.relative_to(ROOT).as_posix().startswith(place)]
    code = f"import sys; [__import__(n) for n in {names}]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
