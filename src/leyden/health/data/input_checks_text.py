"""Checks of texts: known tokens, truncation, near duplicates."""

import json
from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.data.table import Ragged
from leyden.data.tokenizers import UNKNOWN_ID
from leyden.health.data.input_checks import ConstantWords, InputChecks, truncated
from leyden.health.data.input_stats import InputStats
from leyden.health.data.nearest_neighbors import Pairs
from leyden.health.findings import CheckResult, Finding
from leyden.utils.text import percent

UNKNOWN_WARNING = 0.2  # of validation and test tokens
_TOKENS = 63  # the most frequent ones, whose shares are features of a text
_LETTERS = 100  # of a text in a message


class TextChecks(InputChecks):
    """Checks of the texts of a data set."""

    constant_words: ClassVar[ConstantWords] = ConstantWords(
        "empty_input", "texts with a known token", "have no known token"
    )
    feature_words: ClassVar[str] = "words or length"
    quick_bytes: ClassVar[float] = 8e6

    @cached_property
    def stats(self) -> InputStats:
        """Statistics of every text of train, val and test."""
        rows = np.concatenate(self.data.splits)
        ids = self.data.inputs
        assert isinstance(ids, Ragged)
        of = np.repeat(np.arange(len(ids)), ids.lengths)
        values = np.asarray(ids.values)
        frequent = np.argsort(-np.bincount(values), kind="stable")[:_TOKENS]
        place = np.full(int(values.max(initial=0)) + 1, -1)
        place[frequent] = np.arange(len(frequent))
        known = place[values] >= 0
        counts = np.bincount(of[known] * _TOKENS + place[values[known]], minlength=len(ids) * _TOKENS)
        shares = counts.reshape(len(ids), _TOKENS) / np.maximum(ids.lengths, 1)[:, None]
        unknown = np.bincount(of, weights=values == 1, minlength=len(ids))
        features = np.column_stack([shares, np.log(ids.lengths + 1)]).astype(np.float32)
        return InputStats(
            rows=rows,
            levels=np.zeros((len(rows), 0), np.float32),
            features=features[rows],
            constant=(unknown == ids.lengths)[rows],
        )

    def constant_rows(self, rows: np.ndarray) -> np.ndarray:
        """None: it takes the tokens of all texts to know."""
        return rows[:0]

    def own_checks(self) -> Iterator[CheckResult]:
        """Truncation and vocabulary."""
        limit = 0
        if self.data.tokenizer is not None:
            stored = json.loads(self.data.tokenizer.to_json()).get("truncation") or {}
            limit = int(stored.get("max_length", 0))
        yield from truncated(self.data, limit, "tokens", "data.tokenizer.max_length")
        yield words(self.data)

    def near_duplicates(self, evaluated: np.ndarray) -> Pairs:
        """By comparing runs of letters."""
        # imported here: it imports scipy.sparse, which the start of a run does not need
        from leyden.health.data import near_duplicates_text

        rows = np.concatenate([self.data.splits.train, evaluated])
        texts = [self.data.modality.key(self.data.table.inputs.row(row)) for row in rows.tolist()]
        count = len(self.data.splits.train)
        return near_duplicates_text.near(texts, np.arange(count, len(rows)), np.arange(count))

    def inspection(self, pair: np.ndarray) -> str:
        """The two texts, cut."""
        one, other = (bytes(self.data.table.inputs.row(row)).decode() for row in pair.tolist())
        return f'"{one[:_LETTERS]}" and "{other[:_LETTERS]}".'


def words(data: DataModule) -> CheckResult:
    """Share of validation and test tokens that are unknown to the tokenizer."""
    ids = data.inputs
    assert isinstance(ids, Ragged)
    evaluated = np.concatenate([data.splits.val, data.splits.test])
    unknown, total = 0, 0
    for row in evaluated.tolist():
        piece = ids.row(row)
        unknown, total = unknown + int(np.count_nonzero(piece == UNKNOWN_ID)), total + len(piece)
    share = unknown / max(total, 1)
    summary = f"{percent(share)} of validation and test tokens are unknown"
    if share <= UNKNOWN_WARNING:
        return CheckResult("vocabulary", summary)
    message = f"{summary} to the tokenizer, which is fitted to the training texts: their information is lost."
    advice = ("data/tokenizer=bpe", "data/tokenizer=char")
    finding = Finding("out_of_vocabulary", "warning", message, "val, test", advice, {"share": share})
    return CheckResult("vocabulary", summary, (finding,))
