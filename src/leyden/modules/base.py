"""The training loop of every task, written once; a task's module adds what differs.

A step: batch -> augment (inputs) -> frontend -> augment (features, batch) -> net -> loss. Nothing is logged per step by
`self.log` (250 us each): sums stay on the device and are read at the end of an interval or epoch. Metrics
come from the outputs of the whole evaluation, so they are exact for any batch size and number of ranks.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from leyden.data.batch import Batch, SampleRandom
from leyden.data.transforms.named import prepared_by
from leyden.modules.running_means import RunningMeans, joined
from leyden.optim.parameter_groups import decay_groups, decayed
from leyden.utils.lightning_internals import FastAttributes

STAGES = (
    "inputs",
    "features",
    "batch",
)  # of a transform: before the frontend, after it, over the whole batch


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
        self._augments = bool(transforms)
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
            return prepared_by(self.frontend, batch)
        random = SampleRandom(self.seed, batch.epoch, batch.positions)
        batch = self._transformed(batch, "inputs", random)
        batch = self._transformed(prepared_by(self.frontend, batch), "features", random)
        for transform in self._transforms("batch"):
            batch = transform(batch, random)
        return batch

    def _transformed(self, batch: Batch, stage: str, random: SampleRandom) -> Batch:
        """With the transforms of a stage applied to the inputs of their modality."""
        for transform in self._transforms(stage):
            fits = getattr(self.frontend, "names_of", lambda _, names: names)(transform, list(batch.inputs))
            changed = {name: transform(batch.inputs[name], random) for name in fits}
            batch = batch._replace(inputs={**batch.inputs, **changed})
        return batch

    def _transforms(self, stage: str) -> nn.ModuleList:
        found = self.augment[stage]
        assert isinstance(found, nn.ModuleList)
        return found

    def forward(self, batch: Batch) -> Tensor:
        """The net's outputs for a prepared batch."""
        if getattr(self.net, "takes_named_inputs", False):
            fused: Tensor = self.net(batch.inputs, batch.present)
            return fused
        if getattr(self.net, "reads_nothing", False):  # rows stand for the input, or for several
            constant: Tensor = self.net(batch.rows)
            return constant
        x, lengths = batch.input
        outputs: Tensor = self.net(x) if lengths is None else self.net(x, lengths)
        return outputs

    def _single_losses(self, batch: Batch) -> Tensor:
        """The sum () over inputs of the mean loss of what the net says by each alone, on the samples that have it."""
        total = batch.targets.new_zeros((), dtype=torch.float32)
        for name, outputs in self.net.single_outputs.items():  # type: ignore[union-attr, operator]
            losses, present = self.losses(outputs, batch), batch.present.get(name)
            total = total + (
                losses.mean() if present is None else losses[present].sum() / present.sum().clamp(min=1)
            )
        return total

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
        if share := getattr(self.net, "auxiliary", 0.0):
            loss = loss + share * self._single_losses(batch)
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

    def on_train_start(self) -> None:
        """Put what is frozen in evaluation mode: Lightning takes the modes as it finds them."""
        self.train()

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
