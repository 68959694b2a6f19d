"""`leyden check resume [key=value ...]`: train uninterrupted, train with kills and resumes, and compare all outputs.

leyden check resume experiment=mnist
leyden check resume --config-dir conf data=mine model=mine --kills 5
"""

import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from leyden.cli.arguments import Arguments, add_trust
from leyden.reporting.terminal.layout import WholeTable
from leyden.training.continuation import compose_with_runs
from leyden.utils.console import console
from leyden.utils.errors import UserError
from leyden.utils.runtime import load_torch
from leyden.utils.text import plural
from leyden.utils.trust import FLAG

_EVAL_BATCHES = 4  # of validation and test
_MOMENTS = ("forward", "backward", "step", "saving", "saved", "moved", "validation")


def main(arguments: Sequence[str]) -> int:
    """Print the comparison; returns exit status 1 if anything differs."""
    parser = Arguments(prog="leyden check resume", description="Check that a killed run resumes exactly.")
    parser.add_argument("overrides", nargs="*", default=[], help="key=value, as for leyden train")
    add_trust(parser)
    parser.add_argument(
        "--kills", type=int, default=3, help="number of SIGKILLs, at random times (default: 3)"
    )
    parser.add_argument("--epochs", type=int, default=2, help="maximum number of epochs (default: 2)")
    parser.add_argument(
        "--batches", type=int, default=12, help="maximum number of batches per epoch (default: 12)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the random times (default: 1)")
    given = parser.parse_args(arguments)
    if min(given.kills, given.epochs, given.batches) < 1:
        raise UserError("--kills, --epochs and --batches: expected a number above 0")
    load_torch()
    plain, words = compose_with_runs(given.overrides, given.config_dir)
    limits = _limits(plain["trainer"], given.epochs, given.batches)
    for key, value in limits.items():
        console.print(f"limited for the check: {key}={value}")
    arguments = [
        *([FLAG] if given.trust else []),
        *words,
        *(f"{key}={value}" for key, value in limits.items()),
        "force=false",
    ]
    with tempfile.TemporaryDirectory(prefix="leyden-check-") as scratch:
        return _check(arguments, Path(scratch), given.kills, random.Random(given.seed))


def _limits(trainer: Mapping[str, Any], epochs: int, batches: int) -> dict[str, int]:
    """Return the overrides that shorten the run; keys that are already small enough are omitted."""
    train = batches * int(trainer.get("accumulate_grad_batches", 1))
    wanted = {"max_epochs": epochs, "limit_train_batches": train}
    wanted |= {"limit_val_batches": _EVAL_BATCHES, "limit_test_batches": _EVAL_BATCHES}
    now = {name: trainer.get(name) for name in wanted}
    return {f"trainer.{n}": v for n, v in wanted.items() if not _within(now[n], v)}


def _within(given: Any, limit: int) -> bool:
    return type(given) is int and given <= limit  # a float is a fraction, None means no limit


def _check(arguments: Sequence[str], scratch: Path, kills: int, rng: random.Random) -> int:
    from leyden.runs.records import read
    from leyden.training.resume_check.compare_runs import compare

    uninterrupted = _train(arguments, scratch / "uninterrupted")
    result = read(uninterrupted).result
    steps = int(result["cost"]["steps"])
    console.print(f"uninterrupted: {plural(steps, 'step')}")
    at = sorted(rng.choices(range(1, steps + 1), k=kills))
    resumed = _train_with_kills(arguments, scratch / "resumed", at, rng, result.get("compute"))
    if resumed is None:
        return 1
    return _verdict(compare(uninterrupted, resumed))


def _train(arguments: Sequence[str], runs: Path) -> Path:
    """Train without interruption; returns the run's folder in `runs`."""
    from leyden.training.resume_check import fault_injection

    log = runs.with_suffix(".log")
    if fault_injection.train([*arguments, f"runs={runs}"], log) != 0:
        raise UserError(f"the run fails without being killed:\n{_tail(log)}")
    return next(runs.glob("*/*/result.json")).parent


def _train_with_kills(
    arguments: Sequence[str],
    runs: Path,
    steps: Sequence[int],
    rng: random.Random,
    compute: Mapping[str, Any] | None,
) -> Path | None:
    """Train with kills at about these steps, resuming after each; None if it fails, which is printed.

    compute: of the uninterrupted run: other threads would give other last digits.
    """
    from leyden.training.resume_check import fault_injection

    log = runs.with_suffix(".log")
    for step in steps:
        kill = fault_injection.Kill(rng.choice(_MOMENTS), step)
        status = fault_injection.train([*arguments, f"runs={runs}", "checkpoint_steps=1"], log, kill, compute)
        if status == fault_injection.KILLED:
            console.print(f"killed at step {step} ({kill.moment}), resumed")
        elif status == 0:
            console.print(f"ended before the kill at step {step} ({kill.moment})")
        else:  # another attempt would start from scratch and hide the problem
            break
    else:
        status = fault_injection.train([*arguments, f"runs={runs}"], log, None, compute)
    if status == 0:
        return next(runs.glob("*/*/result.json")).parent
    console.print(f"the resumed run fails:\n{_tail(log)}", style="red")
    return None


def _tail(log: Path) -> str:
    """Return the last lines of a run's output."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])


def _verdict(parts: Sequence[Any]) -> int:
    table = WholeTable("uninterrupted and resumed", "values", "", box=None, pad_edge=False)
    for part in parts:
        result = Text(part.difference, style="red") if part.difference else "equal"
        table.add_row(part.name, str(part.values), result)
    console.print(table)
    first = next((part for part in parts if part.difference), None)
    if first is None:
        console.print("this configuration resumes exactly")
        return 0
    console.print(
        f"it does not resume exactly: {first.name}: {first.difference}\n"
        "The usual reasons are state outside of state_dict, or a random-number generator of your own: save them in "
        "on_save_checkpoint and restore them in on_load_checkpoint (docs/resume.md).",
        style="red",
        markup=False,
    )
    return 1
