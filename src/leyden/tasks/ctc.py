"""`task=ctc`: speech to text, by connectionist temporal classification."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from leyden.data.spec import DataSpec
from leyden.data.targets import Kind, TargetReader
from leyden.data.transcripts import Normaliser, TranscriptReader, Units, padded, spell
from leyden.decision.ctc_alignment import align_units, words_of
from leyden.decision.ctc_rule import BeamDecoding
from leyden.decision.greedy_ctc import GreedyDecoding
from leyden.metrics.edit_distance import edit_counts, marked
from leyden.metrics.error_rates import evaluate_transcripts
from leyden.metrics.results import TRANSCRIPT_METRICS, TranscriptMetrics
from leyden.tasks.base import Arrays, Floats, GroupedTask
from leyden.tasks.errors import ErrorGroup, Mistake, group
from leyden.utils.text import plural


class CTC(GroupedTask):
    """A transcript for each row; outputs are logits of frames (N, T', C), NaN after a row's last, targets ids (N, L).

    Args:
        units: what texts are cut into: characters, words, or bpe: pieces of words, learned on the training transcripts.
        normaliser: what is done to texts before they are learned and judged: none (spaces joined), lower (case
            folded), letters (lower, without punctuation), or numbers (letters, numbers in digits as English words).
            Every error rate depends on it and names it.
        vocabulary: characters or words that there are; (): those of the data.
        pieces: of units=bpe, how many there are at most, single characters included.
    """

    name: ClassVar[str] = "ctc"
    kind: ClassVar[Kind] = "sequences"
    metrics: ClassVar[tuple[str, ...]] = TRANSCRIPT_METRICS

    def __init__(
        self,
        units: Units | Literal["bpe"] = "characters",
        normaliser: Normaliser = "lower",
        vocabulary: Sequence[str] = (),
        pieces: Annotated[int, Ge(2)] = 100,
    ) -> None:
        self.normaliser, self.vocabulary = normaliser, tuple(vocabulary)
        self.units: Units = "characters" if units == "bpe" else units  # as they are read
        self.pieces = pieces if units == "bpe" else 0

    def reader(self) -> TargetReader:
        """One column of texts."""
        return TranscriptReader(self.units, self.normaliser, self.vocabulary)

    def evaluate_groups(
        self,
        outputs: Floats,
        targets: NDArray[Any],
        spec: DataSpec,
        decision: Any,
        groups: Sequence[str] | None,
        intervals: bool = True,
    ) -> TranscriptMetrics:
        """Error rates over the corpus, with intervals over speakers where they are known."""
        decoded = decision.decode(_frames(outputs))
        references, hypotheses = (_texts(ids, spec) for ids in (targets, decoded))
        return evaluate_transcripts(
            references, hypotheses, normaliser=self.normaliser, speakers=groups, intervals=intervals
        )

    def neutral(self, spec: DataSpec) -> GreedyDecoding:
        """The most probable unit of each frame."""
        return GreedyDecoding()

    def load_decision(self, stored: Mapping[str, Any]) -> GreedyDecoding | BeamDecoding:
        """Greedy decoding, or a beam with its language model."""
        kind = BeamDecoding if stored.get("criterion") == "beam" else GreedyDecoding
        return kind.from_dict(stored)

    def any_outputs(self, samples: int, spec: DataSpec, decision: Any = None) -> Floats:
        """Random logits (samples, 4, C)."""
        return np.random.default_rng(0).normal(size=(samples, 4, spec.num_outputs))

    def scores(self, outputs: Floats, decision: Any) -> Floats:
        """Probabilities of units by frame (N, T', C), NaN after a row's last."""
        frames = _frames(outputs)
        shifted = np.exp(frames - frames.max(axis=2, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=2, keepdims=True))

    def predictions(self, outputs: Floats, targets: NDArray[Any], decision: Any) -> Arrays:
        """targets and predicted int32 (N, L) and (N, M), unit ids padded with -1."""
        return {"targets": targets.astype(np.int32), "predicted": padded(decision.decode(_frames(outputs)))}

    def answers(self, outputs: Floats, spec: DataSpec, decision: Any, top: int) -> Iterator[dict[str, Any]]:
        """{text: ...}."""
        for ids in decision.decode(_frames(outputs)):
            yield {"text": spell(ids, spec.target_names)}

    def words(
        self, outputs: Floats, spec: DataSpec, decision: Any, seconds: Sequence[float]
    ) -> Iterator[list[dict[str, Any]]]:
        """[{word, onset, centre, confidence}] of each input, in seconds; CTC says nothing of a word's end."""
        for row, ids, lasts in zip(_frames(outputs), decision.decode(_frames(outputs)), seconds, strict=True):
            frame = lasts / max(1, int(np.isfinite(row[:, 0]).sum()))
            yield [
                {
                    "word": word.text,
                    "onset": round(word.onset * frame, 3),
                    "centre": round((word.centre + 0.5) * frame, 3),
                    "confidence": round(word.confidence, 4),
                }
                for word in words_of(align_units(row, ids), spec.target_names)
            ]

    def columns(self, answer: Mapping[str, Any]) -> dict[str, str | float]:
        """text."""
        return {"text": answer["text"]}

    def errors(self, stored: Arrays, spec: DataSpec, each: int) -> Sequence[ErrorGroup]:
        """Wrong transcripts by the number of words that were said, those of the highest word error rate first.

        What was answered has its edits marked. The rate of one in which nothing was said is over one word.
        """
        wrong = np.flatnonzero(self.wrong(stored))
        true, answered = (_texts(stored[name][wrong], spec) for name in ("targets", "predicted"))
        said, heard = ([text.split() for text in texts] for texts in (true, answered))
        words = np.array([len(text) for text in said], dtype=np.int64)
        rates = edit_counts(said, heard).sum(axis=1) / np.maximum(words, 1)

        def mistake(place: int) -> Mistake:
            at = int(np.searchsorted(wrong, place))
            edits = marked(true[at], answered[at])
            return Mistake(edits, edits, true[at], answered[at], loss=float(rates[at]))

        found = []
        for count, total in Counter(words.tolist()).most_common():
            own = np.flatnonzero(words == count)
            worst = own[np.argsort(-rates[own], kind="stable")[:each]]
            found.append(group(plural(count, "word"), total, wrong[worst], mistake))
        return found

    def wrong(self, stored: Arrays) -> NDArray[np.bool_]:
        """A transcript differs from what was said."""
        longest = max(stored["targets"].shape[1], stored["predicted"].shape[1])
        true, answered = (_widened(stored[name], longest) for name in ("targets", "predicted"))
        found: NDArray[np.bool_] = (true != answered).any(axis=1)
        return found

    def sample_columns(self, stored: Arrays, spec: DataSpec) -> Mapping[str, Sequence[str]]:
        """true and answered."""
        return {"true": _texts(stored["targets"], spec), "answered": _texts(stored["predicted"], spec)}

    def trivial_outputs(self, spec: DataSpec) -> tuple[float, ...]:
        """The blank: every transcript is empty."""
        return (1.0, *[0.0] * (spec.num_outputs - 1))


def _frames(outputs: Floats) -> Floats:
    """(N, T', C); a constant answer (N, C) is one frame."""
    return outputs[:, None] if outputs.ndim == 2 else outputs


def _texts(rows: Sequence[Sequence[int]] | NDArray[Any], spec: DataSpec) -> list[str]:
    return [spell((int(i) for i in row), spec.target_names) for row in rows]


def _widened(ids: NDArray[np.int32], width: int) -> NDArray[np.int32]:
    return np.pad(ids, ((0, 0), (0, width - ids.shape[1])), constant_values=-1)
