"""Edits between two sequences: substitutions, deletions and insertions (Levenshtein 1966); NumPy only."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Pair = tuple[int | None, int | None]

_NO_REFERENCE, _NO_HYPOTHESIS = -1, -2  # padding, which equals nothing
_AT_ONCE = 256  # pairs; sorted by length, so that little is padding


def edit_counts(references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]]) -> Integers:
    """Substitutions, deletions and insertions (N, 3) that make each hypothesis of its reference.

    Of the alignments with the fewest edits the one with the fewest substitutions, hence with the most matches: "b a" of
    "a b" is a deletion and an insertion, and the counts do not depend on an order of search. Their sum is the
    Levenshtein distance.
    """
    ids: dict[str, int] = {}
    pairs = [
        (_encoded(reference, ids), _encoded(hypothesis, ids))
        for reference, hypothesis in zip(references, hypotheses, strict=True)
    ]
    found = np.zeros((len(pairs), 3), dtype=np.int64)
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
    for first in range(0, len(order), _AT_ONCE):
        block = order[first : first + _AT_ONCE]
        found[block] = _counts([pairs[i] for i in block])
    return found


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Pair]:
    """The alignment that `edit_counts` counts: (place in reference, place in hypothesis) of each step.

    A deletion is (i, None), an insertion (None, j); a match or a substitution has both.
    """
    ids: dict[str, int] = {}
    pair = _encoded(reference, ids), _encoded(hypothesis, ids)
    unit = _unit([pair])
    costs = np.stack([row[0] for row in _rows([pair], unit)])
    i, j = len(pair[0]), len(pair[1])
    found: list[Pair] = []
    while i or j:
        same = i and j and pair[0][i - 1] == pair[1][j - 1]
        if i and j and costs[i, j] == costs[i - 1, j - 1] + (0 if same else unit + 1):
            i, j = i - 1, j - 1
            found.append((i, j))
        elif i and costs[i, j] == costs[i - 1, j] + unit:
            i -= 1
            found.append((i, None))
        else:
            j -= 1
            found.append((None, j))
    return found[::-1]


def marked(reference: str, hypothesis: str) -> str:
    """The words of a hypothesis with its edits, as wdiff marks them: [-left out-], {+put in+}, or one after the other.

    >>> marked("no on the line", "no in line now")
    'no [-on the-]{+in+} line {+now+}'
    """
    said, heard = reference.split(), hypothesis.split()
    steps = [("" if i is None else said[i], "" if j is None else heard[j]) for i, j in align(said, heard)]
    parts = []
    for is_right, of_run in groupby(steps, lambda step: step[0] == step[1]):
        lost, added = (" ".join(filter(None, words)) for words in zip(*of_run, strict=True))
        edits = (f"[-{lost}-]" if lost else "") + (f"{{+{added}+}}" if added else "")
        parts.append(added if is_right else edits)
    return " ".join(parts)


def _encoded(tokens: Sequence[str], ids: dict[str, int]) -> Integers:
    return np.array([ids.setdefault(token, len(ids)) for token in tokens], dtype=np.int64)


def _unit(pairs: Sequence[tuple[Integers, Integers]]) -> int:
    """The cost of an edit; a substitution costs one more, so costs hold two numbers: edits and substitutions."""
    return 1 + max(max(len(a), len(b)) for a, b in pairs)


def _counts(pairs: Sequence[tuple[Integers, Integers]]) -> Integers:
    """(B, 3). The difference of the lengths is deletions - insertions, so the cost says all three."""
    unit = _unit(pairs)
    n, h = (np.array([len(pair[k]) for pair in pairs]) for k in (0, 1))
    cost = np.zeros(len(pairs), dtype=np.int64)
    for i, row in enumerate(_rows(pairs, unit)):
        ends = n == i
        cost[ends] = row[ends, h[ends]]
    edits, substitutions = np.divmod(cost, unit)
    deletions = (edits - substitutions + n - h) // 2
    return np.stack([substitutions, deletions, edits - substitutions - deletions], axis=1)


def _rows(pairs: Sequence[tuple[Integers, Integers]], unit: int) -> Iterator[Integers]:
    """Row by row of the tables (B, N + 1, H + 1): the least cost of making the first j tokens of the first i.

    Insertions run along a row: cost[j] = min over k <= j of above[k] + (j - k) unit, a running minimum.
    """
    references = _padded([reference for reference, _ in pairs], _NO_REFERENCE)
    hypotheses = _padded([hypothesis for _, hypothesis in pairs], _NO_HYPOTHESIS)
    inserted = unit * np.arange(hypotheses.shape[1] + 1)
    row = np.tile(inserted, (len(pairs), 1))
    yield row
    for tokens in references.T:
        replaced = row[:, :-1] + np.where(hypotheses == tokens[:, None], 0, unit + 1)
        above = row + unit
        np.minimum(above[:, 1:], replaced, out=above[:, 1:])
        row = np.minimum.accumulate(above - inserted, axis=1) + inserted
        yield row


def _padded(sequences: Sequence[Integers], value: int) -> Integers:
    found = np.full((len(sequences), max(map(len, sequences))), value, dtype=np.int64)
    for row, sequence in zip(found, sequences, strict=True):
        row[: len(sequence)] = sequence
    return found
