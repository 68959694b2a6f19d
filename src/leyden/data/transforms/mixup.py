"""Mixing the samples of a batch with one another: mixup, and Remix for imbalanced classes."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt, Interval
from torch import Tensor, nn

from leyden.data.batch import Batch, Input, MixupTargets, SampleRandom
from leyden.utils.errors import UserError

# Of the table of Beta's quantiles: read between the knots it is exact to 1e-6 up to alpha = 1, and above
# that to 1e-3, save in the outermost 1/4096 of the draws.
KNOTS = 4097


class Mixup(nn.Module):
    """x = w x_i + (1 - w) x_j, w ~ Beta(alpha, alpha) for each sample (Zhang et al. 2018, arXiv:1710.09412).

    The loss is weighted alike by way of `Batch.mix`. The weight of a sample depends on (seed, epoch,
    position) alone. Its partner is the next one in a random ring through the batch, never itself: so unlike
    every other transform it depends on what else stands in the batch, and on how a global batch is cut over
    ranks and accumulation steps.
    """

    stage: ClassVar[str] = "batch"
    modality: ClassVar[str] = "any"
    averages_inputs: ClassVar[bool] = True  # a mean of two token ids is no token

    quantiles: Tensor

    def __init__(self, alpha: Annotated[float, Gt(0)] = 1.0) -> None:
        super().__init__()
        self.alpha = alpha
        self.register_buffer("quantiles", beta_quantiles(alpha), persistent=False)

    def forward(self, batch: Batch, draws: SampleRandom) -> Batch:
        """Float inputs (B, ...) to the same shape; lengths become the longer of each pair's, mix is set."""
        if not all(x.values.is_floating_point() for x in batch.inputs.values()):
            raise UserError(
                "augment: Mixup mixes images and audio, not token ids; for text use token_dropout"
            )
        if batch.mix is not None:
            raise UserError("augment: a batch can be mixed once; keep one Mixup and drop the other")
        partner = self._partner(draws)
        weight = self._weight(draws)
        mixed = batch.map_inputs(lambda x: _mix(x, partner, weight))
        return mixed._replace(mix=MixupTargets(batch.targets[partner], weight))

    def _partner(self, draws: SampleRandom) -> Tensor:
        """int64 (B,): the next sample in the ring that sorting by a random key makes."""
        order = draws.uniform("mixup.order").squeeze(1).argsort(stable=True)
        # partner[order[k]] = order[k + 1], and the last one's is the first
        return torch.empty_like(order).index_copy_(0, order, order.roll(-1))

    def _weight(self, draws: SampleRandom) -> Tensor:
        """float32 (B,): Beta's quantile at a uniform number, read from the table of its lower half."""
        u = draws.uniform("mixup.weight").squeeze(1)
        # Beta(a, a) is symmetric: quantile(u) = 1 - quantile(1 - u), so the table ends at u = 1/2
        place = (2 * torch.minimum(u, 1 - u)) * (KNOTS - 1)
        knot = place.long().clamp_(max=KNOTS - 2)
        low = torch.lerp(self.quantiles[knot], self.quantiles[knot + 1], place - knot)
        return torch.where(u < 0.5, low, 1 - low)


def _mix(given: Input, partner: Tensor, weight: Tensor) -> Input:
    """weight (B,) of each sample, the rest of its partner (B,); as long as the longer of the two."""
    x, lengths = given
    share = weight.to(x.dtype).view(-1, *[1] * (x.dim() - 1))
    longer = None if lengths is None else torch.maximum(lengths, lengths[partner])
    return Input(torch.lerp(x[partner], x, share), longer)


class Remix(nn.Module):
    """Mixup whose label goes to the rarer class of a pair where the frequent one makes up less than tau of the input.

    Chou et al. 2020 (arXiv 2007.03943, equation 7), with w the share of sample i: its label weighs 0 if n_i / n_j >=
    kappa and w < tau; 1 if n_i / n_j <= 1 / kappa and 1 - w < tau; w otherwise.

    Args:
        class_counts: training samples of each class (C,).
        alpha: of mixup.
        kappa: ratio of counts from which the rarer class is favoured.
        tau: share of the input below which the frequent class gives up its label.
    """

    stage: ClassVar[str] = "batch"
    modality: ClassVar[str] = "any"
    averages_inputs: ClassVar[bool] = True

    counts: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        alpha: Annotated[float, Gt(0)] = 1.0,
        kappa: Annotated[float, Gt(1)] = 3.0,
        tau: Annotated[float, Interval(ge=0, le=1)] = 0.5,
    ) -> None:
        super().__init__()
        self.mixup, self.kappa, self.tau = Mixup(alpha), kappa, tau
        self.register_buffer("counts", torch.tensor(class_counts, dtype=torch.float32), persistent=False)

    def forward(self, batch: Batch, draws: SampleRandom) -> Batch:
        """As `Mixup`, with other label weights."""
        mixed = self.mixup(batch, draws)
        partner, weight = mixed.mix
        ratio = self.counts[batch.targets] / self.counts[partner].clamp_min(1)
        to_partner = (ratio >= self.kappa) & (weight < self.tau)
        to_own = (ratio <= 1 / self.kappa) & (1 - weight < self.tau)
        favoured = weight.masked_fill(to_partner, 0.0).masked_fill(to_own, 1.0)
        remixed: Batch = mixed._replace(mix=MixupTargets(partner, favoured))
        return remixed


def beta_quantiles(alpha: float) -> Tensor:
    """float32 (KNOTS,): quantiles of Beta(alpha, alpha) at 0 .. 1/2, evenly spaced.

    In s = x^alpha the density is (1 - x)^(alpha - 1), which is bounded, so that the trapezoid rule is exact
    enough even where Beta's own density is infinite (alpha < 1); above 1 the density in x itself is
    bounded.
    """
    power = min(alpha, 1.0)
    s = torch.linspace(0, 0.5**power, 16 * KNOTS, dtype=torch.float64)
    x = s ** (1 / power)
    # x^(alpha - 1) (1 - x)^(alpha - 1) dx, with x = s^(1 / power), dx proportional to x^(1 - power) ds
    density = (1 - x) ** (alpha - 1) * x ** (alpha - power)
    mass = torch.cumulative_trapezoid(density, s)
    mass = torch.cat((mass.new_zeros(1), mass / mass[-1]))
    at = torch.linspace(0, 1, KNOTS, dtype=torch.float64)
    # invert the cumulated mass by linear interpolation between its two neighbours
    upper = torch.searchsorted(mass, at).clamp(1, len(s) - 1)
    share = (at - mass[upper - 1]) / (mass[upper] - mass[upper - 1]).clamp(min=1e-300)
    return torch.lerp(s[upper - 1], s[upper], share.clamp(0, 1)).pow(1 / power).clamp(max=0.5).float()
