"""Facts of rows, by which slices of errors are named: what is measured of the input, group, metadata, cluster."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leyden.data import preview
from leyden.data.datamodule import DataModule
from leyden.data.targets import kind_of
from leyden.data.transcripts import lengths_of

_CLUSTERS = 8
_EACH = 60  # rows to a cluster at least, on average


@dataclass(frozen=True)
class RowFacts:
    """What is known of N rows besides their outputs.

    Attributes:
        facts: (N,) by name: numbers or texts.
        strata: int64 (N,), groups of rows whose error rates are known to differ: the true classes; of rows with any
            number of labels, how many there are.
    """

    facts: dict[str, NDArray[Any]]
    strata: NDArray[np.int64]


def facts_of(data: DataModule, rows: NDArray[np.int64]) -> RowFacts:
    """The facts of rows (N,): targets, metadata, group, what is measured of each input, cluster of similar inputs.

    Clusters are of the inputs, not of a net's features: class and cluster of features are nearly what was answered, and
    errors would be a slice in every run.

    Args:
        data: the data layer; what its modality measures is computed of each decoded input.
        rows: int64 (N,) of the table.
    """
    index = data.table.index
    found, strata = _of_targets(index.targets[rows], index.target_names)
    found |= {name: values[rows] for name, values in index.metadata.items()}
    if index.group is not None:
        found["group"] = np.array(index.group_names)[index.group[rows]]
    for name, values in _of_inputs(data, rows).items():
        found.setdefault(name, values)
    return RowFacts(found, strata)


def _of_inputs(data: DataModule, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """What is measured of the inputs and their cluster; of several which there are, then the same of each."""
    if not data.modality.is_several:
        return _of_input(data, rows)
    found: dict[str, NDArray[Any]] = {}
    for name, part, own, there in preview.views(data, rows):
        if len(there) < len(rows):
            found[f"has {name}"] = np.full(len(rows), "no", dtype="<U3")
            found[f"has {name}"][there] = "yes"
        for of, values in _of_input(part, own).items():
            whole = np.full(len(rows), "" if values.dtype.kind == "U" else np.nan, dtype=values.dtype)
            whole[there] = values
            found[f"{name}: {of}"] = whole
    return found


def _of_input(data: DataModule, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    rate = int(data.table.facts.get("sample_rate", 0))
    inputs = [data.table.inputs.row(row) for row in rows.tolist()]
    measured = [data.modality.measures(values, rate) for values in inputs]
    names = dict.fromkeys(name for each in measured for name in each)
    found: dict[str, NDArray[Any]] = {
        name: np.array([each.get(name, np.nan) for each in measured]) for name in names
    }
    return {**found, "cluster": clusters(np.array([data.modality.sketch(values) for values in inputs]))}


def _of_targets(
    targets: NDArray[Any], names: tuple[str, ...]
) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    kind = kind_of(targets)
    if kind == "classes":
        return {"class": np.array(names)[targets]}, targets.astype(np.int64)
    if kind == "labels":
        present = np.where(targets == 1, "yes", "no")
        return dict(zip(names, present.T, strict=True)), targets.sum(axis=1).astype(np.int64)
    if kind == "sequences":
        return {"units": lengths_of(targets)}, np.zeros(len(targets), np.int64)
    return dict(zip(names, targets.T, strict=True)), np.zeros(len(targets), np.int64)


def clusters(sketches: NDArray[np.float64]) -> NDArray[np.str_]:
    """The cluster "1", "2", ... (N,) of each row, by k-means on sketches (N, D); the largest is the first."""
    from sklearn.cluster import KMeans

    count = max(1, min(_CLUSTERS, len(sketches) // _EACH))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct rows than clusters
        labels = KMeans(count, n_init=3, random_state=0).fit_predict(sketches)
    order = np.argsort(-np.bincount(labels, minlength=count), kind="stable")
    return (np.argsort(order)[labels] + 1).astype(np.str_)
