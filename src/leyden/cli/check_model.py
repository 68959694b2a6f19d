"""`leyden check model [key=value ...]`: check a model before training.

leyden check model model=resnet32 data=cifar10
leyden check model --config-dir conf model=mine
leyden check model experiment=sms_spam --json
"""

from collections.abc import Iterator, Sequence

from leyden.cli.arguments import config_parser, train_command
from leyden.cli.check_output import print_results
from leyden.health.findings import CheckResult
from leyden.utils.console import console
from leyden.utils.runtime import load_torch


def main(arguments: Sequence[str]) -> int:
    """Print the results of the checks; returns exit status 1 if there is an error-level finding."""
    parser = config_parser("leyden check model", "Check a model before training.", json="the findings")
    given = parser.parse_intermixed_args(arguments)
    load_torch()
    results = list(_run_checks(given.overrides, given.config_dir))
    findings = print_results(results, train_command(given), given.json)
    return int(any(finding["level"] == "error" for finding in findings))


def _run_checks(overrides: Sequence[str], config_dirs: Sequence[str]) -> Iterator[CheckResult]:
    """Yield the result of each check, with a status line while they run."""
    from leyden.health.model.checks import run_checks
    from leyden.training.setup import model_under_test, open_session

    subject = model_under_test(open_session(overrides, config_dirs))
    with console.status("checking the model"):
        yield from run_checks(subject)
