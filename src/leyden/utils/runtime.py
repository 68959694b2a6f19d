"""Process setup before the first tensor: allocator, threads, and Lightning's log level and warnings."""

import ctypes
import functools
import gc
import importlib
import logging
import multiprocessing
import os
import platform
import re
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import forkserver
from typing import TYPE_CHECKING

from leyden.utils import cpu_load
from leyden.utils.errors import UserError, first_line

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

# glibc returns freed activations to the kernel at every step and page-faults them in again; with both thresholds
# raised a small net trains up to 2.4 times faster. Cost: up to this many bytes of freed memory stay allocated.
_THRESHOLD = 512 * 2**20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

# Between two parallel regions GNU OpenMP's threads busy-wait, by default without limit: if another process needs
# the core, a step of a small net then takes ten times as long. This spin count is a few microseconds.
_SPINS = "2000"

_MOST_PER_CORE = 4  # CPU threads or processes: with more, a mistyped number makes the machine unusable

# Slurm (sbatch --signal) and submitit (USR2) send these before a job's time limit; unhandled, they kill the process.
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
STOPS = (signal.SIGINT, signal.SIGTERM, *WARNINGS)  # signals on which a run saves its state and stops

_IGNORED_WARNINGS = (
    ".*does not have many workers.*",
    ".*is smaller than the logging interval.*",
    ".*GPU available but not used.*",
    ".*overridden `transfer_batch_to_device` in `LightningModule`.*",
    ".*isinstance.treespec, LeafSpec.* is deprecated.*",
    ".*`srun` command is available on your system but is not used.*",  # a login node, or one process of a job
    ".*callbacks used to create the checkpoint need to be provided.*",  # `continue` may choose others
    ".*infer the `batch_size` from an ambiguous collection.*",  # a Batch's first tensor has the right one
)


def load_torch() -> None:
    """Tune the process and import torch and Lightning; call it before anything else imports them.

    Raises:
        UserError: they need more memory than there is.
    """
    _tune_process()
    cpu_load.look()
    if "lightning" in sys.modules:
        return
    with gc_paused():  # the import creates a million objects; collecting among them takes a fifth of its time
        try:
            load_matplotlib()  # which Lightning imports, too
            importlib.import_module("lightning.pytorch")
        except (ImportError, MemoryError, OSError) as error:
            if isinstance(error, ImportError) and not re.search("memory|map segment", str(error)):
                raise
            raise UserError(
                f"torch cannot be loaded, there is too little memory ({first_line(error)}): raise the limit of this "
                "process (`ulimit -v` shows it; 4 GB suffice), or use a larger machine"
            ) from error
        gc.freeze()  # these objects live as long as the process


def load_matplotlib() -> None:
    """Import matplotlib, without a `matplotlibrc` of the working folder; call it before anything else imports it.

    Such a file can have programs started (text.usetex), exhaust the memory or be a pipe; it is looked for by its bare
    name, before all others.
    """
    if "matplotlib" in sys.modules:
        return
    here = os.open(".", os.O_PATH)  # to come back, even to a folder that has been removed
    try:
        os.chdir("/")
        importlib.import_module("matplotlib")
    finally:
        os.fchdir(here)
        os.close(here)


def _tune_process() -> None:
    """Configure GNU OpenMP, which reads the variable when torch is imported, and glibc's allocator (Linux only)."""
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_TRIM_THRESHOLD, _THRESHOLD)
        libc.mallopt(_M_MMAP_THRESHOLD, _THRESHOLD)


def fork_server(modules: Sequence[str]) -> "ForkServerContext":
    """Start multiprocessing's fork server, which imports these modules once; its forked processes share them.

    Raises:
        UserError: the path of the folder for temporary files is too long for the server's socket.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    try:
        with safe_path():
            forkserver.ensure_running()
    except OSError as error:
        if "AF_UNIX" not in str(error):
            raise
        raise UserError(
            f"TMPDIR={tempfile.gettempdir()}: this path is too long for the socket of worker processes; "
            "choose a shorter one, such as TMPDIR=/tmp"
        ) from error
    return context


@contextmanager
def safe_path() -> Iterator[None]:
    """Let Python processes that are started within the block find no modules in the working folder (`python -P`)."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        os.environ.pop("PYTHONSAFEPATH") if before is None else os.environ.update(PYTHONSAFEPATH=before)


def available_cores() -> int:
    """Return the number of CPU cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def verify_cpu_load(processes: int, what: str) -> None:
    """Refuse more CPU threads or processes at once than four per core; print a remark above one.

    Args:
        processes: threads or processes that compute at the same time.
        what: the overrides that ask for them: "--jobs 8 with threads=4".

    Raises:
        UserError: so many that they would mostly wait for each other.
    """
    cores = available_cores()
    if processes <= cores:
        return
    here = f"{cores:,} CPU core{'s' if cores > 1 else ''}"
    if processes > _MOST_PER_CORE * cores:
        raise UserError(
            f"{what}: {processes:,} at once, and this process has {here}; choose {cores}, or at most "
            f"{_MOST_PER_CORE * cores}"
        )
    from leyden.utils.console import errors  # imports rich

    errors.print(f"{what}: {processes:,} at once on {here} wait for each other; fewer may be faster")


def module_path() -> str:
    """Return the PYTHONPATH that gives a child process the same import path, the user's own code included."""
    return os.pathsep.join(path for path in sys.path if path)


def omp_threads() -> int:
    """Return OMP_NUM_THREADS, or 0 if it is unset or not a number."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() else 0


def thread_count(threads: int | None) -> int:
    """Return the threads asked for, else OMP_NUM_THREADS, else the number of cores available to this process."""
    return threads or omp_threads() or available_cores()


def prepare(threads: int | None) -> int:
    """Set torch's number of threads and silence Lightning's logs; returns the number of threads.

    Raises:
        UserError: an incompatible combination of torch and torchvision is installed.
    """
    _verify_torch_version()
    import lightning  # noqa: F401 (sets what the next lines unset)
    import torch

    if not torch.cuda.is_available():
        # Lightning makes torch query GPUs through NVML; Adam does so at every step, which costs 0.2 ms for nothing
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    count = thread_count(threads)
    torch.set_num_threads(count)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in _IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    return count


def _verify_torch_version() -> None:
    """Reject torch 2.13.0+cpu with PyPI's torchvision, whose import fails on a missing operator."""
    if version("torch") == "2.13.0+cpu" and "+cpu" not in _version("torchvision"):
        raise UserError(
            "torch 2.13.0+cpu is incompatible with the installed torchvision (`import torchvision` fails): "
            "pip install 'torch>=2.14' 'torchvision>=0.29'"
        )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "+cpu"


@contextmanager
def gc_paused() -> Iterator[None]:
    """Disable the garbage collector within the block, where many objects are created and none becomes garbage."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt, as Ctrl-C does, and restore the handlers of `STOPS` at the end.

    A training replaces them until it has saved its state (`callbacks.interrupt`), and Lightning leaves its own behind.
    In another than the main thread, where Python sets no handlers, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPS}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: installed by C code
                signal.signal(number, handler)
