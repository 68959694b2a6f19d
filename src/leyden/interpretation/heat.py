"""A map as it is printed and drawn: plain data, with what is to be said of it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from leyden.interpretation.attribution import Attribution
from leyden.interpretation.faithfulness import MapTest
from leyden.reporting.atlas.atlas import Heat
from leyden.utils.text import percent


def heat_of(
    one: Attribution,
    test: MapTest | None,
    distrust: str,
    tokens: Sequence[str],
    values: NDArray[np.float32] | None = None,
    untrained: NDArray[np.float32] | None = None,
) -> Heat:
    """A map with its verdict: of the planted test of its method, of its own tests, and of its sum.

    Args:
        one: the map.
        test: of it; None: it was not tested.
        distrust: of the method for this net, see `ExplainCheck.distrust`; a map of such a method does not pass.
        tokens: of a text.
        values: as much of the map as is shown; None: all.
        untrained: as much of the untrained net's map; None: there is none.
    """
    off = "" if one.is_complete or one.completeness is None else percent(one.completeness, 2)
    verdicts = (distrust, "" if test is None else test.why, off and f"its sum is off by {off}")
    passes = None if test is None else test.passes
    return Heat(
        values=one.values if values is None else values,
        method=one.method.replace("_", " "),
        scalar=one.scalar,
        baseline=one.baseline,
        tokens=tuple(tokens),
        passes=False if distrust else passes,
        verdict="; ".join(filter(None, verdicts)),
        untrained=untrained,
    )
