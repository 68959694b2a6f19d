"""A sweep of 24 jobs, 4 of which fail by design, is killed whole ten times and launched again each time.

    scripts/torture_sweep              # one job at a time
    scripts/torture_sweep --jobs 2     # two worker processes

Then it must be as if nothing had happened: the final table equals that of a sweep that nobody disturbed, no
finished job was trained again, no file is half-written. Exit status 1 if not.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RATES = "0.001,0.003,0.01,0.03,0.1,1e30"  # the last one fails: its weights overflow
GRID = [f"optimizer.lr={RATES}", "seed=1,2,3,4"]
JOB = ["data=digits", "model=mlp", "trainer=cpu", "threads=1", "trainer.max_epochs=3", "logger=none"]
JOBS, FAILING = 24, 4


def main() -> None:
    """Kill, launch again, compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print(f"{JOBS} jobs, {given.jobs} at once, {given.kills} kills, seed {given.seed}")
        calm, killed = Path(scratch, "calm"), Path(scratch, "killed")
        started = time.monotonic()
        (status, table), length = finish(calm, given.jobs), time.monotonic() - started
        print(f"untroubled: exit status {status} after {length:.0f} s")
        problems = trouble(killed, given, length) + compare((status, table), finish(killed, given.jobs))
        problems += whole(killed)
        problems += [f"{len(results(killed))} runs, not {JOBS}"] if len(results(killed)) != JOBS else []
        problems += [f"exit status {status}, not 1"] if status != 1 else []
        failed = sum(result["status"] == "failed" for result in results(killed).values())
        problems += [f"{failed} failed, not {FAILING}"] if failed != FAILING else []
    print("\n".join(problems) or f"as if nothing had happened: {JOBS} jobs, {failed} failed by design")
    sys.exit(bool(problems))


def launch(runs: Path, jobs: int) -> subprocess.Popen[str]:
    """The sweep in a process group of its own."""
    command = [sys.executable, "-m", "leyden", "train", "-m", *JOB, *GRID, f"runs={runs}", f"--jobs={jobs}"]
    return subprocess.Popen(
        command,
        start_new_session=True,
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(runs: Path, jobs: int) -> tuple[int, list[str]]:
    """Exit status and the lines of the final table, less the seconds."""
    process = launch(runs, jobs)
    output, _ = process.communicate()
    return process.returncode, table(output)


def table(output: str) -> list[str]:
    """Its rows, sorted, without times."""
    rows = [line for line in output.splitlines() if re.match(r"\s*(complete|failed|interrupted|new)\s", line)]
    return sorted(re.sub(r"\d+(\.\d+)? s\b|\d+ min \d+ s", "", line) for line in rows[-JOBS:])


def trouble(runs: Path, given: argparse.Namespace, length: float) -> list[str]:
    """Kill the sweep again and again; what is finished must stay as it is."""
    draw = random.Random(given.seed)
    problems: list[str] = []
    done: dict[str, dict[str, Any]] = {}
    for number in range(given.kills):
        before, process = stamps(runs), launch(runs, given.jobs)
        if number % 4:  # else anywhere, also before the first job
            while stamps(runs) == before and process.poll() is None:
                time.sleep(0.05)
        time.sleep(draw.uniform(0, length / given.kills))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        after = results(runs)
        again = [folder for folder, result in done.items() if after.get(folder) != result]
        problems += [f"kill {number + 1}: {folder} was complete and has changed" for folder in again]
        done = {folder: result for folder, result in after.items() if result["status"] == "complete"}
        print(f"kill {number + 1}: {len(done)} complete", flush=True)
    return problems


def stamps(runs: Path) -> dict[Path, int]:
    """When each result was written."""
    return {path: path.stat().st_mtime_ns for path in runs.glob("*/*/result.json")}


def results(runs: Path) -> dict[str, dict[str, Any]]:
    """What result.json says, with the file's time: a job trained again would have another."""
    found = {}
    for path in runs.glob("*/*/result.json"):
        found[path.parent.name] = {**json.loads(path.read_text()), "written": path.stat().st_mtime_ns}
    return found


def compare(calm: tuple[int, list[str]], killed: tuple[int, list[str]]) -> list[str]:
    """What the table of the killed sweep has else than that of the calm one."""
    problems = [f"exit status {killed[0]}, untroubled {calm[0]}"] if calm[0] != killed[0] else []
    if calm[1] != killed[1] or len(calm[1]) != JOBS:
        problems.append("the tables differ:")
        problems += [f"  untroubled: {line}" for line in calm[1] if line not in killed[1]]
        problems += [f"  killed:     {line}" for line in killed[1] if line not in calm[1]]
    return problems


def whole(runs: Path) -> list[str]:
    """Every file can be read."""
    import yaml

    from leyden.utils import tensors

    problems = []
    readers: dict[str, Callable[[Path], object]] = {
        ".json": lambda p: json.loads(p.read_text()),
        ".yaml": lambda p: yaml.safe_load(p.read_text()),
    }
    readers[".ckpt"] = tensors.load
    for path in (p for p in runs.rglob("*") if p.suffix in readers and not p.name.startswith(".")):
        try:
            readers[path.suffix](path)
        except Exception as error:  # whatever it is, it is the finding
            problems.append(f"{path} cannot be read: {error!r}")
    return problems


if __name__ == "__main__":
    main()
