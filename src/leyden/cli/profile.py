"""`leyden profile [key=value ...]`: what a model costs, before it is trained. Parameters, FLOPs, memory, time, energy.

leyden profile experiment=mnist_cnn
leyden profile model=resnet32 data=cifar10 --picture layers.png
leyden profile experiment=sms_spam --json
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from leyden.cli.arguments import config_parser, figure_saver
from leyden.profiling.profiler import profile
from leyden.utils.console import console
from leyden.utils.runtime import load_torch

if TYPE_CHECKING:
    pass


def main(arguments: Sequence[str]) -> int:
    """Print the tables, or JSON; draw the layers."""
    told = "What a model costs, before it is trained."
    parser = config_parser("leyden profile", told, json="it", picture="the layers' costs")
    given = parser.parse_intermixed_args(arguments)
    picture = figure_saver(given.picture)
    load_torch()
    from leyden.reporting.profile import costs_figure, costs_tables
    from leyden.training.setup import open_session

    found = profile(open_session(given.overrides, given.config_dir))
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        for table in costs_tables(found):
            console.print(table)
    if picture is not None:
        picture(costs_figure(found["layers"]))
        if not given.json:
            console.print(f"the layers are drawn in {given.picture}")
    return 0
