"""Which rows of a table are used: all, or those that are no copy of another."""

import numpy as np

from leyden.data.modalities import Modality
from leyden.data.split import deduplicate
from leyden.data.table import Table
from leyden.utils.errors import UserError


def rows_of(table: Table, modality: Modality, deduplicates: bool) -> np.ndarray:
    """int64 rows of a table: all, or those that are no copy of another row with the same target."""
    if not deduplicates:
        return np.arange(len(table))
    if table.inputs.stays_files:
        raise UserError(
            "data.deduplicate=true needs columns: raise data.limit_gb, or set data.deduplicate=false"
        )
    return deduplicate(_keys(table, modality), table.index.split)[0]


def _keys(table: Table, modality: Modality) -> list[bytes]:
    """What makes two rows identical: input and target. Copies with other targets all stay, and are a finding."""
    inputs, targets = table.inputs, table.index.targets
    return [modality.key(inputs.row(row)) + targets[row].tobytes() for row in range(len(inputs))]
