"""What a process makes of Slurm's environment: alone, the first of several tasks, another."""

import contextlib
import os
import socket
import sys
import threading
from pathlib import Path

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


def connected() -> socket.socket:
    return socket.create_connection(slurm._address(), timeout=10)


@pytest.mark.parametrize("answer", [b"", b"x\n", b"a b\n", b"x" * 10_000])
def test_a_stranger_is_no_task(
    answer: bytes, two_tasks: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor takes the place of one, nor gets the order."""
    monkeypatch.setattr(slurm, "_ANSWER", 0.3)
    done: list[list[str]] = []
    monkeypatch.setattr("leyden.cli.follow.main", lambda words: done.append(words) or 7)
    with slurm.lead_tasks():
        with connected() as stranger, stranger.makefile() as lines:
            stranger.sendall(answer)
            other = threading.Thread(target=follow_first_task)
            other.start()
            slurm.send_order({"words": ["runs/a"], "path": [], "cwd": os.getcwd()})  # noqa: PTH109
            with contextlib.suppress(ConnectionResetError):
                assert "runs/a" not in lines.read()
        other.join(20)
    assert done == [["runs/a"]]


@pytest.mark.parametrize("repeated", [False, True])
def test_an_order_of_a_strangers_is_not_executed(
    repeated: bool, two_tasks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one who was first at the port; also not a true order of another connection."""
    monkeypatch.setattr("leyden.cli.follow.main", lambda words: pytest.fail("executed"))
    line = '{"words": ["evil"], "path": ["evil"], "cwd": "/"}'
    proof = slurm._proof("order", "another number", line) if repeated else "0" * 64
    path, here = list(sys.path), os.getcwd()  # noqa: PTH109
    with socket.create_server(slurm._address()) as server:
        found: list[BaseException] = []

        def follow() -> None:
            try:
                follow_first_task()
            except OSError as error:
                found.append(error)

        other = threading.Thread(target=follow)
        other.start()
        with server.accept()[0] as connection:
            connection.sendall(f"challenge\n{line}\n{proof}\n".encode())
            other.join(20)
    assert "is not the first task" in str(found[0])
    assert (sys.path, os.getcwd()) == (path, here)  # noqa: PTH109


def test_it_listens_at_the_nodes_address_alone(two_tasks: None) -> None:
    with slurm.lead_tasks():
        assert slurm._others._server.getsockname()[0] == "127.0.0.1"
        other = threading.Thread(target=follow_first_task)
        other.start()
    other.join(20)


def test_without_a_private_key_there_are_no_tasks(
    two_tasks: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "leyden").mkdir()
    (tmp_path / "leyden" / "key").write_bytes(b"x" * 32)
    (tmp_path / "leyden" / "key").chmod(0o644)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(UserError, match="leyden/key: cannot be used as your key"), slurm.lead_tasks():
        pass
    assert follow_first_task() == 2


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
