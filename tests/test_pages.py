"""Every command that README and the pages of docs/ print, as printed, page by page.

What is cheap is run; a training runs for 40 small batches of tiny data. What takes longer (a sweep, a search, the
finders, the checks of a model) is planned, or composed and checked like a training, and run under `slow`. A program
or a command of Leyden's that no function here knows fails, so that no command of a page escapes.
"""

import argparse
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

import pages
import run_folders
import tiny_data
from leyden.cli.main import main
from leyden.config.compose import compose, config_dirs_of
from leyden.config.validate import check
from pages import ROOT, Command
from words import last_of_each

QUICK = ["trainer=cpu", "threads=1", "logger=none"]
SHORT = [
    "trainer.max_epochs=2",
    "trainer.limit_train_batches=40",
    "batch_size=8",
]  # two: margins leave the first out
SMALL = {  # of sources that make their samples: fewer of them
    "av_digits": ["data.source.samples=60", "data.source.test_samples=30"],
    "av_digits_contrastive": ["data.source.samples=60", "data.source.test_samples=30"],
    "digits_ctc": ["data.source.strings=60", "data.source.test_strings=30"],
    "digits_ctc_speakers": ["data.source.strings=60", "data.source.test_strings=30"],
    "fsdd_mixed": ["data.source.mixes=60", "data.source.test_mixes=30"],
    "mnist_angle": ["data.source.samples=150", "data.source.test_samples=30"],
    "mnist_pairs": ["data.source.pairs=60", "data.source.test_pairs=30"],
}
LONG = ("check resume", "check model", "check explain", "find lr", "find batch_size", "profile")
OPTIONAL = re.compile(r"logger=\[?(\w+,)*(mlflow|wandb)\b.*")  # packages that there may not be
OTHER_DEVICES = ("trainer=gpu", "trainer=ddp", "trainer.devices=", "trainer.accelerator=gpu")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages take for granted: data sets, the files that they tell the reader to write, and some runs."""
    root = tmp_path_factory.mktemp("pages")
    (root / "data").mkdir()
    for write in tiny_data.WRITERS.values():
        write(root / "data")
    (root / "data" / "fsdd_espeak").symlink_to(
        root / "data" / "fsdd"
    )  # as scripts/synthetic_speech writes it
    runpy.run_path(str(ROOT / "scripts/make_own_data.py"))["main"]([str(root / "my_data")])
    for page in pages.PAGES:
        for name, content in pages.files(page).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content, encoding="utf-8")
    for folder in ("my_package/my_package", "my_package/my_package/conf"):
        (root / folder / "__init__.py").touch()
    assert main(["train", *QUICK, *SHORT, f"runs={root / 'runs'}"]) == 0
    for model in ("linear", "mlp"):
        for seed in (2, 3):
            run_folders.write(root / "runs", model=model, seed=seed)
    run_folders.write(root / "runs", model="gru", status="failed")
    lesson(root / "runs" / "lesson-overfitting")
    return root


def lesson(runs: Path) -> None:
    """Two runs of the sweep of lessons.md that is too long for this test, as its report asks for them."""
    base = [
        "model=mlp",
        "model.net.hidden=[512,512]",
        "model.net.dropout=0",
        "optimizer=adamw",
        "batch_size=16",
        "split=stratified",
    ]
    base += ["optimizer.weight_decay=0", "split.test=0.9", "split.val=0.05", "monitor=epoch", f"runs={runs}"]
    for remedies in ([], ["model.module.l1=0.001", "augment=affine"]):
        assert main(["train", *last_of_each([*QUICK, *SHORT, *base, *remedies])]) == 0


@pytest.fixture
def here(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with all that; what a command imports from it is forgotten."""
    for path in prepared.iterdir():
        if path.name == "runs":
            shutil.copytree(path, tmp_path / "runs")
        else:
            (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


@pytest.mark.parametrize("page", pages.PAGES)
def test_a_command_stands_in_a_block_of_the_shell(page: str) -> None:
    assert pages.strays(page) == []


@pytest.mark.parametrize("page", [page for page in pages.PAGES if any(pages.printed(page))])
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["quick", "whole"])
def test_every_command_works_as_printed(
    page: str, whole: bool, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in pages.printed(page):
        wanted = 0 if "-m" in command.words and not whole else command.status  # a sweep is planned alone
        status = run(command, whole or wanted > 0)
        said = capsys.readouterr()
        found = status == 1 and command.words[1] in ("doctor", "check")  # an error in what was looked at
        assert found or status == wanted, f"{command}: status {status}\n{said.out[-2000:]}{said.err}"


def run(command: Command, whole: bool) -> int:
    """The exit status of a command, or of what stands for it."""
    program, *words = substituted(command.words)
    for name, function in PROGRAMS.items():
        if re.fullmatch(name, program):
            return function(program, words, whole)
    pytest.fail(f"{command}: no function of this test knows {program}")


def substituted(words: tuple[str, ...]) -> list[str]:
    """The words with what the page leaves to the reader (RUN: the newest), and with file names for patterns."""

    def age(path: Path) -> tuple[bool, float]:
        return path.with_name("config.yaml").exists(), path.stat().st_mtime  # those with weights come last

    finished = sorted(Path("runs").glob("*/*/result.json"), key=age)
    given = {"FOLDER": "runs", "DATA": "data", "OPTION": "calibrated"}
    given |= {"RUN": str(finished[-1].parent), "OTHER": str(finished[0].parent)}
    named = [re.sub(r"\b[A-Z]{3,}\b", lambda found: given.get(found[0], found[0]), word) for word in words]
    expanded = [
        sorted(map(str, Path().glob(word))) if "*" in word and "=" not in word else [] for word in named
    ]
    return [name for word, names in zip(named, expanded, strict=True) for name in names or [word]]


def leyden(program: str, words: list[str], whole: bool) -> int:
    """A command of Leyden's."""
    name, *rest = words
    if name == "train":
        return training(rest, whole)
    elsewhere = any(word.startswith(OTHER_DEVICES) for word in words)
    learned = words[:2] == [
        "check",
        "explain",
    ]  # asks for a net that has learned, which 40 batches do not make
    if " ".join(words[:2]).startswith(LONG) and (elsewhere or learned or not whole):
        return checked(rest)
    if name == "errors" and "--html" in words and not whole:
        words = [*words, "--heat", "none"]
    asks = words[:2] in (["runs", "rm"], ["cache", "rm"]) and "--yes" not in words
    return main([*words, *(["--yes"] if asks else [])])


def training(words: list[str], whole: bool) -> int:
    """A training of 40 batches, or the plan of a sweep; with devices or packages that there may not be, its check."""
    here = [word for word in words if not word.startswith(("hydra/", "hydra."))]
    if any(word.startswith(("--cfg", "-sc")) for word in words):
        return main(["train", *here])
    optional = any(OPTIONAL.fullmatch(word) for word in words)
    if "-m" in words and (optional or not (whole and here == words)):
        one_seed = [re.sub(r"^(seed=\d+)[,\d]+$", r"\1", word) for word in here]
        return main(["train", "--plan", *one_seed])
    if optional or any(word.startswith(OTHER_DEVICES) for word in words):
        return checked(words)
    own = {word.partition("=")[0] for word in words} - {"trainer.max_epochs"}
    small = next((SMALL[name] for name in SMALL if f"experiment={name}" in words), [])
    searched = ["sweep.trials=2"] if any(word.startswith("sweep=") for word in words) else []
    own |= {"batch_size"} if searched else set()
    longer = ["trainer.max_epochs=3"] if any(word.startswith("continue=") for word in words) else []
    added = [
        word for word in (*QUICK, *SHORT, *small, *searched, *longer) if word.partition("=")[0] not in own
    ]
    return main(["train", *last_of_each([*words, *added])])


def checked(words: list[str]) -> int:
    """Compose and check a configuration: all that is done before data are read and a net is built."""
    overrides = [word for word in words if "=" in word and not word.startswith("-")]
    check(compose(overrides, config_dirs_of(words)))
    return 0


class Parsed(Exception):
    """The arguments of a script are valid."""


def script(program: str, words: list[str], whole: bool) -> int:
    """One of scripts/: it is there and takes these arguments."""
    path = ROOT / program
    assert path.stat().st_mode & 0o100, f"{program} cannot be executed"
    source = path.with_suffix(".py")
    if not source.exists() or "ArgumentParser" not in source.read_text(encoding="utf-8"):
        return 0

    def parse(parser: argparse.ArgumentParser, arguments: list[str] | None = None) -> NoReturn:
        parser.parse_known_args(arguments)
        raise Parsed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(source), *words])
        patch.syspath_prepend(str(source.parent))  # as Python does for a script
        for way in ("parse_args", "parse_intermixed_args"):
            patch.setattr(argparse.ArgumentParser, way, parse)
        try:
            runpy.run_path(str(source), run_name="__main__")
        except Parsed:
            return 0
        except SystemExit as end:
            return int(end.code or 0)
    pytest.fail(f"{program} parses no arguments")


def pip(program: str, words: list[str], whole: bool) -> int:
    """Install a package that the page tells to write; of this package, look whether it has the extra."""
    command, what = words
    if Path(what, "pyproject.toml").exists():
        options = ["-q", "--no-deps", "--no-build-isolation", "--no-index", "--target", "site"]
        sys.path.insert(0, str(Path("site").absolute()))
        return subprocess.run([sys.executable, "-m", "pip", command, *options, what], check=False).returncode
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [f"leyden[{name}]" for name in project["optional-dependencies"]]
    return 0 if command == "install" and what in extras else 2


def python(program: str, words: list[str], whole: bool) -> int:
    """A file that the page tells to write."""
    runpy.run_path(words[0])
    return 0


def tensorboard(program: str, words: list[str], whole: bool) -> int:
    """A folder of runs is shown."""
    return 0 if words[0] == "--logdir" and Path(words[1]).is_dir() else 2


def tracker(program: str, words: list[str], whole: bool) -> int:
    """MLflow's and W&B's own program: looked at where it is installed, which the tests do not ask for."""
    return 0 if words[0] in ("ui", "sync") else 2


def source(program: str, words: list[str], whole: bool) -> int:
    """The environment that scripts/bootstrap makes."""
    return 0 if words == [".venv/bin/activate"] and ".venv" in (ROOT / "scripts/bootstrap").read_text() else 2


def shell(program: str, words: list[str], whole: bool) -> int:
    """`eval "$(command)"`, or a command that srun starts."""
    line = " ".join(words)
    inner = line.removeprefix("$(").removesuffix(")") if program == "eval" else line[line.index("leyden") :]
    return leyden("leyden", inner.split()[1:], whole)


PROGRAMS: dict[str, Callable[[str, list[str], bool], int]] = {
    "leyden": leyden,
    r"scripts/\w+": script,
    "pip": pip,
    "python": python,
    "tensorboard": tensorboard,
    "mlflow|wandb": tracker,
    "source": source,
    "eval|srun": shell,
}
