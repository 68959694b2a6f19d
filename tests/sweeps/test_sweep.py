"""Sweeps: planning, several shells and processes, state stored in the folders of the runs."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import pytest

from leyden.cli.main import main
from leyden.runs.run import Run
from leyden.sweeps.plan import Estimate, Job
from leyden.sweeps.progress import time_left
from leyden.sweeps.sequential import next_of
from leyden.training.build import Experiment
from leyden.training.evaluation import TrainedEvaluation

Tiny = Callable[..., list[str]]
Said = pytest.CaptureFixture[str]
FAILS = "optimizer.lr=0.01,1e30"  # the second overflows the weights


def states() -> dict[str, str]:
    """State by folder, as the files say."""
    return {
        path.parent.name: json.loads(path.read_text())["status"] for path in Path("runs").rglob("result.json")
    }


def stamps() -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in Path("runs").rglob("result.json")}


def job(folder: Path, number: int = 1, known: int = 0) -> Job:
    return Job(number, (f"seed={number}",), {"trainer": {"max_epochs": 1}}, Run(folder), known, force=False)


# --- what is left to do ---


def test_remaining_time_is_extrapolated() -> None:
    assert time_left(0, 4, 0, 1.0, None) == ""
    assert time_left(0, 4, 0, 1.0, 9.0) == ", about 8.00 s left"
    assert time_left(1, 4, 1, 2.0, 90.0) == ", 1 failed, about 6.00 s left"
    assert time_left(4, 4, 0, 8.0, 9.0) == ""


def write(run: Run, status: str) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / "result.json").write_text(json.dumps({"schema": 1, "status": status}))


@pytest.mark.parametrize(
    ("status", "before", "since"),
    [
        ("complete", True, True),
        ("failed", False, True),  # one that failed in another shell just now is not tried again
        ("pruned", False, True),
        ("interrupted", False, False),
        ("running", False, False),  # of a process that died
    ],
)
def test_whether_a_job_is_done(tmp_path: Path, status: str, before: bool, since: bool) -> None:
    run = Run(tmp_path / "run")
    assert not run.is_done(run.stamp(), force=False)
    write(run, status)
    assert run.is_done(run.stamp(), force=False) is before
    assert run.is_done(run.stamp() - 1, force=False) is since
    assert run.is_done(run.stamp() - 1, force=True) is since
    assert not run.is_done(run.stamp(), force=True)


def test_locked_jobs_come_last(tmp_path: Path) -> None:
    jobs = [job(tmp_path / str(n), n) for n in (1, 2, 3)]
    with held(jobs[0].run.folder):
        write(jobs[2].run, "complete")
        waiting = list(jobs)
        assert next_of(waiting) is jobs[1]
        assert next_of(waiting) is jobs[0], "nothing else is left: it is waited for"
        assert next_of(waiting) is None, "the third was complete"


def held(folder: Path) -> "Lock":
    return Lock(folder)


class Lock:
    """Another process that holds a run's lock."""

    CODE = """
import sys, pathlib
from leyden.runs.run import Run
with Run(pathlib.Path(sys.argv[1])).lock(lambda: None):
    print(flush=True)
    input()
"""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", self.CODE, str(self._folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()
        return self._process

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()


def test_a_killed_owner_holds_no_lock(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with held(run.folder) as process:
        assert run.is_locked()
        process.kill()
        process.wait()
        assert not run.is_locked()


def test_an_orphan_of_a_killed_owner_holds_no_lock(tmp_path: Path) -> None:
    """With flock a child that the owner had forked would keep it."""
    forks = Lock.CODE.replace("    input()", "    import os, time; os.fork(); time.sleep(60)")
    command = [sys.executable, "-c", forks.replace("    print(flush=True)\n", ""), str(tmp_path / "run")]
    owner = subprocess.Popen(command, start_new_session=True)
    run = Run(tmp_path / "run")
    try:
        until(run.is_locked)
        children = Path(f"/proc/{owner.pid}/task/{owner.pid}/children")
        if not children.exists():
            pytest.skip("no /proc/PID/task/PID/children here")
        until(lambda: children.read_text().strip() != "")
        orphan = int(children.read_text().split()[0])
        owner.kill()
        owner.wait()
        os.kill(orphan, 0)  # it is still there
        assert not run.is_locked()
    finally:
        os.killpg(owner.pid, signal.SIGKILL)


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


# --- one after another ---


@pytest.mark.parametrize("place", [(Experiment, "module"), (TrainedEvaluation, "metrics")])
def test_sigterm_outside_of_a_training_ends_the_sweep(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, place: tuple[type, str]
) -> None:
    """As a job begins, or while it is evaluated: the next does not begin, and the handlers are as they were."""
    original, calls = getattr(*place), []

    def signalled(*given: object, **named: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGTERM)
        return original(*given, **named)

    words = ["train", "-m", *tiny("trainer.max_epochs=1", "seed=1,2,3")]
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        patch.setattr(*place, signalled)
        assert main(words) == 130
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    begun = ["complete"] if place[1] == "module" else ["complete", "interrupted"]
    assert sorted(states().values()) == begun
    assert main(words) == 0
    assert list(states().values()) == ["complete"] * 3


def test_a_failing_job_does_not_affect_others_and_is_tried_again(tiny: Tiny, capsys: Said) -> None:
    words = ["train", "-m", *tiny("trainer.max_epochs=1", "seed=1,2", FAILS)]
    assert main(words) == 1
    said = capsys.readouterr()
    assert sorted(states().values()) == ["complete", "complete", "failed", "failed"]
    assert "4 jobs: 2 complete, 2 failed" in said.out
    (again, _) = re.findall(r"^to repeat:  leyden (train .*)$", said.out, re.MULTILINE)
    assert "optimizer.lr=1e+30" in again
    before = stamps()
    assert main(words) == 1
    said = capsys.readouterr()
    assert "2 already done, 2 to do (2 failed)" in said.out
    changed = {folder for folder, stamp in stamps().items() if before[folder] != stamp}
    assert changed == {folder for folder, state in states().items() if state == "failed"}
    assert main(again.split()) == 1
    (error,) = {
        json.loads(p.read_text())["error"]["type"]
        for p in Path("runs").rglob("result.json")
        if "failed" in p.read_text()
    }
    assert error


def test_the_command_of_a_job_makes_that_run_alone(tiny: Tiny, capsys: Said) -> None:
    main(["train", "-m", *tiny("trainer.max_epochs=1", "seed=1,2")])
    (path, _) = sorted(Path("runs").rglob("result.json"))
    command = json.loads(path.read_text())["command"]
    assert command[:2] == ["leyden", "train"]
    capsys.readouterr()
    assert main(command[1:]) == 0
    assert "finished before" in capsys.readouterr().out


def test_the_plan_trains_nothing(tiny: Tiny, capsys: Said) -> None:
    words = tiny("trainer.max_epochs=1", "seed=1,2,3")
    assert main(["train", "-m", "--plan", *words]) == 0
    said = capsys.readouterr().out
    assert "3 jobs: 0 already done, 3 to do (3 new); no estimate" in said
    assert "nothing has been trained" in said
    assert not Path("runs").exists()
    assert main(["train", *(word for word in words if "seed" not in word), "seed=2"]) == 0
    capsys.readouterr()
    assert main(["train", "-m", "--plan", *words]) == 0
    assert re.search(
        r"1 already done, 2 to do \(2 new\); about .* s of training, estimated from 1 finished run",
        capsys.readouterr().out,
    )


def test_the_estimate_of_a_job_is_that_of_the_most_similar_runs(tmp_path: Path) -> None:
    for name, width, epochs, seconds in (("a", 8, 2, 20.0), ("b", 8, 2, 24.0), ("c", 64, 2, 100.0)):
        config = {"seed": 1, "model": {"width": width}, "trainer": {"max_epochs": epochs}}
        found = {"schema": 1, "status": "complete", "config": config, "cost": {"seconds": seconds}}
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps(found))
    plain = {"seed": 9, "model": {"width": 8}, "trainer": {"max_epochs": 4}}
    new = Job(1, (), plain, Run(tmp_path / "new"), 0, force=False)
    estimate = Estimate.of([new])
    assert estimate.seconds == {1: 44.0}, "twice the epochs of the two that differ in the seed alone"
    assert estimate.total([new, new], at_once=2) == 44.0


def test_jobs_that_are_one_run_are_run_once(tiny: Tiny, capsys: Said) -> None:
    assert main(["train", "-m", *tiny("trainer.max_epochs=1", "optimizer.lr=0.001,1e-3")]) == 0
    assert "1 of 1 job complete" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--jobs", "0"], "--jobs 0: expected the number of jobs"),
        (["--jobs=two"], "--jobs two: expected the number of jobs"),
        (["--plan"], "--plan needs a sweep: add -m"),
        (["--jobs=2"], "--jobs needs a sweep: add -m"),
    ],
)
def test_invalid_flags(words: list[str], expected: str, tiny: Tiny, capsys: Said) -> None:
    assert main(["train", *tiny(), *words]) == 2
    assert expected in capsys.readouterr().err


# --- in worker processes ---


def predictions() -> list[np.ndarray]:
    return [np.load(path)["probabilities"] for path in sorted(Path("runs").rglob("test.npz"))]


def test_two_workers_give_the_results_of_one_process(tiny: Tiny, capsys: Said, tmp_path: Path) -> None:
    words = ["train", "-m", *tiny("trainer.max_epochs=1", "seed=1,2", FAILS)]
    assert main([*words, "--jobs", "2"]) == 1
    said = capsys.readouterr().out
    assert "2 at once" in said
    assert re.search(r"^complete  seed=1 optimizer.lr=0.01  0\.", said, re.MULTILINE)
    assert "4 jobs: 2 complete, 2 failed" in said
    first = predictions()
    Path("runs").rename("in_workers")
    assert main(words) == 1
    assert len(first) == 2
    assert all(np.array_equal(a, b) for a, b in zip(first, predictions(), strict=True))


def test_a_temporary_folder_with_too_long_a_path(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    def refuse() -> None:
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr(forkserver, "ensure_running", refuse)
    assert main(["train", "-m", *tiny("seed=1,2"), "--jobs=2"]) == 2
    assert re.match(
        r"leyden: TMPDIR=.*: this path is too long .* such as TMPDIR=/tmp$", capsys.readouterr().err
    )
    assert not Path("runs").exists()


def test_a_dead_worker_interrupts_only_its_job(tiny: Tiny, tmp_path: Path, capsys: Said) -> None:
    code = """
import os
from leyden.modules.classification import Classifier

class Dies(Classifier):
    def training_step(self, batch, batch_idx):
        if self.seed == 2:
            os.kill(os.getpid(), 9)
        return super().training_step(batch, batch_idx)
"""
    Path("own_module.py").write_text(code)
    words = tiny("trainer.max_epochs=1", "seed=1,2,3", "model.module._target_=own_module.Dies")
    assert main(["train", "-m", *words, "--jobs", "2"]) == 130
    said = capsys.readouterr().out
    assert "its process was killed by SIGKILL (out of memory?)" in said.replace("\n", " ")
    assert "3 jobs: 2 complete, 1 interrupted" in said


# --- killed, and in two shells ---


@pytest.fixture
def shell(tiny: Tiny) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a sweep as a command of its own."""
    started = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "leyden", "train", "-m", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        started.append(subprocess.Popen(command, text=True, start_new_session=True, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        with process:  # closes the pipe, also one that the test has read to its end
            pass


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """For temporary files: the name of a socket in it may have a hundred letters."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def table(output: str) -> list[str]:
    """The rows of the last table, less the seconds."""
    return [
        re.sub(r"\s+[\d.]+ s\s+", " ", line)
        for line in output.splitlines()
        if re.match(r" (complete|failed) ", line)
    ]


@pytest.mark.slow
def test_two_shells_share_a_sweep(tiny: Tiny, shell: Callable[..., subprocess.Popen[str]]) -> None:
    words = tiny("trainer.max_epochs=2", "seed=1,2,3,4", FAILS)
    shells = [shell(*words), shell(*words)]
    outputs = [process.communicate()[0] for process in shells]
    assert [process.returncode for process in shells] == [1, 1], outputs
    assert len(table(outputs[0])) == 8
    assert table(outputs[0]) == table(outputs[1])
    for seed in range(1, 5):  # each job's epochs were trained in one of the shells
        trained = [path for path in Path("runs").rglob("metrics.csv") if f"seed{seed}-" in str(path)]
        assert sum(len(path.read_text().splitlines()) - 1 for path in trained if path.stat().st_size) in (
            2,
            3,
        )
    assert sum(output.count("epoch 2/2") for output in outputs) == 4


@pytest.mark.slow
def test_sigterm_ends_a_sweep_with_its_workers(
    tiny: Tiny, shell: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("TMPDIR", folder)
        process = shell(*tiny("trainer.max_epochs=200", "seed=1,2,3"), "--jobs=2")
        until(lambda: len(list(Path("runs").rglob("last.ckpt"))) == 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
        assert list(states().values()) == ["interrupted"] * 2
        assert not list(Path(folder).glob("leyden-worker-*"))  # each removes its log as it ends


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 2])
def test_a_killed_sweep_resumes(
    at_once: int,
    tiny: Tiny,
    shell: Callable[..., subprocess.Popen[str]],
    short_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TMPDIR", str(short_folder))
    words = [*tiny("trainer.max_epochs=20", "seed=1,2,3"), f"--jobs={at_once}"]
    process = shell(*words)
    until(lambda: "complete" in states().values())
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not any(Run(path.parent).is_locked() for path in Path("runs").rglob("result.json")))
    until(lambda: not list(short_folder.glob("leyden-worker-*")))
    done = {folder for folder, state in states().items() if state == "complete"}
    before = stamps()
    assert main(["train", "-m", *words]) == 0
    assert set(states().values()) == {"complete"}
    assert len(states()) == 3
    assert all(stamps()[folder] == before[folder] for folder in done)
