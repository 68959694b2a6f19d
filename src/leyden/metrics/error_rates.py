"""Transcripts -> word and character error rates over the corpus, with 95 % intervals; NumPy only.

evaluate_transcripts(references, hypotheses, normaliser="lower").values["wer"]    # Estimate(value, low, high, method)
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from leyden.metrics.edit_distance import align, edit_counts
from leyden.metrics.intervals import ANY, POSITIVE, SHARE, at_bound, by_influence, number, wilson
from leyden.metrics.results import Confusion, Edits, Estimate, TranscriptGroup, TranscriptMetrics
from leyden.utils.text import plural

Floats = NDArray[np.float64]

MOST_CONFUSED = 100  # pairs of words in a result


def evaluate_transcripts(
    references: Sequence[str],
    hypotheses: Sequence[str],
    *,
    normaliser: str = "none",
    speakers: Sequence[str] | None = None,
    intervals: bool = True,
) -> TranscriptMetrics:
    """Every error rate of one split, of references and hypotheses (N,) that are normalised already.

    wer: substitutions, deletions and insertions of words over the number of reference words, both summed over the
    corpus: not the mean of the utterances' rates, which weighs an utterance of one word as much as one of twenty. It
    may exceed 1. cer: the same of characters, a space between two words being one. string_error: share of utterances
    that are not recognised exactly. An empty reference is legal: what is recognised in it are insertions. Without any
    reference word wer and cer are undefined.

    Intervals are 95 %, over speakers where there are two or more, else over utterances: errors within one are not
    independent. Without `intervals` (each validation epoch) there are no confused words and no groups, either.

    Args:
        references: what was said.
        hypotheses: what was recognised.
        normaliser: by which both were normalised; stored beside the rates, which depend on it.
        speakers: of each utterance; None: not known.
        intervals: whether to compute intervals, confused words, and rates by length and speaker.

    Raises:
        ValueError: no utterances, or sequences of different lengths.
    """
    if not references:
        raise ValueError("nothing to evaluate: there are no utterances")
    said, heard = [text.split() for text in references], [text.split() for text in hypotheses]
    words, characters = _Errors(said, heard), _Errors(_characters(said), _characters(heard))
    clusters = _Clusters(len(said), speakers if intervals else None)
    parts = len(said), words.total(), characters.total(), normaliser
    if not intervals:
        rates = {"wer": words.rate(), "cer": characters.rate(), "string_error": float(words.wrong.mean())}
        return TranscriptMetrics(*parts, {name: Estimate(number(value)) for name, value in rates.items()})
    values = {
        "wer": words.estimate(clusters),
        "cer": characters.estimate(clusters),
        "string_error": _string_error(words.wrong, clusters),
    }
    details = _confused(said, heard, words.wrong), _by_length(words)
    return TranscriptMetrics(
        *parts, values, *details, [] if speakers is None else _by_speaker(words, speakers)
    )


def paired_difference(
    references: Sequence[str],
    first: Sequence[str],
    second: Sequence[str],
    speakers: Sequence[str] | None = None,
) -> Estimate:
    """Word error rate of the first hypotheses less that of the second, of the same utterances (N,).

    The interval is over the differences of errors by utterance, or by speaker (the matched pairs of Gillick and Cox
    1989): what is hard for both is no part of it, so it is narrower than those of the two rates suggest. Without
    0 in it the rates differ.

    Raises:
        ValueError: no utterances, or sequences of different lengths.
    """
    if not references:
        raise ValueError("nothing to compare: there are no utterances")
    said = [text.split() for text in references]
    edits = [edit_counts(said, [text.split() for text in heard]).sum(axis=1) for heard in (first, second)]
    sizes, clusters = np.array([len(words) for words in said]), _Clusters(len(said), speakers)
    return difference_of_rates(clusters.sums(edits[0] - edits[1]), clusters.sums(sizes), clusters.unit)


def difference_of_rates(off: Floats, words: Floats, unit: str) -> Estimate:
    """As `paired_difference`, of what is independent of each other.

    Args:
        off: by how many errors the first hypotheses have more than the second, of each utterance or speaker (K,).
        words: of the references of each (K,).
        unit: what K counts, in words.
    """
    if not words.sum():
        return Estimate(None)
    value = float(off.sum() / words.sum())
    return by_influence(value, (off - value * words) / words.sum(), ANY, name=f"jackknife over {unit}")


class _Clusters:
    """What is independent of each other: speakers where two or more are known, else utterances."""

    def __init__(self, n: int, speakers: Sequence[str] | None) -> None:
        self.n, self._of = n, np.arange(n)
        self.are_speakers = speakers is not None and len(set(speakers)) > 1
        if self.are_speakers:
            self._of = np.unique(np.asarray(speakers), return_inverse=True)[1]
        self.unit = plural(int(self._of.max()) + 1, "speaker" if self.are_speakers else "utterance")

    def sums(self, values: Floats) -> Floats:
        """Of values (N,) by cluster."""
        return np.asarray(np.bincount(self._of, values))


class _Errors:
    """Edits (N, 3) and reference lengths (N,) of utterances in one unit: words or characters."""

    def __init__(self, said: Sequence[Sequence[str]], heard: Sequence[Sequence[str]]) -> None:
        self.edits, self.sizes = edit_counts(said, heard), np.array([len(tokens) for tokens in said])
        self.wrong = np.asarray(self.edits.sum(axis=1) > 0)

    def total(self, rows: NDArray[np.bool_] | None = None) -> Edits:
        """Of the corpus, or of some utterances."""
        edits, sizes = (self.edits, self.sizes) if rows is None else (self.edits[rows], self.sizes[rows])
        substitutions, deletions, insertions = edits.sum(axis=0).tolist()
        return Edits(substitutions, deletions, insertions, int(sizes.sum()))

    def rate(self) -> float:
        """Edits over the length of the references, both summed."""
        length = int(self.sizes.sum())
        return float(self.edits.sum() / length) if length else math.nan

    def estimate(self, clusters: _Clusters) -> Estimate:
        """The rate; a ratio of two sums over clusters, whose influences are its residuals over the length."""
        rate = self.rate()
        if math.isnan(rate):
            return Estimate(None)
        if not self.wrong.any():
            return at_bound(rate, POSITIVE, np.array([clusters.n]))
        residuals = self.edits.sum(axis=1) - rate * self.sizes
        return _over(clusters, rate, residuals / self.sizes.sum(), POSITIVE)


def _over(clusters: _Clusters, value: float, influence: Floats, bounds: tuple[float, float]) -> Estimate:
    """The interval from influences (N,) of utterances, summed over what is independent."""
    return by_influence(value, clusters.sums(influence), bounds, name=f"jackknife over {clusters.unit}")


def _string_error(wrong: NDArray[np.bool_], clusters: _Clusters) -> Estimate:
    """Wilson's of the share of wrong utterances; over speakers its jackknife."""
    share = float(wrong.mean())
    if not clusters.are_speakers or share in (0.0, 1.0):
        return wilson(int(wrong.sum()), len(wrong))
    return _over(clusters, share, (wrong - share) / len(wrong), SHARE)


def _characters(texts: Sequence[Sequence[str]]) -> list[str]:
    return [" ".join(words) for words in texts]


def _confused(
    said: Sequence[Sequence[str]], heard: Sequence[Sequence[str]], wrong: NDArray[np.bool_]
) -> list[Confusion]:
    """The words that were most often taken for another, left out ("" recognised) or put in ("" said)."""
    counts: Counter[tuple[str, str]] = Counter()
    for k in np.flatnonzero(wrong).tolist():
        for i, j in align(said[k], heard[k]):
            counts["" if i is None else said[k][i], "" if j is None else heard[k][j]] += 1
    pairs = sorted((-n, pair) for pair, n in counts.items() if pair[0] != pair[1])
    return [Confusion(*pair, n=-n) for n, pair in pairs[:MOST_CONFUSED]]


def _by_length(words: _Errors) -> list[TranscriptGroup]:
    """Rates of utterances of 0, 1, 2 to 3, 4 to 7, 8 to 15, ... reference words."""
    bins = np.array([int(size).bit_length() for size in words.sizes])
    return [_group(words, bins == k, _length_name(int(k))) for k in np.unique(bins)]


def _length_name(k: int) -> str:
    low, high = (1 << k) >> 1, (1 << k) - 1
    return f"{low} to {high} words" if high > low else plural(high, "word")


def _by_speaker(words: _Errors, speakers: Sequence[str]) -> list[TranscriptGroup]:
    """Rates of each speaker, the worst first."""
    of = np.asarray(speakers)
    found = [_group(words, of == name, str(name)) for name in np.unique(of)]
    return sorted(found, key=lambda group: -(group.wer if group.wer is not None else math.inf))


def _group(words: _Errors, rows: NDArray[np.bool_], name: str) -> TranscriptGroup:
    total = words.total(rows)
    return TranscriptGroup(name, int(rows.sum()), total.rate, float(words.wrong[rows].mean()), total)
