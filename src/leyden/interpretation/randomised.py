"""The randomised net beside a map: what the same method shows of the same rows when the net has learned nothing.

Adebayo+ 2018 (Sanity Checks for Saliency Maps). A map that looks alike with random weights tells of the input and the
method, not of what was learned. Rank correlation is given, not judged: methods with a factor x, and smooth ones, are
alike by construction; what is judged is where the maps point, where the truth is known (`interpretation.planted`).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from leyden.inference.load import LoadedRun, new_module
from leyden.interpretation.faithfulness import MapTest
from leyden.interpretation.pointing import points_inside
from leyden.utils.random_state import rng_state, set_rng_state

_KEPT = ("frontend.", "mean", "std")  # of a module's state: how inputs and targets are scaled

Maps = Sequence[NDArray[np.float32]]


def untrained(run: LoadedRun) -> LoadedRun:
    """The run with its net at random weights, drawn from another seed than the run's, and its own frontend.

    Layers that can draw their weights anew do so, since a net may have been built with weights of another training.
    """
    before = rng_state()
    try:
        config = run.config.model_copy(update={"seed": run.config.seed + 1})
        module = new_module(config, run.task, run.spec)
        for part in getattr(module, "net", module).modules():
            reset: Any = getattr(part, "reset_parameters", None)
            if reset is not None:
                reset()
    finally:
        set_rng_state(before)
    learned = run.module.state_dict()
    kept = {name: value for name, value in learned.items() if name.startswith(_KEPT)}
    module.load_state_dict(kept, strict=False)
    return replace(run, module=module.eval())


def beside_untrained(
    tests: Sequence[MapTest], maps: Maps, untrained_maps: Maps, inside: Sequence[NDArray[np.bool_]] = ()
) -> list[MapTest]:
    """Tests with what the maps of the untrained net add.

    Args:
        tests: of B maps.
        maps: of the trained net, each (*units,).
        untrained_maps: of the untrained one, of the same rows and outputs.
        inside: the units of the truth, of each sample; (): it is not known.
    """
    found = []
    for place, test in enumerate(tests):
        pointing = points_inside(untrained_maps[place], inside[place]) if len(inside) else None
        alike = similarity(maps[place], untrained_maps[place])
        found.append(replace(test, untrained_similarity=alike, untrained_pointing=pointing))
    return found


def similarity(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Spearman's rank correlation of two signed maps; 0 where one is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(one.ravel(), other.ravel()).statistic)
