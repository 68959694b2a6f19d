"""`imbalance=auto`: choose a documented recipe by the class counts of the training split, or change nothing.

The recipe is a pure function of the configuration and the counts, so a run stays its configuration: the same data
give the same recipe again, on every rank and after a resume. docs/imbalance.md has the measurements behind it.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from leyden.config.schema import Config
from leyden.data.spec import DataSpec
from leyden.utils.errors import UserError

# Below this ratio of the largest class to the smallest, plain cross-entropy is as good: what a correction of so small a
# shift gains is less than the spread between seeds.
EVEN = 2.0


class Recipe(NamedTuple):
    """What was chosen, and why, in words for the terminal; of `apply_auto` also what it changed."""

    name: str
    why: str


def ratio(counts: Sequence[int]) -> float:
    """The largest class over the smallest, of those that have samples."""
    there = [n for n in counts if n]
    return max(there) / min(there)


def effective_classes(counts: Sequence[int]) -> float:
    """exp of the entropy of the class shares: C for a balanced set, near 1 where one class is nearly all."""
    shares = np.array([n for n in counts if n], dtype=np.float64)
    shares /= shares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def describe_imbalance(counts: Sequence[int], names: Sequence[str]) -> Iterator[str]:
    """How unequal the classes are, and what that does to a plain model: a line each.

    Args:
        counts: training samples (C,).
        names: of the classes.
    """
    present = [c for c, n in enumerate(counts) if n]
    often, rare = max(present, key=lambda c: counts[c]), min(present, key=lambda c: counts[c])
    effective = effective_classes(counts)
    yield f"imbalance ratio {ratio(counts):.3g} in training, effective number of classes {effective:.2g}"
    if ratio(counts) >= EVEN:
        share = counts[often] / sum(counts)
        yield (
            f"always predicting {names[often]!r} is correct for {100 * share:.1f} % of the training samples and "
            f"never finds {names[rare]!r}: compare balanced accuracy, macro F1 and recall by class; try imbalance=auto"
        )


def choose(counts: Sequence[int]) -> Recipe:
    """The recipe for these training counts (C,)."""
    r = ratio(counts)
    if r < EVEN:
        return Recipe(
            "none", f"the largest class has {r:.2g} times the samples of the smallest: nothing to correct"
        )
    return Recipe(
        "balanced_softmax",
        f"the largest class has {r:.3g} times the samples of the smallest: balanced softmax (the loss adds log n to "
        "the logits in training, so that the net predicts as if all classes were equally likely)",
    )


def apply_auto(config: Config, spec: DataSpec) -> tuple[Config, Recipe | None]:
    """The configuration with the recipe in it; itself where `imbalance=none`.

    Raises:
        UserError: a loss or a sampling is chosen as well, which the recipe would have to overrule.
    """
    if config.imbalance == "none":
        return config, None
    for group, node, plain in (
        ("loss", config.loss, "leyden.losses.cross_entropy.CrossEntropy"),
        ("sampling", config.sampling, "leyden.data.sampling_policies.Instance"),
    ):
        if node["_target_"] != plain:
            raise UserError(
                f"imbalance=auto chooses the loss itself, and {group}={node['_target_']} is chosen already: "
                f"leave out {group}=... or imbalance=auto"
            )
    recipe = choose(spec.class_counts)
    if recipe.name == "none":
        return config, recipe
    update: dict[str, Any] = {"loss": {"_target_": "leyden.losses.logit_adjusted.LogitAdjusted"}}
    changed = "changed: loss=balanced_softmax"
    if config.monitor == "val/accuracy":
        update["monitor"] = "val/balanced_accuracy"
        changed += ", monitor=val/balanced_accuracy (the checkpoint of best balanced accuracy)"
    else:
        changed += f"; unchanged: monitor={config.monitor}"
    return config.model_copy(update=update), recipe._replace(why=f"{recipe.why}; {changed}")
