"""`leyden profile [key=value ...]`: parameters, FLOPs, memory, latency and energy of a model before training.

leyden profile experiment=mnist_cnn
leyden profile model=resnet32 data=cifar10 --picture layers.png
leyden profile experiment=sms_spam --json
"""

import json
from collections.abc import Sequence

from leyden.cli.arguments import config_parser, figure_saver
from leyden.utils.console import console
from leyden.utils.runtime import load_torch


def main(arguments: Sequence[str]) -> int:
    """Print the tables, or JSON; plot the layers."""
    description = "Measure the costs of a model before training."
    parser = config_parser("leyden profile", description, json="the costs", picture="the layers' costs")
    given = parser.parse_intermixed_args(arguments)
    save = figure_saver(given.picture)
    load_torch()
    from leyden.profiling.profiler import profile
    from leyden.reporting.profile import costs_figure, costs_tables
    from leyden.training.setup import open_session

    found = profile(open_session(given.overrides, given.config_dir))
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        for table in costs_tables(found):
            console.print(table)
    if save is not None:
        save(costs_figure(found["layers"]))
        if not given.json:
            console.print(f"figure of the layers written to {given.picture}")
    return 0
