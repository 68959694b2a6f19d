"""The margin of each training row over the epochs: how far the net has preferred its label to all others.

A row whose label is wrong is answered otherwise until the net has memorised it, so its mean margin stays low (Pleiss,
Zhang, Elenberg, Weinberger: Identifying mislabeled data using the area under the margin ranking, NeurIPS 2020). Here
the margin of one draw is

    tanh((z_label - max of the other z) / 2)                                                              in -1 .. 1

2 p - 1, where p is the probability of the label against its strongest rival alone. The bare difference of logits grows
with the net's confidence, so that the last epochs, when wrong labels are memorised, would count most.

z are the logits that answer by the shares of the training rows: log(training share / share in the loss) is added where
sampling or the loss corrects the class prior, for the labels were given under the former. The first epoch, in which the
net knows nothing yet, does not count. Of a sample mixed with another (mixup) the draw counts where its own label weighs
at least a half, and the other's label is no rival.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor

from leyden.data.batch import Batch
from leyden.imbalance.class_prior import Ledger
from leyden.modules.base import from_all_ranks
from leyden.modules.running_means import steps_held
from leyden.utils.lightning_internals import only_own_hooks

# Draws that are kept before they are added up: memory does not grow with the epoch's length.
_MOST_FOLDED = 2**20
_MOST_DRAWS = 2**15  # of a row: its mean is known by then, and the counter has room for one epoch more
_STATE = "margins"  # of a checkpoint


class Held(NamedTuple):
    """What is kept of a training batch until it is folded."""

    batch: Batch
    outputs: Tensor


@only_own_hooks
class Margins(Callback):
    """Accumulates the margins of the training rows: 8 bytes a row, read from the device once in 1,048,576 draws.

    Reads what the module answers when it is called with a batch, so also a module of the user's own whose
    `forward(batch)` gives logits (B, C). Rows may be drawn often or never.

    Args:
        rows: int64 (n,), the training rows of the table, sorted.
        labels: int64 (n,), their classes.
        ledger: the class prior in the loss of each epoch.

    Attributes:
        sums: float32 (n,), of the margins.
        draws: uint16 (n,), how many they are.
        answers: uint16 (n,), what the net answered the last time that it did not answer the label; else the label.
    """

    def __init__(self, rows: NDArray[np.int64], labels: NDArray[np.int64], ledger: Ledger) -> None:
        self.rows, self._ledger = rows, ledger
        self.sums = np.zeros(len(rows), np.float32)
        self.draws = np.zeros(len(rows), np.uint16)
        self.answers = labels.astype(np.uint16 if len(ledger.training) <= 2**16 else np.uint32)
        self._held: list[Held] = []
        self._folded: list[Tensor] = []  # float64 (m, 4): row, position, margin, strongest rival
        self._handle: Any = None

    @property
    def mean(self) -> NDArray[np.float32]:
        """(n,), NaN of a row that has not been drawn."""
        with np.errstate(invalid="ignore"):
            return np.divide(self.sums, self.draws, dtype=np.float32)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Watch what the module answers."""
        if stage == "fit":
            self._handle = pl_module.register_forward_hook(self._on_forward)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Watch no longer."""
        if self._handle is not None:
            self._handle.remove()

    def _on_forward(self, module: LightningModule, arguments: tuple[Any, ...], output: Any) -> None:
        batch = arguments[0] if arguments else None
        if not module.training or not isinstance(batch, Batch) or batch.epoch == 0:
            return
        if isinstance(output, Tensor) and output.shape == (len(batch.rows), len(self._ledger.training)):
            kept = batch._replace(inputs={})  # which would be held for nothing
            self._held.append(Held(kept, output.detach()))
            if len(self._held) >= steps_held(output):  # the running means hold the same logits
                self._fold()
                # several ranks must meet for it, which they do at the epoch's end
                if module.trainer.world_size == 1 and sum(map(len, self._folded)) >= _MOST_FOLDED:
                    self._flush(module)

    def _fold(self) -> None:
        """Reduce the logits that are held to a margin and a rival for each sample."""
        held, self._held = self._held, []
        for epoch in sorted({one.batch.epoch for one in held}):
            batches, outputs = zip(*(one for one in held if one.batch.epoch == epoch), strict=True)
            logits = torch.cat(outputs).float()
            logits = logits + self._shift(epoch).to(logits.device)
            self._folded.append(_margins(logits, batches))

    def _shift(self, epoch: int) -> Tensor:
        """float32 (C,): log(training share / share in the loss); 0 of classes that one of them lacks."""
        training = self._ledger.training
        effective = next(p.effective for p in reversed(self._ledger.phases) if p.first <= epoch)
        there = (training > 0) & (effective > 0)
        ratio = np.divide(training, effective, out=np.ones_like(training), where=there)
        return torch.from_numpy(np.log(np.where(there, ratio, 1.0))).float()

    def _flush(self, module: LightningModule) -> None:
        """Add what was folded, each row's in the order of the epoch's positions: so it is the same for any ranks.

        Rows are looked up in their own order: at random, the search costs a microsecond a draw among ten million.
        """
        self._fold()
        folded, self._folded = self._folded, []
        if module.trainer.world_size == 1 and not folded:
            return
        table = torch.cat(folded) if folded else torch.zeros(0, 4, dtype=torch.float64)
        found = from_all_ranks(table, module).numpy()
        found = found[np.isfinite(found[:, 2])]  # of a step that was skipped
        found = found[np.lexsort((found[:, 1], found[:, 0]))]
        places = np.searchsorted(self.rows, found[:, 0].astype(np.int64))
        margins, rivals = found[:, 2].astype(np.float32), found[:, 3].astype(self.answers.dtype)
        counted = self.draws[places] < _MOST_DRAWS
        np.add.at(self.sums, places[counted], margins[counted])
        np.add.at(self.draws, places[counted], np.uint16(1))
        self.answers[places[margins < 0]] = rivals[margins < 0]

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the sums, on every rank: a resumed run ends with those of an uninterrupted one, bit for bit."""
        self._flush(pl_module)
        parts = (self.sums, self.draws, self.answers)
        checkpoint[_STATE] = [torch.from_numpy(part.copy()) for part in parts]

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: Mapping[str, Any]
    ) -> None:
        """Take the sums up again; a checkpoint of an earlier version has none."""
        self._held, self._folded = [], []
        if _STATE in checkpoint:
            self.sums, self.draws, self.answers = (part.numpy().copy() for part in checkpoint[_STATE])


def _margins(logits: Tensor, batches: Sequence[Batch]) -> Tensor:
    """float64 (N, 4): row, position, margin and strongest rival of each sample; a margin of NaN does not count.

    logits: float32 (N, C), of all samples of the batches.
    """
    labels = torch.cat([batch.targets for batch in batches])[:, None]
    own, rivals = logits.gather(1, labels)[:, 0], logits.scatter(1, labels, -torch.inf)
    if any(batch.mix is not None for batch in batches):
        partners, weights = (torch.cat(column) for column in zip(*map(_mix, batches), strict=True))
        rivals = rivals.scatter(1, partners[:, None], -torch.inf)
        own = torch.where(weights >= 0.5, own, torch.nan)
    best, rival = rivals.max(1)
    margins = torch.tanh((own - torch.where(best == -torch.inf, torch.nan, best)) / 2)
    rows, positions = (torch.cat([getattr(b, name) for b in batches]) for name in ("rows", "positions"))
    return torch.stack([column.double() for column in (rows, positions, margins, rival)], 1)


def _mix(batch: Batch) -> tuple[Tensor, Tensor]:
    """Class (B,) of each sample's partner, and its own share float32 (B,); itself and 1 where nothing is mixed in."""
    return batch.mix or (batch.targets, torch.ones(len(batch.targets), device=batch.targets.device))
