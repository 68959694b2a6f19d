"""A finished run as a model in Python.

model = load_model("runs/default/digits-cnn-seed1-0123456789")
model.predict(images)        # one array or several, files, texts
model.net, model.class_names
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from leyden.data.decode import BadInput
from leyden.data.modalities import Modality
from leyden.inference.load import LoadedRun, load
from leyden.inference.named_inputs import verify_sample
from leyden.inference.predictor import nearest_inputs, predict_inputs
from leyden.runs.lookup import RUNS, find_run
from leyden.utils.errors import UserError
from leyden.utils.trust import trusting

Sample = Mapping[str, str | Path | np.ndarray]  # of a run with several inputs, by their names
Inputs = (
    str
    | Path
    | np.ndarray
    | Sample
    | Sequence[str]
    | Sequence[Path]
    | Sequence[np.ndarray]
    | Sequence[Sample]
)


@dataclass(frozen=True)
class Model:
    """A run's best weights with everything that its predictions need.

    Attributes:
        run: what its folder holds.
    """

    run: LoadedRun

    @property
    def net(self) -> nn.Module:
        """The net, in evaluation mode; its input is what the run's frontend makes."""
        net = self.run.module.net
        assert isinstance(net, nn.Module)
        return net

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the classes, labels or values, in the order of the outputs."""
        return self.run.spec.target_names

    def predict(self, inputs: Inputs, top: int = 1) -> list[dict[str, Any]]:
        """The task's answer for each input, as plain values; no file is changed.

        Args:
            inputs: texts (str) for a run on text; else files (str or Path), or decoded inputs as arrays: pictures uint8
                (C, H, W) or (N, C, H, W), grey ones also (H, W) or (N, H, W); recordings int16 or float in -1 .. 1,
                (n,), at the run's sample rate. One or several. A Path is a file for every modality: a
                text a line, or a table, as for `leyden predict`. Of a run with several inputs a sample is a mapping
                from their names to any of these, without those that it lacks.
            top: how many classes an answer names, the most probable first.

        Returns:
            classification: {classes: [...], probabilities: [...]}; multilabel: {labels: [...], probabilities: {...}};
            regression: {values: {...}} and, with conformal intervals, {intervals: {...}}.

        Raises:
            UserError: an input that cannot be read, or has not the shape that the run was trained on.
        """
        decoded = self._all_decoded(inputs)
        return [found.answer for found in predict_inputs(self.run, _numbers(decoded), decoded, top)]

    def nearest(self, inputs: Inputs, gallery: Inputs, top: int = 1) -> list[list[dict[str, Any]]]:
        """The samples of a gallery that are nearest to each input, of a run of task=contrastive.

        Args:
            inputs: samples as for `predict`, each with one of its two inputs or both.
            gallery: samples as well; each input is compared with the other input of these.
            top: how many are found by each input.

        Returns:
            of each sample [{by: the input, rank, found: the number in the gallery (str), similarity: cosine}].

        Raises:
            UserError: as `predict`; or the task has no embeddings.
        """
        decoded, among = self._all_decoded(inputs), self._all_decoded(gallery)
        return [said["nearest"] for said in nearest_inputs(self.run, decoded, _numbers(among), among, top)]

    def _all_decoded(self, inputs: Inputs) -> list[Any]:
        return [values for item in _several(inputs) for values in self._decode(item)]

    def _decode(self, item: Any) -> list[Any]:
        if isinstance(item, Mapping):
            return [self._sample(item)]
        if isinstance(item, np.ndarray):
            return self._arrays(item)
        run, source = self.run, self.run.config.data.source
        if isinstance(item, str) and run.modality.is_text:
            return [run.modality.encode(item, run.tokenizer)]
        try:
            return [decode() for _, decode in run.modality.read(str(item), run.spec, run.tokenizer, source)]
        except BadInput as bad:
            raise UserError(str(bad)) from bad

    def _sample(self, given: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """One sample of several inputs, each a file, a text or an array."""
        if not self.run.modality.is_several:
            raise UserError(
                f"predict: a run on {self.run.modality.name} has one input; give it as it is, not by name"
            )
        verify_sample(self.run, given)
        parts: Mapping[str, Modality] = self.run.modality.parts  # type: ignore[attr-defined]
        found = {}
        for name, value in given.items():
            one = replace(self.run, modality=parts[name], spec=self.run.spec.parts[name])
            (found[name],) = Model(one)._decode(value)
        return found

    def _arrays(self, values: np.ndarray) -> list[np.ndarray]:
        """One array as the inputs (of the stored dtype) that it holds."""
        modality, spec = self.run.modality, self.run.spec
        if modality.is_text:
            raise UserError("predict: a run on text takes texts (str), not arrays")
        return modality.from_array(values, spec)


def _numbers(decoded: Sequence[Any]) -> list[str]:
    """Names for inputs that have none."""
    return [str(place) for place in range(len(decoded))]


def _several(inputs: Inputs) -> Iterable[Any]:
    return [inputs] if isinstance(inputs, str | Path | np.ndarray | Mapping) else inputs


def load_model(
    run: str | Path, runs: str | Path = RUNS, config_dirs: Sequence[str] = (), trust: bool = False
) -> Model:
    """The model of a finished run.

    Args:
        run: its folder, or a word that means it: a fingerprint, a folder's name, its beginning, a glob, "last".
        runs: where such a word is looked up.
        config_dirs: folders of options, beside which code lies that a run made by somebody else needs.
        trust: use whatever code, paths and pickled objects the folder names, whoever made it.

    Raises:
        UserError: no such run, or one without a best checkpoint; or it names what needs `trust`.
    """
    with trusting(trust):
        return Model(load(find_run(str(run), Path(runs)).folder, config_dirs))
