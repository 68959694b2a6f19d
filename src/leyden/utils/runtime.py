"""The process before the first tensor: allocator, threads, and what Lightning should not say."""

import ctypes
import gc
import importlib
import logging
import multiprocessing
import os
import platform
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import forkserver
from typing import TYPE_CHECKING

from leyden.utils.errors import UserError

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

# glibc gives freed activations back to the kernel at every step and faults them in again; with both
# thresholds raised a small net trains up to 2.4 times faster. Price: that much freed memory stays ours.
_THRESHOLD = 512 * 2**20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

# Between two parallel regions GNU OpenMP's threads spin, by default for ever: where another process wants the
# core, a step of a small net then takes ten times as long. So many turns are some microseconds.
_SPINS = "2000"

# By the warnings Slurm (sbatch --signal) and submitit (USR2) announce that a job's time is over; unhandled, they kill.
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
STOPS = (signal.SIGINT, signal.SIGTERM, *WARNINGS)  # what asks a run to save and stop

_IGNORED_WARNINGS = (
    ".*does not have many workers.*",
    ".*is smaller than the logging interval.*",
    ".*GPU available but not used.*",
    ".*overridden `transfer_batch_to_device` in `LightningModule`.*",
    ".*isinstance.treespec, LeafSpec.* is deprecated.*",
    ".*`srun` command is available on your system but is not used.*",  # a login node, or one process of a job
    ".*infer the `batch_size` from an ambiguous collection.*",  # a Batch's first tensor has the right one
)


def load_torch() -> None:
    """Import torch and Lightning into a process that is set for them; call before anything else imports them."""
    _tune_process()
    if "lightning" in sys.modules:
        return
    with gc_paused():  # a fifth of the time: a million objects are made
        importlib.import_module("lightning.pytorch")
        gc.freeze()  # they stay


def _tune_process() -> None:
    """Set OpenMP, which reads this when torch is imported, and the allocator; both GNU's, on Linux only."""
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_TRIM_THRESHOLD, _THRESHOLD)
        libc.mallopt(_M_MMAP_THRESHOLD, _THRESHOLD)


def fork_server(modules: Sequence[str]) -> "ForkServerContext":
    """multiprocessing's server that imports these modules, once, and then forks processes that have them.

    Raises:
        UserError: the folder for temporary files has too long a name for the server's socket.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    try:
        forkserver.ensure_running()
    except OSError as error:
        if "AF_UNIX" not in str(error):
            raise
        raise UserError(
            f"TMPDIR={tempfile.gettempdir()}: too long a name for the socket of worker processes; "
            "choose a shorter one, such as TMPDIR=/tmp"
        ) from error
    return context


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def module_path() -> str:
    """PYTHONPATH for a process that is to find what this one finds, the user's own code too."""
    return os.pathsep.join(path for path in sys.path if path)


def _omp_threads() -> int:
    """OMP_NUM_THREADS, 0 where it is not set or no number."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() else 0


def prepare(threads: int | None) -> int:
    """Set torch's threads and quiet Lightning; returns the number of threads.

    Raises:
        UserError: a known broken combination of torch and torchvision is installed.
    """
    _refuse_broken_torch()
    import lightning  # noqa: F401 (sets what the next lines unset)
    import torch

    if not torch.cuda.is_available():
        # Lightning asks torch to look for GPUs through NVML; Adam looks at every step, for 0.2 ms in vain
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    count = threads or _omp_threads() or available_cores()
    torch.set_num_threads(count)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in _IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    return count


def _refuse_broken_torch() -> None:
    """torch 2.13.0+cpu and the torchvision of the package index: importing torchvision fails on an operator."""
    if version("torch") == "2.13.0+cpu" and "+cpu" not in _version("torchvision"):
        raise UserError(
            "torch 2.13.0+cpu beside this torchvision breaks `import torchvision`: "
            "pip install 'torch>=2.14' 'torchvision>=0.29'"
        )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "+cpu"


@contextmanager
def gc_paused() -> Iterator[None]:
    """The garbage collector rests: it would go through what is being made, none of it garbage, again and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
