"""A process that trains jobs of a sweep, one after another: `leyden work`, started by `pool`.

A line of JSON comes in for each job (its configuration), a line goes out for what became of it. When the input ends,
the sweep has gone: the job at work is told to save and stop, so that no orphan trains on.
"""

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Serve until the input ends."""
    from leyden.runtime import tune_process

    tune_process()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a job prints is no answer
    requests: queue.Queue[str | None] = queue.Queue()
    busy = threading.Event()
    threading.Thread(target=_listen, args=(requests, busy), daemon=True).start()
    while (line := requests.get()) is not None:
        busy.set()
        answer = _train(line)
        busy.clear()
        try:
            print(json.dumps(answer), file=answers, flush=True)
        except BrokenPipeError:
            return 0
        if answer["status"] == "interrupted":
            return 130
    return 0


def _listen(requests: "queue.Queue[str | None]", busy: threading.Event) -> None:
    for line in sys.stdin:
        requests.put(line)
    requests.put(None)
    if busy.is_set():
        os.kill(os.getpid(), signal.SIGTERM)


def _train(line: str) -> dict[str, str]:
    from leyden.console import console
    from leyden.train import attempt

    console.quiet = True
    request = json.loads(line)
    outcome = attempt(request["plain"], request["command"], known=request["known"])
    return {"status": outcome.status, "message": outcome.message}
