"""Checks of a model before training, for any net, including your own.

    for result in run_checks(model_under_test(open_session(["model=mine"], ["conf"]))):
        print(result.name, result.status, result.summary)

Each check and its finding: docs/check-model.md. Most follow Karpathy's "A recipe for training neural networks" (2019)
and Goodfellow et al. 2016, chapter 11.5.
"""

from collections.abc import Iterator

from leyden.health.findings import CheckResult
from leyden.health.model import deployment_checks, forward_checks, training_checks
from leyden.health.model.model_under_test import ModelUnderTest

CHECKS = (
    forward_checks.shapes,
    forward_checks.determinism,
    forward_checks.sample_independence,
    forward_checks.padding,
    training_checks.initial_loss,
    training_checks.gradients,
    training_checks.overfitting,
    training_checks.input_use,
    deployment_checks.save_and_load,
    deployment_checks.bfloat16,
    deployment_checks.export,
)


def run_checks(subject: ModelUnderTest) -> Iterator[CheckResult]:
    """Run the checks in order; if the shapes are wrong, the others cannot be run and are omitted."""
    for check in CHECKS:
        result = check(subject)
        yield result
        if check is forward_checks.shapes and result.status == "error":
            return
