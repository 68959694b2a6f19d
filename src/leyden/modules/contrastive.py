"""Contrastive learning: two inputs of a row are embedded into one space, those of a pair or a class near each other."""

from typing import Any, ClassVar

import torch
from torch import Tensor, distributed

from leyden.data.batch import Batch
from leyden.modules.base import SupervisedModule
from leyden.utils.errors import UserError


class ContrastiveLearner(SupervisedModule):
    """Embeddings of pairs; outputs are (B, 2, D), of unit length, zeros where an input is absent, targets classes (B,).

    A row that lacks an input is no pair: it is no partner of others, and its loss is 0. In training on several
    devices the partners are those of the whole batch; in evaluation, where their numbers of rows differ, their own.
    """

    score_name: ClassVar[str] = "class_recall_in_batch"

    def _pairs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """bool (B,): which rows have both inputs.

        Raises:
            UserError: the net gives no embeddings of two inputs.
        """
        if outputs.ndim != 3 or outputs.shape[1] != 2:
            raise UserError(
                f"model.net: {type(self.net).__name__} gives {tuple(outputs.shape)} for {len(batch.rows)} samples; "
                "task=contrastive needs embeddings (B, 2, D): choose model=dual_encoder"
            )
        everywhere = torch.ones_like(batch.rows, dtype=torch.bool)
        there = [batch.present.get(name, everywhere) for name in batch.inputs]
        return torch.stack(there).all(0) if len(there) == 2 else ~everywhere

    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Loss (B,) of each sample of a prepared batch, 0 of one that is no pair."""
        given = (outputs, batch.targets, self._pairs(outputs, batch))
        everyone, targets, pairs = map(self._of_all_ranks, given)
        found = outputs.new_zeros(len(pairs), dtype=torch.float32)
        found = found.masked_scatter(pairs, self._loss_now(batch)(everyone[pairs], targets[pairs]))
        first = self.global_rank * len(outputs) if len(pairs) > len(outputs) else 0
        return found[first : first + len(outputs)]

    def _of_all_ranks(self, x: Tensor) -> Tensor:
        """(W B, ...) of what each of W ranks has of a training batch, (B, ...), with its gradients; else x."""
        if self._trainer is None or self.trainer.world_size == 1 or not self.trainer.training:
            return x
        gathered: Tensor = _Gathered.apply(x)
        return gathered

    def evaluated_outputs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """float32 (B, 2, D), all NaN in a row where one is not finite, so that none passes for padding."""
        broken = ~outputs.isfinite().flatten(1).all(1)
        return outputs.float().masked_fill(broken[:, None, None], float("nan"))

    def scored_outputs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """float32 (B,): in what share of the two directions the nearest of the batch is of the sample's class."""
        pairs = self._pairs(outputs, batch)
        found = outputs.new_zeros(len(pairs), dtype=torch.float32)
        if not pairs.any():
            return found
        targets = batch.targets[pairs]
        one, other = outputs[pairs].float().unbind(1)
        cosines = one @ other.T
        hits = [targets[cosines.argmax(way)] == targets for way in (0, 1)]
        return found.masked_scatter(pairs, torch.stack(hits).float().mean(0))

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """float32 (B,): what `scored_outputs` gave, which no other batch has a part in."""
        return outputs

    def prediction_summary(self, outputs: Tensor) -> list[float]:
        """[the largest length of the mean embedding of an input]: 1 where all rows (N, 2, D) have the same one."""
        there = outputs.ne(0).any(2)
        means = outputs.sum(0) / there.sum(0).clamp(min=1)[:, None]
        return [float(means.norm(dim=1).max())]


class _Gathered(torch.autograd.Function):
    """Tensors (B, ...) of all ranks, one after the other; a gradient is the sum over the losses of all ranks."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (grad,) = grads
        whole = grad.contiguous()
        distributed.all_reduce(whole)
        return whole.chunk(distributed.get_world_size())[distributed.get_rank()]
