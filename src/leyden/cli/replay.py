"""`leyden replay RUN`: repeat a run's non-finite step from its snapshot and locate the first non-finite operation.

leyden replay runs/default/digits-cnn-seed1-0123456789
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from leyden.cli.arguments import Arguments, add_run, add_trust
from leyden.runs.lookup import find_run
from leyden.utils.console import console


def main(arguments: Sequence[str]) -> int:
    """Print the finding."""
    parser = Arguments(prog="leyden replay", description="Repeat the non-finite step of a run.")
    add_run(parser)
    add_trust(parser)
    given = parser.parse_args(arguments)
    return _replay(find_run(given.run, given.runs).folder, given.config_dir)


def _replay(run: Path, config_dirs: Sequence[str]) -> int:
    from leyden.utils.runtime import load_torch, prepare

    load_torch()
    from leyden.health import step_snapshot
    from leyden.health.replay import diagnose
    from leyden.inference.load import config_of
    from leyden.reporting.terminal.findings import findings_lines
    from leyden.runs.run import Run
    from leyden.training import build
    from leyden.training.trainer import evaluation_trainer

    config = config_of(run, config_dirs)
    step_snapshot.read(run)
    prepare(config.threads)
    made = build.experiment(config)
    module = made.module()
    with tempfile.TemporaryDirectory() as scratch:
        trainer = evaluation_trainer(config, Path(scratch))
        finding = diagnose(run, config, module, trainer, made.data)
    for line in findings_lines([finding.to_dict()], Run(run).command()):
        console.print(line)
    return 0
