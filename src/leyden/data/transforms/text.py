"""Texts on the device: word dropout, and the frontend, which leaves token ids as they are.

A batch of texts is int64 (B, T) with 0 for padding and 1 for an unknown token (`data/tokenizers.py`).
"""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from annotated_types import Interval
from torch import nn

from leyden.data.batch import Input, SampleRandom

UNKNOWN = 1


class TokenDropout(nn.Module):
    """Makes each token unknown with probability `p`, but never every token of a text.

    Word dropout (Iyyer et al. 2015, Deep Unordered Composition Rivals Syntactic Methods, section 3.1), with
    the unknown token instead of a gap: it also trains the embedding that every word outside the vocabulary
    will use. Of a text whose every token would go, the last one to go stays.
    """

    stage: ClassVar[str] = "inputs"
    modality: ClassVar[str] = "text"

    def __init__(self, p: Annotated[float, Interval(ge=0, lt=1)] = 0.1) -> None:
        super().__init__()
        self.p = p

    def forward(self, given: Input, draws: SampleRandom) -> Input:
        """Token ids (B, T) to the same shape; padding and lengths stay."""
        ids = given.values
        # -1 at padding; a token goes where u < p, save the largest u of its text: so one always stays
        u = draws.uniform("token_dropout", ids.shape[1]).masked_fill(ids == 0, -1)
        drop = (u >= 0) & (u < self.p) & (u < u.amax(dim=1, keepdim=True))
        return given._replace(values=ids.masked_fill(drop, UNKNOWN))


class Tokens(nn.Module):
    """Frontend of texts: the ids as they are; a net's embedding does the rest."""

    modality: ClassVar[str] = "text"

    def forward(self, given: Input) -> Input:
        """The input itself."""
        return given

    def fit(self, batches: Iterable[Input]) -> None:
        """Nothing is learned."""

    def facts(self) -> dict[str, Any]:
        """Nothing beyond what the data say."""
        return {}
