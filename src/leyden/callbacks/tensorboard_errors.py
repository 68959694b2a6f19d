"""TensorBoard: the errors of a split by true class, label or number: drawn, played, or as tables of texts."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from leyden.callbacks.tensorboard_figures import SECONDS, sounds_figure
from leyden.callbacks.tensorboard_tags import part_of_tag
from leyden.data import preview
from leyden.data.datamodule import DataModule
from leyden.reporting import markdown
from leyden.reporting.atlas.atlas import WORDS
from leyden.reporting.format import count, number
from leyden.reporting.plots.samples import samples_figure
from leyden.tasks.base import Task
from leyden.tasks.errors import ErrorGroup
from leyden.utils.text import printable

EACH = 6  # errors of a class, the most confident first
_PLAYED = 3  # of them
MOST = 12  # classes, those with the most errors: as many cards as TensorBoard shows on a page
_LISTED = 100  # classes in the table of their errors

Draw = Callable[[str, Figure], None]


class ErrorViews:
    """Writes the errors of one split.

    Args:
        writer: a torch SummaryWriter.
        data: the data layer, for the samples and their names.
        split: whose predictions they are of.
        step: that everything is filed under.
        draw: writes a figure under a tag.
    """

    def __init__(self, writer: Any, data: DataModule, split: str, step: int, draw: Draw) -> None:
        self._writer, self._data, self._split, self._step, self._draw = writer, data, split, step, draw

    def summary(self, groups: Sequence[ErrorGroup], task: Task) -> None:
        """Write how many errors each has, and for how many samples are shown."""
        by = WORDS[task.kind]
        rows = [(g.name, count(g.total), g.kinds[0] if g.kinds else "") for g in groups[:_LISTED]]
        first = "worst" if task.kind == "sequences" else "surest"
        table = markdown.table((by, "samples" if task.kind == "values" else "errors", first), rows)
        cut = f"Samples are shown of the {MOST} with the most, of {count(len(groups))}.\n\n"
        self._writer.add_text(
            f"{self._split}/errors", (cut if len(groups) > MOST else "") + table, self._step
        )

    def show(self, group: ErrorGroup, stored: Mapping[str, np.ndarray]) -> None:
        """Write the worst of one class, label or number."""
        rows = stored["rows"][group.places]
        names = [printable(PurePath(str(self._data.table.index.names[int(row)])).name) for row in rows]
        for name, part, own, there in preview.views(self._data, rows):
            shown = _Shown(name, part, own, [names[i] for i in there], [group.answers[i] for i in there])
            self._show_input(group, shown, [group.kinds[i] for i in there])

    def _show_input(self, group: ErrorGroup, shown: "_Shown", kinds: Sequence[str]) -> None:
        under = f"/{shown.name}" if shown.name else ""
        tag = f"{self._split}/errors{under}/{part_of_tag(group.name)}"
        if shown.data.modality.is_written:
            texts = [preview.text(shown.data, int(row)) for row in shown.rows]
            lines = zip(shown.names, shown.answers, texts, strict=True)
            self._writer.add_text(tag, markdown.table_of_texts(("row", "answer", "text"), lines), self._step)
            return
        captions = [f"{name}\n{answer}" for name, answer in zip(shown.names, shown.answers, strict=True)]
        title = f"{self._split}, true: {group.name} ({len(shown.rows)} of {count(group.total)})"
        if self._data.kind == "sequences":  # a caption has no room for a long one
            rates = [number(mistake.loss) for mistake in group.mistakes]
            lines = zip(shown.names, rates, shown.answers, strict=True)
            self._writer.add_text(tag, markdown.table_of_texts(("row", "WER", "edits"), lines), self._step)
        if shown.data.modality.is_sound:
            self._sounds(shown, kinds, captions, (tag, title))
        else:
            self._draw(tag, samples_figure(preview.drawings(shown.data, shown.rows), captions, title))

    def _sounds(
        self, shown: "_Shown", kinds: Sequence[str], captions: Sequence[str], heading: tuple[str, str]
    ) -> None:
        rate = shown.data.spec.sample_rate
        waves = preview.sounds(shown.data, shown.rows, SECONDS)
        tag, title = heading
        self._draw(tag, sounds_figure(waves, captions, title, rate))
        for place, (kind, name, wave) in enumerate(zip(kinds, shown.names, waves[:_PLAYED], strict=False), 1):
            played = f"{self._split}/errors/{part_of_tag(kind)}/{place} {name}"
            self._writer.add_audio(
                played, wave[None].astype(np.float32) / 32768, self._step, sample_rate=rate
            )


class _Shown(NamedTuple):
    """Errors as one input shows them: its name, its data module, rows (n,) of that, their names and answers."""

    name: str
    data: DataModule
    rows: np.ndarray
    names: Sequence[str]
    answers: Sequence[str]
