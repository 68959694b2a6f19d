"""`leyden runs`: list, show, diff, rm, and errors."""

import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import leyden
from leyden.cli import main
from leyden.reporting.terminal.run_page import size
from leyden.runs.lookup import find_run
from leyden.runs.run import Run
from leyden.utils.console import console
from leyden.utils.errors import UserError
from run_folders import write

HOLD = (
    "import sys, pathlib; from leyden.runs.run import Run\n"
    "with Run(pathlib.Path(sys.argv[1])).lock(lambda: None):\n"
    "    print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six runs under runs/, in a working folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "_width", 100)  # it has read COLUMNS when it was made
    runs = tmp_path / "runs"
    write(runs, model="cnn", seed=1, accuracy=0.91, started="2026-01-03T12:00:00+0000")
    write(runs, model="cnn", seed=2, accuracy=0.93, started="2026-01-01T12:00:00+0000")
    write(runs, model="mlp", seed=1, accuracy=0.85, started="2026-01-02T12:00:00+0000", lr=0.01)
    write(runs, model="rnn", accuracy=0.8, made_with={"leyden": "0.0.1"}, started="2025-01-01T12:00:00+0000")
    write(runs, model="gru", status="failed", started="2024-01-01T12:00:00+0000")
    write(runs, model="lstm", status="interrupted", started="2024-01-01T11:00:00+0000")
    return runs


def output_of(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    """What `leyden runs ...` prints, on either stream."""
    assert main.main(["runs", *words]) == status
    shown = capsys.readouterr()
    return shown.err if status == 2 else shown.out


def listed_runs(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Model and seed of each run listed, in order."""
    rows = json.loads(output_of(capsys, *words, "--json"))
    return [f"{row['config']['model']['name']}{row['config']['seed']}" for row in rows]


# --- list ---


def test_the_table_has_a_line_per_run(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = output_of(capsys)
    for folder in (root / "default").iterdir():
        line = next(line for line in shown.splitlines() if f"default/{folder.name}" in line)
        model = folder.name.split("-")[1]
        state = {"gru": "failed", "lstm": "interrupted", "rnn": "stale"}.get(model, "complete")
        assert line.split()[0] == state
    cnn = next(line for line in shown.splitlines() if "cnn-seed2" in line)
    assert cnn.split()[3:7] == ["0.9300", "0.9300", "9.30", "s"]
    assert "6 runs under runs: 3 complete, 1 stale, 1 failed, 1 interrupted" in shown
    assert "leyden 0.0.1 -> " in shown
    assert output_of(capsys, "list") == shown


def test_order(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newest = ["cnn1", "mlp1", "cnn2", "rnn1", "gru1", "lstm1"]
    assert listed_runs(capsys) == newest
    assert listed_runs(capsys, "--sort", "metric") == ["cnn2", "cnn1", "mlp1", "rnn1", "gru1", "lstm1"]
    assert listed_runs(capsys, "--sort=cost") == ["cnn2", "cnn1", "mlp1", "rnn1", "gru1", "lstm1"]


def test_lower_is_better_for_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, accuracy in ((1, 0.7), (2, 0.9), (3, 0.8)):
        write(tmp_path / "runs", seed=seed, accuracy=accuracy, monitor="val/loss")
    assert listed_runs(capsys, "--sort=metric") == ["cnn2", "cnn3", "cnn1"]
    rows = json.loads(output_of(capsys, "seed=2", "--json"))
    assert rows[0]["test"] == pytest.approx(0.1)  # of the test split


def test_filters_and_folder(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed_runs(capsys, "model=cnn", "seed=2") == ["cnn2"]
    assert listed_runs(capsys, "--sort", "metric", "optimizer.lr>.001", "runs/default") == ["mlp1"]
    assert output_of(capsys, "model=cnn", "seed=9").strip() == "no run under runs with model=cnn seed=9"


def test_other_folders_are_not_listed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "conf").mkdir()
    (root / "conf" / "config.yaml").write_text("a: 1\n")
    assert "conf" not in output_of(capsys)


def test_a_damaged_run_is_listed_with_its_problem(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(root, model="m5")
    (folder / "result.json").write_text("{")
    shown = output_of(capsys)
    assert "damaged" in shown
    assert "result.json is damaged" in shown


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["shwo", "x"], "did you mean 'show'"),
        (["nowhere"], "there is no such folder"),
        (["sed=1"], "did you mean 'seed'"),
        (["--srt=age"], "did you mean '--sort'"),
        (["show", "zz"], "no run with this name or fingerprint under runs"),
        (["show", "digits-cnn-sed1"], "did you mean 'digits-cnn-seed"),
        (["show", "digits-cnn"], "2 runs match"),
        (["show", "636e", "--runs", "elsewhere"], "there is no folder elsewhere"),
        (["diff", "digits-mlp"], "required: B"),
        (["rm"], "required: RUN"),
        (["rm", "runs"], "is a folder of runs, not a run"),
        (["rm", "zz", "--yes"], "no run with this name"),
        (["rm", "model=mlp"], "no terminal for the confirmation; use --yes"),
    ],
)
def test_invalid_arguments(
    root: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    expected: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    message = output_of(capsys, *words, status=2)
    assert expected in message
    assert len([line for line in message.splitlines() if not line.startswith("  ")]) == 1
    assert len(list((root / "default").iterdir())) == 6


def test_a_missing_runs_folder_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "`leyden train` creates it" in output_of(capsys, status=2)


@pytest.mark.parametrize("command", [[], ["show"], ["diff"], ["rm"]])
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main.main(["runs", *command, "--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: leyden runs {' '.join(command)}".rstrip())
    assert max(map(len, shown.splitlines())) <= 120


# --- show, diff ---


def test_a_run_by_folder_glob_fingerprint_and_prefix(root: Path) -> None:
    folder = next(root.glob("*/digits-mlp-*"))
    fingerprint = folder.name.rpartition("-")[2]
    short = Path("runs")
    for word in (
        str(folder),
        f"runs/default/{folder.name}",
        "runs/*/digits-mlp-*",
        "*mlp*",
        fingerprint,
        fingerprint[:5],
        "digits-mlp",
        f"default/{folder.name}",
    ):
        assert find_run(word, short).folder.resolve() == folder, word


def test_last_is_the_run_that_was_started_last(root: Path) -> None:
    newest = find_run("last", root)
    assert newest.name.startswith("digits-cnn-seed1-")
    newest.folder.rename(newest.folder.with_name("last-one"))
    write(root, model="cnn", seed=9, started="2026-05-01T12:00:00+0000").rename(root / "default" / "last")
    assert find_run("last-", root).name == "last-one"
    assert find_run("last", root).name == "last", "a name that is typed in full comes first"


def test_every_verb_finds_a_run_by_the_same_words(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each hands the folder of the run on; what it does with the run is tested elsewhere."""
    newest, elsewhere = find_run("last", root).folder, str(root.rename(root.with_name("elsewhere")))
    seen: list[Path] = []

    def noted(folder: Path, *_: object, **__: object) -> None:
        seen.append(Path(folder))
        raise UserError("seen")

    for name in ("cli.evaluate.evaluate", "cli.predict.predict", "inference.load.config_of"):
        monkeypatch.setattr(f"leyden.{name}", noted)
    monkeypatch.setattr("leyden.inference.model.load", noted)
    for verb, *more in (["evaluate"], ["predict", "a.png"], ["replay"]):
        assert main.main([verb, "last", *more, "--runs", elsewhere]) == 2
    with pytest.raises(UserError, match="seen"):
        leyden.load("last", runs=elsewhere)
    assert seen == [Path(elsewhere, *newest.parts[-2:])] * 4
    assert main.main(["doctor", newest.name.rpartition("-")[2], "--runs", elsewhere]) == 0
    report = leyden.report(["last", "digits-mlp"], runs=elsewhere)
    assert [next(iter(row.group.all_runs())).keys["model.name"] for row in report.rows] == ["cnn", "mlp"]
    assert [run.name for run in leyden.runs("elsewhere/*/*mlp*")] == [find_run("*mlp*", Path(elsewhere)).name]


def test_a_list_of_runs_by_words(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed_runs(capsys, "last", "digits-mlp", "last") == ["cnn1", "mlp1"]
    assert listed_runs(capsys, "digits-cnn", "seed=2", "--runs", str(root)) == ["cnn2"]
    assert "neither a command nor a run; did you mean 'show'" in output_of(capsys, "shwo", status=2)


def test_an_exact_name_takes_precedence_over_a_prefix(tmp_path: Path) -> None:
    first = write(tmp_path, seed=1)
    first.rename(first.with_name("a-12"))
    write(tmp_path, seed=2).rename(first.with_name("a-123"))
    assert find_run("a-12", tmp_path).name == "a-12"
    assert find_run("12", tmp_path).name == "a-12"


def test_show(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (next(root.glob("*/digits-mlp-*")) / "changes.diff").write_text("-a\n+b\n")
    shown = output_of(capsys, "show", "digits-mlp")
    for part in (
        "leyden train model=mlp seed=1",
        "c0ffee, with uncommitted changes",
        "(see changes.diff)",
        "torch 2",
        "2 CPU cores, no GPU",
        "lr: 0.01",
        "0.8500 [0.8000, 0.9000]",
        "last.ckpt (2.0 kB)",
    ):
        assert part in shown, part


def test_show_begins_with_what_differs_from_the_defaults(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = output_of(capsys, "show", "digits-mlp")
    chosen, _, whole = shown.partition("settings that differ from the defaults")[2].partition("configuration")
    keys = {line.split()[0]: line.split()[1] for line in chosen.splitlines() if len(line.split()) == 2}
    assert keys["model.name"] == "mlp"
    assert keys["optimizer.lr"] == "0.01"
    assert not {"seed", "data.name", "monitor", "force"} & keys.keys()
    assert "seed: 1" in whole


def test_show_of_one_that_failed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = output_of(capsys, "show", "digits-gru")
    assert "ValueError: it broke" in shown
    assert "error.txt" in shown


def test_show_of_one_that_is_stale_or_interrupted(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "stale: made with other versions (leyden 0.0.1 ->" in output_of(capsys, "show", "digits-rnn")
    assert "interrupted: the command resumes it" in output_of(capsys, "show", "digits-lstm")


def test_diff(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = next(root.glob("*/digits-mlp-*")) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"3.11.0"', '"3.12.0"'))
    lines = [
        line.split() for line in output_of(capsys, "diff", "digits-mlp", "digits-cnn-seed2").splitlines()
    ]
    assert ["optimizer.lr", "0.01", "0.001"] in lines
    assert ["seed", "1", "2"] in lines
    assert ["model.name", "mlp", "cnn"] in lines
    assert ["python", "3.12.0", "3.11.0"] in lines
    accuracy = next(line for line in lines if line[:1] == ["accuracy"])
    assert accuracy == [
        "accuracy",
        "0.8500",
        "[0.8000,",
        "0.9000]",
        "0.9300",
        "[0.8800,",
        "0.9800]",
        "+0.0800",
    ]
    assert not any(line[:1] in (["data.name"], ["torch"], ["monitor"]) for line in lines)


def test_diff_of_what_is_the_same_or_unfinished(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = output_of(capsys, "diff", "digits-mlp", "digits-mlp")
    assert "configuration: no differences" in shown
    assert "versions, data, machine: no differences" in shown
    shown = output_of(capsys, "diff", "digits-gru", "digits-lstm")
    assert "none to compare (A is failed, B is interrupted)" in shown


# --- rm ---


def test_rm_removes_only_matching_runs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = set((root / "default").iterdir())
    shown = output_of(capsys, "rm", "model=cnn", "seed=1", "--yes")
    gone = before - set((root / "default").iterdir())
    assert {folder.name[:16] for folder in gone} == {"digits-cnn-seed1"}
    assert str(gone.pop().relative_to(root.parent)) in shown
    assert "removed 1 run" in shown
    output_of(capsys, "rm", "runs/*/*", "-y", "seed=1,2")
    assert list(root.parent.iterdir()) == []  # the folders above are empty, so they go, too


def test_rm_keeps_a_parent_folder_that_is_not_empty(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "default" / "notes.txt").write_text("mine")
    output_of(capsys, "rm", "runs/default", "seed>=0", "--yes")
    assert [path.name for path in root.rglob("*")] == ["default", "notes.txt"]


@pytest.mark.parametrize(("answer", "left"), [("y", 5), ("YES", 5), ("n", 6), ("", 6), (None, 6)])
def test_rm_asks(
    root: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str | None,
    left: int,
) -> None:
    def reply(question: str) -> str:
        assert question.startswith("Remove 1 run, ")
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", reply)
    output_of(capsys, "rm", "digits-gru", status=0 if left == 5 else 1)
    assert len(list((root / "default").iterdir())) == left


def test_rm_rejects_a_running_run(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = next(root.glob("*/digits-lstm-*"))
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    (folder / "result.json").write_text(
        (folder / "result.json").read_text().replace("interrupted", "running")
    )
    assert "running" in output_of(capsys, "model=lstm")
    assert "is running: stop it first" in output_of(capsys, "rm", "seed=1", "--yes", status=2)
    assert len(list((root / "default").iterdir())) == 6

    monkeypatch.setattr(Run, "is_locked", lambda self: False)  # it starts between the look and the removal
    assert "started by another process" in output_of(capsys, "rm", "digits-lstm", "--yes", status=2)
    assert folder.exists()
    holder.communicate("")
    output_of(capsys, "rm", "digits-lstm", "--yes")
    assert not folder.exists()


def test_rm_removes_no_other_folder_and_no_link(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = root.parent / "conf"
    other.mkdir()
    (other / "config.yaml").write_text("a: 1\n")
    output_of(capsys, "rm", "conf", "--yes", status=2)
    output_of(capsys, "rm", "co*", "--yes", status=2)
    link = root / "default" / "linked"
    link.symlink_to(next(root.glob("*/digits-gru-*")))
    assert "is a symbolic link" in output_of(capsys, "rm", "runs/default/linked", "--yes", status=2)
    assert other.exists()
    assert link.exists()


def test_sizes() -> None:
    assert [size(n) for n in (0, 999, 1234, 5_600_000, 7_000_000_000)] == [
        "0 B",
        "999 B",
        "1.2 kB",
        "5.6 MB",
        "7.0 GB",
    ]


def test_a_thousand_runs_are_listed_quickly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (write(tmp_path / "one") / "result.json").read_text()
    for number in range(1000):
        folder = tmp_path / "runs" / "default" / f"digits-{number:010x}"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(text)
    began = time.process_time()
    assert "1,000 runs under runs: 1000 complete" in output_of(capsys)
    assert time.process_time() - began < 3  # about 0.7 s; the limit allows for a slow machine


def test_a_column_says_what_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond data, model and seed; a value that most have is not repeated."""
    for seed, rate in ((1, 0.001), (2, 0.001), (3, 0.001), (1, 0.02), (2, 0.3)):
        write(tmp_path, seed=seed, lr=rate)
    rows = json.loads(output_of(capsys, str(tmp_path), "--json"))
    found = {(row["config"]["seed"], row["config"]["optimizer"]["lr"]): row["differs"] for row in rows}
    assert {key: text for key, text in found.items() if text} == {
        (1, 0.02): "lr 0.02",
        (2, 0.3): "lr 0.3",
    }
    shown = output_of(capsys, str(tmp_path))
    assert re.search(r"^ +lr 0.3 *$", shown, re.MULTILINE)  # below the folder, where the terminal is narrow
    monkeypatch.setattr(console, "_width", 140)
    shown = output_of(capsys, str(tmp_path))
    assert re.search(r"lr 0.3 +default/digits-cnn-seed2-", shown)
    assert "differs" not in output_of(capsys, str(tmp_path), "optimizer.lr=0.001")  # nothing does
