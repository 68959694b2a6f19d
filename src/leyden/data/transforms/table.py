"""Frontend of tables: numbers standardised by their training mean and deviation; categories stay as they are."""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from leyden.data.batch import Input


class StandardizeTable(nn.Module):
    """(x - mean) / deviation of each column of numbers, over the training rows that have it; NaN stays NaN.

    Args:
        numbers: names of the columns that are numbers; the first of a row.
        categories: names of the values of each further column.
    """

    modality: ClassVar[str] = "table"

    mean: Tensor
    deviation: Tensor

    def __init__(self, numbers: Sequence[str], categories: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        width = len(numbers) + len(categories)
        self.numbers = len(numbers)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    def fit(self, inputs: Iterable[Input]) -> None:
        """Learn means and deviations of the numbers."""
        rows = torch.cat([given.values for given in inputs])[:, : self.numbers].double()
        there = ~rows.isnan()
        count = there.sum(0).clamp(min=1)
        mean = rows.nan_to_num().sum(0) / count
        spread = (torch.where(there, rows - mean, 0.0).square().sum(0) / count).sqrt()
        self.mean[: self.numbers] = mean
        self.deviation[: self.numbers] = torch.where(spread > 0, spread, 1.0)

    def forward(self, given: Input) -> Input:
        """float32 (B, D) to the same shape."""
        return given._replace(values=(given.values - self.mean) / self.deviation)
