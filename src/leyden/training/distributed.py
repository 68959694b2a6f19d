"""Data-parallel training: how the other processes of a run are started and what they do.

Lightning starts them by repeating this process's command line. That would run a sweep, a notebook or somebody's
script again in each of them, so for the time of the fit the command line becomes

    python -m leyden follow [--trust] FOLDER DIGEST [CHECKPOINT]

which reads the configuration of this digest from the run's folder, trains along and writes nothing.

Where Slurm has started all of them with the same command (`tasks`), the others wait for these words instead.
"""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leyden.config.compose import no_hydra_job
from leyden.runs.run import config_digest
from leyden.training import slurm
from leyden.utils.runtime import available_cores, module_path, safe_path, verify_cpu_load
from leyden.utils.trust import FLAG, is_trusting

_NAMES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # that Lightning sets
_GIVEN = {name: os.environ[name] for name in _NAMES if name in os.environ}
_GRACE = 10.0  # seconds for the others to end by themselves after this process has failed


@contextmanager
def launch_followers(folder: Path, resume: Path | None) -> Iterator[None]:
    """Let the other processes follow the run in `folder` from the checkpoint `resume`."""
    words = [*([FLAG] if is_trusting() else []), str(folder), config_digest(folder)]
    words += [str(resume)] if resume else []
    if slurm.task_count() > 1:
        slurm.send_order({"words": words, "path": sys.path, "cwd": str(Path.cwd())})
        yield
        return
    main = sys.modules["__main__"]
    kept = sys.argv, getattr(main, "__spec__", None), os.environ.get("PYTHONPATH")
    sys.argv = ["leyden", "follow", *words]
    main.__spec__ = importlib.util.find_spec("leyden")
    os.environ["PYTHONPATH"] = module_path()
    try:
        with no_hydra_job(), safe_path():
            yield
    except BaseException:
        _end_others()
        raise
    finally:
        sys.argv, main.__spec__, path = kept
        os.environ.pop("PYTHONPATH") if path is None else os.environ.update(PYTHONPATH=path)


def reset_process_group() -> None:
    """The other ranks have ended: the next fit of this process starts new ones, as the first did.

    Lightning takes a process that has its variables for one that was started by somebody else.
    """
    import torch.distributed

    if slurm.task_count() > 1:
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
    from leyden.utils.lightning_internals import processes_of_other_ranks  # imports torch

    for other in processes_of_other_ranks():
        try:
            other.wait(_GRACE)
        except subprocess.TimeoutExpired:
            other.kill()
            other.wait()


def threads_of_a_rank(threads: int | None, trainer: dict[str, object]) -> int | None:
    """The CPU threads of one rank: those given, else this machine's cores divided among the CPU ranks.

    Raises:
        UserError: all ranks together have more than four threads a core.
    """
    devices = trainer.get("devices")
    ranks = devices if trainer.get("accelerator") == "cpu" and isinstance(devices, int) else 1
    if threads is None and ranks > 1:
        threads = max(1, available_cores() // ranks)
    if threads is not None:
        each = f"threads={threads}"
        verify_cpu_load(ranks * threads, f"trainer.devices={ranks} with {each}" if ranks > 1 else each)
    return threads
