"""A run whose processes Slurm has started: `srun --ntasks=N leyden train ...`, each with the same command.

The first task alone composes, takes the run's lock and writes. The others wait at a socket of the first for an order:
the words of `leyden follow` (leyden.training.distributed), or the first one's end, when there was nothing to do. It
listens at its node's address alone, and both sides prove that they know a secret made of the user's key: an order is
executed.
"""

import contextlib
import hmac
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from leyden.runs import signature
from leyden.utils.errors import UserError

if TYPE_CHECKING:
    from lightning.fabric.plugins.environments import ClusterEnvironment

_PORTS = 25_000  # and the job's last four digits; torch's ranks meet 10,000 below
_PER_NODE = "SLURM_NTASKS_PER_NODE"  # Lightning needs it
_NO_PER_NODE = "srun --ntasks={}: expected --ntasks-per-node=, by which Lightning finds the ranks"
_PATIENCE = 300.0  # seconds between the start of the first task and that of the last
_ANSWER, _LONGEST = 10.0, 200  # seconds and bytes of a task's answer


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
    line = json.dumps(order)
    for connection, nonce in _others.met:
        connection.sendall(f"{line}\n{_proof('order', nonce, line)}\n".encode())


def wait_for_order() -> list[str] | None:
    """Wait for the first task's order and take its folder and import path; None: nothing is to do, or refused.

    Returns:
        The words of `leyden follow`.

    Raises:
        UserError: srun was not told how many tasks a node has, or there is no key (the first task says so, too).
        ConnectionRefusedError: what answers at the first task's address does not know the secret.
    """
    if _PER_NODE not in os.environ:
        raise UserError(_NO_PER_NODE.format(task_count()))
    _secret()
    nonce, line, proof = secrets.token_hex(16), "", ""
    gone = contextlib.suppress(ConnectionResetError, BrokenPipeError)
    with gone, _reach_the_first() as connection, connection.makefile() as lines:
        challenge = lines.readline().strip()
        connection.sendall(f"{nonce} {_proof('task', challenge, nonce)}\n".encode())
        line, proof = lines.readline().strip(), lines.readline().strip()
    if not line:
        return None
    if not hmac.compare_digest(proof, _proof("order", nonce, line)):
        raise ConnectionRefusedError(f"what listens at {_address()} is not the first task of this job")
    order = json.loads(line)
    os.chdir(order["cwd"])
    sys.path += [path for path in order["path"] if path not in sys.path]
    words: list[str] = order["words"]
    return words


class _Others:
    """The first task's connections to the others."""

    def __init__(self) -> None:
        self.met: list[tuple[socket.socket, str]] = []  # with the number that each has chosen

    def open(self) -> None:
        _secret()  # refused before any work where there is none
        self._server = socket.create_server(_address(), backlog=task_count())
        self._server.settimeout(_PATIENCE)

    def meet(self) -> None:
        """Wait until all have come; who does not know the secret is none of them."""
        while len(self.met) < task_count() - 1:
            connection = self._server.accept()[0]
            nonce = _recognised(connection)
            if nonce:
                self.met.append((connection, nonce))
            else:
                connection.close()

    def close(self) -> None:
        """Of one that comes late, too: else it would wait for a first task that has gone."""
        with contextlib.suppress(TimeoutError):
            self.meet()
        for connection in (*(connection for connection, _ in self.met), self._server):
            connection.close()
        self.met = []


_others = _Others()


def _recognised(connection: socket.socket) -> str:
    """The number that a task of this job has chosen for its connection; "" of anybody else."""
    challenge, answer = secrets.token_hex(16), b""
    connection.settimeout(_ANSWER)
    try:
        connection.sendall(f"{challenge}\n".encode())
        while not answer.endswith(b"\n") and len(answer) < _LONGEST and (part := connection.recv(_LONGEST)):
            answer += part
    except OSError:
        return ""
    connection.settimeout(None)
    nonce, _, proof = answer.decode(errors="replace").strip().partition(" ")
    return nonce if hmac.compare_digest(proof.encode(), _proof("task", challenge, nonce).encode()) else ""


def _proof(*words: str) -> str:
    """What only a task of this job can make of these words: theirs and ours, so that none is used twice."""
    return hmac.new(_secret(), "\0".join(words).encode(), "sha256").hexdigest()


def _secret() -> bytes:
    """What the tasks of this job have in common: made of the user's key, a private file that all nodes see.

    Raises:
        UserError: there is no such file.
    """
    key = signature.user_key()
    if key is None:
        raise UserError(
            f"{signature.key_path()}: cannot be used as your key, by which the tasks of a job know each other; "
            "expected a private file of yours, in a folder that all nodes see (XDG_STATE_HOME chooses another)"
        )
    return hmac.digest(key, f"slurm job {os.environ['SLURM_JOB_ID']}".encode(), "sha256")


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
