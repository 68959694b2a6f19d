"""Training rows whose label is probably wrong, by the margins that a run has stored: nothing is trained again.

A row's margin over the epochs ranks it, and `leyden.health.label_noise` flags rows and estimates how many labels are
wrong. What its nearest rows are labelled is said beside it and ranks nothing: where the best net is one that has
memorised its training rows, they lie among rows of their wrong label. (Digits with wrong labels: .50 to .998 of pairs
are in the right order by neighbours, .996 or more by margins.)
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from leyden.data.datamodule import DataModule
from leyden.data.targets import kind_of
from leyden.health.label_noise import Noise, find_noise, ranking
from leyden.inference.load import load
from leyden.interpretation.neighbours import nearest
from leyden.modules.features import features_of, has_features
from leyden.reporting.atlas.atlas import Suspect
from leyden.runs.predictions import Stored, checked, read_margins
from leyden.runs.run import MARGINS
from leyden.utils.arrays import evenly
from leyden.utils.errors import UserError
from leyden.utils.text import percent, plural

LISTED = 20  # rows with the lowest margins, where none is flagged
_NEAREST = 10
_AMONG = 10_000  # training rows, evenly spaced, among which the nearest are looked for

Features = Callable[[NDArray[np.int64]], NDArray[np.float32]]  # of rows (n,) of the table: (n, D)


class Suspects(NamedTuple):
    """The rows, the most suspect first, and in words how many labels are wrong."""

    rows: tuple[Suspect, ...]
    rate: str


def suspects(
    folder: Path, data: DataModule, features: Features | None = None, everything: bool = False
) -> Suspects:
    """The training rows of a run whose label is probably wrong.

    Args:
        folder: of the run.
        data: its data.
        features: of rows, by which their neighbours are found; None: the net gives none.
        everything: whether all rows are listed, not only those that are flagged.

    Raises:
        UserError: the run has no classes or no margins, or they are not of these data.
    """
    stored = _margins(folder, data)
    noise = find_noise(stored["margins"], stored["draws"], stored["labels"])
    order = ranking(stored["margins"])
    order = order[np.isfinite(stored["margins"][order])]
    chosen = order if everything else order[: int(noise.flagged.sum()) or LISTED]
    apart = None if features is None else _disagreement(stored, chosen, noise, features)
    names, index = data.spec.target_names, data.table.index
    rows = tuple(
        Suspect(
            row=int(stored["rows"][i]),
            name=str(index.names[int(stored["rows"][i])]),
            given=names[stored["labels"][i]],
            likely=names[stored["answers"][i]],
            score=float(1 - stored["margins"][i]) / 2,
            neighbours=None if apart is None else float(apart[place]),
            flagged=bool(noise.flagged[i]),
        )
        for place, i in enumerate(chosen.tolist())
    )
    return Suspects(rows, rate_in_words(noise))


def features_of_run(folder: Path, data: DataModule, config_dirs: Sequence[str] = ()) -> Features | None:
    """The features of rows by a run's best weights; None: they are no longer there, or its net gives none.

    Raises:
        UserError: as `load`.
    """
    if not (folder / "checkpoints" / "best.ckpt").exists():
        return None
    module = load(folder, config_dirs).module
    return partial(features_of, module, data) if has_features(module) else None


def _margins(folder: Path, data: DataModule) -> Stored:
    if kind_of(data.table.index.targets) != "classes":
        raise UserError("--suspects: looks for wrong classes, and these data have none; leave it out")
    stored = read_margins(folder)
    if stored is None:
        raise UserError(
            f"{folder} has no margins of its training rows, which runs of two epochs or more store from this version "
            "on, where their module answers forward(batch) with logits: train it again with force=true"
        )
    checked(folder / MARGINS, lambda: _verify(stored, data))
    return stored


def _verify(stored: Stored, data: DataModule) -> None:
    """Refuse margins of rows that there are not, or that have other labels."""
    index, rows = data.table.index, stored["rows"]
    if (
        rows.min() < 0
        or rows.max() >= len(index)
        or not np.array_equal(stored["labels"], index.targets[rows])
    ):
        raise ValueError("its rows are not those of the data set")
    if stored["answers"].max() >= len(index.target_names):
        raise ValueError("`answers` are not classes of the data set")


def _disagreement(
    stored: Stored, chosen: NDArray[np.int64], noise: Noise, features: Features
) -> NDArray[np.float64]:
    """(k,): the share of the nearest rows of each chosen place that have another label; flagged rows are not asked."""
    others = evenly(np.flatnonzero(~noise.flagged), _AMONG)
    wanted, back = np.unique(np.concatenate([others, chosen]), return_inverse=True)
    found = features(stored["rows"][wanted])[back]
    among, of = found[: len(others)], found[len(others) :]
    near = nearest(among, of, _NEAREST + 1)
    is_other = others[near.places] != chosen[:, None]  # a row is no neighbour of its own
    is_counted = is_other & (np.cumsum(is_other, 1) <= _NEAREST)
    differs = stored["labels"][others[near.places]] != stored["labels"][chosen][:, None]
    return np.asarray((differs & is_counted).sum(1) / np.maximum(is_counted.sum(1), 1))


def rate_in_words(noise: Noise) -> str:
    """How many labels are wrong."""
    count = int(noise.flagged.sum())
    if count:
        return (
            f"about {percent(noise.share)} of the training labels are wrong: {plural(count, 'row')} stand apart from "
            f"all others (margin below {noise.valley:.2f}; 95 % interval of the count {percent(noise.low)} to "
            f"{percent(noise.high)})"
        )
    return (
        "no group of training rows stands apart: labels that are wrong, if there are any, cannot be told from hard "
        f"samples; the {LISTED} lowest margins:"
    )
