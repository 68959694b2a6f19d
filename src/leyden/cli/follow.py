"""`leyden follow [--trust] FOLDER DIGEST [CHECKPOINT]`: what a data-parallel run's other ranks execute."""

from collections.abc import Sequence
from pathlib import Path

from leyden.training import slurm
from leyden.training.distributed import threads_of_a_rank
from leyden.utils.errors import UserError
from leyden.utils.trust import FLAG, trusting


def main(arguments: Sequence[str]) -> int:
    """Train the run of a folder as the rank that the environment variables define; returns the exit status.

    Raises:
        UserError: the configuration in the folder is not that of the digest.
    """
    from leyden.utils.runtime import load_torch, prepare

    load_torch()
    from leyden.callbacks.interrupt import Interrupted
    from leyden.config.validate import check
    from leyden.health.findings import NonFinite
    from leyden.runs.run import Run, config_digest, load_config
    from leyden.training import build, fit, resume
    from leyden.utils.console import console

    console.quiet = True
    place, digest, *checkpoint = (word for word in arguments if word != FLAG)
    folder = Path(place)
    if config_digest(folder) != digest:
        raise UserError(
            f"{folder}/config.yaml is not the one that the first rank wrote; leyden starts this command"
        )
    config = check(load_config(folder))  # typed by the user who started the first rank
    prepare(threads_of_a_rank(config.threads, config.trainer))
    made = build.experiment(config).with_recipe()
    module = made.module()
    ledger = made.ledger(module)
    with trusting(FLAG in arguments):
        state = resume.read(Path(checkpoint[0])) if checkpoint else None
    try:
        fit.train(made, module, Run(folder), None if ledger is None else ledger.prior, state)
    except (Interrupted, NonFinite):
        return 0  # all ranks stop for the same reason, which rank 0 reports
    return 0


def follow_first_task() -> int:
    """In a Slurm task other than the first: wait for the first task's command and execute it.

    Returns:
        The exit status; 0 also if the first task ends without a command, since nothing is to do or it was rejected.
    """
    try:
        arguments = slurm.wait_for_order()
    except UserError:
        return 2  # the first task prints the message
    return 0 if arguments is None else main(arguments)
