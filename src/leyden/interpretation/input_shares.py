"""What each input of a row with several adds to an answer: exact Shapley values, over all subsets of the inputs.

Shapley 1953; as in Lundberg and Lee 2017 (arXiv:1705.07874) with inputs as players. An input that is left out is absent
as in data without it, so no value stands in for it. The values add up to the score less that of no input.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import factorial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leyden.data.batch import Batch
from leyden.inference.load import LoadedRun
from leyden.inference.predictor import outputs_of, prepared
from leyden.interpretation.access import correction
from leyden.utils.errors import UserError

MOST = 10  # inputs: 1,023 passes of the net


@dataclass(frozen=True)
class InputShares:
    """What the inputs of one sample add to the score of an output.

    Attributes:
        output: of the net, which is explained.
        scalar: what the score is, in words.
        score: of all inputs that the sample has.
        nothing: what the score of no input is, in words.
        nothing_score: that score.
        shares: of each input, by name; None: the sample has it not.
    """

    output: int
    scalar: str
    score: float
    nothing: str
    nothing_score: float
    shares: Mapping[str, float | None]


def shapley_values(worth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each of M players' mean gain over all orders in which they may come: (M, B).

    Args:
        worth: (2 ** M, B), of each set of players, by its number: player m is in it where bit m is set.

    >>> shapley_values(np.array([[0.0], [1.0], [3.0], [10.0]])).ravel().tolist()
    [4.0, 6.0]
    """
    players = len(worth).bit_length() - 1
    found = np.zeros((players, worth.shape[1]))
    for player in range(players):
        for others in (each for each in range(len(worth)) if not each >> player & 1):
            size = others.bit_count()
            weight = factorial(size) * factorial(players - size - 1) / factorial(players)
            found[player] += weight * (worth[others | 1 << player] - worth[others])
    return found


def input_shares(run: LoadedRun, batch: Batch, outputs: Sequence[int]) -> list[InputShares]:
    """The shares of the inputs of each sample.

    Args:
        run: loaded, with several inputs.
        batch: as the loader gives it, in evaluation mode.
        outputs: which output is explained, of each sample.

    Raises:
        UserError: there are too many inputs.
    """
    names = list(run.modality.parts)  # type: ignore[attr-defined]
    if len(names) > MOST:
        raise UserError(
            f"explain: {len(names)} inputs have 2^{len(names)} subsets; exact shares are of at most {MOST}"
        )
    worth, there = _worth(run, batch, names, torch.tensor(list(outputs)))
    shares = shapley_values(worth)
    return [
        InputShares(
            *(output, scalar_of(run, output), float(worth[-1, place]), _NOTHING[run.task.kind]),
            nothing_score=float(worth[0, place]),
            shares={
                name: float(shares[i, place]) if there[i, place] else None for i, name in enumerate(names)
            },
        )
        for place, output in enumerate(outputs)
    ]


_NOTHING = {
    "classes": "log share of the training rows",
    "labels": "log odds of the training rows",
    "values": "mean of the training rows",
}


def scalar_of(run: LoadedRun, output: int) -> str:
    """What is shared out, in words."""
    words = {"classes": "log probability", "labels": "logit", "values": "value"}
    return f"{words[run.task.kind]} of {run.spec.target_names[output]!r}"


def _worth(
    run: LoadedRun, batch: Batch, names: Sequence[str], explained: Tensor
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The score (2 ** M, B) of each subset of the inputs, and which inputs there are, (M, B)."""
    ready, size = prepared(run, batch), len(batch.rows)
    everywhere = torch.ones(size, dtype=torch.bool)
    there = {name: ready.present.get(name, everywhere) & (name in ready.inputs) for name in names}
    nothing = _nothing(run, explained)
    found = [nothing]
    for number in range(1, 2 ** len(names)):
        chosen = [name for place, name in enumerate(names) if number >> place & 1]
        present = {name: there[name] & (name in chosen) for name in ready.inputs}
        some = torch.stack([there[name] for name in chosen]).any(0)
        with torch.no_grad():
            scores = _scores(run, outputs_of(run, ready._replace(present=present)), explained)
        found.append(torch.where(some, scores, nothing))
    return torch.stack(found).numpy(), torch.stack(list(there.values())).numpy()


def _scores(run: LoadedRun, outputs: Tensor, explained: Tensor) -> Tensor:
    """float64 (B,) of outputs (B, K): log probabilities of classes, logits of labels, values.

    Of classes no logit: it has a summand of no meaning, which may differ from subset to subset.
    """
    scale, shift = correction(run)
    found = outputs * scale + shift
    found = found.log_softmax(1) if run.task.kind == "classes" else found
    return found.gather(1, explained[:, None])[:, 0]


def _nothing(run: LoadedRun, explained: Tensor) -> Tensor:
    """float64 (B,), the score of no input; half a row more, so that a class of none has one."""
    spec: Any = run.spec
    if run.task.kind == "values":
        return torch.tensor(spec.target_mean, dtype=torch.float64)[explained]
    counts = torch.tensor(spec.class_counts, dtype=torch.float64) + 0.5
    if run.task.kind == "labels":
        return (counts / (spec.sizes[0] + 1)).logit()[explained]
    return (counts / counts.sum()).log()[explained]
