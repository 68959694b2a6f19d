"""The doctor's look at a model before training: a contract that any net can be held to, a user's own too.

    for look in looks(model_under_test(ready(["model=mine"], ["conf"]))): print(look.name, look.word, look.told)

What each look does and why it is a fault where it fails: docs/check-model.md. Most of it is Karpathy's "A recipe for
training neural networks" (2019) and Goodfellow et al. 2016, chapter 11.5, done by a machine.
"""

from collections.abc import Iterator

from leyden.health.findings import CheckResult
from leyden.health.model import deployment_checks, forward_checks, training_checks
from leyden.health.model.model_under_test import ModelUnderTest

CHECKS = (
    forward_checks.shapes,
    forward_checks.determinism,
    forward_checks.samples_apart,
    forward_checks.padding,
    training_checks.initial_loss,
    training_checks.gradients,
    training_checks.memory,
    training_checks.inputs_matter,
    deployment_checks.save_and_load,
    deployment_checks.bfloat16,
    deployment_checks.export,
)


def run_checks(subject: ModelUnderTest) -> Iterator[CheckResult]:
    """One look after the other; where the shapes are wrong, nothing else can be looked at."""
    for probe in CHECKS:
        look = probe(subject)
        yield look
        if probe is forward_checks.shapes and look.status == "error":
            return
