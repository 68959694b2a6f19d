"""Measuring side by side: ways take turns, each round's ratios are formed within it, and a line is printed for each."""

import ctypes
import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
QUIET = 0.5  # cores that other processes use: below it a round is quiet
TICKS = os.sysconf("SC_CLK_TCK")
WIDTHS = "  {:<28} {:>40}  {}"

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)

Way = Callable[[], float]


@dataclass(frozen=True)
class Case:
    """What is measured side by side.

    Attributes:
        name: what is done.
        ways: by name, how; each gives one number. The first is divided by each of the others.
        unit: of the numbers.
        together: instead of `ways`, one call that gives all numbers by name.
        best: which of the others counts where they are settings of one thing: `min`, `max`, or None for each alone.
        ratios: whether there is something to divide.
        once: whether one round is all, since the number hardly varies or takes minutes.
    """

    name: str
    ways: Mapping[str, Way] = field(default_factory=dict)
    unit: str = "s"
    together: Callable[[], Mapping[str, float]] | None = None
    best: Callable[[Sequence[float]], float] | None = None
    ratios: bool = True
    once: bool = False

    def turn(self, number: int) -> dict[str, float]:
        """One round; every second one goes through the ways backwards."""
        if self.together is not None:
            return dict(self.together())
        names = list(self.ways)
        found = {name: self.ways[name]() for name in (reversed(names) if number % 2 else names)}
        return {name: found[name] for name in names}


class Given(NamedTuple):
    """What the command line says."""

    rounds: int
    only: str
    against: str
    picture: Path | None
    overrides: list[str]
    scratch: Path

    @property
    def data_root(self) -> Path:
        """Where the real sets are."""
        roots = [word.partition("=")[2] for word in self.overrides if word.startswith("data_root=")]
        return Path(roots[-1] if roots else "data").resolve()


def report(part: str, cases: Iterator[Case], given: Given, busy: bool) -> None:
    """Measure the cases of a part and print them."""
    for case in cases:
        if given.only and given.only not in case.name:
            continue
        with _busy_process() if busy else nullcontext(0) as other:
            rounds, loads = [], []
            for number in range(1 if case.once else given.rounds):
                begun = _used(other)
                rounds.append(case.turn(number))
                loads.append(_load(begun, _used(other)))
                shown = ", ".join(f"{name} {value:.4g}" for name, value in rounds[-1].items())
                print(f"  round {number + 1}: {shown}; others use {loads[-1]:.2f} cores", file=sys.stderr)
        _print(f"{part}: {case.name}", case, rounds, loads, busy)


def _print(title: str, case: Case, rounds: list[dict[str, float]], loads: list[float], busy: bool) -> None:
    quiet = f"{sum(load < QUIET for load in loads)} of {len(loads)} rounds quiet"
    print(f"{title} ({quiet}{', beside a busy process' if busy else ''})")
    first, *others = rounds[0]
    for name in (first, *others):
        values = [found[name] for found in rounds]
        ratios = [] if name == first or not case.ratios else [found[first] / found[name] for found in rounds]
        middle = f"{statistics.median(values):,.4g} ({min(values):,.4g} - {max(values):,.4g}) {case.unit}"
        print(WIDTHS.format(name, middle.rstrip(), _spread(ratios)).rstrip())
    if case.best is not None:
        best = [case.best([found[name] for name in others]) for found in rounds]
        ratios = [found[first] / value for found, value in zip(rounds, best, strict=True)]
        print(WIDTHS.format("the best of them", "", _spread(ratios)))
    sys.stdout.flush()


def header() -> str:
    """The table's first line."""
    return WIDTHS.format("how", "median (least - most)", "first / this one, round by round")


def _spread(ratios: list[float]) -> str:
    if not ratios:
        return ""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})"


# --- what other processes do meanwhile ---


def _used(busy: int) -> tuple[float, float, float]:
    """(now, CPU seconds of all processes, of ours): of this process, its ended children and the busy one."""
    fields = Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]
    everything = sum(int(x) for i, x in enumerate(fields) if i not in (3, 4)) / TICKS  # not idle, not waiting
    ours = _cpu_seconds(resource.RUSAGE_SELF) + _cpu_seconds(resource.RUSAGE_CHILDREN)
    if busy:
        words = Path(f"/proc/{busy}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ours += (int(words[11]) + int(words[12])) / TICKS
    return time.perf_counter(), everything, ours


def _cpu_seconds(who: int) -> float:
    """Of this process (`resource.RUSAGE_SELF`), or of its ended descendants (`RUSAGE_CHILDREN`)."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def _load(before: tuple[float, float, float], after: tuple[float, float, float]) -> float:
    """Cores that processes other than ours have used in between."""
    seconds, everything, ours = (b - a for a, b in zip(before, after, strict=True))
    return max(0.0, everything - ours) / max(seconds, 1e-9)


@contextmanager
def _busy_process() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


# --- processes ---


class Done(NamedTuple):
    """An ended process: wall and CPU seconds with those of its descendants, its own peak memory in MB, its output."""

    seconds: float
    cpu: float
    peak: float
    output: str


def process(command: Sequence[str | Path], cwd: Path, **environment: str) -> Done:
    """Run a command; ends the benchmark with its output where it fails."""
    before = _cpu_seconds(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryFile() as out, _adopting():
        begun = time.perf_counter()
        env = {**os.environ, **environment}
        child = subprocess.Popen(list(map(str, command)), cwd=cwd, stdout=out, stderr=out, env=env)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        output = out.read().decode(errors="replace")
    if child.returncode:
        sys.exit(f"{' '.join(map(str, command))}: status {child.returncode}\n{output}")
    return Done(seconds, _cpu_seconds(resource.RUSAGE_CHILDREN) - before, usage.ru_maxrss / 1000, output)


@contextmanager
def _adopting(seconds: float = 5.0) -> Iterator[None]:
    """Take over what a command leaves behind, and wait for it: a sweep's workers would count as others."""
    adopt, known = ctypes.CDLL(None).prctl, _children()
    adopt(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
        until = time.perf_counter() + seconds
        while (left := _children() - known) and time.perf_counter() < until:
            for pid in left:
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.01)
    finally:
        adopt(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _children() -> set[int]:
    return set(map(int, Path("/proc/thread-self/children").read_text(encoding="utf-8").split()))


def leyden(words: Sequence[str], cwd: Path, **environment: str) -> Done:
    """Run a command of Leyden."""
    return process([sys.executable, "-P", "-m", "leyden", *words], cwd, **environment)


_CALL = (
    "import json, sys; sys.path.insert(0, sys.argv[1]); from benches import measure; "
    "print(json.dumps(measure.call(*json.loads(sys.argv[2]))))"
)


def in_process(
    function: Callable[..., Any], *arguments: Any, cwd: Path | None = None, **environment: str
) -> Any:
    """What a function of a part gives in a process of its own: threads and the allocator are a process's."""
    what = json.dumps([function.__module__, function.__name__, arguments])
    done = process([sys.executable, "-c", _CALL, ROOT / "scripts", what], cwd or Path.cwd(), **environment)
    return json.loads(done.output.splitlines()[-1])


def call(module: str, function: str, arguments: Sequence[Any]) -> Any:
    """The other end of `in_process`."""
    return getattr(importlib.import_module(module), function)(*arguments)


@contextmanager
def sources(against: str, scratch: Path) -> Iterator[dict[str, str]]:
    """PYTHONPATH by name: this code, and that of the commit `against` where one is given."""
    found = {"now": str(ROOT / "src")}
    if not against:
        yield found
        return
    tree = scratch / "before"
    subprocess.run(["git", "-C", ROOT, "worktree", "add", "--detach", "--quiet", tree, against], check=True)
    try:
        yield {**found, against: str(tree / "src")}
    finally:
        subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", tree], check=True)


def per_call(function: Callable[[], Any], seconds: float = 0.3) -> float:
    """Milliseconds of a call, the median of as many as fit."""
    function()
    times: list[float] = []
    while sum(times) < seconds or len(times) < 3:
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return 1e3 * statistics.median(times)
