"""What is set beside the maps of a run: the map of its net at random weights, and the truth where it is known."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from leyden.data.batch import Batch
from leyden.interpretation.access import Access
from leyden.interpretation.attribution import explain
from leyden.interpretation.faithfulness import MapTest
from leyden.interpretation.pointing import shares
from leyden.interpretation.randomised import Maps, beside_untrained
from leyden.interpretation.truth import truth_of
from leyden.interpretation.view import View
from leyden.utils.errors import UserError


class Beside:
    """The net of a run at random weights, made once for all its maps.

    Args:
        access: to the run.
    """

    def __init__(self, access: Access) -> None:
        self._access, self._untrained = access, access.untrained()

    def maps(self, method: str, view: View, batch: Batch, seed: int = 0, window: Sequence[int] = ()) -> Maps:
        """The untrained net's maps (*units,) of a view's samples, of the same outputs.

        Args:
            method: of all of them.
            view: that is explained.
            batch: of the view.
            seed: of a method that draws.
            window: of occlusion.
        """
        untrained_view = self._untrained.of_batch(batch, view.outputs)
        return [one.values for one in explain(untrained_view, method, seed, window)]

    def completed(
        self, tests: Sequence[MapTest], maps: Maps, others: Maps, view: View, rows: Sequence[int | None]
    ) -> list[MapTest]:
        """Tests of B maps with what the untrained net's maps add, and pointing and mass where the truth is known.

        Args:
            tests: of the maps.
            maps: (*units,), by one method.
            others: of the untrained net.
            view: that is explained.
            rows: of the table; None: a sample is a file's, of which no truth is known.
        """
        inside = self._inside(rows, view)
        if inside:
            points, masses = shares(maps, inside)
            tests = [
                replace(test, pointing=bool(point), mass=float(mass))
                for test, point, mass in zip(tests, points, masses, strict=True)
            ]
        return beside_untrained(tests, maps, others, inside)

    def _inside(self, rows: Sequence[int | None], view: View) -> list[NDArray[np.bool_]]:
        """The units of the truth of each sample; [] where it is not known of all."""
        known = [row for row in rows if row is not None]
        frontend = getattr(self._access.run.module, "frontend", None)
        try:
            return (
                truth_of(self._access.data, np.array(known), view, frontend)
                if len(known) == len(rows)
                else []
            )
        except UserError:  # of texts whose tokens are no words
            return []
