"""N-gram language models, trained by interpolated Witten-Bell smoothing."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
NEVER = -99 * math.log(10)  # ARPA's probability of 0: of <s>, which only ever is a history
History = tuple[str, ...]


@dataclass(frozen=True)
class Ngram:
    """Probabilities of words after histories of at most `order` - 1 words.

    Attributes:
        order: the longest n-gram.
        log_probs: natural logarithms of the n-grams that are listed: history and word.
        backoffs: natural logarithm of what a history leaves to words that are not listed after it.
    """

    order: int
    log_probs: Mapping[History, float]
    backoffs: Mapping[History, float]

    def log_prob(self, word: str, history: Sequence[str]) -> float:
        """Natural logarithm of P(word | history), of <unk> for a word that is not known (NEVER without <unk>).

        Katz's recursion: that of the longest listed n-gram, times what the longer histories left over.
        """
        word = word if (word,) in self.log_probs else UNKNOWN
        left, context = 0.0, self.context(history)
        while (*context, word) not in self.log_probs:
            if not context:
                return NEVER
            left += self.backoffs.get(context, 0.0)
            context = context[1:]
        return left + self.log_probs[*context, word]

    def context(self, history: Sequence[str]) -> History:
        """The end of a history that later words depend on: of at most order - 1 words, and known."""
        known = tuple(w if (w,) in self.log_probs else UNKNOWN for w in history[-self.order + 1 :])
        found = known if self.order > 1 else ()
        while found and found not in self.backoffs:
            found = found[1:]
        return found

    def sentence_log_prob(self, words: Sequence[str]) -> float:
        """Natural logarithm of the probability of a sentence, its end included."""
        padded = (BEGIN, *words, END)
        return sum(self.log_prob(padded[i], padded[:i]) for i in range(1, len(padded)))

    @property
    def words(self) -> tuple[str, ...]:
        """Those that may follow a history, <unk> and </s> included."""
        return tuple(gram[0] for gram in self.log_probs if len(gram) == 1 and gram != (BEGIN,))


def train_ngram(sentences: Iterable[Sequence[str]], order: int, vocabulary: Iterable[str] = ()) -> Ngram:
    """A model of the sentences' words by interpolated Witten-Bell smoothing (Witten and Bell 1991, method C).

    P(w | h) = (c(h w) + T(h) P(w | h')) / (c(h) + T(h)), with T(h) the number of different words seen after h, and h'
    without h's first word; below the unigrams all words, </s> and <unk> are equally likely. Nothing has to be held out
    or fitted, and it holds for the small corpora of transcripts, where the counts of counts of Kneser and Ney do not.

    Args:
        sentences: of words, or of characters.
        order: the longest n-gram, at least 1.
        vocabulary: further words that may occur.
    """
    counts: dict[History, Counter[str]] = defaultdict(Counter, {(): Counter()})
    for sentence in sentences:
        padded = (BEGIN, *sentence, END)
        for i in range(1, len(padded)):
            for first in range(max(0, i - order + 1), i + 1):
                counts[padded[first:i]][padded[i]] += 1
    words = sorted({*counts[()], *vocabulary, END, UNKNOWN})
    probabilities: dict[History, float] = {(word,): 1 / len(words) for word in words}
    for history in sorted(counts, key=len):
        followers = counts[history]
        kinds, total = max(1, len(followers)), followers.total()
        for word in followers if history else words:
            lower = probabilities[*history[1:], word]
            probabilities[*history, word] = (followers[word] + kinds * lower) / (total + kinds)
    log_probs = {gram: math.log(p) for gram, p in probabilities.items()}
    left = {h: math.log(len(c) / (c.total() + len(c))) for h, c in counts.items() if h}
    return Ngram(order, {(BEGIN,): NEVER, **log_probs}, left)
