"""A logger of a user's own: keeps what it is sent in a file, one JSON list a line, over all attempts of a run."""

import json
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger


class Recording(Logger):
    """Args as Lightning's: where to, the run's name, and the run of its own that is gone on with."""

    fails_at = -1  # a step whose metrics it cannot take

    def __init__(self, save_dir: str, name: str, run_id: str | None = None) -> None:
        super().__init__()
        self._file, self._name, self._id = Path(save_dir, "record.jsonl"), name, run_id
        self._write("made", run_id)

    @property
    def name(self) -> str:
        return self._name

    @property
    def version(self) -> str:
        return self._id or "one"

    def log_hyperparams(self, params: Any, *_: Any) -> None:
        self._write("choices", params)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        if step == self.fails_at:
            raise ConnectionError("no route")
        self._write("metrics", step, sorted(metrics))

    def finalize(self, status: str) -> None:
        self._write("end", status)

    def _write(self, *what: Any) -> None:
        self._file.parent.mkdir(exist_ok=True)
        with self._file.open("a") as file:
            file.write(f"{json.dumps(what)}\n")
