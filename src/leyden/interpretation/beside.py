"""What is set beside the maps of a run: the map of its net at random weights, and the truth where it is known."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from leyden.data.batch import Batch
from leyden.interpretation.access import Access
from leyden.interpretation.attribution import Attribution, explain
from leyden.interpretation.faithfulness import MapTest
from leyden.interpretation.pointing import shares
from leyden.interpretation.randomised import beside_untrained, untrained
from leyden.interpretation.truth import truth_of
from leyden.interpretation.view import View
from leyden.utils.errors import UserError


class Beside:
    """The net of a run at random weights, made once for all its maps.

    Args:
        access: to the run.
    """

    def __init__(self, access: Access) -> None:
        self._access, self._untrained = access, access.of_run(untrained(access.run))

    def completed(
        self,
        tests: Sequence[MapTest],
        maps: Sequence[Attribution],
        view: View,
        batch: Batch,
        rows: Sequence[int | None],
        seed: int = 0,
        window: Sequence[int] = (),
    ) -> list[MapTest]:
        """Tests of B maps with the untrained net's map beside each, and pointing and mass where the truth is known.

        Args:
            tests: of the maps.
            maps: by one method.
            view: that is explained.
            batch: of the view.
            rows: of the table; None: a sample is a file's, of which no truth is known.
            seed: of a method that draws.
            window: of occlusion.
        """
        own = [one.values for one in maps]
        inside = self._inside(rows, view)
        if inside:
            points, masses = shares(own, inside)
            tests = [
                replace(test, pointing=bool(point), mass=float(mass))
                for test, point, mass in zip(tests, points, masses, strict=True)
            ]
        beside = self._untrained.of_batch(batch, view.outputs)
        others = [one.values for one in explain(beside, maps[0].method, seed, window)]
        return beside_untrained(tests, own, others, inside)

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
