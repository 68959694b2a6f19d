"""`leyden train` in a child process that dies of SIGKILL, by its own hand at a chosen moment or by its parent's.

The children are forked from a server that has imported everything once (multiprocessing's forkserver), so a killed and
resumed run costs its training and not the seconds of another start.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch import Callback, Trainer

from leyden.callbacks.compute_plan import ComputePlan
from leyden.callbacks.tensorboard_results import ResultViews
from leyden.runs import run
from leyden.training import recovery, resume
from leyden.utils.runtime import fork_server

KILLED = -signal.SIGKILL  # a child's exit code
Record = Mapping[str, Any] | None


class Kill(NamedTuple):
    """When to die: at the first such moment from an optimizer step on.

    Moments:
        forward: a batch has come, nothing is computed.   backward: its gradients are there, no step is taken.
        step: the step is taken, its state not saved.   saving: half of the checkpoint is written.
        saved: the checkpoint is written, nothing renamed.   moved: last.ckpt is previous.ckpt, no other took its place.
        linking: last.ckpt is there, best.ckpt not linked.   validation: in the midst of one.
        epoch: the epoch is over, its state not saved.   evaluation: trained, its test not done.
        result: all is done but result.json.
    """

    moment: str
    step: int


MOMENTS = (
    *("forward", "backward", "step", "saving", "saved", "moved"),
    *("linking", "validation", "epoch", "evaluation", "result"),
)


def start(words: Sequence[str], log: Path, kill: Kill | None = None, compute: Record = None) -> Any:
    """Start `leyden train WORDS`, without its pictures; what it prints goes to the end of `log`.

    compute: of a run's result: its compute plan and the changes of it are repeated; None: they are found anew.
    """
    process = fork_server([__name__]).Process(
        target=_main, args=(list(words), log, kill, compute, Path.cwd(), sys.path)
    )
    process.start()
    return process


def train(words: Sequence[str], log: Path, kill: Kill | None = None, compute: Record = None) -> int:
    """As `start`, and wait: the exit status, or `KILLED`."""
    process = start(words, log, kill, compute)
    process.join()
    return int(process.exitcode)


def _main(
    words: list[str], log: Path, kill: Kill | None, compute: Record, folder: Path, path: list[str]
) -> None:
    from leyden.config.compose import compose, config_dirs_of
    from leyden.runs.run import EXIT_STATUS
    from leyden.training.job import attempt

    os.chdir(folder)
    sys.path[:] = path
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    ResultViews.write = _nothing  # type: ignore[assignment,method-assign]  # pictures at the end are half of a tiny run, and no state
    ComputePlan.replayed = compute
    if kill is not None:
        _arm(kill)
    overrides = [word for word in words if not word.startswith("-")]
    outcome = attempt(compose(overrides, config_dirs_of(words)), ["leyden", "train", *words])
    print(outcome.message)
    sys.stdout.flush()
    sys.exit(EXIT_STATUS[outcome.status])


def _nothing(*_: Any) -> None: ...


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _arm(kill: Kill) -> None:
    """Let this process die at the moment."""
    made = recovery.build_trainer

    def armed_trainer(*arguments: Any) -> Trainer:
        armed = made(*arguments)
        _watch(kill, armed)
        return armed

    recovery.build_trainer = armed_trainer  # type: ignore[assignment]
    if kill.moment == "result":
        run.Run.finish = _die  # type: ignore[method-assign, assignment]


def _watch(kill: Kill, trainer: Trainer) -> None:
    hooks = {
        "forward": ("on_train_batch_start", 1),
        "backward": ("on_after_backward", 1),
        "step": ("on_train_batch_end", 0),
        "validation": ("on_validation_batch_end", 0),
        "epoch": ("on_train_epoch_end", 0),
        "evaluation": ("on_test_batch_end", 0),
    }
    files = {"saved": "previous.ckpt", "moved": "last.ckpt", "linking": "best.ckpt"}
    due = _Due(kill, trainer)
    if kill.moment in hooks:
        trainer.callbacks.append(due.callback(*hooks[kill.moment]))  # type: ignore[attr-defined]
    elif kill.moment == "saving":
        resume.PlainCheckpointIO.save_checkpoint = due.half(resume.PlainCheckpointIO.save_checkpoint)  # type: ignore[method-assign]
    elif kill.moment in files:
        Path.replace = due.before(Path.replace, files[kill.moment])  # type: ignore[method-assign, assignment]


class _Due:
    """Ways to die once the step has come."""

    def __init__(self, kill: Kill, trainer: Trainer) -> None:
        self._kill, self._trainer = kill, trainer

    def _come(self, ahead: int = 0) -> bool:
        return self._trainer.global_step + ahead >= self._kill.step

    def callback(self, hook: str, ahead: int) -> Callback:
        """A callback whose `hook` kills; the optimizer step that it belongs to is `ahead` of those taken."""

        def act(*_: Any) -> None:
            if self._come(ahead):
                _die()

        made = Callback()
        setattr(made, hook, act)
        return made

    def half(self, save: Callable[..., None]) -> Callable[..., None]:
        """`save_checkpoint`, but only half of the file is written."""

        def act(files: Any, content: Any, path: Any, **more: Any) -> None:
            save(files, content, path, **more)
            if self._come():
                os.truncate(path, Path(path).stat().st_size // 2)
                _die()

        return act

    def before(self, replace: Callable[..., Path], name: str) -> Callable[..., Path]:
        """`Path.replace`, but not for a target of this name."""

        def act(path: Path, target: Any) -> Path:
            if Path(target).name == name and self._come():
                _die()
            return replace(path, target)

        return act
