"""Transcripts in pieces of words: byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) of the training rows.

A source reads transcripts as characters. Which of these are joined is learned when the split is known, and the pieces
in the order in which they were learned are all that a run has to know to cut other texts as its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from leyden.data.index import Index
from leyden.data.transcripts import BLANK, padded
from leyden.decision.unit_models import SPACE, spell
from leyden.utils.errors import UserError


def learn_pieces(index: Index, train: NDArray[np.int64], count: int) -> tuple[str, ...]:
    """The blank, the sign of a space, the characters of the data, and the pieces that training transcripts are made of.

    Args:
        index: of transcripts in characters.
        train: int64, rows that pieces are learned on.
        count: how many pieces there are at most, single characters included.

    Raises:
        UserError: there are more characters than that.
    """
    characters = [SPACE, *(name for name in index.target_names[1:] if name != SPACE)]
    if count < len(characters):
        raise UserError(
            f"task.target.pieces={count}: fewer than the {len(characters)} characters of the transcripts and the "
            f"sign of a space, which are pieces too: type task.target.pieces={2 * len(characters)} or more"
        )
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    texts = (" ".join(words_of(index.targets[row], index.target_names)) for row in train)
    core.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=count, initial_alphabet=characters, show_progress=False)
    )
    learned = sorted(core.get_vocab().items(), key=lambda item: item[1])
    return (BLANK, *characters, *(piece for piece, _ in learned if len(piece) > 1))


def in_pieces(index: Index, pieces: Sequence[str]) -> Index:
    """The same transcripts, in pieces; a character that is none of them becomes a unit of its own, behind them all.

    Args:
        index: of transcripts in characters.
        pieces: as `learn_pieces` gives them.
    """
    names = tuple(dict.fromkeys((*pieces, *index.target_names[1:])))
    place = {name: i for i, name in enumerate(names)}
    known: dict[str, list[int]] = {}
    rows = []
    for target in index.targets:
        words = words_of(target, index.target_names)
        for word in words:
            if word not in known:
                known[word] = [place[piece] for piece in cut_word(word, place)]
        rows.append([unit for word in words for unit in known[word]])
    return replace(index, targets=padded(rows), target_names=names)


def words_of(target: NDArray[np.integer], names: Sequence[str]) -> list[str]:
    """The words of a transcript of characters (L,), each behind the sign of a space."""
    return [SPACE + word for word in spell(target.tolist(), names).split()]


def cut_word(word: str, rank: Mapping[str, int]) -> list[str]:
    """The pieces of a word: of all neighbours that make a piece, those are joined first whose piece was learned first.

    >>> cut_word("lower", {"lo": 0, "er": 1, "low": 2})
    ['low', 'er']
    """
    parts = list(word)
    while joined := [(rank[a + b], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in rank]:
        _, first = min(joined)
        parts[first : first + 2] = [parts[first] + parts[first + 1]]
    return parts
