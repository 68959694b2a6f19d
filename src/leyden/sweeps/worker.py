"""A worker process that trains jobs of a sweep, one after another; started by `worker_pool`.

It receives a request per job (the configuration) and sends a reply with its outcome. When the pipe is closed, the
sweep has ended: the running job is signalled to save and stop, so that no orphan continues to train.
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
    pipe: Connection, log: Path, environment: Mapping[str, str], folder: Path, path: Sequence[str]
) -> None:
    """Train jobs until the other end of the pipe is closed.

    Args:
        pipe: for requests and replies.
        log: the file that stdout and stderr are written to.
        environment: environment variables of this process.
        folder: working folder.
        path: sys.path, the user's own code included.
    """
    from leyden.utils.runtime import load_torch

    os.setsid()
    os.chdir(folder)
    os.environ.update(environment)
    sys.path[:] = path
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    load_torch()
    status = _serve(pipe)
    log.unlink(missing_ok=True)  # the sweep removes the log of a dead worker, but may itself have ended
    sys.exit(status)


def _serve(pipe: Connection) -> int:
    requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
    busy = threading.Event()
    threading.Thread(target=_listen, args=(pipe, requests, busy), daemon=True).start()
    while (request := requests.get()) is not None:
        busy.set()
        reply = _train(request)
        busy.clear()
        try:
            pipe.send(reply)
        except BrokenPipeError:
            return 0
        if reply["status"] == "interrupted":
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
    from leyden.utils.runtime import sigterm_interrupts

    console.quiet = True
    with sigterm_interrupts():
        try:
            outcome = attempt(request["plain"], request["command"], known=request["known"])
        except KeyboardInterrupt:  # before or after the training
            return {"status": "interrupted", "message": ""}
    return {"status": outcome.status, "message": outcome.message}
