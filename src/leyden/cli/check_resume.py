"""`leyden check resume [key=value ...]`: trains straight, and killed and resumed, and compares what both leave.

leyden check resume experiment=mnist
leyden check resume --config-dir conf data=mine model=mine --kills 5
"""

import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from leyden.cli.arguments import Arguments
from leyden.config.compose import compose
from leyden.reporting.format import plural
from leyden.utils.console import console
from leyden.utils.errors import UserError
from leyden.utils.runtime import load_torch

_EVALUATED = 4  # batches of a validation and of the test
_MOMENTS = ("forward", "backward", "step", "saving", "saved", "moved", "validation")


def main(arguments: Sequence[str]) -> int:
    """Print what is equal; exit status 1 if anything differs."""
    parser = Arguments(prog="leyden check resume", description="Prove that a killed run resumes exactly.")
    parser.add_argument("overrides", nargs="*", default=[], help="key=value, as for leyden train")
    parser.add_argument("--config-dir", action="append", default=[], help="a folder with your own options")
    parser.add_argument("--kills", type=int, default=3, help="SIGKILLs at random moments (3)")
    parser.add_argument("--epochs", type=int, default=2, help="train at most so many (2)")
    parser.add_argument("--batches", type=int, default=12, help="at most so many of an epoch (12)")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments (1)")
    given = parser.parse_args(arguments)
    if min(given.kills, given.epochs, given.batches) < 1:
        raise UserError("--kills, --epochs and --batches: expected a number above 0")
    load_torch()
    plain = compose(given.overrides, given.config_dir)
    limits = _limits(plain["trainer"], given.epochs, given.batches)
    for key, value in limits.items():
        console.print(f"limited for the check: {key}={value}", highlight=False)
    flags = [f"--config-dir={folder}" for folder in given.config_dir]
    words = [*flags, *given.overrides, *(f"{key}={value}" for key, value in limits.items()), "force=false"]
    with tempfile.TemporaryDirectory(prefix="leyden-check-") as scratch:
        return _check(words, Path(scratch), given.kills, random.Random(given.seed))


def _limits(trainer: Mapping[str, Any], epochs: int, batches: int) -> dict[str, int]:
    """The overrides that make the run short; none where it is shorter already."""
    train = batches * int(trainer.get("accumulate_grad_batches", 1))
    wanted = {"max_epochs": epochs, "limit_train_batches": train}
    wanted |= {"limit_val_batches": _EVALUATED, "limit_test_batches": _EVALUATED}
    now = {name: trainer.get(name) for name in wanted}
    return {f"trainer.{n}": v for n, v in wanted.items() if not _within(now[n], v)}


def _within(given: Any, limit: int) -> bool:
    return type(given) is int and given <= limit  # a float is a share, None no limit


def _check(words: Sequence[str], scratch: Path, kills: int, rng: random.Random) -> int:
    from leyden.runs.records import read
    from leyden.training.resume_check.compare_runs import compare

    straight = _finished(words, scratch / "straight")
    steps = int(read(straight).result["cost"]["steps"])
    console.print(f"straight: {plural(steps, 'step')}")
    resumed = _tortured(words, scratch / "resumed", sorted(rng.choices(range(1, steps + 1), k=kills)), rng)
    if resumed is None:
        return 1
    return _verdict(compare(straight, resumed))


def _finished(words: Sequence[str], runs: Path) -> Path:
    """The folder of the run that `words` train, in `runs`."""
    from leyden.training.resume_check import fault_injection

    log = runs.with_suffix(".log")
    if fault_injection.train([*words, f"runs={runs}"], log) != 0:
        raise UserError(f"the run fails without being killed:\n{_tail(log)}")
    return next(runs.glob("*/*/result.json")).parent


def _tortured(words: Sequence[str], runs: Path, steps: Sequence[int], rng: random.Random) -> Path | None:
    """As `_finished`, killed at (about) these steps and resumed; None if that fails, which is told."""
    from leyden.training.resume_check import fault_injection

    log = runs.with_suffix(".log")
    for step in steps:
        kill = fault_injection.Kill(rng.choice(_MOMENTS), step)
        status = fault_injection.train([*words, f"runs={runs}", "checkpoint_steps=1"], log, kill)
        if status == fault_injection.KILLED:
            console.print(f"killed at step {step} ({kill.moment}), resumed")
        elif status == 0:
            console.print(f"ended before the kill at step {step} ({kill.moment})")
        else:  # trained once more it would start again, and so hide what is wrong
            break
    else:
        status = fault_injection.train([*words, f"runs={runs}"], log)
    if status == 0:
        return next(runs.glob("*/*/result.json")).parent
    console.print(f"the resumed run fails:\n{_tail(log)}", style="red", markup=False)
    return None


def _tail(log: Path) -> str:
    """The end of what a run has printed."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])


def _verdict(parts: Sequence[Any]) -> int:
    table = Table("straight and resumed", "values", "", box=None, pad_edge=False)
    for part in parts:
        told = Text(part.difference, style="red") if part.difference else "equal"
        table.add_row(part.name, str(part.values), told)
    console.print(table)
    first = next((part for part in parts if part.difference), None)
    if first is None:
        console.print("this configuration resumes exactly")
        return 0
    console.print(
        f"it does not resume exactly: {first.name}: {first.difference}\n"
        "A state outside of state_dict, or random numbers from a generator of one's own, are the usual reason: "
        "save them in on_save_checkpoint, take them up in on_load_checkpoint (docs/resume.md).",
        style="red",
        markup=False,
        soft_wrap=True,
    )
    return 1
