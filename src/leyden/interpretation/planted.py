"""The planted test: how well each method of attribution finds a signal whose place is known, for one net.

check = check_run(load(folder))            # a run on generated data: of its own net
folder = train_planted(plain, scratch)     # any other architecture: trained briefly on a generated set
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from leyden.config.compose import compose
from leyden.data.batch import Batch
from leyden.data.datamodule import DataModule
from leyden.data.sources.synthetic import PlantedAudio, PlantedImages, PlantedText
from leyden.data.spec import DataSpec
from leyden.data.targets import kind_of
from leyden.inference.load import LoadedRun
from leyden.inference.predictor import outputs_of, prepared
from leyden.interpretation.access import Access, open_data
from leyden.interpretation.attribution import METHODS as KNOWN
from leyden.interpretation.attribution import explain
from leyden.interpretation.pointing import shares, verdict
from leyden.interpretation.randomised import untrained
from leyden.interpretation.truth import has_test, truth_of
from leyden.metrics.intervals import wilson
from leyden.runs.explain_check import ExplainCheck, MethodCheck, Share
from leyden.training import job
from leyden.utils.errors import UserError, nearest

ROWS = 100
EPOCHS = 10
METHODS = ("integrated_gradients", "occlusion", "grad_cam")
LEAST_ACCURACY = 0.8  # of a net whose maps can be judged
_AT_ONCE = 50  # rows
_LARGEST = 64  # pixels of a side: the pattern is 6 x 6

Rows = NDArray[np.int64]
Say = Callable[[str], object]


def check_run(
    run: LoadedRun,
    data: DataModule | None = None,
    methods: Sequence[str] = METHODS,
    rows: int = ROWS,
    seed: int = 0,
    window: Sequence[int] = (),
    say: Say = lambda _: None,
) -> ExplainCheck:
    """Measure methods by a run on generated data, on validation and test rows that it answers rightly.

    Args:
        run: loaded.
        data: its data, opened; None: they are opened.
        methods: of attribution; one that this net does not allow is left out, and said.
        rows: at most.
        seed: of the choice of rows, and of methods that draw.
        window: of occlusion, in units; (): the default of the input.
        say: is told what is left out.

    Raises:
        UserError: the place of no signal is known, or the net has not learned to find it.
    """
    data = data or open_data(run)
    if not has_test(run.config.data.source):
        raise UserError(
            "there is nothing to test maps by in these data: choose data=planted_images or planted_text"
        )
    right, accuracy = answered_rightly(run, data)
    if accuracy < LEAST_ACCURACY:
        raise UserError(
            f"the net answers {accuracy:.2f} of the planted rows rightly, too few to judge its maps by (expected is "
            f"{LEAST_ACCURACY:g}): train it for longer (--epochs)"
        )
    chosen = np.sort(np.random.default_rng(seed).permutation(right)[:rows])
    nets = Access(run, data), Access(untrained(run), data)
    found: dict[str, MethodCheck] = {}
    for method in methods:
        try:
            found[method] = _measure(nets, data, chosen, method, seed, window)
        except UserError as error:
            say(f"{method}: {error}")
    name = str(run.config.data.name)
    return ExplainCheck(data=name, rows=len(chosen), accuracy=accuracy, methods=found)


def verify_methods(methods: Sequence[str]) -> None:
    """Refuse a method that there is not.

    Raises:
        UserError: naming the nearest.
    """
    for method in methods:
        if method not in KNOWN:
            raise UserError(f"--method {method}: {nearest(method, KNOWN)}")


def answered_rightly(run: LoadedRun, data: DataModule) -> tuple[Rows, float]:
    """Validation and test rows that a run answers rightly, and their share."""
    if kind_of(data.table.index.targets) != "classes":
        raise UserError("the planted test is of classes: choose task=classification")
    rows = np.concatenate([data.splits.val, data.splits.test])
    answers = np.concatenate([_answers(run, data.batch_of(rows[at])) for at in _parts(len(rows))])
    right = rows[answers == data.table.index.targets[rows]]
    return right, len(right) / max(1, len(rows))


def _measure(
    nets: tuple[Access, Access], data: DataModule, rows: Rows, method: str, seed: int, window: Sequence[int]
) -> MethodCheck:
    """Pointing and mass of one method, with the trained net and with the untrained one."""
    found: list[tuple[NDArray[np.bool_], NDArray[np.float64]]] = []
    for access in nets:
        points, masses = [], []
        for at in _parts(len(rows)):
            view = access.of_rows(rows[at], data.table.index.targets[rows[at]].tolist())
            inside = truth_of(data, rows[at], view, getattr(access.run.module, "frontend", None))
            maps = [one.values for one in explain(view, method, seed, window)]
            point, mass = shares(maps, inside)
            points.append(point)
            masses.append(mass)
        found.append((np.concatenate(points), np.concatenate(masses)))
    (point, mass), (null, null_mass) = found
    why = verdict(float(point.mean()), float(null.mean()))
    return MethodCheck(
        pointing=_share(point),
        mass=float(mass.mean()),
        untrained_pointing=_share(null),
        untrained_mass=float(null_mass.mean()),
        is_trusted=not why,
        why=why,
    )


def _answers(run: LoadedRun, batch: Batch) -> NDArray[np.int64]:
    with torch.no_grad():
        found: NDArray[np.int64] = outputs_of(run, prepared(run, batch)).argmax(1).numpy()
    return found


def _parts(rows: int) -> Iterator[slice]:
    return (slice(start, start + _AT_ONCE) for start in range(0, rows, _AT_ONCE))


def _share(hits: NDArray[np.bool_]) -> Share:
    found = wilson(int(hits.sum()), len(hits))
    return Share(value=float(hits.mean()), low=found.low, high=found.high)


def train_planted(plain: Mapping[str, Any], spec: DataSpec, folder: Path, epochs: int = EPOCHS) -> Path:
    """Train an architecture on the generated set of its modality; returns the run's folder.

    Args:
        plain: a composed configuration, of which model and head are taken.
        spec: facts of the data that it is for: size, channels and sample rate are taken of them.
        folder: for the run.
        epochs: of training, by Leyden's default recipe.

    Raises:
        UserError: there is no generated set of its modality, or the model does not take its size.
    """
    words = [*_data_words(spec), f"trainer.max_epochs={epochs}", "logger=none"]
    made = compose(words)
    made |= {"model": _model(plain, made), "head": plain["head"], "runs": str(folder), "seed": plain["seed"]}
    outcome = job.run(made, ["leyden", "train", *words], verbose=False)
    if outcome.status == "interrupted":
        raise KeyboardInterrupt
    if outcome.status != "complete":
        raise UserError(f"the model cannot be trained on {made['data']['name']}: {outcome.message}")
    return outcome.folder


def _data_words(spec: DataSpec) -> list[str]:
    """The words that choose the generated set of a modality, of pictures and recordings like the data's."""
    if spec.parts:
        raise UserError(
            "rows with several inputs: no set is generated to test methods by; `leyden explain RUN` tests each map"
        )
    size = min(_LARGEST, *spec.image_size)
    sets = {
        PlantedImages.modality: ("planted_images", [f"size={size}", f"channels={spec.in_channels}"]),
        PlantedText.modality: ("planted_text", []),
        PlantedAudio.modality: ("planted_audio", [f"sample_rate={spec.sample_rate}", "clutter=3"]),
    }
    if spec.modality not in sets:
        raise UserError(f"there is no generated set of {spec.modality} with a planted signal")
    option, keys = sets[spec.modality]
    return [f"data={option}", *(f"data.source.{key}" for key in keys)]


def _model(plain: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    """The model's configuration, with the module of classification where its own is of another task."""
    is_for_classes = plain["task"]["name"] == made["task"]["name"]
    return {**plain["model"], **({} if is_for_classes else {"module": made["model"]["module"]})}
