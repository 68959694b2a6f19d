"""Data-parallel training: how the other processes of a run are started and what they do.

Lightning starts them by repeating this process's command line. That would run a sweep, a notebook or somebody's
script again in each of them, so for the time of the fit the command line becomes

    python -m leyden follow FOLDER [CHECKPOINT]

which reads the configuration from the run's folder, trains along and writes nothing.

Where Slurm has started all of them with the same command (`tasks`), the others wait for these words instead.
"""

import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch import Trainer

from leyden import tasks
from leyden.runtime import module_path

_ASK_EVERY = 20  # steps between two agreements of the ranks: each is a synchronisation
_NAMES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # that Lightning sets
_GIVEN = {name: os.environ[name] for name in _NAMES if name in os.environ}
_GRACE = 10.0  # seconds for the others to end by themselves after this process has failed


@contextmanager
def following(folder: Path, resume: Path | None) -> Iterator[None]:
    """Let the other processes follow the run in `folder` from the checkpoint `resume`."""
    from hydra.core.hydra_config import HydraConfig

    words = [str(folder), *([str(resume)] if resume else [])]
    if tasks.count() > 1:
        tasks.tell({"words": words, "path": sys.path, "cwd": str(Path.cwd())})
        yield
        return
    main, hydra = sys.modules["__main__"], HydraConfig.instance()
    kept = sys.argv, getattr(main, "__spec__", None), hydra.cfg, os.environ.get("PYTHONPATH")
    sys.argv = ["leyden", "follow", *words]
    main.__spec__ = importlib.util.find_spec("leyden")
    hydra.cfg = None  # else Lightning repeats Hydra's command
    os.environ["PYTHONPATH"] = module_path()
    try:
        yield
    except BaseException:
        _end_others()
        raise
    finally:
        sys.argv, main.__spec__, hydra.cfg, path = kept
        os.environ.pop("PYTHONPATH") if path is None else os.environ.update(PYTHONPATH=path)


def forget() -> None:
    """The other ranks have ended: the next fit of this process starts new ones, as the first did.

    Lightning takes a process that has its variables for one that was started by somebody else.
    """
    import torch.distributed

    if tasks.count() > 1:
        return
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    for name in _NAMES:
        os.environ.pop(name, None)
    os.environ.update(_GIVEN)


def _end_others() -> None:
    """The fit is over here: end the other ranks, and keep Lightning's watch over them from ending this process.

    The watch kills the leading process with SIGKILL within seconds of another's failure. Where all fail alike, that is
    in the middle of writing down why, or of the next attempt.
    """
    for watch in threading.enumerate():
        if watch.name != "child-process-observer":
            continue
        others: list[subprocess.Popen[bytes]] = getattr(watch, "_child_processes", [])
        kept, others[:] = list(others), []
        for other in kept:
            try:
                other.wait(_GRACE)
            except subprocess.TimeoutExpired:
                other.kill()
                other.wait()


def main(arguments: Sequence[str]) -> int:
    """`leyden follow FOLDER [CHECKPOINT]`: train along as the rank that the environment names."""
    from leyden.runtime import load_torch, prepare

    load_torch()
    from leyden import build, fit, resume
    from leyden.callbacks.interrupt import Interrupted
    from leyden.check import check
    from leyden.console import console
    from leyden.health.finding import NonFinite
    from leyden.recipes import resolved
    from leyden.run import Run, load_config

    console.quiet = True
    folder, *checkpoint = map(Path, arguments)
    config = check(load_config(folder))
    prepare(threads_of_a_rank(config.threads, config.trainer))
    data = build.data(config)
    config, _ = resolved(config, data.spec)
    module = build.module(config, data.spec, data.steps_per_epoch(int(config.trainer["max_epochs"])))
    prior = build.ledger(config, data, module).prior
    state = resume.read(checkpoint[0]) if checkpoint else None
    try:
        fit.train(config, data, module, Run(folder), prior, state)
    except (Interrupted, NonFinite):
        return 0  # all ranks end alike, and the leading one says why
    return 0


def threads_of_a_rank(threads: int | None, trainer: dict[str, object]) -> int | None:
    """The CPU threads of one rank: those given, else this machine's cores divided among the CPU ranks."""
    from leyden.runtime import available_cores

    devices = trainer.get("devices")
    if threads is None and trainer.get("accelerator") == "cpu" and isinstance(devices, int):
        return max(1, available_cores() // devices)
    return threads


def agreed(trainer: Trainer, wish: bool) -> bool:
    """Whether any rank wishes it, the same answer on all; several ranks are asked every so many steps only."""
    if trainer.world_size == 1:
        return wish
    if trainer.global_step % _ASK_EVERY:
        return False
    return bool(trainer.strategy.reduce_boolean_decision(wish, all=False))
