"""A process that trains jobs of a sweep, one after another, as `pool` starts it.

A request comes in for each job (its configuration), an answer goes out for what became of it. When there are no more
requests to come, the sweep has gone: the job at work is told to save and stop, so that no orphan trains on.
"""

import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


def serve(
    pipe: Connection, words: Path, environment: Mapping[str, str], folder: Path, path: Sequence[str]
) -> None:
    """Train until the other end closes.

    Args:
        pipe: brings requests, takes answers.
        words: the file that everything printed goes to.
        environment: variables of this process alone.
        folder: to work in.
        path: where Python finds modules, the user's own too.
    """
    from leyden.utils.runtime import load_torch

    os.setsid()
    os.chdir(folder)
    os.environ.update(environment)
    sys.path[:] = path
    with words.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    load_torch()
    status = _serve(pipe)
    words.unlink(missing_ok=True)  # the sweep, which reads what a dead worker has said, may have gone
    sys.exit(status)


def _serve(pipe: Connection) -> int:
    requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
    busy = threading.Event()
    threading.Thread(target=_listen, args=(pipe, requests, busy), daemon=True).start()
    while (request := requests.get()) is not None:
        busy.set()
        answer = _train(request)
        busy.clear()
        try:
            pipe.send(answer)
        except BrokenPipeError:
            return 0
        if answer["status"] == "interrupted":
            return 130
    return 0


def _listen(pipe: Connection, requests: "queue.Queue[dict[str, Any] | None]", busy: threading.Event) -> None:
    try:
        while True:
            requests.put(pipe.recv())
    except (EOFError, OSError):
        requests.put(None)
    if busy.is_set():
        os.kill(os.getpid(), signal.SIGTERM)


def _train(request: Mapping[str, Any]) -> dict[str, str]:
    from leyden.training.job import attempt
    from leyden.utils.console import console

    console.quiet = True
    outcome = attempt(request["plain"], request["command"], known=request["known"])
    return {"status": outcome.status, "message": outcome.message}
