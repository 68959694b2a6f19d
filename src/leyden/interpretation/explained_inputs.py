"""Samples of a run with several inputs: what each input adds to the answer, and the map within each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from leyden.data.datamodule import DataModule
from leyden.inference.load import LoadedRun, load
from leyden.inference.predictor import batch_of, outputs_of, prepared
from leyden.interpretation.access import answered, open_data, output_of
from leyden.interpretation.attribution import verify_method
from leyden.interpretation.explained import (
    WORST,
    Explanation,
    Request,
    Sample,
    explain_samples,
    explained,
    said,
    samples_of,
)
from leyden.interpretation.input_shares import InputShares, input_shares
from leyden.interpretation.one_input import InputAccess
from leyden.reporting.explained_inputs import ExplainedInputs
from leyden.runs.lookup import RUNS, find_run
from leyden.utils.errors import UserError
from leyden.utils.trust import trusting

_TOGETHER = 32  # samples


@dataclass(frozen=True)
class InputsExplanation:
    """One sample.

    Attributes:
        name: of its row, or the words that it was given by.
        row: of the table; None: of a file.
        truth: in words; "": unknown.
        answer: in words.
        shares: of its inputs.
        maps: within inputs that it has, by name.
        without: why an input that it has has no map, by name.
    """

    name: str
    row: int | None
    truth: str
    answer: str
    shares: InputShares
    maps: Mapping[str, Explanation]
    without: Mapping[str, str]

    def shown(self) -> ExplainedInputs:
        """As it is printed and drawn."""
        own = self.shares
        return ExplainedInputs(
            *(self.name, self.row, self.truth, self.answer),
            scalar=own.scalar,
            score=own.score,
            nothing=own.nothing,
            nothing_score=own.nothing_score,
            shares=own.shares,
            maps={name: replace(one.shown(), name=f"{name}: {one.name}") for name, one in self.maps.items()},
            without=self.without,
        )


Explanations = list[Explanation] | list[InputsExplanation]


def explanations(
    run: LoadedRun, data: DataModule, request: Request, say: Callable[[str], object] = lambda _: None
) -> Explanations:
    """What is asked for of a run with one input, or with several; see `explain_samples` and `explain_inputs`."""
    return (explain_inputs if run.modality.is_several else explain_samples)(run, data, request, say)


def explain_inputs(
    run: LoadedRun, data: DataModule, request: Request, say: Callable[[str], object] = lambda _: None
) -> list[InputsExplanation]:
    """The explanations that are asked for, in the order of files, rows or errors.

    Args:
        run: loaded, with several inputs.
        data: its data.
        request: what is asked for; an input that does not allow it has no map.
        say: is told why a method was chosen, and where there are no errors.

    Raises:
        UserError: a row, class or method that there is not.
    """
    verify_method(request.method)
    if run.task.kind not in ("classes", "labels", "values"):
        raise UserError(
            "explain: a run with several inputs is explained where it answers classes, labels or values, "
            f"not {run.task.kind}"
        )
    samples = list(samples_of(run, data, request, say))
    if request.target:
        output = output_of(run, request.target)
        samples = [sample._replace(output=output) for sample in samples]
    shares, answers = [], list[str]()
    for start in range(0, len(samples), _TOGETHER):
        part = samples[start : start + _TOGETHER]
        found, words = _shared(run, part)
        shares += found
        answers += words
    samples = [s._replace(output=own.output) for s, own in zip(samples, shares, strict=True)]
    maps, without = _maps(run, data, samples, request, say)
    return [
        InputsExplanation(
            *(sample.name, sample.row, sample.truth, answer, own),
            maps={name: of[place] for name, of in maps.items() if place in of},
            without={name: why for name, why in without.items() if name in sample.values},
        )
        for place, (sample, own, answer) in enumerate(zip(samples, shares, answers, strict=True))
    ]


def _shared(run: LoadedRun, samples: Sequence[Sample]) -> tuple[list[InputShares], list[str]]:
    """The shares of the samples' inputs, and the answers in words."""
    batch = batch_of(run, [sample.values for sample in samples])
    with torch.no_grad():
        outputs = outputs_of(run, prepared(run, batch)).numpy()
    own = answered(run, batch)
    chosen = [s.output if s.output >= 0 else answer for s, answer in zip(samples, own, strict=True)]
    words = [said(answer) for answer in run.task.answers(outputs, run.spec, run.decision, 1)]
    return input_shares(run, batch, chosen), words


def _maps(
    run: LoadedRun,
    data: DataModule,
    samples: Sequence[Sample],
    request: Request,
    say: Callable[[str], object],
) -> tuple[dict[str, dict[int, Explanation]], dict[str, str]]:
    """Input -> place of a sample -> the map within it; and why inputs have none."""
    found: dict[str, dict[int, Explanation]] = {}
    without: dict[str, str] = {}
    parts = run.modality.parts  # type: ignore[attr-defined]
    if request.waveform and not any(part.is_sound for part in parts.values()):
        raise UserError("--input waveform: no input of this run is sound; leave it out")
    for name, modality in parts.items():
        places = [place for place, sample in enumerate(samples) if name in sample.values]
        if not places:
            continue
        asked = replace(request, waveform=request.waveform and modality.is_sound)
        try:
            access = InputAccess(run, data, name, asked.waveform, request.baseline, request.seed)
            own = explained(access, [samples[p] for p in places], asked, _prefixed(say, name))
        except UserError as error:
            without[name] = str(error)
        else:
            found[name] = dict(zip(places, own, strict=True))
    return found, without


def _prefixed(say: Callable[[str], object], name: str) -> Callable[[str], object]:
    return lambda words: say(f"{name}: {words}")


def explain_run(
    run: str | Path,
    files: Sequence[str] = (),
    rows: Sequence[int] = (),
    worst: int = WORST,
    split: str = "",
    method: str = "",
    target: str = "",
    baseline: str = "",
    tests: bool = True,
    runs: str | Path = RUNS,
    config_dirs: Sequence[str] = (),
    trust: bool = False,
) -> Explanations:
    """What `leyden explain` shows: the worst errors, or files, or rows of a finished run.

    Args:
        run: its folder, or a word that means it, looked up in `runs`.
        files, rows, worst, split, method, target, baseline, tests: as of `Request`.
        runs: where a word for the run is looked up.
        config_dirs: folders of options, beside which code lies that a run made by somebody else needs.
        trust: use whatever code, paths and pickled objects the folder names, whoever made it.

    Raises:
        UserError: as the command.
    """
    request = Request(files, rows, worst, split, method, target, baseline, tests=tests)
    with trusting(trust):
        loaded = load(find_run(str(run), Path(runs)).folder, config_dirs)
        return explanations(loaded, open_data(loaded, config_dirs), request)
