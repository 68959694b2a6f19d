"""A pool of worker processes for a sweep on this machine: the cores are divided among them, and each gets one GPU.

Workers are forked from a server that imports torch and Lightning once, while the sweep is being planned
(multiprocessing's forkserver), and train many jobs each. If a worker dies (out of memory, a crash in compiled code),
only its job is interrupted, to be resumed later, and a new worker takes the next job.
"""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leyden.sweeps import worker
from leyden.sweeps.plan import Job
from leyden.sweeps.sequential import next_of
from leyden.utils.runtime import available_cores, fork_server, omp_threads

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

JobReport = Callable[[Job, str, str], None]  # (job, status, message) of a job that ended
_LOG_TAIL = 2000  # characters of a dead worker's output


def warm_up() -> "ForkServerContext":
    """Start the fork server, whose imports run while the sweep is planned and take about as long."""
    return fork_server(["leyden.sweeps.preload"])


class Pool:
    """A pool of `at_once` workers.

    Args:
        at_once: number of processes.
        command: returns the command of a job, for its manifest.
        report: called with the outcome of each job, from several threads.
    """

    def __init__(self, at_once: int, command: Callable[[Job], list[str]], report: JobReport) -> None:
        self._at_once, self._command, self._report = at_once, command, report
        self._guard = threading.Lock()
        self._workers: dict[int, _Worker] = {}
        self._stopping = False
        self._errors: list[Exception] = []

    def run(self, jobs: Sequence[Job]) -> None:
        """Train all jobs; Ctrl-C lets the workers save and stop, a second one kills them.

        Raises:
            KeyboardInterrupt: after the workers have stopped.
        """
        waiting = list(jobs)
        self.stream(lambda: next_of(waiting), len(jobs))

    def stream(self, next_job: Callable[[], Job | None], most: int | None = None) -> None:
        """Train jobs that are requested one at a time.

        Args:
            next_job: called for the next job when a worker is free; None: there are no more.
            most: maximum number of workers, if fewer than `at_once` suffice.

        Raises:
            KeyboardInterrupt: after the workers have stopped.
            Exception: what `next_job` or `report` raised, once the other workers' jobs have ended.
        """
        threads = [
            threading.Thread(target=self._serve, args=(slot, next_job), daemon=True)
            for slot in range(min(self._at_once, most or self._at_once))
        ]
        for thread in threads:
            thread.start()
        try:
            _join(threads)
        except KeyboardInterrupt:
            self._stop(signal.SIGTERM)
            try:
                _join(threads)
            except KeyboardInterrupt:
                self._stop(signal.SIGKILL)
                _join(threads)
            raise
        finally:
            self._stop(signal.SIGKILL)
        if self._errors:
            raise self._errors[0]

    def _serve(self, slot: int, next_job: Callable[[], Job | None]) -> None:
        """Loop of one slot: take a job and have it trained, until there are no more."""
        try:
            while (job := self._take(slot, next_job)) is not None:
                worker = self._workers[slot]
                reply = worker.train({"plain": job.plain, "command": self._command(job), "known": job.known})
                self._report(job, reply["status"], reply["message"])
        except Exception as error:  # re-raised in the thread that waits for this one
            self._errors.append(error)
        if slot in self._workers:
            self._workers[slot].close()

    def _take(self, slot: int, next_job: Callable[[], Job | None]) -> Job | None:
        with self._guard:
            if slot not in self._workers or self._workers[slot].has_ended():
                if self._stopping:
                    return None
                if slot in self._workers:
                    self._workers[slot].close()
                self._workers[slot] = _Worker(slot, self._at_once)
            return None if self._stopping or self._errors else next_job()

    def _stop(self, number: int) -> None:
        with self._guard:
            self._stopping = True
            for worker in self._workers.values():
                worker.signal(number)


def _join(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        while thread.is_alive():
            thread.join(0.5)  # with a timeout: a blocking join would delay signal handlers


class _Worker:
    """One process of `worker.serve`, in its own session, so that Ctrl-C reaches it only through the pool."""

    def __init__(self, slot: int, at_once: int) -> None:
        descriptor, name = tempfile.mkstemp(prefix="leyden-worker-")
        os.close(descriptor)
        self._log = Path(name)
        context = warm_up()
        self._pipe, theirs = context.Pipe()
        share = _share(slot, at_once)
        self._process = context.Process(
            target=worker.serve, args=(theirs, self._log, share, Path.cwd(), sys.path), daemon=False
        )
        self._process.start()
        theirs.close()

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return not self._process.is_alive()

    def train(self, request: dict[str, Any]) -> dict[str, str]:
        """Train one job in the worker; returns its reply, or an interrupted outcome if the worker died."""
        try:
            self._pipe.send(request)
            reply: dict[str, str] = self._pipe.recv()
        except (EOFError, OSError):
            return {"status": "interrupted", "message": self._exit_message()}
        return reply

    def _exit_message(self) -> str:
        self._process.join()
        code = self._process.exitcode or 0
        cause = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        output = self._log.read_text(errors="replace")[-_LOG_TAIL:].strip()
        return f"its process was {cause}{hint}" + (
            f": {output}" if output and code != -signal.SIGTERM else ""
        )

    def signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if not self.has_ended():
            os.kill(self._process.pid or 0, number)

    def close(self) -> None:
        """Close the pipe, which ends the worker, and remove its log."""
        self._pipe.close()
        self._process.join()
        self._log.unlink(missing_ok=True)


def _share(slot: int, at_once: int) -> dict[str, str]:
    """Return the environment variables of a worker: its share of the cores, unless that is set, and its GPU."""
    threads = {"OMP_NUM_THREADS": str(omp_threads() or max(1, available_cores() // at_once))}
    gpus = _gpus()
    return {**threads, **({"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]} if gpus else {})}


def _gpus() -> list[str]:
    """Return the GPUs available to this process, in the notation of CUDA_VISIBLE_DEVICES."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name]
    import torch

    return [str(i) for i in range(torch.cuda.device_count())]
