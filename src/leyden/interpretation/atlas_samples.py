"""The samples of errors as a person looks at them, with heat, its tests, and the nearest training rows.

What a run does not allow (no checkpoint left, a net without features, a method that does not fit) is left out with a
note; the page is complete without it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from leyden.data import preview
from leyden.data.datamodule import DataModule
from leyden.data.targets import describe_target
from leyden.inference.load import LoadedRun, load
from leyden.inference.predictor import batch_of
from leyden.interpretation.access import Access, answered
from leyden.interpretation.atlas_heat import LONGEST, HeatMaker
from leyden.interpretation.explained import net_inputs
from leyden.interpretation.input_shares import input_shares
from leyden.interpretation.neighbours import diagnosis, nearest
from leyden.interpretation.one_input import InputAccess
from leyden.interpretation.predicted import Predicted
from leyden.modules.features import features_of, has_features
from leyden.reporting.atlas.atlas import Error, Group, Heat, InputShown, Media, Neighbour, SharesShown
from leyden.runs.explain_check import read_check
from leyden.utils.arrays import evenly
from leyden.utils.errors import UserError, first_line
from leyden.utils.text import plural

NEIGHBOURS = 3
_TRAINING_ROWS = 20_000  # among which neighbours are looked for, evenly spaced
_TEXT = 1500  # characters of a text
_SOUNDS = 4_000_000  # bytes of all errors' recordings together
_ALL_SOUNDS = 7_000_000  # with those of neighbours
_SHORTEST = 0.5  # seconds of a neighbour's
_RATE = 8000  # Hz of a recording that is played in a page
_WITHOUT_HEAT = {  # by the kind of targets
    "sequences": "a transcript is many answers, of which a map would explain one",
    "pairs": "the answer is a cosine of two inputs, not a class or a value",
}


class Samples:
    """Fills in what a page shows of errors.

    Args:
        of_run: the stored predictions with their data.
        heat: how many of each class have heat; None: all.
        config_dirs: folders of options, beside which code lies that the run needs.
        say: is told what takes time.

    Attributes:
        notes: what was left out, and why.
    """

    def __init__(
        self,
        of_run: Predicted,
        heat: int | None,
        config_dirs: Sequence[str],
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._of_run, self._heat, self._config_dirs, self._say = of_run, heat, config_dirs, say
        self._data = of_run.data
        self.notes: list[str] = []
        if heat != 0 and (why := _WITHOUT_HEAT.get(self._data.kind)):
            self._heat = 0
            self.notes.append(f"without heat: {why}")

    def shown(self, groups: Sequence[Group]) -> Iterator[Group]:
        """The groups with the samples of their worst errors."""
        errors = [error for group in groups for error in group.worst]
        if self._heat != 0 and self._loaded is not None:
            maps = sum(len(group.worst[: self._heat]) for group in groups)
            self._say(f"heat of {plural(maps, 'error')} and its tests; --heat none leaves it out")
        seconds = min(LONGEST, _SOUNDS / max(1, len(errors)) / (2 * _RATE))
        near = self._neighbours(errors, *self._heard(errors, seconds))
        for group in groups:
            heat = self._heat_of(group.worst[: self._heat])
            shares = self._shares(group.worst)
            worst = [
                replace(
                    error,
                    media=None if self._several else media_of(self._data, error.row, seconds),
                    heat=heat.get((error.place, "")),
                    inputs=tuple(self._inputs(error, heat, seconds)),
                    shares=shares.get(error.place),
                    neighbours=near.get(error.row, ()),
                    diagnosis=self._diagnosis(error, near.get(error.row, ())),
                )
                for error in group.worst
            ]
            yield replace(group, worst=tuple(worst))

    @property
    def method(self) -> str:
        """Of the maps, and why it was chosen, in words."""
        found = {name: maker.why for name, maker in (self._makers or {}).items() if maker.why}
        return "; ".join(f"{name}: {why}" if name else why for name, why in found.items())

    def _inputs(
        self, error: Error, heat: Mapping[tuple[int, str], Heat], seconds: float
    ) -> Iterator[InputShown]:
        """What an error of several inputs shows of each that it has."""
        if self._several:
            for name, part, (row,), _ in preview.views(self._data, np.array([error.row])):
                yield InputShown(name, media_of(part, int(row), seconds), heat.get((error.place, name)))

    def _shares(self, errors: Sequence[Error]) -> dict[int, SharesShown]:
        """What each of several inputs adds to the answer, by the errors' place in the predictions."""
        without = not self._several or self._data.kind in _WITHOUT_HEAT
        if without or self._loaded is None or not errors:
            return {}
        batch = batch_of(self._loaded, [net_inputs(self._data, error.row) for error in errors])
        outputs = self._outputs(errors) or answered(self._loaded, batch)
        return {
            error.place: SharesShown(found.scalar, found.shares)
            for error, found in zip(errors, input_shares(self._loaded, batch, outputs), strict=True)
        }

    def features(self, rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Of rows (n,) of the data set, (n, D); None: the run gives none."""
        if self._loaded is None or not has_features(self._loaded.module):
            return None
        return features_of(self._loaded.module, self._data, rows)

    @cached_property
    def _loaded(self) -> LoadedRun | None:
        """The run with its weights; None: they are gone."""
        try:
            return load(self._of_run.run.folder, self._config_dirs)
        except UserError as error:
            self.notes.append(f"without heat and nearest training rows: {first_line(error)}")
            return None

    def _heat_of(self, errors: Sequence[Error]) -> dict[tuple[int, str], Heat]:
        """Heat of errors of one group, by their place in the predictions and the input's name; "" of the only one."""
        found: dict[tuple[int, str], Heat] = {}
        if not errors or not self._makers:
            return found
        samples = [net_inputs(self._data, error.row) for error in errors]
        outputs = self._outputs(errors)
        for name, maker in list(self._makers.items()):
            chosen = [place for place, sample in enumerate(samples) if not name or name in sample]
            try:
                own = maker.heat(
                    [samples[i] for i in chosen], [outputs[i] for i in chosen] if outputs else []
                )
            except (UserError, NotImplementedError) as error:
                self.notes.append(f"{name}: without heat: {first_line(error)}".removeprefix(": "))
                del self._makers[name]
            else:
                found |= {(errors[i].place, name): heat for i, heat in zip(chosen, own, strict=True)}
        return found

    @cached_property
    def _makers(self) -> dict[str, HeatMaker]:
        """By input; none where the run's weights are gone."""
        run = self._loaded
        if run is None:
            return {}
        check = read_check(self._of_run.run.folder)
        if not self._several:
            return {"": HeatMaker(Access(run, self._data), check)}
        try:
            return {name: HeatMaker(InputAccess(run, self._data, name), check) for name in self._data.parts}
        except UserError as error:
            self.notes.append(f"without heat: {first_line(error)}")
            return {}

    @property
    def _several(self) -> bool:
        return self._data.modality.is_several

    def _outputs(self, errors: Sequence[Error]) -> list[int]:
        """The output of each error that is explained; []: one is not named."""
        found = [output for error in errors if (output := self._output(error)) is not None]
        return found if len(found) == len(errors) else []

    def _output(self, error: Error) -> int | None:
        """The output that is explained: of a class the answer, of a label or number itself; None: it is not named."""
        names = self._of_run.spec.target_names
        name = error.mistake.answer if self._of_run.task.kind == "classes" else error.group
        return names.index(name) if name in names else None

    def _heard(self, errors: Sequence[Error], seconds: float) -> tuple[int, float]:
        """How many neighbours of each error can be played, and for how long, in the bytes that the errors leave."""
        if not self._data.modality.is_sound or not errors:
            return 0, 0.0
        rows, rate = self._data.table.inputs, self._data.spec.sample_rate
        played = sum(min(seconds, len(rows.row(error.row)) / rate) for error in errors)
        each = (_ALL_SOUNDS / (2 * _RATE) - played) / len(errors)
        heard = min(NEIGHBOURS, int(each / _SHORTEST))
        return heard, min(LONGEST, each / max(1, heard))

    def _neighbours(
        self, errors: Sequence[Error], heard: int, seconds: float
    ) -> dict[int, tuple[Neighbour, ...]]:
        """The nearest training rows of each error, by its row; of the first `heard` recordings some `seconds`."""
        train = evenly(self._data.splits.train, _TRAINING_ROWS)
        rows = np.unique([error.row for error in errors]).astype(np.int64)
        of_train, of_errors = (self.features(each) if errors else None for each in (train, rows))
        if of_train is None or of_errors is None:
            if errors and self._loaded is not None:
                self.notes.append("without nearest training rows: the module has no net with features")
            return {}
        found = nearest(of_train, of_errors, NEIGHBOURS)
        return {
            int(row): tuple(
                self._neighbour(int(row), int(train[place]), float(cosine), seconds if turn < heard else 0.0)
                for turn, (place, cosine) in enumerate(zip(places, cosines, strict=True))
            )
            for row, places, cosines in zip(rows, found.places, found.similarities, strict=True)
        }

    def _neighbour(self, row: int, near: int, cosine: float, seconds: float) -> Neighbour:
        index = self._data.table.index
        label = describe_target(index.targets[near], self._of_run.spec.target_names)  # as errors are named
        is_same = bool(np.array_equal(index.targets[near], index.targets[row]))
        return Neighbour(str(index.names[near]), label, cosine, is_same, self._look(near, seconds))

    def _diagnosis(self, error: Error, near: Sequence[Neighbour]) -> str:
        """What their classes say of the error."""
        if not near or self._of_run.task.kind != "classes":
            return "nearest training rows, by the cosine of their features" if near else ""
        names = self._of_run.spec.target_names
        targets = np.array([names.index(each.label) for each in near])
        return diagnosis(targets, names.index(error.mistake.true), names.index(error.mistake.answer))

    def _look(self, row: int, seconds: float) -> Media | None:
        """A neighbour's picture or text, or so many seconds of its recording; of several inputs of the first it has."""
        seen = ((part, int(own[0])) for _, part, own, _ in preview.views(self._data, np.array([row])))
        part, at = next(seen)
        if part.modality.is_sound:
            return sound_of(part, at, seconds) if seconds else None
        return media_of(part, at, 0.0)


def media_of(data: DataModule, row: int, seconds: float) -> Media:
    """A row as a person looks at it. seconds: of a recording, from its beginning."""
    modality, rows = data.modality, np.array([row])
    if modality.is_text:
        text = bytes(data.table.inputs.row(row)).decode("utf-8", "replace")
        return Media(text=text if len(text) <= _TEXT else f"{text[:_TEXT]}...")
    if modality.is_written:
        return Media(text=modality.written(data.table.inputs.row(row), data.spec))
    if modality.is_sound:
        mels = preview.spectrograms(preview.sounds(data, rows, LONGEST), data.spec.sample_rate)
        return replace(sound_of(data, row, seconds), mel=None if mels is None else mels[0])
    (drawn,) = preview.drawings(data, rows)
    return Media(picture=drawn) if drawn.ndim == 3 else Media(curve=drawn)


def sound_of(data: DataModule, row: int, seconds: float) -> Media:
    """The first `seconds` of a recording, to be played."""
    rate = data.spec.sample_rate
    (wave,) = preview.sounds(data, np.array([row]), seconds)
    played, at = _for_the_page(wave, rate)
    return Media(wave=played, sample_rate=at, seconds=len(data.table.inputs.row(row)) / rate)


def _for_the_page(wave: NDArray[np.int16], rate: int) -> tuple[NDArray[np.int16], int]:
    """A recording at no more than 8 kHz, which is enough to hear what it is."""
    if rate <= _RATE or not len(wave):
        return wave, rate
    import soxr

    return np.asarray(soxr.resample(wave, rate, _RATE)), _RATE
