"""The method of attribution that a net is explained by where none is named: chosen by a test, not by fashion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leyden.interpretation.attribution import explain
from leyden.interpretation.faithfulness import Areas, assess_maps, random_areas
from leyden.interpretation.pointing import shares
from leyden.interpretation.view import View
from leyden.runs.explain_check import ExplainCheck
from leyden.utils.errors import UserError

CANDIDATES = ("integrated_gradients", "occlusion", "grad_cam")  # of equal ones the first


@dataclass(frozen=True)
class Choice:
    """The method chosen, and why, in words."""

    method: str
    why: str


def choose_method(
    view: View,
    check: ExplainCheck | None = None,
    inside: Sequence[NDArray[np.bool_]] = (),
    random: Areas | None = None,
    seed: int = 0,
    candidates: Sequence[str] = CANDIDATES,
) -> Choice:
    """Choose by the planted test stored with the run, by the truth of these samples, or by deletion.

    Args:
        view: of the samples that are explained, or some of them.
        check: of the run; None: it has none.
        inside: the units of the truth of each sample; (): it is not known.
        random: what `random_areas` gave of the view; None: it is measured, where it is needed.
        seed: of methods that draw.
        candidates: methods; one that the net does not allow is passed over.

    Raises:
        UserError: the net allows none of them.
    """
    tested = {} if check is None else {name: m for name, m in check.methods.items() if m.is_trusted}
    if check is not None and tested:
        found = {name: (one.pointing.value, one.mass) for name, one in tested.items()}
        return _best(
            found, f"points at the planted signal of {check.data} in {{0:.2f}} of rows, mass {{1:.2f}}"
        )
    maps = _maps(view, seed, candidates)
    if len(maps) == 1:
        (only,) = maps
        return Choice(only, f"{only}, the only one that this net allows")
    if inside:
        by_truth = {name: [share.mean() for share in shares(found, inside)] for name, found in maps.items()}
        return _best(
            {name: (float(points), float(mass)) for name, (points, mass) in by_truth.items()},
            f"points at the planted signal in {{0:.2f}} of these {len(inside)} samples, mass {{1:.2f}}",
        )
    random = random_areas(view, seed) if random is None else random
    gaps = {
        name: (float(np.median([test.deletion_gap for test in assess_maps(view, found, random, seed)])),)
        for name, found in maps.items()
    }
    return _best(
        gaps, "deletion is {0:.1f} standard errors better than random orders (median of these samples)"
    )


def _maps(view: View, seed: int, candidates: Sequence[str]) -> dict[str, list[NDArray[np.float32]]]:
    found, refused = {}, []
    for method in candidates:
        try:
            found[method] = [one.values for one in explain(view, method, seed)]
        except UserError as error:
            refused.append(str(error))
    if not found:
        raise UserError("; ".join(refused))
    return found


def _best(found: Mapping[str, tuple[float, ...]], words: str) -> Choice:
    best = max(found, key=lambda name: found[name])
    others = ", ".join(f"{name} {numbers[0]:.2f}" for name, numbers in found.items() if name != best)
    return Choice(best, f"{best}: {words.format(*found[best])}" + (f"; {others}" if others else ""))
