"""Jobs of a sweep in worker processes on this machine: the cores divided among them, one GPU each where there are GPUs.

Workers are forked from a server that imports torch and Lightning once, while the sweep is being planned
(multiprocessing's forkserver), and train many jobs each. One that dies (out of memory, a crash in compiled code)
takes only its job with it: the job stays broken off, to be resumed, and another worker takes the next.
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
from leyden.utils.runtime import available_cores, fork_server

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

JobReport = Callable[[Job, str, str], None]  # (job, status, message) of a job that ended
_LAST_WORDS = 2000  # characters of a dead worker's stderr


def warm_up() -> "ForkServerContext":
    """Let the server begin its imports, which take as long as the planning of a sweep."""
    return fork_server(["leyden.sweeps.preload"])


class Pool:
    """`at_once` workers over one list of jobs.

    Args:
        at_once: how many processes.
        command: of a job, for its manifest.
        told: called, from several threads, with what became of each job.
    """

    def __init__(self, at_once: int, command: Callable[[Job], list[str]], told: JobReport) -> None:
        self._at_once, self._command, self._told = at_once, command, told
        self._guard = threading.Lock()
        self._workers: dict[int, _Worker] = {}
        self._stopping = False
        self._errors: list[Exception] = []

    def run(self, jobs: Sequence[Job]) -> None:
        """Train all; Ctrl-C lets the workers save and stop, a second one kills them.

        Raises:
            KeyboardInterrupt: after the workers have stopped.
        """
        waiting = list(jobs)
        self.stream(lambda: next_of(waiting), len(jobs))

    def stream(self, following: Callable[[], Job | None], most: int | None = None) -> None:
        """As `run`, for jobs that come one at a time.

        Args:
            following: asked for the next job when a worker is free; None: there are no more.
            most: workers that can be of use.

        Raises:
            KeyboardInterrupt: after the workers have stopped.
            Exception: what `following` or `told` raised, once the other workers' jobs have ended.
        """
        threads = [
            threading.Thread(target=self._serve, args=(slot, following), daemon=True)
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

    def _serve(self, slot: int, following: Callable[[], Job | None]) -> None:
        """What one slot does: take a job, have it trained, until none is left."""
        try:
            while (job := self._take(slot, following)) is not None:
                worker = self._workers[slot]
                answer = worker.train({"plain": job.plain, "command": self._command(job), "known": job.known})
                self._told(job, answer["status"], answer["message"])
        except Exception as error:  # for the thread that waits for this one
            self._errors.append(error)
        if slot in self._workers:
            self._workers[slot].close()

    def _take(self, slot: int, following: Callable[[], Job | None]) -> Job | None:
        with self._guard:
            if slot not in self._workers or self._workers[slot].gone():
                if self._stopping:
                    return None
                if slot in self._workers:
                    self._workers[slot].close()
                self._workers[slot] = _Worker(slot, self._at_once)
            return None if self._stopping or self._errors else following()

    def _stop(self, number: int) -> None:
        with self._guard:
            self._stopping = True
            for worker in self._workers.values():
                worker.signal(number)


def _join(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        while thread.is_alive():
            thread.join(0.5)  # with a limit: else a signal is not seen


class _Worker:
    """One process of `worker.serve`, in a session of its own, so that Ctrl-C reaches it through us alone."""

    def __init__(self, slot: int, at_once: int) -> None:
        descriptor, name = tempfile.mkstemp(prefix="leyden-worker-")
        os.close(descriptor)
        self._words = Path(name)
        context = warm_up()
        self._pipe, theirs = context.Pipe()
        share = _share(slot, at_once)
        self._process = context.Process(
            target=worker.serve, args=(theirs, self._words, share, Path.cwd(), sys.path), daemon=False
        )
        self._process.start()
        theirs.close()

    def gone(self) -> bool:
        """Whether it has ended."""
        return not self._process.is_alive()

    def train(self, request: dict[str, Any]) -> dict[str, str]:
        """Have one job trained; a worker that dies over it is an answer, too."""
        try:
            self._pipe.send(request)
            answer: dict[str, str] = self._pipe.recv()
        except (EOFError, OSError):
            return {"status": "interrupted", "message": self._death()}
        return answer

    def _death(self) -> str:
        self._process.join()
        code = self._process.exitcode or 0
        by = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        words = self._words.read_text(errors="replace")[-_LAST_WORDS:].strip()
        return f"its process was {by}{hint}" + (f": {words}" if words and code != -signal.SIGTERM else "")

    def signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if not self.gone():
            os.kill(self._process.pid or 0, number)

    def close(self) -> None:
        """No more jobs: it ends by itself."""
        self._pipe.close()
        self._process.join()
        self._words.unlink(missing_ok=True)


def _share(slot: int, at_once: int) -> dict[str, str]:
    """The environment of a worker: its share of the cores, and its GPU."""
    threads = {"OMP_NUM_THREADS": str(max(1, available_cores() // at_once))}
    gpus = _gpus()
    return {**threads, **({"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]} if gpus else {})}


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name]
    import torch

    return [str(i) for i in range(torch.cuda.device_count())]
