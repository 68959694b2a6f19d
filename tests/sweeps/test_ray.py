"""A sweep on a local Ray cluster; marked ray. In its own process, since Ray leaves threads behind."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the extra ray")

pytestmark = pytest.mark.ray

Tiny = Callable[..., list[str]]


def sweep(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "leyden", "train", "-m", "hydra/launcher=ray", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=500)


def results() -> dict[str, dict]:
    return {path.parent.name: json.loads(path.read_text()) for path in Path("runs").rglob("result.json")}


def test_a_sweep_on_a_local_cluster_and_not_again(tiny: Tiny) -> None:
    words = [*tiny("trainer.max_epochs=1", "seed=1,2,3,4"), "hydra.launcher.num_cpus=2"]
    done = sweep(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    first = results()
    assert [result["status"] for result in first.values()] == ["complete"] * 4
    again = sweep(*words)
    assert "4 jobs, all already done" in again.stdout
    assert results() == first


def test_no_cluster_at_the_address_is_one_message(tiny: Tiny) -> None:
    wrong = sweep(*tiny("seed=1,2"), "hydra.launcher.address=127.0.0.1:1")
    assert wrong.returncode == 2
    assert "hydra.launcher.address=127.0.0.1:1: no Ray cluster there" in wrong.stderr
    assert "Traceback" not in wrong.stderr
