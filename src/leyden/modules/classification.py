"""The training loop of classification, written once; image, text and audio add what differs.

A step: batch -> augment (inputs) -> frontend -> augment (features) -> net -> loss. Nothing is logged per step by
`self.log` (250 us each): sums stay on the device and are read at the end of an interval or epoch. Metrics
come from the logits of the whole evaluation, so they are exact for any batch size and number of ranks.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from leyden import metrics
from leyden.data.batch import Batch, Input, SampleRandom
from leyden.optim.parameter_groups import decay_groups, decayed
from leyden.utils.lightning_internals import FastAttributes

SPLITS = ("train", "val", "test")
STAGES = (
    "inputs",
    "features",
    "batch",
)  # of a transform: before the frontend, after it, over the whole batch


class SplitOutputs(NamedTuple):
    """Outputs for a whole split, in the order of `rows`: logits (N, C) float32, labels (N,), rows (N,)."""

    logits: Tensor
    labels: Tensor
    rows: Tensor


class RunningMeans:
    """Sums of loss, hits and samples, for the epoch and for the logging interval; of finite losses.

    A step only keeps its tensors; every FOLD steps they are summed at once, so that a step costs no kernel.
    """

    FOLD = 32  # steps whose logits are held

    def __init__(self) -> None:
        self.epoch = torch.zeros(3)
        self._interval = torch.zeros(3)
        self._held: list[tuple[Tensor, Tensor, Tensor]] = []
        self._rows = torch.zeros(0, 3)  # (loss, hits, samples) of steps held when the state was saved

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: its mean loss (), logits (B, C) and labels (B,)."""
        self._held.append((loss, logits, labels))
        if len(self._rows) + len(self._held) == self.FOLD:
            self._fold()

    def _fold(self) -> None:
        if not self._held and not len(self._rows):
            return
        losses, hits, counts = (part.to(self._device) for part in self._rows.T)
        if self._held:
            loss, logits, labels = zip(*self._held, strict=True)
            sizes = torch.tensor([len(part) for part in labels], dtype=torch.float32, device=self._device)
            losses, counts = torch.cat([losses, torch.stack(loss).float()]), torch.cat([counts, sizes])
            right = (torch.cat(logits).argmax(1) == torch.cat(labels)).float()
            of_finite = torch.stack(loss).isfinite().repeat_interleave(sizes.long(), output_size=len(right))
            hits = torch.cat([hits, (right * of_finite).sum()[None]])
        counts = counts * losses.isfinite()  # a step that was skipped is no part of a mean
        losses = losses.nan_to_num(0.0, 0.0, 0.0)
        self._held, self._rows = [], torch.zeros(0, 3)
        sums = torch.stack(((losses * counts).sum(), hits.sum(), counts.sum()))
        self._interval = self._interval.to(self._device) + sums

    @property
    def _device(self) -> torch.device:
        return self._held[0][0].device if self._held else self._interval.device

    def state(self) -> Tensor:
        """(2 + m, 3): the sums, and the m steps held. Nothing is folded: another order of adding rounds otherwise."""
        device = self._device
        held = [
            torch.stack(
                (
                    loss.float(),
                    (logits.argmax(1) == labels).sum() * loss.isfinite().float(),
                    loss.new_tensor(len(labels)),
                )
            )
            for loss, logits, labels in self._held
        ]
        return torch.stack([*(x.to(device) for x in (self.epoch, self._interval, *self._rows)), *held])

    def load(self, state: Tensor) -> None:
        """Go on from what `state` returned."""
        self.epoch, self._interval, self._rows = state[0].clone(), state[1].clone(), state[2:].clone()
        self._held = []

    @property
    def interval(self) -> Tensor:
        """(sum of losses, hits, samples) since the interval began."""
        self._fold()
        return self._interval

    @interval.setter
    def interval(self, sums: Tensor) -> None:
        self._held, self._rows, self._interval = [], torch.zeros(0, 3), sums

    def read_interval(self) -> dict[str, float]:
        """Mean loss and accuracy since the last call."""
        values = _means(self.interval)
        self._close_interval()
        return values

    def read_epoch(self) -> dict[str, float]:
        """Mean loss and accuracy of the epoch; starts the next."""
        self._close_interval()
        values, self.epoch = _means(self.epoch), torch.zeros_like(self.epoch)
        return values

    def _close_interval(self) -> None:
        self.epoch = self.epoch.to(self.interval.device) + self.interval
        self.interval = torch.zeros_like(self.interval)


def _means(sums: Tensor) -> dict[str, float]:
    loss, hits, count = sums.tolist()
    return {"loss": loss / count, "accuracy": hits / count} if count else {}


class Classifier(FastAttributes, LightningModule):
    """Classification of one input into one of C classes.

    Args:
        net: `net(x)` or `net(x, lengths)` -> logits (B, C).
        loss: `loss(logits, labels)` -> loss (B,).
        frontend: raw batch -> the net's input.
        augment: transforms, applied in training only, each at its `stage`.
        optimizer: parameter groups -> optimizer.
        scheduler: optimizer -> learning-rate scheduler, or None for a constant rate.
        class_names: C names.
        seed: of the augmentation.
        l1: weight of the sum of absolute values of the weights (not norms, not biases).
        decay_norms_and_biases: whether weight decay is for all parameters (the CIFAR recipe of He et al.).
    """

    modality: ClassVar[str] = "any"

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        frontend: nn.Module,
        augment: Iterable[nn.Module],
        optimizer: Callable[[Any], Optimizer],
        scheduler: Callable[[Optimizer], Any],
        class_names: tuple[str, ...],
        seed: int,
        monitor: str,
        l1: float = 0.0,
        decay_norms_and_biases: bool = False,
    ) -> None:
        super().__init__()
        self.net, self.loss_fn, self.frontend = net, loss, frontend
        transforms = list(augment)
        self.augment = nn.ModuleDict(
            {stage: nn.ModuleList(t for t in transforms if t.stage == stage) for stage in STAGES}
        )
        self._optimizer, self._scheduler = optimizer, scheduler
        self.class_names, self.seed, self.monitor = class_names, seed, monitor
        self.l1, self.decay_norms_and_biases = l1, decay_norms_and_biases
        self.tally = RunningMeans()
        self.evaluations: dict[str, SplitOutputs] = {}
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []

    # --- forward ---

    def prepare(self, batch: Batch) -> Batch:
        """The net's input; augmented in training mode, by the random numbers of each sample's position."""
        if not (self.training and self._augments):
            return batch.map_inputs(self.frontend)
        random = SampleRandom(self.seed, batch.epoch, batch.positions)
        batch = batch.map_inputs(lambda x: self._prepare_input(x, random))
        for transform in self._transforms("batch"):
            batch = transform(batch, random)
        return batch

    def _prepare_input(self, x: Input, random: SampleRandom) -> Input:
        for transform in self._transforms("inputs"):
            x = transform(x, random)
        x = self.frontend(x)
        for transform in self._transforms("features"):
            x = transform(x, random)
        return x

    def _transforms(self, stage: str) -> nn.ModuleList:
        found = self.augment[stage]
        assert isinstance(found, nn.ModuleList)
        return found

    @property
    def _augments(self) -> bool:
        return any(len(self._transforms(stage)) for stage in STAGES)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, C) of a prepared batch."""
        x, lengths = batch.input
        logits: Tensor = self.net(x) if lengths is None else self.net(x, lengths)
        return logits

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """Loss (B,) of each sample; of a mixed batch, the weighted sum of both labels' losses."""
        whole: Any = self.loss_fn
        loss_fn = whole.at(batch.epoch) if hasattr(whole, "at") else whole
        losses: Tensor = loss_fn(logits, batch.targets)
        if batch.mix is not None:
            partner = loss_fn(logits, batch.mix.partner)
            losses = batch.mix.weight * losses + (1 - batch.mix.weight) * partner
        return losses

    # --- steps ---

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """One call a tensor, none on the CPU (Lightning's own walk costs tens of microseconds a step)."""
        return batch if device.type == "cpu" else batch.to(device, non_blocking=True)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mean loss of the batch, plus the L1 penalty."""
        batch = self.prepare(batch)
        logits = self(batch)
        loss = self.losses(logits, batch).mean()
        self.tally.add(loss.detach(), logits.detach(), batch.targets)
        return loss + self.l1 * sum(p.abs().sum() for p in decayed(self.net)) if self.l1 else loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the logits: metrics are of the whole split."""
        self._parts.append((self(self.prepare(batch)).float(), batch.targets, batch.rows))

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """As in validation."""
        self.validation_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Log every metric of the validation split under val/."""
        self._finish("val")

    def on_test_epoch_end(self) -> None:
        """Keep the test split's outputs for the result."""
        self._finish("test")

    def _finish(self, split: str) -> None:
        parts, self._parts = self._parts, []
        logits, labels, rows = (torch.cat(column) for column in zip(*parts, strict=True))
        order = torch.argsort(rows)
        done = SplitOutputs(*(_from_all_ranks(x, self) for x in (logits[order], labels[order], rows[order])))
        self.evaluations[split] = done
        if split == "val":
            found = metrics.evaluate(done.logits, done.labels, self.class_names, intervals=False)
            values = {name: e.value for name, e in found.values.items() if e.value is not None}
            values |= {"loss": values["log_loss"]}
            self.log_dict({f"val/{k}": v for k, v in values.items()}, sync_dist=self._distributed)

    def on_train_epoch_end(self) -> None:
        """Log the epoch's mean training loss and accuracy, and the learning rate."""
        self.log_dict(
            {f"train/{k}": v for k, v in self.tally.read_epoch().items()}, sync_dist=self._distributed
        )
        rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        self.log("lr", rate, sync_dist=self._distributed)

    @property
    def _distributed(self) -> bool:
        return self.trainer.world_size > 1

    # --- optimisation and state ---

    def configure_optimizers(self) -> Any:
        """The optimizer over decayed and undecayed groups; the schedule steps with every optimizer step."""
        optimizer = self._optimizer(decay_groups(self, everything=self.decay_norms_and_biases))
        scheduler = self._scheduler(optimizer)
        if scheduler is None:
            return optimizer
        plateau = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
        entry = {"scheduler": scheduler, "interval": "epoch" if plateau else "step", "monitor": self.monitor}
        return {"optimizer": optimizer, "lr_scheduler": entry}

    def train(self, mode: bool = True) -> "Classifier":
        """As in torch, but a module all of whose parameters are frozen keeps its batch-norm statistics."""
        super().train(mode)
        for module in self.net.modules():
            own = list(module.parameters())
            if own and not any(p.requires_grad for p in own):
                module.eval()
        return self

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The sums of the unfinished epoch belong to an exact resume: those of every rank."""
        checkpoint["tally"] = _from_all_ranks(self.tally.state()[None], self)

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Take the sums up again."""
        ranks = checkpoint["tally"]
        self.tally.load(ranks[self.trainer.global_rank % len(ranks)])


def _from_all_ranks(x: Tensor, module: LightningModule) -> Tensor:
    """`x` of every rank, concatenated; ranks may hold different numbers of rows."""
    if module.trainer.world_size == 1:
        return x.cpu()
    gathered: list[Any] = [None] * module.trainer.world_size
    torch.distributed.all_gather_object(gathered, x.cpu())
    return torch.cat(gathered)


class ImageClassifier(Classifier):
    """A `Classifier` for modality "image"."""

    modality: ClassVar[str] = "image"


class TextClassifier(Classifier):
    """A `Classifier` for modality "text"."""

    modality: ClassVar[str] = "text"


class AudioClassifier(Classifier):
    """A `Classifier` for modality "audio"."""

    modality: ClassVar[str] = "audio"
