"""Frontends and transforms of batches with several inputs."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt, Lt
from torch import nn

from leyden.data.batch import Batch, SampleRandom

_DRAWS = 32  # sets of inputs that a sample may draw until one is left; then all stay


class NamedFrontends(nn.ModuleDict):
    """A frontend for each input, by its name.

    Args:
        frontends: by the names of the inputs.
        modalities: of these inputs; a transform is applied to the inputs of its own.
    """

    def __init__(self, frontends: Mapping[str, nn.Module], modalities: Mapping[str, str]) -> None:
        super().__init__(frontends)
        self.modalities = dict(modalities)

    def names_of(self, transform: nn.Module, names: Sequence[str]) -> list[str]:
        """The inputs among `names` that a transform is for."""
        wanted = getattr(transform, "modality", "any")
        return [name for name in names if wanted in ("any", self.modalities[name])]


def prepared_by(frontend: nn.Module, batch: Batch) -> Batch:
    """The batch as the net gets it: each input through the frontend, or through the one of its name."""
    if not isinstance(frontend, NamedFrontends):
        return batch.map_inputs(frontend)
    return batch._replace(inputs={name: frontend[name](given) for name, given in batch.inputs.items()})


class ModalityDropout(nn.Module):
    """Makes each input of a sample absent with probability `p`, never all of them (Neverova et al. 2016, ModDrop).

    Each sample draws anew until an input is left that it has. Absence is the same as in data without the input, so a
    net learns what it is asked in prediction.
    """

    stage: ClassVar[str] = "batch"
    modality: ClassVar[str] = "any"

    def __init__(self, p: Annotated[float, Gt(0), Lt(1)] = 0.3) -> None:
        super().__init__()
        self.p = p

    def forward(self, batch: Batch, draws: SampleRandom) -> Batch:
        """The same batch with fewer inputs present; of one input alone none is taken."""
        everywhere = torch.ones_like(batch.rows, dtype=torch.bool)
        there = torch.stack([batch.present.get(name, everywhere) for name in batch.inputs], dim=1)
        samples, inputs = there.shape
        drawn = draws.uniform("modality_dropout", _DRAWS * inputs).view(samples, _DRAWS, inputs) >= self.p
        kept = torch.cat([drawn & there[:, None], there[:, None]], dim=1)  # the last: all that there are
        first = kept.any(dim=2).long().argmax(dim=1)
        chosen = kept[torch.arange(samples, device=kept.device), first]
        return batch._replace(present=dict(zip(batch.inputs, chosen.unbind(dim=1), strict=True)))
