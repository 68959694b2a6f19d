"""One input of a run with several as if it were a run on that input alone; the others stay as each sample has them.

access = InputAccess(run, data, "image")
view = access.of_inputs(samples)             # decoded inputs by name; every method and test of a map takes it
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor

from leyden.data.batch import Batch
from leyden.data.datamodule import DataModule
from leyden.data.joined import Joined
from leyden.inference.load import LoadedRun
from leyden.inference.predictor import batch_of
from leyden.interpretation.access import Access
from leyden.interpretation.randomised import untrained
from leyden.utils.errors import UserError


@dataclass
class Held:
    """Samples with all their inputs, of which one is explained."""

    batch: Batch | None = None


class OneInput(LightningModule):
    """A module with several inputs as a function of one of them.

    Batches have that input alone, and say by `rows` what goes with it: -1 - place in the samples that are held, or a
    row of the input's own data, which takes the other inputs of the first joint row that has it.

    Args:
        module: whole, in evaluation mode, its net of `leyden.nets.fusion` or with `encoders`, `encode` and `fuse`.
        name: of the input.
        data: joint.
        held: samples that are explained.

    Raises:
        UserError: the module has no such net.
    """

    def __init__(self, module: LightningModule, name: str, data: DataModule, held: Held) -> None:
        super().__init__()
        net: Any = getattr(module, "net", None)
        if not all(hasattr(net, part) for part in ("encoders", "encode", "fuse")):
            raise UserError(
                "no maps within inputs: they need a net with encoders, encode() and fuse(), as leyden.nets.fusion has"
            )
        self._whole = (module,)  # in a tuple, so that the layers of other inputs are none of this module's
        frontends: Any = module.frontend
        self.frontend, self.net = frontends[name], net.encoders[name]
        self.name, self._data, self._held = name, data, held
        self._place = list(net.encoders).index(name)
        self._encoded: tuple[Batch, list[Tensor], Tensor] | None = None
        self.eval()

    def prepare(self, batch: Batch) -> Batch:
        """The input through its own frontend."""
        return batch.map_inputs(self.frontend)

    def forward(self, batch: Batch) -> Tensor:
        """Outputs (B, K) of the prepared input, and of the others of its rows."""
        features, present = self._others(batch.rows)
        x, lengths = batch.input
        encoder: Any = self.net
        features[self._place] = encoder.features(x) if lengths is None else encoder.features(x, lengths)
        net: Any = self._whole[0].net
        outputs: Tensor = net.fuse(features, present)
        return outputs

    def evaluated_outputs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """As the whole module."""
        whole: Any = self._whole[0]
        found: Tensor = whole.evaluated_outputs(outputs, batch)
        return found

    def _others(self, rows: Tensor) -> tuple[list[Tensor], Tensor]:
        """Features (B, F) of each input but this one, and which are there, bool (B, M); this one always is."""
        if int(rows.min()) >= 0:
            return self._encode(self._data.batch_of(first_rows(self._data, self.name)[rows.numpy()]))
        batch = self._held.batch
        assert batch is not None
        if self._encoded is None or self._encoded[0] is not batch:
            self._encoded = (batch, *self._encode(batch))
        _, features, present = self._encoded
        at = -1 - rows
        return [x[at] for x in features], present[at]

    @torch.no_grad()
    def _encode(self, batch: Batch) -> tuple[list[Tensor], Tensor]:
        whole: Any = self._whole[0]
        ready: Batch = whole.prepare(batch)
        absent = torch.zeros(len(batch.rows), dtype=torch.bool)
        features, present = whole.net.encode(ready.inputs, {**ready.present, self.name: absent})
        present[:, self._place] = True
        return features, present


def first_rows(data: DataModule, name: str) -> NDArray[np.int64]:
    """int64 (n,): the first joint row that has each row of an input's own data."""
    joined = data.table.inputs
    assert isinstance(joined, Joined)
    places = joined.places[name]
    used = np.flatnonzero(places >= 0)[::-1]
    found = np.zeros(len(joined.tables[name]), dtype=np.int64)
    found[places[used]] = used
    return found


class InputAccess(Access):
    """Makes views of one input of a run's samples.

    Args:
        run: loaded, with several inputs.
        data: its data.
        name: of the input.
        waveform, baseline, seed: as of `Access`.
        held: samples that are explained; None: none yet.

    Raises:
        UserError: its net allows no such view.
    """

    def __init__(
        self,
        run: LoadedRun,
        data: DataModule,
        name: str,
        waveform: bool = False,
        baseline: str = "",
        seed: int = 0,
        held: Held | None = None,
    ) -> None:
        self.whole, self.joint, self.name = run, data, name
        self._held = held or Held()
        modality = run.modality.parts[name]  # type: ignore[attr-defined]
        alone = replace(
            run,
            module=OneInput(run.module, name, data, self._held),
            modality=modality,
            spec=run.spec.parts[name],
            tokenizer=run.tokenizer if modality.needs_tokenizer else None,
        )
        super().__init__(alone, data.parts[name], waveform, baseline, seed)

    def untrained(self) -> "InputAccess":
        """The same to the net at random weights, of the samples that are held here."""
        settings = (self.is_waveform, self._baseline, self._seed)
        return InputAccess(untrained(self.whole), self.joint, self.name, *settings, self._held)

    def own(self, values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """The input among those of a sample."""
        return values[self.name]

    def row(self, row: int) -> int:
        """The row of the input's own data."""
        return int(self.joint.table.inputs.places[self.name][row])

    def batch(self, inputs: Sequence[Any]) -> Batch:
        """The input of samples that have it, decoded by name, as one batch; their other inputs are held."""
        whole = batch_of(self.whole, inputs)
        self._held.batch = whole
        return whole._replace(
            inputs={self.name: whole.inputs[self.name]}, rows=-1 - torch.arange(len(inputs)), present={}
        )
