"""What TensorBoard adds to a job: scripts/bench_tensorboard [--pairs N] [OVERRIDES ...].

Trains each setting in pairs, once with `logger=none` and once with `logger=tensorboard`, each in a process of its own
and in changing order, and prints the CPU seconds, user and system, of all its processes: the median without, the median
of the pairs' differences with the least and the most, and the median share.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

SETTINGS = (
    "model=mlp trainer.max_epochs=2",
    "model=cnn trainer.max_epochs=2",
    "experiment=planted_text trainer.max_epochs=2",
    "experiment=planted_audio trainer.max_epochs=2",
    "model=cnn trainer.max_epochs=100",  # a CPU minute or more
    "experiment=planted_text trainer.max_epochs=40",
)
ONE_CPU = ("trainer=cpu", "threads=1")


def cpu_seconds(words: Sequence[str], folder: Path) -> float:
    """Of a training in a process of its own, with those that it started."""
    command = [str(Path(sys.executable).with_name("leyden")), "train", *words, *ONE_CPU, "force=true"]
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            out.seek(0)
            sys.exit(out.read().decode())
    return usage.ru_utime + usage.ru_stime


def pair(words: Sequence[str], folder: Path, number: int) -> tuple[float, float]:
    """CPU seconds without and with it; every second pair begins with it."""
    loggers = ["none", "tensorboard"]
    order = loggers[::-1] if number % 2 else loggers
    found = {name: cpu_seconds([*words, f"logger={name}", f"runs={name}"], folder) for name in order}
    return found["none"], found["tensorboard"]


def main() -> None:
    """Measure each setting."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("overrides", nargs="*", help="one setting instead of the built-in ones")
    given = parser.parse_args()
    settings = [" ".join(given.overrides)] if given.overrides else SETTINGS
    with tempfile.TemporaryDirectory() as folder:
        for setting in settings:
            words = setting.split()
            brief = [word for word in words if not word.startswith("trainer.max_epochs=")]
            cpu_seconds([*brief, "logger=none", "trainer.max_epochs=1"], Path(folder))  # fills the cache
            found = [pair(words, Path(folder), number) for number in range(given.pairs)]
            added = [own - without for without, own in found]
            share = statistics.median(own / without - 1 for without, own in found)
            without = statistics.median(without for without, _ in found)
            spread = f"{statistics.median(added):+.2f} s ({min(added):+.2f} to {max(added):+.2f})"
            print(f"{setting:48}  without {without:6.2f} s  added {spread}  {100 * share:.1f} %", flush=True)


if __name__ == "__main__":
    main()
