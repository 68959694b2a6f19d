"""Tokenizers: words, characters or byte pairs, fitted on the training texts only, stored in the run's folder.

Token 0 is padding and never occurs in an encoded text; token 1 is unknown. What a tokenizer knows lies in
one JSON text, that of the `tokenizers` library, whose own `Tokenizer.from_str` reads it too.

    tokenizer = Word()
    tokenizer.fit(["Free entry now!", "are you free"])
    values, offsets = tokenizer.encode(["free now"])      # values[offsets[i] : offsets[i + 1]] is text i
"""

import copy
import hashlib
import os
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from tokenizers import Regex, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Core

from leyden.utils.errors import UserError

# One thread, said aloud: the library's threads do not survive a fork (workers of a loader, jobs of a sweep),
# and older versions print a warning in each forked process. Encoding happens once and is cached.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

PADDING, UNKNOWN = "<pad>", "<unk>"  # ids 0 and 1
SPECIAL = [PADDING, UNKNOWN]
UNKNOWN_ID = 1
CHUNK = 4096  # texts encoded at a time: the library's encodings take a kilobyte and more each

# words with their inner apostrophes, runs of digits, and every other visible sign by itself
WORDS = r"[\p{L}\p{M}]+(?:['’][\p{L}\p{M}]+)*|\p{N}+|[^\s\p{L}\p{M}\p{N}]"

Count = Annotated[int, Ge(1)]
VocabSize = Annotated[int, Ge(3)]
Trainer = trainers.WordLevelTrainer | trainers.BpeTrainer


class Tokenizer:
    """A tokenizer ready to encode: what `load` returns, and what Word, Char and BPE become by `fit`."""

    def __init__(self, core: Core) -> None:
        self._core = core
        core.encode_special_tokens = True  # a text that spells "<pad>" holds no padding

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickling and copying: the library does not store how special tokens are read."""
        self.__dict__.update(state)
        self._core.encode_special_tokens = True

    @property
    def vocab_size(self) -> int:
        """Number of ids, padding and unknown among them."""
        return self._core.get_vocab_size()

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Ids of all texts: values int32 (total,), offsets int64 (len(texts) + 1,); an empty text is [1]."""
        offsets = np.zeros(len(texts) + 1, dtype=np.int64)
        parts = [np.zeros(0, dtype=np.int32)]
        for start in range(0, len(texts), CHUNK):
            ids = [e.ids or [UNKNOWN_ID] for e in self._core.encode_batch_fast(texts[start : start + CHUNK])]
            lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
            offsets[start + 1 : start + 1 + len(ids)] = lengths
            parts.append(np.fromiter(chain.from_iterable(ids), dtype=np.int32, count=int(lengths.sum())))
        return np.concatenate(parts), np.cumsum(offsets)

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The token of each id, to be shown; an id beyond the vocabulary is shown as unknown."""
        return [self._core.id_to_token(int(i)) or UNKNOWN for i in ids]

    def to_json(self) -> str:
        """All it knows, as the text that `load` reads."""
        return self._core.to_str()

    def digest(self) -> str:
        """Sixteen hexadecimal digits that change when an encoding may change: the key of cached ids."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]


class _Trainable(Tokenizer):
    """A tokenizer and the trainer that finds its vocabulary."""

    def __init__(self, core: Core, trainer: Trainer, max_length: int | None) -> None:
        super().__init__(core)
        self._trainer = trainer
        if max_length is not None:
            core.enable_truncation(max_length)

    def fit(self, texts: Iterable[str]) -> None:
        """Finds the vocabulary of the training texts; UserError if they hold no frequent token."""
        self._core.train_from_iterator(texts, copy.copy(self._trainer))  # a trainer keeps what it counted
        if self.vocab_size <= len(SPECIAL):
            raise UserError(
                "data.tokenizer: the training texts hold no token that occurs "
                f"min_frequency={self._trainer.min_frequency} times; lower data.tokenizer.min_frequency, "
                "or see whether the texts are empty"
            )


class Word(_Trainable):
    """Words, numbers and punctuation marks (each by itself); text in Unicode form NFKC.

    vocab_size counts the two special ids; the most frequent tokens are kept, ties in the order of their
    spelling. min_frequency: rarer tokens are unknown; from 2 on the training texts hold unknown tokens, so
    that their embedding is trained (`augment=token_dropout` does it too). shapes: every digit is read as 0,
    so that a number is known by its length: a telephone number or a short code never seen before still
    looks like one. max_length: tokens kept of a text.
    """

    def __init__(
        self,
        vocab_size: VocabSize = 20000,
        min_frequency: Count = 1,
        lowercase: bool = True,
        shapes: bool = False,
        max_length: Count | None = None,
    ) -> None:
        trainer = trainers.WordLevelTrainer(
            vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=SPECIAL, show_progress=False
        )
        core = _word_level(_normalizer(lowercase, shapes), WORDS)
        super().__init__(core, trainer, max_length)


class Char(_Trainable):
    """Characters, spaces among them; text in Unicode form NFKC. Options as for Word."""

    def __init__(
        self,
        vocab_size: VocabSize = 1000,
        min_frequency: Count = 1,
        lowercase: bool = False,
        shapes: bool = False,
        max_length: Count | None = None,
    ) -> None:
        trainer = trainers.WordLevelTrainer(
            vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=SPECIAL, show_progress=False
        )
        core = _word_level(
            _normalizer(lowercase, shapes), r"(?m)."
        )  # in Oniguruma (?m) lets . match a newline
        super().__init__(core, trainer, max_length)


class BPE(_Trainable):
    """Byte-pair encoding within words (Sennrich et al. 2016, arXiv:1508.07909); "▁" begins a word.

    A rare or misspelt word becomes known pieces. Punctuation marks stand alone and numbers apart from
    letters. A pair is merged if it occurs min_frequency times. Other options as for Word.
    """

    def __init__(
        self,
        vocab_size: VocabSize = 4000,
        min_frequency: Count = 2,
        lowercase: bool = True,
        shapes: bool = False,
        max_length: Count | None = None,
    ) -> None:
        core = Core(models.BPE(vocab={PADDING: 0, UNKNOWN: UNKNOWN_ID}, merges=[], unk_token=UNKNOWN))
        core.normalizer = _normalizer(lowercase, shapes)
        core.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.WhitespaceSplit(),
                pre_tokenizers.Metaspace(),
                pre_tokenizers.Punctuation(),
                pre_tokenizers.Digits(),
            ]
        )
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=SPECIAL, show_progress=False
        )
        super().__init__(core, trainer, max_length)


def load(json: str) -> Tokenizer:
    """The tokenizer whose `to_json` gave this text; UserError if the text is damaged."""
    try:
        return Tokenizer(Core.from_str(json))
    except Exception as e:  # the library raises bare Exception
        raise UserError(f"the stored tokenizer cannot be read ({e}); train the run again") from e


def _normalizer(lowercase: bool, shapes: bool) -> normalizers.Sequence:
    """NFKC, then the options."""
    steps: list[normalizers.Normalizer] = [normalizers.NFKC()]
    if lowercase:
        steps.append(normalizers.Lowercase())
    if shapes:
        steps.append(normalizers.Replace(Regex(r"\p{Nd}"), "0"))
    return normalizers.Sequence(steps)


def _word_level(normalizer: normalizers.Sequence, pattern: str) -> Core:
    """A tokenizer whose tokens are the pattern's matches; what matches nothing is left out."""
    core = Core(models.WordLevel({PADDING: 0, UNKNOWN: UNKNOWN_ID}, unk_token=UNKNOWN))
    core.normalizer = normalizer
    core.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return core
