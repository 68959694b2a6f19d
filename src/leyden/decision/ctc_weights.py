"""The weights of a language model in CTC decoding, chosen on validation rows (NumPy only)."""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from leyden.decision.ctc_beam import Hypothesis
from leyden.metrics.edit_distance import edit_counts

Search = Callable[[float, float], list[list[Hypothesis]]]
Spell = Callable[[Sequence[int]], list[str]]
Weights = tuple[float, float]

_ROUNDS = 4
ALPHAS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
BETAS = tuple(np.arange(-2.0, 12.5, 0.5).tolist())


def choose_weights(
    search: Search, references: Sequence[Sequence[str]], spell: Spell, grid: Sequence[Weights], start: Weights
) -> tuple[Weights, int]:
    """The weights (alpha, beta) of the fewest word errors over all rows, and these errors.

    Rows are searched with some weights, all transcripts found so far are scored by every pair of weights, and searched
    again with the best until that pair stays: minimum error rate training over n-best lists (Och 2003), on a grid, with
    a few searches instead of one for each pair. Of pairs with equally few errors the one nearest to their middle.

    Args:
        search: (alpha, beta) -> transcripts of each row.
        references: words of each row (N,).
        spell: units -> words.
        grid: pairs to choose from.
        start: of the first search.
    """
    found: list[dict[tuple[int, ...], Hypothesis]] = [{} for _ in references]
    weights, errors = start, 0
    for _ in range(_ROUNDS):
        for known, hypotheses in zip(found, search(*weights), strict=True):
            for each in hypotheses:
                if each.units not in known or known[each.units].ctc < each.ctc:
                    known[each.units] = each
        before = weights
        weights, errors = _best(_Pool([list(known.values()) for known in found], references, spell), grid)
        if weights == before:
            break
    return weights, errors


def _best(pool: "_Pool", grid: Sequence[Weights]) -> tuple[Weights, int]:
    errors = np.array([pool.errors(*weights) for weights in grid])
    tied = np.array(grid)[errors == errors.min()]
    spread = np.ptp(np.array(grid), axis=0)
    off = ((tied - tied.mean(axis=0)) / np.where(spread > 0, spread, 1)) ** 2
    alpha, beta = tied[off.sum(axis=1).argmin()].tolist()
    return (alpha, beta), int(errors.min())


class _Pool:
    """Transcripts of all rows (M,), those of a row in succession: what scores them, and how many words are wrong."""

    def __init__(
        self, rows: Sequence[Sequence[Hypothesis]], references: Sequence[Sequence[str]], spell: Spell
    ) -> None:
        every = [each for row in rows for each in row]
        self._parts = np.array([(each.ctc, each.lm, each.words) for each in every]).T
        sizes = np.array([len(row) for row in rows])
        self._first, self._row = np.cumsum(sizes) - sizes, np.repeat(np.arange(len(rows)), sizes)
        said = [references[row] for row in self._row.tolist()]
        self._wrong: NDArray[np.int64] = edit_counts(said, [spell(each.units) for each in every]).sum(axis=1)

    def errors(self, alpha: float, beta: float) -> int:
        """Word errors over all rows of the transcripts with the highest scores; of equal ones the last."""
        ctc, lm, words = self._parts
        score = ctc + alpha * lm + beta * words
        best = np.maximum.reduceat(score, self._first)[self._row] == score
        chosen = np.zeros(len(self._first), dtype=np.int64)
        chosen[self._row[best]] = self._wrong[best]
        return int(chosen.sum())


def pairs(alpha: float | None, beta: float | None) -> list[Weights]:
    """All pairs of weights to choose from; a weight that is given is not chosen."""
    return list(product(ALPHAS if alpha is None else (alpha,), BETAS if beta is None else (beta,)))
