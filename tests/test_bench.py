"""scripts/bench: its parts, and what it makes of measured numbers."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "scripts"
PARTS = sorted(
    path.stem for path in (FOLDER / "benches").glob("*.py") if path.stem not in ("__init__", "measure")
)


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def given(tmp_path: Path, rounds: int = 3, only: str = ""):  # type: ignore[no-untyped-def]
    measure = importlib.import_module("benches.measure")
    return measure.Given(rounds, only, "", None, [], tmp_path)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_is_on_the_command_line(part: str) -> None:
    bench = importlib.import_module("bench")
    assert part in (*bench.PARTS, *bench.COSTS)
    assert callable(importlib.import_module(f"benches.{part}").cases)


def test_ways_take_turns_and_ratios_are_of_rounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measure, order = importlib.import_module("benches.measure"), []
    values = {"ours": [1.0, 4.0, 3.0], "slow": [2.0, 2.0, 2.0], "fast": [1.0, 2.0, 6.0]}

    def way(name: str):  # type: ignore[no-untyped-def]
        def run() -> float:
            order.append(name)
            return values[name][order.count(name) - 1]

        return run

    case = measure.Case("a case", {name: way(name) for name in values}, best=min)
    measure.report("part", iter([case, measure.Case("another", {})]), given(tmp_path, only="a case"), False)
    assert order == ["ours", "slow", "fast", "fast", "slow", "ours", "ours", "slow", "fast"]
    title, ours, slow, fast, best = capsys.readouterr().out.splitlines()
    assert title.startswith("part: a case (")
    assert "3 (1 - 4) s" in ours
    assert slow.endswith("1.50 (0.50 - 2.00)")
    assert fast.endswith("1.00 (0.50 - 2.00)")  # of the rounds 1, 2 and 1/2: not the ratio of the medians
    assert best.endswith("1.50 (1.00 - 2.00)")


def test_a_busy_process_is_there_while_measuring_and_not_counted_as_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure, seen = importlib.import_module("benches.measure"), []

    def children() -> float:
        found = subprocess.run(
            ["ps", "-o", "args=", "--ppid", str(measure.os.getpid())], capture_output=True, text=True
        )
        seen.append("while True: pass" in found.stdout)
        return 1.0

    measure.report("part", iter([measure.Case("one", {"way": children})]), given(tmp_path, 1), True)
    assert seen == [True]
    assert "beside a busy process" in capsys.readouterr().out
    children()
    assert seen == [True, False]
    assert measure._load((0.0, 10.0, 4.0), (2.0, 14.0, 7.0)) == 0.5


def test_a_process_that_fails_ends_the_benchmark_with_its_output(tmp_path: Path) -> None:
    measure = importlib.import_module("benches.measure")
    with pytest.raises(SystemExit, match="status 3\nwhat went wrong"):
        measure.process([sys.executable, "-c", "print('what went wrong'); raise SystemExit(3)"], tmp_path)


def test_what_a_command_leaves_behind_counts_as_its_own(tmp_path: Path) -> None:
    """As a sweep's workers do, whose parent ends before them: only its own parent is told of a process's time."""
    measure = importlib.import_module("benches.measure")
    burn = "import time\nwhile time.process_time() < 0.4: pass"
    leave = (
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {burn!r}], start_new_session=True)"
    )
    begun = measure._used(0)
    done = measure.process([sys.executable, "-c", leave], tmp_path)
    assert done.cpu > 0.4
    assert measure._used(0)[2] - begun[2] > 0.4


@pytest.mark.slow
def test_the_gpu_benchmark_runs_on_a_processor_and_measures_nothing_twice(tmp_path: Path) -> None:
    from tiny_data import cifar10_jpeg

    cifar10_jpeg(tmp_path)
    words = ["--device", "cpu", "--data-root", str(tmp_path), "--out", str(tmp_path / "gpu.json")]
    command = [sys.executable, str(FOLDER / "bench_gpu.py"), *words]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert set(found) == {"ResNet-18: samples/s over a bare loop", "cifar10_speed, seed 1"}
    assert found["cifar10_speed, seed 1"].startswith("complete, test accuracy 0.")
    again = subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, text=True)
    assert again.stdout.count("(from ") == len(again.stdout.splitlines()) == 2


def test_the_gpu_benchmark_says_which_file_it_lacks(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "bench_gpu.py"), "--data-root", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"--data-root: there is no cifar10-jpg.tar.gz in {tmp_path}" in done.stderr
