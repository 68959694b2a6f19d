"""Samples of a finished run with the maps of their answers and the maps' tests: what `leyden explain` shows.

found = explain_samples(run, open_data(run), Request(rows=(3, 17)))
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from leyden.data import preview
from leyden.data.datamodule import DataModule
from leyden.data.joined import Joined
from leyden.data.targets import describe_target, sampling_classes
from leyden.inference.load import LoadedRun
from leyden.inference.predictor import outputs_of, prepared, read_files
from leyden.interpretation.access import Access, output_of
from leyden.interpretation.attribution import Attribution, explain
from leyden.interpretation.beside import Beside
from leyden.interpretation.choice import choose_method
from leyden.interpretation.faithfulness import MapTest, assess_maps
from leyden.interpretation.heat import heat_of
from leyden.reporting.atlas.atlas import Media
from leyden.reporting.explained_sample import ExplainedSample
from leyden.runs.explain_check import read_check
from leyden.runs.predictions import Stored, checked, path_of, read_predictions, stored_splits
from leyden.tasks.errors import ErrorGroup
from leyden.utils.errors import UserError

WORST = 5
_TOGETHER = 32  # samples of a view
_VALUES = 1 << 20  # numbers of them
_TRIED = 4  # samples by which a method is chosen


@dataclass(frozen=True)
class Request:
    """What is asked for; of files, rows and errors one kind.

    Attributes:
        files: as for `leyden predict`.
        rows: of the run's table.
        worst: so many errors of `split`, the most confident of each class in turn.
        split: val or test; "": val, where the run has predictions of it.
        method: "": chosen by `leyden check explain`, where it was run, else by deletion on a few of the samples.
        target: the class, label or value that is explained; "": the answer.
        baseline, waveform, seed: as of `Access`.
        window: of occlusion, in units; (): the default.
        tests: whether each map is tested.
    """

    files: Sequence[str] = ()
    rows: Sequence[int] = ()
    worst: int = WORST
    split: str = ""
    method: str = ""
    target: str = ""
    baseline: str = ""
    waveform: bool = False
    seed: int = 0
    window: Sequence[int] = ()
    tests: bool = True


@dataclass(frozen=True)
class Explanation:
    """One sample.

    Attributes:
        name: of its file or row.
        row: of the table; None: of a file.
        truth: in words; "": unknown.
        answer: in words.
        attribution: its map, without padding.
        test: of the map; None: it was not tested.
        unit: what a value of the map is of: cell, token, 10 ms.
        tokens: of a text, as many as the map has values.
        media: the sample as a person looks at it.
        distrust: what `leyden check explain` says against the method for this net; "": nothing.
        untrained: the same method's map of the net at random weights, without padding; None: maps are not tested.
    """

    name: str
    row: int | None
    truth: str
    answer: str
    attribution: Attribution
    test: MapTest | None
    unit: str
    tokens: tuple[str, ...]
    media: Media
    distrust: str = ""
    untrained: NDArray[np.float32] | None = None

    def shown(self) -> ExplainedSample:
        """As it is printed and drawn."""
        own = self.attribution
        heat = heat_of(own, self.test, self.distrust, self.tokens, untrained=self.untrained)
        return ExplainedSample(
            *(self.name, self.row, self.truth, self.answer, heat, self.media),
            *(own.score, own.baseline_score, own.completeness),
        )


class Sample(NamedTuple):
    """A decoded input (of several: by name), its name, row, truth, and which output is explained; -1: the answer's."""

    name: str
    values: Any
    row: int | None = None
    truth: str = ""
    output: int = -1


def explain_samples(
    run: LoadedRun, data: DataModule, request: Request, say: Callable[[str], object] = lambda _: None
) -> list[Explanation]:
    """The explanations that are asked for, in the order of files, rows or errors.

    Args:
        run: loaded.
        data: its data.
        request: what is asked for.
        say: is told why a method was chosen, and where there are no errors, so that other rows are explained.

    Raises:
        UserError: a file, row, class, method or baseline that there is not.
    """
    access = Access(run, data, request.waveform, request.baseline, request.seed)
    samples = list(samples_of(run, data, request, say))
    if request.target:
        output = output_of(run, request.target)
        samples = [sample._replace(output=output) for sample in samples]
    return explained(access, samples, request, say)


def explained(
    access: Access, samples: Sequence[Sample], request: Request, say: Callable[[str], object]
) -> list[Explanation]:
    """The explanation of each sample, of which none or several may be asked for one output; see `explain_samples`."""
    method, distrust = _method(access, samples, request, say)
    request = replace(request, method=method)
    beside = Beside(access) if request.tests else None
    found: dict[int, Explanation] = {}
    for places in _together([access.own(sample.values) for sample in samples]):
        made = _explained(access, [samples[place] for place in places], request, beside)
        found.update(zip(places, (replace(each, distrust=distrust) for each in made), strict=True))
    return [found[place] for place in range(len(samples))]


def _method(
    access: Access, samples: Sequence[Sample], request: Request, say: Callable[[str], object]
) -> tuple[str, str]:
    """The method that is asked for, or chosen by the run's planted test or by a few samples; and what is against it."""
    check, method = read_check(access.run.run.folder), request.method
    if not method:
        few = samples[:_TRIED]
        view = access.of_inputs([sample.values for sample in few], [sample.output for sample in few])
        choice = choose_method(view, check, seed=request.seed)
        method = choice.method
        say(f"method: {choice.why}")
    return method, "" if check is None else check.distrust(method)


def samples_of(
    run: LoadedRun, data: DataModule, request: Request, say: Callable[[str], object]
) -> Iterator[Sample]:
    """Yield the decoded samples that are asked for; arguments as of `explain_samples`."""
    if request.files:
        names, inputs = read_files(run, request.files, "explain")
        yield from (Sample(name, values) for name, values in zip(names, inputs, strict=True))
        return
    chosen = [(row, -1) for row in request.rows] or _errors(run, request)
    if not chosen:
        say("no errors there: rows of each class in turn")
        chosen = _others(data, request)
    index = data.table.index
    for row, output in chosen:
        if not 0 <= row < len(index):
            raise UserError(f"row {row}: the table has rows 0 to {len(index) - 1:,}")
        truth = describe_target(index.targets[row], index.target_names)
        yield Sample(str(index.names[row]), net_inputs(data, row), row, truth, output)


def net_inputs(data: DataModule, row: int) -> Any:
    """A row's input as batches are made of it, texts as token ids; of several inputs those that it has, by name."""
    joined = data.table.inputs
    if not isinstance(joined, Joined):
        return data.inputs.row(row)
    places = {name: int(of[row]) for name, of in joined.places.items()}
    return {name: data.parts[name].inputs.row(place) for name, place in places.items() if place >= 0}


def _errors(run: LoadedRun, request: Request) -> list[tuple[int, int]]:
    """(row, output) of the worst errors of a split: of each class in turn, those of most errors first."""
    folder = run.run.folder
    split = request.split or next(iter(stored_splits(folder)), "val")
    stored = read_predictions(folder, split)
    groups = checked(path_of(folder, split), lambda: run.task.errors(stored, run.spec, request.worst))
    turns = [(turn, place, group) for group in groups for turn, place in enumerate(group.places)]
    turns.sort(key=lambda found: found[0])
    return [
        (int(stored["rows"][place]), _output(run, group, stored, place))
        for _, place, group in turns[: request.worst]
    ]


def _output(run: LoadedRun, group: ErrorGroup, stored: Stored, place: int) -> int:
    """Which output an error is of: of classes the answer, else the label or value."""
    if run.task.kind == "classes":
        return int(stored["predicted"][place])
    return run.spec.target_names.index(group.name)


def _others(data: DataModule, request: Request) -> list[tuple[int, int]]:
    """Rows of each class in turn, where a split has no errors."""
    rows = data.splits.test if request.split == "test" or not len(data.splits.val) else data.splits.val
    chosen = preview.some_of_each_class(sampling_classes(data.table.index.targets), rows, request.worst)
    return [(int(row), -1) for row in chosen]


def _together(inputs: Sequence[NDArray[Any]]) -> Iterator[list[int]]:
    """Places of inputs for one view each: of about the same length, and no more than memory holds."""
    order = sorted(range(len(inputs)), key=lambda place: inputs[place].size)
    while order:
        count = max(1, min(_TOGETHER, _VALUES // max(1, inputs[order[0]].size)))
        yield order[:count]
        order = order[count:]


def _explained(
    access: Access, samples: Sequence[Sample], request: Request, beside: Beside | None
) -> Iterator[Explanation]:
    run = access.run
    batch = access.batch([sample.values for sample in samples])
    with torch.no_grad():
        outputs = outputs_of(run, prepared(run, batch)).numpy()
    answers = run.task.answers(outputs, run.spec, run.decision, 1)
    view = access.of_batch(batch, [sample.output for sample in samples])
    maps = explain(view, request.method, request.seed, request.window)
    tests: Sequence[MapTest | None] = [None] * len(maps)
    untrained: Sequence[NDArray[np.float32] | None] = [None] * len(maps)
    if beside is not None:
        values = [found.values for found in maps]
        untrained = beside.maps(request.method, view, batch, request.seed, request.window)
        passed = assess_maps(view, values, seed=request.seed)
        rows = [None if sample.row is None else access.row(sample.row) for sample in samples]
        tests = beside.completed(passed, values, untrained, view, rows)
    for own, other, test, length, sample, answer in zip(
        maps, untrained, tests, view.lengths, samples, answers, strict=True
    ):
        given = access.own(sample.values)
        tokens = tokens_of(run, given)
        yield Explanation(
            *(sample.name, sample.row, sample.truth, said(answer)),
            *(replace(own, values=own.values[..., :length]), test, access.unit, tokens),  # without padding
            media=media_of(run, given, tokens),
            untrained=None if other is None else other[..., :length],
        )


def said(answer: dict[str, Any]) -> str:
    """What `Task.answers` gives of a sample, in a few words."""
    if "classes" in answer:
        return f"{answer['classes'][0]} {answer['probabilities'][0]:.2f}"
    if "labels" in answer:
        return ", ".join(answer["labels"]) or "none"
    return ", ".join(f"{name} {value:.4g}" for name, value in answer["values"].items())


def tokens_of(run: LoadedRun, values: NDArray[Any]) -> tuple[str, ...]:
    """Of a text, and the cells of a table: what a map along them has values of."""
    if run.tokenizer is not None:
        return tuple(run.tokenizer.tokens(values.tolist()))
    return run.modality.cells(values, run.spec)


def media_of(run: LoadedRun, values: NDArray[Any], tokens: Sequence[str]) -> Media:
    """A decoded input as a person looks at it."""
    if tokens:
        return Media(text=" ".join(tokens))
    if run.modality.is_sound:
        mels = preview.spectrograms([values], run.spec.sample_rate)
        rate = run.spec.sample_rate
        mel = None if mels is None else mels[0]
        return Media(wave=values, sample_rate=rate, seconds=len(values) / rate, mel=mel)
    drawn = run.modality.drawing(values)
    return Media(picture=drawn) if drawn.ndim == 3 else Media(curve=drawn)
