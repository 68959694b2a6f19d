"""What a process makes of Slurm's environment: alone, the first of several tasks, another."""

import os
import socket
import threading

import pytest

from leyden.cli.follow import follow_first_task
from leyden.training import slurm
from leyden.utils.errors import UserError


@pytest.fixture
def two_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of two tasks on this machine."""
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr(slurm, "_PORTS", port)
    for name, value in {
        "SLURM_NODELIST": "localhost",
        "SLURM_JOB_ID": "0",
        "SLURM_PROCID": "0",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
    }.items():
        monkeypatch.setenv(name, value)


def test_a_job_that_srun_has_not_started_is_one_process(
    two_tasks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert slurm.task_count() == 2
    assert not slurm.is_follower()
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert slurm.is_follower()
    monkeypatch.delenv("SLURM_PROCID")
    assert slurm.task_count() == 1
    assert not slurm.is_follower()


def test_tasks_are_ranks_only_if_they_are_several(two_tasks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [type(e).__name__ for e in slurm.environment()] == ["SLURMEnvironment"]
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert [type(e).__name__ for e in slurm.environment()] == ["LightningEnvironment"]
    monkeypatch.delenv("SLURM_NTASKS")
    assert slurm.environment() == []


def test_another_task_gets_the_order(two_tasks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[list[str]] = []
    monkeypatch.setattr("leyden.cli.follow.main", lambda words: done.append(words) or 7)
    found: list[int] = []
    with slurm.lead_tasks():
        other = threading.Thread(target=lambda: found.append(follow_first_task()))
        other.start()
        slurm.send_order({"words": ["runs/a"], "path": [], "cwd": os.getcwd()})  # noqa: PTH109
        other.join(20)
    assert (done, found) == ([["runs/a"]], [7])


def test_another_task_that_comes_late_sees_that_there_was_nothing_to_do(two_tasks: None) -> None:
    found: list[int] = []
    other = threading.Timer(0.5, lambda: found.append(follow_first_task()))
    with slurm.lead_tasks():
        other.start()
    other.join(20)
    assert found == [0]


@pytest.mark.parametrize(("devices", "nodes"), [(1, 1), (3, 1), (2, 2)])
def test_tasks_that_are_not_the_devices_are_refused(two_tasks: None, devices: int, nodes: int) -> None:
    slurm.verify({"devices": 2})
    slurm.verify({"devices": 1, "num_nodes": 2})
    with pytest.raises(UserError, match="srun has started 2 tasks"):
        slurm.verify({"devices": devices, "num_nodes": nodes})


def test_srun_must_say_how_many_tasks_a_node_has(two_tasks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    with pytest.raises(UserError, match="--ntasks-per-node"), slurm.lead_tasks():
        pass
    assert follow_first_task() == 2
