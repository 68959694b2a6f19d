"""Heat of errors by one method, chosen by the first of them, with its tests: of a run's input, or of one of several."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leyden.interpretation.access import Access
from leyden.interpretation.attribution import Attribution, explain
from leyden.interpretation.beside import Beside
from leyden.interpretation.choice import choose_method
from leyden.interpretation.explained import tokens_of
from leyden.interpretation.faithfulness import MapTest, assess_maps
from leyden.interpretation.heat import heat_of
from leyden.reporting.atlas.atlas import Heat
from leyden.runs.explain_check import ExplainCheck

_TRIED = 5  # samples by which a method is chosen
_TOGETHER = 20  # samples of which maps are computed at once
LONGEST = 10.0  # seconds of a recording that are shown


class HeatMaker:
    """Makes heat of errors.

    Args:
        access: to what it lies on.
        check: of the run; None: it has none.

    Attributes:
        why: the method, and why it was chosen, in words; "": none yet.
    """

    def __init__(self, access: Access, check: ExplainCheck | None) -> None:
        self._access, self._check = access, check
        self._method, self.why = "", ""

    def heat(self, samples: Sequence[Any], outputs: Sequence[int]) -> list[Heat]:
        """Heat of each sample.

        Args:
            samples: decoded inputs, as batches are made of them.
            outputs: which output is explained, of each; (): what is answered.

        Raises:
            UserError: the net allows no method.
        """
        found: list[Heat] = []
        for start in range(0, len(samples), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            found += self._maps(samples[part], outputs[part])
        return found

    def _maps(self, samples: Sequence[Any], outputs: Sequence[int]) -> list[Heat]:
        if not self._method:
            choice = choose_method(self._access.of_inputs(samples[:_TRIED], outputs[:_TRIED]), self._check)
            self._method, self.why = choice.method, choice.why
        batch = self._access.batch(samples)
        view = self._access.of_batch(batch, outputs)
        maps = explain(view, self._method)
        tests = assess_maps(view, [each.values for each in maps])
        untrained = self._beside.maps(self._method, view, batch)
        return [
            self._shown(sample, one, test, length, other)
            for sample, one, test, length, other in zip(
                samples, maps, tests, view.lengths, untrained, strict=True
            )
        ]

    @cached_property
    def _beside(self) -> Beside:
        return Beside(self._access)

    def _shown(
        self, sample: Any, one: Attribution, test: MapTest, length: int, untrained: NDArray[np.float32]
    ) -> Heat:
        """length: units of the map's last axis that are no padding."""
        run, own = self._access.run, self._access.own(sample)
        if run.modality.is_sound:  # of a long recording, as much as the spectrogram shows
            seconds = len(own) / run.spec.sample_rate
            length = max(1, round(length * min(1.0, LONGEST / seconds)))
        distrust = "" if self._check is None else self._check.distrust(one.method)
        tokens = tokens_of(run, own)
        heat = heat_of(one, test, distrust, tokens, one.values[..., :length], untrained[..., :length])
        return replace(heat, passes=bool(heat.passes) and one.is_complete)
