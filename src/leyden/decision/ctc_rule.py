"""Rules of group `decision` for task=ctc: beam search with a language model, whose weights validation chooses."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from leyden.decision.arpa import arpa_text, parse_arpa, read_arpa
from leyden.decision.ctc_alignment import align_units
from leyden.decision.ctc_beam import Hypothesis, NoModel, UnitModel, beam_search
from leyden.decision.ctc_weights import choose_weights, pairs
from leyden.decision.greedy_ctc import Unit
from leyden.decision.ngram import Ngram, train_ngram
from leyden.decision.unit_models import UnitNgram, WordNgram, spell
from leyden.metrics.edit_distance import edit_counts
from leyden.utils.errors import UserError

Outputs = NDArray[np.floating]
Level = Literal["units", "words", "none"]

_START = (0.75, 0.5)  # weights of the first search
_AT_ONCE = 64  # rows


@dataclass(frozen=True)
class BeamDecoding:
    """Transcripts of the highest  log p_CTC + alpha log p_LM + beta words.

    Attributes:
        names: of the outputs, the blank first.
        language_model: n-grams, or None.
        level: what these are of.
        alpha: weight of the language model.
        beta: what each of its words, or units, adds.
        width: of the beam.
        chosen_on: the split, its size, and the word error rate without a language model and with it.
    """

    is_neutral: ClassVar[bool] = False

    names: tuple[str, ...]
    language_model: Ngram | None
    level: Level
    alpha: float
    beta: float
    width: int
    chosen_on: Mapping[str, Any] = field(default_factory=dict)

    def decode(self, outputs: Outputs) -> list[list[int]]:
        """Unit ids of each row of logits (N, T, C), NaN after a row's last frame."""
        return [list(found[0].units) for found in self.search(outputs)]

    def units(self, outputs: Outputs) -> list[list[Unit]]:
        """The decoded units of each row, with their frames."""
        return [align_units(row, units) for row, units in zip(outputs, self.decode(outputs), strict=True)]

    def search(self, outputs: Outputs) -> list[list[Hypothesis]]:
        """The best transcripts of each row, the best first."""
        model = self._automaton()
        blocks = (outputs[first : first + _AT_ONCE] for first in range(0, len(outputs), _AT_ONCE))
        return [
            row for block in blocks for row in beam_search(block, model, self.alpha, self.beta, self.width)
        ]

    def _automaton(self) -> UnitModel:
        if self.language_model is None:
            return NoModel(len(self.names))
        return (WordNgram if self.level == "words" else UnitNgram)(self.language_model, self.names)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the language model as ARPA's text."""
        model = None if self.language_model is None else arpa_text(self.language_model)
        return {**vars(self), "names": list(self.names), "language_model": model, "criterion": "beam"}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "BeamDecoding":
        """As it was before `to_dict` and JSON."""
        given = {name: value for name, value in stored.items() if name != "criterion"}
        text = given["language_model"]
        model = None if text is None else parse_arpa(text, "the language model of operating_point.json")
        return cls(**{**given, "names": tuple(given["names"]), "language_model": model})


class BeamRule:
    """Prefix beam search with an n-gram model of the training transcripts, or of a file.

    The weights are those of the fewest word errors on validation: see `ctc_weights.choose_weights`.

    Args:
        level: what n-grams are of: words; units, which are characters, pieces or words; none: no language model.
        order: the longest n-gram.
        file: of a language model in ARPA's format, instead of one of the training transcripts; words as they are spelt,
            units as they are named, with the sign U+2581 for a space.
        alpha: weight of the language model's natural logarithm; None: chosen.
        beta: what each word, or unit, adds to the score; None: chosen.
        width: of the beam.
    """

    task: ClassVar[str] = "ctc"
    neutral: ClassVar[bool] = False
    chooses_by_class: ClassVar[bool] = False

    def __init__(
        self,
        level: Level = "words",
        order: Annotated[int, Ge(1)] = 3,
        file: str | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        width: Annotated[int, Ge(1)] = 16,
    ) -> None:
        """The file is read, so that a wrong one is refused before training.

        Raises:
            UserError: it is not a language model.
        """
        self.level, self.order = level, order
        self._of_file = None if file is None else _read(Path(file).expanduser())
        self.alpha, self.beta, self.width = alpha, beta, width
        self._transcripts: NDArray[np.integer] = np.zeros((0, 1), dtype=np.int32)

    @property
    def reads_validation(self) -> bool:
        """Whether a weight is to be chosen."""
        return self.level != "none" and (self.alpha is None or self.beta is None)

    def of_training(self, targets: NDArray[np.integer]) -> "BeamRule":
        """The rule with the training transcripts (N, L): unit ids, padded with -1."""
        found = copy.copy(self)
        found._transcripts = targets
        return found

    def fit(
        self,
        outputs: Outputs,
        targets: NDArray[Any],
        names: Sequence[str],
        effective: NDArray[np.float64],
        training: NDArray[np.float64],
        exact: bool = True,
    ) -> BeamDecoding:
        """Of validation outputs (N, T, C) and targets (N, L); class priors are not used."""
        units = tuple(names)
        if self.level == "none":
            return BeamDecoding(units, None, "none", 0.0, 0.0, self.width)
        start = (
            _START[0] if self.alpha is None else self.alpha,
            _START[1] if self.beta is None else self.beta,
        )
        made = BeamDecoding(units, self._model(units), self.level, *start, self.width)
        return self._with_weights(made, outputs, targets) if len(targets) else made

    def _with_weights(self, made: BeamDecoding, outputs: Outputs, targets: NDArray[Any]) -> BeamDecoding:
        """The decoding with the weights of the fewest word errors."""
        references = [spelt(row, made.names) for row in targets.tolist()]

        def search(alpha: float, beta: float) -> list[list[Hypothesis]]:
            return replace(made, alpha=alpha, beta=beta).search(outputs)

        def words_of(ids: Sequence[int]) -> list[str]:
            return spelt(ids, made.names)

        grid, start = pairs(self.alpha, self.beta), (made.alpha, made.beta)
        (alpha, beta), errors = choose_weights(search, references, words_of, grid, start)
        plain = replace(made, language_model=None, alpha=0.0, beta=0.0).decode(outputs)
        before = edit_counts(references, [words_of(ids) for ids in plain]).sum()
        words = max(1, sum(map(len, references)))
        chosen = {"split": "val", "n": len(targets), "before": float(before / words), "after": errors / words}
        return replace(made, alpha=alpha, beta=beta, chosen_on=chosen)

    def _model(self, units: Sequence[str]) -> Ngram:
        if self._of_file is not None:
            return self._of_file
        if self.level == "words":
            return train_ngram([spelt(row, units) for row in self._transcripts.tolist()], self.order)
        rows = [[units[i] for i in row if i > 0] for row in self._transcripts.tolist()]
        return train_ngram(rows, self.order, units[1:])


def _read(file: Path) -> Ngram:
    try:
        return read_arpa(file)
    except UserError as error:
        raise UserError(f"decision.file: {error}") from error


def spelt(ids: Sequence[int], units: Sequence[str]) -> list[str]:
    """The words that unit ids spell; ids below 1 (blank, padding) are left out."""
    return spell(ids, units).split()
