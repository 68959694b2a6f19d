"""The training loop of every task, written once; a task's module adds what differs.

A step: batch -> augment (inputs) -> frontend -> augment (features, batch) -> net -> loss. Nothing is logged per step by
`self.log` (250 us each): sums stay on the device and are read at the end of an interval or epoch. Metrics
come from the outputs of the whole evaluation, so they are exact for any batch size and number of ranks.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from leyden.data.batch import Batch, Input, SampleRandom
from leyden.optim.parameter_groups import decay_groups, decayed
from leyden.utils.lightning_internals import FastAttributes

STAGES = (
    "inputs",
    "features",
    "batch",
)  # of a transform: before the frontend, after it, over the whole batch

Score = Callable[[Tensor, Tensor], Tensor]


class SplitOutputs(NamedTuple):
    """Outputs for a whole split, in the order of `rows` (N,) of the table.

    outputs: float32, (N, C) logits of classes, (N, L) of labels, (N, K) values in the targets' units, or (N, T, C)
    logits of frames, NaN after a row's last. targets: int64 (N,) or (N, L), or float32 (N, L) or (N, K). losses:
    float32 (N,), by the run's loss.
    """

    outputs: Tensor
    targets: Tensor
    rows: Tensor
    losses: Tensor


Evaluate = Callable[[SplitOutputs], Mapping[str, float]]


class RunningMeans:
    """Sums of loss, score and samples, for the epoch and for the logging interval; of finite losses.

    A step only keeps its tensors; every FOLD steps they are summed at once, so that a step costs no kernel.

    Args:
        score: outputs (B, ...) and targets (B, ...) -> what is averaged (B,), such as whether an answer is right.
    """

    FOLD = 32  # steps whose logits are held

    def __init__(self, score: Score) -> None:
        self._score = score
        self.epoch = torch.zeros(3)
        self._interval = torch.zeros(3)
        self._held: list[tuple[Tensor, Tensor, Tensor]] = []
        self._rows = torch.zeros(0, 3)  # (loss, score, samples) of steps held when the state was saved

    def add(self, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch: its mean loss (), outputs (B, ...) and targets (B, ...)."""
        self._held.append((loss, outputs, targets))
        if len(self._rows) + len(self._held) == self.FOLD:
            self._fold()

    def _fold(self) -> None:
        if not self._held and not len(self._rows):
            return
        losses, scores, counts = (part.to(self._device) for part in self._rows.T)
        if self._held:
            loss, outputs, targets = zip(*self._held, strict=True)
            sizes = torch.tensor([len(part) for part in targets], dtype=torch.float32, device=self._device)
            losses, counts = torch.cat([losses, torch.stack(loss).float()]), torch.cat([counts, sizes])
            each = self._score(joined(outputs), torch.cat(targets))
            of_finite = torch.stack(loss).isfinite().repeat_interleave(sizes.long(), output_size=len(each))
            # a sum over finite steps alone: NaN times 0 would stay NaN
            scores = torch.cat([scores, torch.where(of_finite, each, 0.0).sum()[None]])
        counts = counts * losses.isfinite()  # a step that was skipped is no part of a mean
        losses = losses.nan_to_num(0.0, 0.0, 0.0)
        self._held, self._rows = [], torch.zeros(0, 3)
        sums = torch.stack(((losses * counts).sum(), scores.sum(), counts.sum()))
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
                    torch.where(loss.isfinite(), self._score(outputs, targets), 0.0).sum(),
                    loss.new_tensor(len(targets)),
                )
            )
            for loss, outputs, targets in self._held
        ]
        return torch.stack([*(x.to(device) for x in (self.epoch, self._interval, *self._rows)), *held])

    def load(self, state: Tensor) -> None:
        """Go on from what `state` returned."""
        self.epoch, self._interval, self._rows = state[0].clone(), state[1].clone(), state[2:].clone()
        self._held = []

    @property
    def interval(self) -> Tensor:
        """(sums of losses and scores, samples) since the interval began."""
        self._fold()
        return self._interval

    @interval.setter
    def interval(self, sums: Tensor) -> None:
        self._held, self._rows, self._interval = [], torch.zeros(0, 3), sums

    def read_interval(self) -> tuple[float, ...]:
        """(mean loss, mean score) since the last call; () where there has been no step."""
        values = _means(self.interval)
        self._close_interval()
        return values

    def read_epoch(self) -> tuple[float, ...]:
        """(mean loss, mean score) of the epoch, () without a step; starts the next."""
        self._close_interval()
        values, self.epoch = _means(self.epoch), torch.zeros_like(self.epoch)
        return values

    def _close_interval(self) -> None:
        self.epoch = self.epoch.to(self.interval.device) + self.interval
        self.interval = torch.zeros_like(self.interval)


def _means(sums: Tensor) -> tuple[float, ...]:
    loss, score, count = sums.tolist()
    return (loss / count, score / count) if count else ()


class SupervisedModule(FastAttributes, LightningModule):
    """A net trained on inputs and their targets.

    Args:
        net: `net(x)` or `net(x, lengths)` -> outputs (B, C), (B, L) or (B, K).
        loss: `loss(outputs, targets)` -> loss (B,).
        frontend: raw input -> the net's input.
        augment: transforms, applied in training only, each at its `stage`.
        optimizer: parameter groups -> optimizer.
        scheduler: optimizer -> learning-rate scheduler, or None for a constant rate.
        evaluate: outputs of the whole validation split -> metrics by name.
        target_names: of the outputs.
        seed: of the augmentation.
        monitor: the metric that ReduceLROnPlateau watches.
        target_mean: of numeric targets over the training rows (K,), in their units; () where they are none.
        target_std: their standard deviation (K,).
        l1: weight of the sum of absolute values of the weights (not norms, not biases).
        decay_norms_and_biases: whether weight decay is for all parameters (the CIFAR recipe of He et al.).
    """

    modality: ClassVar[str] = "any"
    score_name: ClassVar[str] = "score"

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        frontend: nn.Module,
        augment: Iterable[nn.Module],
        optimizer: Callable[[Any], Optimizer],
        scheduler: Callable[[Optimizer], Any],
        evaluate: Evaluate,
        target_names: tuple[str, ...],
        seed: int,
        monitor: str,
        target_mean: tuple[float, ...] = (),
        target_std: tuple[float, ...] = (),
        l1: float = 0.0,
        decay_norms_and_biases: bool = False,
    ) -> None:
        super().__init__()
        self.net, self.loss_fn, self.frontend = net, loss, frontend
        transforms = list(augment)
        self.augment = nn.ModuleDict(
            {stage: nn.ModuleList(t for t in transforms if t.stage == stage) for stage in STAGES}
        )
        self._optimizer, self._scheduler, self._evaluate = optimizer, scheduler, evaluate
        self.target_names, self.seed, self.monitor = target_names, seed, monitor
        self.l1, self.decay_norms_and_biases = l1, decay_norms_and_biases
        self.register_buffer(
            "mean", torch.tensor(target_mean, dtype=torch.float32), persistent=bool(target_mean)
        )
        self.register_buffer(
            "std", torch.tensor(target_std, dtype=torch.float32), persistent=bool(target_std)
        )
        self.means = RunningMeans(self.score)
        self.evaluations: dict[str, SplitOutputs] = {}
        self._parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    # --- what a task adds ---

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """float32 (B,): what is averaged over training under `train/<score_name>`, beside the loss."""
        raise NotImplementedError

    def prediction_summary(self, outputs: Tensor) -> list[float]:
        """What tells of the outputs (N, ...) of a whole split, on the CPU, whether all are the same; []: nothing."""
        return []

    def scale_targets(self, targets: Tensor) -> Tensor:
        """Targets as the loss compares them with outputs: numbers are standardised, (B, K)."""
        return (targets - self.mean) / self.std if len(self.mean) else targets

    def unscale_outputs(self, outputs: Tensor) -> Tensor:
        """Outputs in the targets' units: numbers, (B, K)."""
        return outputs * self.std + self.mean if len(self.mean) else outputs

    def evaluated_outputs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """float32 (B, ...) outputs of a prepared batch as they are evaluated and predicted."""
        return self.unscale_outputs(outputs.float())

    def scored_outputs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """What `score` needs of the outputs of a prepared batch; kept for some steps."""
        return outputs

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
        """The net's outputs for a prepared batch."""
        x, lengths = batch.input
        outputs: Tensor = self.net(x) if lengths is None else self.net(x, lengths)
        return outputs

    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Loss (B,) of each sample; of a mixed batch, the weighted sum of both targets' losses."""
        loss_fn = self._loss_now(batch)
        losses: Tensor = loss_fn(outputs, self.scale_targets(batch.targets))
        if batch.mix is not None:
            partner = loss_fn(outputs, self.scale_targets(batch.mix.partner))
            losses = batch.mix.weight * losses + (1 - batch.mix.weight) * partner
        return losses

    def _loss_now(self, batch: Batch) -> Any:
        """The loss of this epoch, where it changes with time; outside a fit that at the end of the training."""
        whole: Any = self.loss_fn
        if not hasattr(whole, "at"):
            return whole
        if self.training:
            return whole.at(batch.epoch)
        is_fitting = self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING
        return whole.at(self.current_epoch) if is_fitting else whole

    # --- steps ---

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """One call a tensor, none on the CPU (Lightning's own walk costs tens of microseconds a step)."""
        return batch if device.type == "cpu" else batch.to(device, non_blocking=True)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mean loss of the batch, plus the L1 penalty."""
        batch = self.prepare(batch)
        outputs = self(batch)
        loss = self.losses(outputs, batch).mean()
        self.means.add(loss.detach(), self.scored_outputs(outputs.detach(), batch), batch.targets)
        return loss + self.l1 * sum(p.abs().sum() for p in decayed(self.net)) if self.l1 else loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the outputs: metrics are of the whole split."""
        batch = self.prepare(batch)
        outputs = self(batch)
        losses = self.losses(outputs, batch).float()
        self._parts.append((self.evaluated_outputs(outputs, batch), batch.targets, batch.rows, losses))

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """As in validation."""
        self.validation_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Log every metric of the validation split under val/; val/loss is the run's loss."""
        done = self._finish("val")
        values = {**self._evaluate(done), "loss": float(done.losses.double().mean())}
        self.log_dict({f"val/{k}": v for k, v in values.items()}, sync_dist=self._distributed)

    def on_test_epoch_end(self) -> None:
        """Keep the test split's outputs for the result."""
        self._finish("test")

    def _finish(self, split: str) -> SplitOutputs:
        parts, self._parts = self._parts, []
        outputs, targets, rows, losses = (joined(column) for column in zip(*parts, strict=True))
        order = torch.argsort(rows)
        columns = (x[order] for x in (outputs, targets, rows, losses))
        self.evaluations[split] = SplitOutputs(*(from_all_ranks(x, self) for x in columns))
        return self.evaluations[split]

    def on_train_epoch_end(self) -> None:
        """Log the epoch's mean training loss and score, and the learning rate."""
        names = [f"train/{name}" for name in ("loss", self.score_name) if name]
        self.log_dict(dict(zip(names, self.means.read_epoch(), strict=False)), sync_dist=self._distributed)
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

    def train(self, mode: bool = True) -> "SupervisedModule":
        """As in torch, but a module all of whose parameters are frozen keeps its batch-norm statistics."""
        super().train(mode)
        for module in self.net.modules():
            own = list(module.parameters())
            if isinstance(module, nn.RNNBase):
                module.train(mode)  # cuDNN has no backward pass to what is before it in evaluation mode
            elif own and not any(p.requires_grad for p in own):
                module.eval()
        return self

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The sums of the unfinished epoch belong to an exact resume: those of every rank."""
        checkpoint["means"] = from_all_ranks(self.means.state()[None], self)

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Take the sums up again."""
        ranks = checkpoint["means"]
        self.means.load(ranks[self.trainer.global_rank % len(ranks)])


def from_all_ranks(x: Tensor, module: LightningModule) -> Tensor:
    """`x` of every rank, concatenated; ranks may hold different numbers of rows."""
    if module.trainer.world_size == 1:
        return x.cpu()
    gathered: list[Any] = [None] * module.trainer.world_size
    torch.distributed.all_gather_object(gathered, x.cpu())
    return joined(gathered)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Parts (n_i, ...) as one; (n_i, T_i, ...) are padded along T to the longest, with NaN, integers with -1."""
    if len({part.shape[1:] for part in parts}) == 1:
        return torch.cat(list(parts))
    longest = max(part.shape[1] for part in parts)
    fill = float("nan") if parts[0].is_floating_point() else -1
    return torch.cat(
        [
            nn.functional.pad(part, (*[0] * (2 * (part.ndim - 2)), 0, longest - part.shape[1]), value=fill)
            for part in parts
        ]
    )
