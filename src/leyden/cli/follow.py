"""`leyden follow FOLDER [CHECKPOINT]`: what the other ranks of a data-parallel run do; not called by people."""

from collections.abc import Sequence
from pathlib import Path

from leyden.training import slurm
from leyden.training.distributed import threads_of_a_rank
from leyden.utils.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """`leyden follow FOLDER [CHECKPOINT]`: train along as the rank that the environment names."""
    from leyden.utils.runtime import load_torch, prepare

    load_torch()
    from leyden.callbacks.interrupt import Interrupted
    from leyden.config.validate import check
    from leyden.health.findings import NonFinite
    from leyden.runs.run import Run, load_config
    from leyden.training import build, fit, resume
    from leyden.utils.console import console

    console.quiet = True
    folder, *checkpoint = map(Path, arguments)
    config = check(load_config(folder))
    prepare(threads_of_a_rank(config.threads, config.trainer))
    made = build.experiment(config).with_recipe()
    module = made.module()
    ledger = made.ledger(module)
    state = resume.read(checkpoint[0]) if checkpoint else None
    try:
        fit.train(made, module, Run(folder), None if ledger is None else ledger.prior, state)
    except (Interrupted, NonFinite):
        return 0  # all ranks end alike, and the leading one says why
    return 0


def follow_first_task() -> int:
    """Of a task that Slurm has started beside the first: wait for the first one's order and do it.

    0 also where the first ends without one: nothing is to do, or refused.
    """
    try:
        words = slurm.wait_for_order()
    except UserError:
        return 2  # the first says why
    return 0 if words is None else main(words)
