"""Sweeps and data-parallel runs on a real Slurm (scripts/slurm_node starts one); marked slurm."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from leyden.cli.main import main
from leyden.sweeps.submitit_launcher import wait_for_each

pytest.importorskip("submitit", reason="needs the extra slurm")
pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the extra slurm")

pytestmark = pytest.mark.slurm

Tiny = Callable[..., list[str]]
Said = pytest.CaptureFixture[str]
SLURM = ("hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.timeout_min=20")
SUBMITTED = Path("runs/.sweep/.submitit")
RANKS = """
from pathlib import Path
from lightning.pytorch import Callback

class Note(Callback):
    def on_train_start(self, trainer, pl_module):
        Path(f"rank{trainer.global_rank}of{trainer.world_size}").touch()
"""


@pytest.fixture(autouse=True)
def _node() -> None:
    """A Slurm that answers."""
    if shutil.which("sinfo") is None or subprocess.run(["sinfo"], capture_output=True).returncode:
        pytest.skip("no Slurm answers here: scripts/slurm_node starts one")


def results() -> dict[str, dict]:
    return {path.parent.name: json.loads(path.read_text()) for path in Path("runs").rglob("result.json")}


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 300
    while not true():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.1)


def jobs_of_slurm() -> list[str]:
    return sorted(path.parent.name for path in SUBMITTED.glob("*/*_result.pkl"))


def test_a_sweep_runs_as_slurm_jobs_once(tiny: Tiny, capsys: Said) -> None:
    small = tiny("data=digits", "trainer.max_epochs=1")
    words = [word for word in small if not word.startswith("data.source")]
    command = ["train", "-m", *SLURM, *words, "seed=1,2,3,4"]
    assert main(command) == 0
    first = results()
    assert [result["status"] for result in first.values()] == ["complete"] * 4
    assert len(jobs_of_slurm()) == 4
    assert main(command) == 0
    assert results() == first
    assert len(jobs_of_slurm()) == 4, "a finished job has been submitted again"
    assert "4 jobs, all already done" in capsys.readouterr().out


def test_a_signalled_job_saves_and_resumes_when_launched_again(tiny: Tiny) -> None:
    """As before a preemption or the end of its time, without submitit: Slurm's --signal."""
    words = tiny("trainer.max_epochs=300", "checkpoint_minutes=60")
    batch = ["sbatch", "--parsable", "--output=log.txt", "--wrap"]
    command = f"exec srun --ntasks=1 {sys.executable} -m leyden train {' '.join(words)}"
    job = subprocess.run([*batch, command], capture_output=True, text=True, check=True).stdout.strip()
    curves = Path("runs/default")
    until(lambda: any(len(path.read_text().splitlines()) > 3 for path in curves.rglob("metrics.csv")))
    subprocess.run(["scancel", "--signal=USR1", job], check=True)
    until(lambda: [result["status"] for result in results().values()] == ["interrupted"])
    (folder,) = (path.parent for path in curves.rglob("metrics.csv"))
    assert (folder / "checkpoints" / "last.ckpt").exists()
    assert not list(folder.rglob("hpc_ckpt*")), "a checkpoint of Lightning's own"
    assert main(["train", *words]) == 0
    epochs = [line.partition(",")[0] for line in (folder / "metrics.csv").read_text().splitlines()]
    assert len(epochs) == len(set(epochs)) == 301, "an epoch is missing or twice there"


def srun(*words: str) -> subprocess.CompletedProcess[str]:
    """Two tasks of one job."""
    tasks = ["srun", "--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=1", "--kill-on-bad-exit=1"]
    command = [*tasks, sys.executable, "-m", "leyden", "train", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=400)


def test_two_tasks_are_two_ranks_of_one_run(tiny: Tiny) -> None:
    Path("note.py").write_text(RANKS)
    words = tiny(
        "trainer=ddp_cpu", "trainer.devices=2", "trainer.max_epochs=1", "callbacks.note._target_=note.Note"
    )
    done = srun(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in Path().glob("rank*")) == ["rank0of2", "rank1of2"]
    assert [result["status"] for result in results().values()] == ["complete"]
    assert done.stdout.count("tensorboard --logdir") == 1, "only the first task speaks"
    again = srun(*words)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("finished before") == 1


def test_tasks_that_are_not_the_devices_are_refused_by_one_message(tiny: Tiny) -> None:
    wrong = srun(*tiny("trainer=ddp_cpu", "trainer.devices=3"))
    assert wrong.stderr.count("leyden: trainer.devices=3: srun has started 2 tasks") == 1, wrong.stderr
    assert "Traceback" not in wrong.stderr
    assert not Path("runs").exists()


def test_a_dead_job_does_not_hide_others(tmp_path: Path, capsys: Said) -> None:
    import submitit
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import LocalLauncher

    # Inside the test, so that its code travels: a job's process cannot import this file.
    def die_or_live(die: bool) -> str:
        import os
        import signal

        if die:
            os.kill(os.getpid(), signal.SIGKILL)
        return "lived"

    executor = submitit.LocalExecutor(folder=tmp_path)
    with wait_for_each(LocalLauncher()):
        dying, living = executor.map_array(die_or_live, [True, False])
        (error,) = dying.results()
        assert isinstance(error, submitit.core.utils.UncompletedJobError)
        assert living.results() == ["lived"]
    with pytest.raises(submitit.core.utils.UncompletedJobError):
        dying.results()
    assert f"job {dying.job_id}" in capsys.readouterr().out
