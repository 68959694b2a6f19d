"""`leyden data [data=... key=value ...]`: describe a data set before training.

Counts per class or label and split, or the range of numeric targets; shapes or lengths, excluded inputs, and a figure
of a few samples:

    leyden data data=mnist
    leyden data data=image_folder data.source.root=pictures --picture samples.png
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leyden.cli.arguments import config_parser, figure_saver, of_input
from leyden.data.targets import describe_target, kind_of, sampling_classes
from leyden.imbalance.auto import describe_imbalance
from leyden.training.continuation import compose_with_runs
from leyden.utils.console import console
from leyden.utils.errors import UserError
from leyden.utils.text import plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

    from leyden.data.datamodule import DataModule

_SAMPLES = 20


def main(arguments: Sequence[str]) -> int:
    """Print the tables and write the figure."""
    parser = config_parser("leyden data", "Describe a data set.", picture="training samples")
    given = parser.parse_intermixed_args(arguments)
    save = figure_saver(given.picture)
    data = _load(given.overrides, given.config_dir)
    for line in _facts(data):
        console.print(line)
    console.print(_TARGETS[kind_of(data.table.index.targets)](data))
    if save is not None:
        for name, figure in _figures(data, given.picture):
            written = of_input(given.picture, name)
            save(figure, written)
            console.print(f"figure of {_SAMPLES} training samples written to {written}")
    elif data.modality.is_text:
        _print_texts(data)
    return 0


def _load(overrides: Sequence[str], config_dirs: Sequence[str]) -> "DataModule":
    from leyden.config.validate import check_data
    from leyden.utils.runtime import load_torch, prepare

    plain, _ = compose_with_runs(overrides, config_dirs)
    load_torch()
    from leyden.training import build

    prepare(None)
    return build.experiment(check_data(plain)).data


def _by_split(data: "DataModule") -> dict[str, np.ndarray]:
    """Split -> targets of its rows."""
    return {name: data.table.index.targets[rows] for name, rows in data.splits._asdict().items()}


def _classes(data: "DataModule") -> "RenderableType":
    from leyden.reporting.terminal.tables import counts_table

    spec = data.spec
    counts = {s: np.bincount(t, minlength=spec.num_outputs).tolist() for s, t in _by_split(data).items()}
    return counts_table(counts, spec.target_names)


def _labels(data: "DataModule") -> "RenderableType":
    from leyden.reporting.terminal.tables import label_counts_table

    targets = _by_split(data)
    counts = {split: found.sum(axis=0).astype(int).tolist() for split, found in targets.items()}
    return label_counts_table(counts, {s: len(found) for s, found in targets.items()}, data.spec.target_names)


def _values(data: "DataModule") -> "RenderableType":
    from leyden.reporting.terminal.tables import values_table

    return values_table(_by_split(data), data.spec.target_names)


def _sequences(data: "DataModule") -> "RenderableType":
    from leyden.data.transcripts import lengths_of
    from leyden.reporting.terminal.tables import values_table

    lengths = {split: lengths_of(targets)[:, None] for split, targets in _by_split(data).items()}
    return values_table(lengths, ("units of a transcript",))


_TARGETS = {"classes": _classes, "labels": _labels, "values": _values, "sequences": _sequences}
_OUTPUTS = {
    "classes": ("class", "classes"),
    "labels": ("label",),
    "values": ("target value",),
    "sequences": ("unit with the blank", "units with the blank"),
}


def _facts(data: "DataModule") -> Iterator[str]:
    """Yield one line per property of the data besides the counts."""
    spec, index = data.spec, data.table.index
    kind = kind_of(index.targets)
    rows = len(data.table)
    outputs = plural(spec.num_outputs, *_OUTPUTS[kind])
    if data.parts:
        yield f"{plural(rows, 'row')} with {plural(len(data.parts), 'input')}, {outputs}"
        for name, part in data.parts.items():
            there = int((data.table.inputs.places[name] >= 0).sum())
            yield f"{name} of {there:,} rows: {', '.join(_described_inputs(part))}"
    else:
        yield f"{plural(rows, 'input')} of modality {spec.modality}, {outputs}"
        yield from _described_inputs(data)
    if kind == "classes":
        yield from describe_imbalance(spec.class_counts, spec.target_names)
    if index.group_names:
        yield f"{plural(len(index.group_names), 'group')}: {', '.join(index.group_names[:12])}"
    if index.metadata:
        yield f"metadata: {', '.join(_described(name, values) for name, values in index.metadata.items())}"
    yield from data.remarks()
    if kind == "classes":
        from leyden.health.data import name_checks  # imports torch

        yield from (finding.message for finding in name_checks.names(spec.target_names, spec.class_counts))


def _described_inputs(data: "DataModule") -> Iterator[str]:
    """Yield what the inputs of one modality are."""
    spec, lengths = data.spec, data.lengths
    yield data.modality.describe(spec) if lengths is None else data.modality.describe_lengths(spec, lengths)
    if spec.vocab_size:
        yield f"vocabulary size {spec.vocab_size:,}"


def _described(name: str, values: np.ndarray) -> str:
    """A fact of rows (N,): how many values it has, or its range."""
    if values.dtype.kind == "U":
        return f"{name} ({plural(len(set(values[values != ''].tolist())), 'value')})"
    return f"{name} ({np.nanmin(values):g} to {np.nanmax(values):g})"


def _example_rows(data: "DataModule") -> tuple[np.ndarray, list[str]]:
    """Return rows of a few training samples, of each class in turn, and what their targets are."""
    from leyden.data.preview import some_of_each_class

    targets, names = data.table.index.targets, data.spec.target_names
    rows = some_of_each_class(sampling_classes(targets), data.splits.train, _SAMPLES)
    return rows, [describe_target(target, names) for target in targets[rows]]


def _print_texts(data: "DataModule") -> None:
    from rich.text import Text

    from leyden.data.preview import text

    for row, name in zip(*_example_rows(data), strict=True):
        console.print(Text.assemble((f"{name}: ", "bold"), text(data, int(row))))


def _figures(data: "DataModule", path: Path) -> "Iterator[tuple[str, Figure]]":
    """Yield the picture of the samples, of several inputs one for each that can be drawn, with its name."""
    from leyden.data.preview import drawings, views
    from leyden.reporting.plots.samples import samples_figure

    if data.modality.is_text:
        raise UserError(f"--picture {path}: texts are printed, not plotted; leave --picture out")
    rows, names = _example_rows(data)
    for name, part, own, there in views(data, rows):
        if not part.modality.is_written:
            title = f"training samples: {name}" if name else "training samples"
            captions = [names[i] for i in there]
            yield name, samples_figure(drawings(part, own), captions, title, part.spec.sample_rate)
