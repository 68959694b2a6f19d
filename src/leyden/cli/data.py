"""`leyden data [data=... key=value ...]`: describe a data set before training.

Counts per class and split, shapes or lengths, excluded inputs, and a figure of a few samples:

    leyden data data=mnist
    leyden data data=image_folder data.source.root=pictures --picture samples.png
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leyden.cli.arguments import config_parser, figure_saver
from leyden.config.compose import compose
from leyden.imbalance.auto import describe_imbalance
from leyden.utils.console import console
from leyden.utils.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from leyden.data.datamodule import DataModule

_SAMPLES = 20


def main(arguments: Sequence[str]) -> int:
    """Print the tables and write the figure."""
    parser = config_parser("leyden data", "Describe a data set.", picture="training samples")
    given = parser.parse_intermixed_args(arguments)
    save = figure_saver(given.picture)
    data = _load(given.overrides, given.config_dir)
    from leyden.reporting.terminal.tables import counts_table

    for line in _facts(data):
        console.print(line)
    console.print(counts_table(_counts(data), data.spec.target_names))
    if save is not None:
        save(_figure(data, given.picture))
        console.print(f"figure of {_SAMPLES} training samples written to {given.picture}")
    elif data.modality.is_text:
        _print_texts(data)
    return 0


def _load(overrides: Sequence[str], config_dirs: Sequence[str]) -> "DataModule":
    from leyden.config.validate import check_data
    from leyden.utils.runtime import load_torch, prepare

    plain = compose(overrides, config_dirs)
    load_torch()
    from leyden.training import build

    prepare(None)
    return build.experiment(check_data(plain)).data


def _counts(data: "DataModule") -> dict[str, list[int]]:
    """Return the number of samples of each class by split."""
    labels, classes = data.table.index.targets, data.spec.num_outputs
    splits = data.splits._asdict()
    return {name: np.bincount(labels[rows], minlength=classes).tolist() for name, rows in splits.items()}


def _facts(data: "DataModule") -> Iterator[str]:
    """Yield one line per property of the data besides the counts."""
    spec, index = data.spec, data.table.index
    yield f"{len(data.table):,} inputs of modality {spec.modality}, {spec.num_outputs} classes"
    if data.lengths is None:
        yield data.modality.describe(spec)
    else:
        yield data.modality.describe_lengths(spec, data.lengths)
    if spec.vocab_size:
        yield f"vocabulary size {spec.vocab_size:,}"
    yield from describe_imbalance(spec.class_counts, spec.target_names)
    if index.group_names:
        yield f"{len(index.group_names)} groups: {', '.join(index.group_names[:12])}"
    if data.duplicates_removed:
        yield f"excluded: {data.duplicates_removed:,} duplicate inputs (data.deduplicate)"
    if data.table.skipped:
        yield f"excluded: {len(data.table.skipped)} unreadable files: " + "; ".join(
            data.table.skipped.lines()[:5]
        )


def _example_rows(data: "DataModule") -> tuple[np.ndarray, list[str]]:
    """Return rows of a few training samples of each class, and their class names."""
    from leyden.data.preview import some_of_each_class

    labels = data.table.index.targets
    rows = some_of_each_class(labels, data.splits.train, _SAMPLES)
    return rows, [data.spec.target_names[c] for c in labels[rows]]


def _print_texts(data: "DataModule") -> None:
    from rich.text import Text

    from leyden.data.preview import text

    for row, name in zip(*_example_rows(data), strict=True):
        console.print(Text.assemble((f"{name}: ", "bold"), text(data, int(row))))


def _figure(data: "DataModule", path: Path) -> "Figure":
    from leyden.data.preview import drawings
    from leyden.reporting.plots.samples import samples_figure

    if data.modality.is_text:
        raise UserError(f"--picture {path}: texts are printed, not plotted; leave --picture out")
    rows, names = _example_rows(data)
    return samples_figure(drawings(data, rows), names, "training samples", data.spec.sample_rate)
