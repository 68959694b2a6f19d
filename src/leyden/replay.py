"""`leyden replay RUN`: does the bad step of a run again, from its black box, and names where it goes wrong.

leyden replay runs/default/digits-cnn-seed1-0123456789
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from leyden.arguments import Arguments
from leyden.console import console


def main(arguments: Sequence[str]) -> int:
    """Print the finding."""
    parser = Arguments(prog="leyden replay", description="Do the bad step of a run again.")
    parser.add_argument("run", type=Path, help="the run's folder")
    given = parser.parse_args(arguments)
    from leyden.runtime import load_torch, prepare

    load_torch()
    from leyden import build
    from leyden.diagnosis import diagnose
    from leyden.health import blackbox
    from leyden.reporting.findings import findings_lines
    from leyden.restore import config_of
    from leyden.run import Run

    config = config_of(given.run)
    blackbox.read(given.run)
    prepare(config.threads)
    data = build.data(config)
    module = build.module(config, data.spec, data.steps_per_epoch(int(config.trainer["max_epochs"])))
    with tempfile.TemporaryDirectory() as scratch:
        trainer = build.evaluator(config, Path(scratch))
        finding = diagnose(given.run, config, module, trainer, data)
    for line in findings_lines([finding.to_dict()], Run(given.run).command()):
        console.print(line, soft_wrap=True)
    return 0
