"""`leyden check data [key=value ...]`: check the data before training.

leyden check data experiment=sms_spam data.deduplicate=false
leyden check data --config-dir conf data=mine --picture pairs.png
leyden check data data=mnist --json
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leyden.cli.arguments import config_parser, figure_saver, of_input, train_command
from leyden.cli.check_output import print_results
from leyden.training.continuation import compose_with_runs
from leyden.utils.console import console
from leyden.utils.errors import UserError
from leyden.utils.text import plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from leyden.data.datamodule import DataModule
    from leyden.health.findings import CheckResult

_MAX_PAIRS = 12  # in the figure


def main(arguments: Sequence[str]) -> int:
    """Print the results of the checks; returns exit status 1 if there is an error-level finding."""
    parser = config_parser(
        "leyden check data",
        "Check the data before training.",
        json="the findings",
        picture="pairs of near duplicates",
    )
    given = parser.parse_intermixed_args(arguments)
    save = figure_saver(given.picture)
    data, stops = _data(given.overrides, given.config_dir)
    if given.picture is not None and data.modality.is_text:
        raise UserError(f"--picture {given.picture}: texts are printed, not plotted; leave --picture out")
    results = _run_checks(data, stops)
    findings = print_results(results, train_command(given), given.json)
    if save is not None:
        message = _save_figures(data, findings, save, given.picture)
        if not given.json:
            console.print(message)
    return int(any(finding["level"] == "error" for finding in findings))


def _data(overrides: Sequence[str], config_dirs: Sequence[str]) -> tuple["DataModule", bool]:
    """Return the data module, with bad inputs skipped, and whether training would stop at them."""
    from leyden.config.validate import check_data
    from leyden.utils.runtime import load_torch, prepare

    plain, _ = compose_with_runs(overrides, config_dirs)
    load_torch()
    from leyden.training import build

    config = check_data(plain)
    prepare(config.threads)
    data = build.experiment(config).data
    data.reading = replace(data.reading, on_bad="skip")
    return data, config.data.on_bad == "stop"


def _run_checks(data: "DataModule", stops: bool) -> list["CheckResult"]:
    from leyden.health.data.checks import run_checks

    return list(run_checks(data, stops))


def _save_figures(
    data: "DataModule", findings: Sequence[dict[str, Any]], save: Callable[..., None], path: Path
) -> str:
    """Save a figure of pairs of near duplicates, one of validation or test and one of train; returns a message.

    Of several inputs one for each that can be drawn.
    """
    said = []
    for name, part in data.parts.items() or [("", data)]:
        pairs = [
            pair
            for finding in findings
            if finding["id"] == "near_duplicates" and finding["evidence"].get("input", "") == name
            for pair in finding["evidence"]["rows"]
        ][:_MAX_PAIRS]
        if pairs and not part.modality.is_written:
            names = part.table.index.names
            captions = [f"{names[tested]}\n{names[trained]}" for tested, trained in pairs]
            written = of_input(path, name)
            save(_figure(part, pairs, captions), written)
            said.append(f"figure of {plural(len(pairs), 'pair')} of near duplicates written to {written}")
    return "\n".join(said) or "no near duplicates to plot"


def _figure(data: "DataModule", pairs: Sequence[Sequence[int]], captions: Sequence[str]) -> "Figure":
    from leyden.reporting.plots.samples import samples_figure

    title = "near duplicates: validation or test (left), train (right)"
    joined = []
    for pair in pairs:
        one, other = (data.table.inputs.row(row) for row in pair)
        joined.append(data.modality.side_by_side(one, other))
    return samples_figure(joined, captions, title, data.spec.sample_rate)
