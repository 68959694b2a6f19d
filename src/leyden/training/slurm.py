"""A run whose processes Slurm has started: `srun --ntasks=N leyden train ...`, each with the same command.

The first task alone composes, takes the run's lock and writes. The others wait at a socket of the first for an order:
the words of `leyden follow` (leyden.training.distributed), or the first one's end, when there was nothing to do.
"""

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from leyden.utils.errors import UserError

if TYPE_CHECKING:
    from lightning.fabric.plugins.environments import ClusterEnvironment

_PORTS = 25_000  # and the job's last four digits; torch's ranks meet 10,000 below
_PER_NODE = "SLURM_NTASKS_PER_NODE"  # Lightning needs it
_NO_PER_NODE = "srun --ntasks={}: expected --ntasks-per-node=, by which Lightning finds the ranks"
_PATIENCE = 300.0  # seconds between the start of the first task and that of the last


def task_count() -> int:
    """How many processes `srun` has started together with this one; 1 where it has not started it."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) if "SLURM_PROCID" in os.environ else 1


def is_follower() -> bool:
    """Whether this process is a task but not the first."""
    return task_count() > 1 and os.environ["SLURM_PROCID"] != "0"


def environment() -> "list[ClusterEnvironment]":
    """What Lightning should make of Slurm: nothing where there is none, else that tasks are ranks if they are several.

    It puts no job into the queue again by itself: it would write a checkpoint of its own, and go on from that.
    """
    from lightning.fabric.plugins.environments import LightningEnvironment, SLURMEnvironment

    if "SLURM_NTASKS" not in os.environ:
        return []
    return [SLURMEnvironment(auto_requeue=False) if task_count() > 1 else LightningEnvironment()]


def verify(trainer: Mapping[str, Any]) -> None:
    """Refuse a trainer that has not as many devices as there are tasks.

    Raises:
        UserError: they would wait for each other for ever.
    """
    devices, nodes = trainer.get("devices", "auto"), int(trainer.get("num_nodes", 1))
    if task_count() > 1 and isinstance(devices, int) and devices * nodes != task_count():
        raise UserError(
            f"trainer.devices={devices}: srun has started {task_count()} tasks and each trains on one device; expected "
            f"trainer.devices={max(1, task_count() // nodes)} trainer.num_nodes={nodes}, or srun --ntasks=1"
        )


@contextmanager
def lead_tasks() -> Iterator[None]:
    """Be the first of the tasks, if there are several: open the socket before any work, so that others see the end.

    Raises:
        UserError: srun was not told how many tasks a node has.
    """
    if task_count() == 1:
        yield
        return
    if _PER_NODE not in os.environ:
        raise UserError(_NO_PER_NODE.format(task_count()))
    _others.open()
    try:
        yield
    finally:
        _others.close()


def send_order(order: Mapping[str, Any]) -> None:
    """Send the other tasks an order."""
    _others.meet()
    for connection in _others.met:
        connection.sendall((json.dumps(order) + "\n").encode())


def wait_for_order() -> list[str] | None:
    """Wait for the first task's order and take its folder and import path; None: nothing is to do, or refused.

    Returns:
        The words of `leyden follow`.

    Raises:
        UserError: srun was not told how many tasks a node has (the first task says so, too).
    """
    if _PER_NODE not in os.environ:
        raise UserError(_NO_PER_NODE.format(task_count()))
    with _reach_the_first() as connection, connection.makefile() as lines:
        line = ""
        with contextlib.suppress(ConnectionResetError):
            line = lines.readline()
    if not line:
        return None
    order = json.loads(line)
    os.chdir(order["cwd"])
    sys.path += [path for path in order["path"] if path not in sys.path]
    words: list[str] = order["words"]
    return words


class _Others:
    """The first task's connections to the others."""

    def __init__(self) -> None:
        self.met: list[socket.socket] = []

    def open(self) -> None:
        self._server = socket.create_server(("", _address()[1]), backlog=task_count())
        self._server.settimeout(_PATIENCE)

    def meet(self) -> None:
        """Wait until all have come."""
        while len(self.met) < task_count() - 1:
            self.met.append(self._server.accept()[0])

    def close(self) -> None:
        """Of one that comes late, too: else it would wait for a first task that has gone."""
        with contextlib.suppress(TimeoutError):
            self.meet()
        for connection in (*self.met, self._server):
            connection.close()
        self.met = []


_others = _Others()


def _address() -> tuple[str, int]:
    """Where the first task listens: on the job's first node, at a port made of the job's last digits."""
    from lightning.fabric.plugins.environments import SLURMEnvironment

    node = SLURMEnvironment.resolve_root_node_address(os.environ["SLURM_NODELIST"])
    return os.environ.get("MASTER_ADDR", node), _PORTS + int(os.environ["SLURM_JOB_ID"][-4:])


def _reach_the_first() -> socket.socket:
    """The first task's socket; OSError if it is not there in time."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            connection = socket.create_connection(_address(), timeout=10)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            connection.settimeout(None)
            return connection
