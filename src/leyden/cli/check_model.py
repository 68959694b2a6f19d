"""`leyden check model [key=value ...]`: what a model must be able to do before it is worth training.

leyden check model model=resnet32 data=cifar10
leyden check model --config-dir conf model=mine
leyden check model experiment=sms_spam --json
"""

from collections.abc import Iterator, Sequence

from leyden.cli.arguments import of_a_configuration, training
from leyden.cli.check_output import show
from leyden.health.findings import Look
from leyden.utils.console import console
from leyden.utils.runtime import load_torch


def main(arguments: Sequence[str]) -> int:
    """Print what holds and what does not; exit status 1 if there is an error-level finding."""
    parser = of_a_configuration("leyden check model", "Look at a model before training.", json="the findings")
    given = parser.parse_intermixed_args(arguments)
    load_torch()
    looks = list(_looks(given.overrides, given.config_dir))
    findings = show(looks, training(given), given.json)
    return int(any(finding["level"] == "error" for finding in findings))


def _looks(overrides: Sequence[str], config_dirs: Sequence[str]) -> Iterator[Look]:
    """Each look, under a word of what is being looked at."""
    from leyden.health.model.checks import looks
    from leyden.training.setup import model_under_test, ready

    subject = model_under_test(ready(overrides, config_dirs))
    with console.status("looking at the model"):
        yield from looks(subject)
