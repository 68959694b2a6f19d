"""A search's study, read from study.json without Optuna: best trials, figures, and sections for the report.

study.json = {"schema": 1, "name", "storage", "sampler", "pruner", "seed", "total",
              "goals": [{"name", "direction"}], "params": {key: {"log"}}, "best": [numbers],
              "importance": {goal: {key: share}},
              "trials": [{"number", "state", "params", "values", "curve": {epoch: value},
                          "folder", "flags", "words", "seconds", "error"}]}
"""

import io
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from leyden.reporting.comparison.html_style import escape
from leyden.reporting.format import number
from leyden.reporting.plots.style import BLUE, GREY, ORANGE, VERMILION, label, new_figure
from leyden.utils.errors import UserError
from leyden.utils.files import read_json, write_text
from leyden.utils.text import plural, printable

SCHEMA = 1
_MAX_BEST = 10  # best trials listed
_COLUMNS = 3  # panels of a figure per row
_MARKS = {"pruned": (GREY, "x"), "failed": (VERMILION, "v")}


class Trial(BaseModel):
    """A trial of a study."""

    model_config = ConfigDict(allow_inf_nan=False)

    number: int
    state: str
    params: dict[str, JsonValue] = {}
    values: list[float] | None = None
    curve: dict[str, float] = {}
    folder: str | None = None
    flags: list[str] | None = None
    words: list[str] | None = None
    seconds: float | None = None
    error: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Trial":
        if self.state == "complete" and (not self.values or self.words is None):
            raise ValueError("a complete trial has values and words")
        return self


class Goal(BaseModel):
    """What a study searches for."""

    name: str
    direction: Literal["minimize", "maximize"]


class Param(BaseModel):
    """How a parameter is drawn."""

    log: bool


class Study(BaseModel):
    """The content of study.json."""

    schema_: int = Field(alias="schema")
    name: str
    sampler: str
    pruner: str | None
    seed: int | None
    total: int
    goals: list[Goal] = Field(min_length=1)
    params: dict[str, Param]
    best: list[int]
    importance: dict[str, dict[str, float]] = {}
    trials: list[Trial]

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        if not set(self.best) <= {trial.number for trial in self.trials}:
            raise ValueError("the best trials are not among the trials")
        if any(trial.values and len(trial.values) != len(self.goals) for trial in self.trials):
            raise ValueError("a trial has a value for each goal")
        return self


def load(folder: Path) -> dict[str, Any]:
    """Read study.json from a study's folder.

    Raises:
        UserError: it is damaged, or its schema version is not supported.
    """
    study = read_json(folder / "study.json", Study)
    if study.get("schema") != SCHEMA:
        raise UserError(
            f"{folder / 'study.json'} has schema version {study.get('schema')}, this leyden supports {SCHEMA}: "
            "use the leyden that wrote it"
        )
    return study


def find(root: Path) -> list[Path]:
    """Return the folders of all studies at or under `root`, sorted."""
    return sorted(path.parent for path in root.rglob("study.json")) if root.is_dir() else []


def format_best(study: Mapping[str, Any]) -> str:
    """Format the best trials with their values and commands, one or two lines each."""
    by_number = {trial["number"]: trial for trial in study["trials"]}
    best = [by_number[n] for n in study["best"]]
    if not best:
        return "no trial is complete"
    front = f"{plural(len(best), 'Pareto-optimal trial')}:" if len(study["goals"]) > 1 else ""
    lines = [front] if front else []
    for trial in best[:_MAX_BEST]:
        lines.append(f"{'' if front else 'best: '}trial {trial['number']}: {_format_values(study, trial)}")
        lines.append(f"  {_command(trial)}")
    return "\n".join(lines)


def _command(trial: Mapping[str, Any]) -> str:
    """Format the command that trains a trial; one of an earlier version has no flags."""
    return shlex.join(["leyden", "train", *(trial.get("flags") or ()), *trial["words"]])


def _format_values(study: Mapping[str, Any], trial: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{goal['name']} {number(value)}" for goal, value in zip(study["goals"], trial["values"], strict=True)
    )


# --- figures ---


def write_figures(folder: Path) -> list[Path]:
    """Write history.svg, importance.svg and slice.svg to the study's folder; returns the paths written.

    A figure without data is not written.
    """
    files = {folder / f"{name}.svg": svg for name, svg in figures(load(folder)).items()}
    for path, svg in files.items():
        write_text(path, svg)
    return list(files)


def figures(study: Mapping[str, Any]) -> dict[str, str]:
    """Return the figures as SVG by name: history, slice and, if known, importance; {} without a complete trial."""
    if not _complete_trials(study):
        return {}
    found = {"history": history(study), "slice": slices(study)}
    if study["importance"]:
        found["importance"] = importance(study)
    return {name: _svg(figure, f"{study['name']}-{name}") for name, figure in found.items()}


def history(study: Mapping[str, Any]) -> Figure:
    """Plot each goal over the trial number, with the best so far as a line; pruned trials at their last value."""
    goals = study["goals"]
    figure = new_figure(7.5, 2.8 * len(goals))
    for place, goal in enumerate(goals):
        axes = figure.add_subplot(len(goals), 1, place + 1)
        done = [(trial["number"], trial["values"][place]) for trial in _complete_trials(study)]
        axes.plot(*zip(*done, strict=True), "o", color=BLUE, label="trial", markersize=4)
        better = max if goal["direction"] == "maximize" else min
        best = [better(value for _, value in done[: i + 1]) for i in range(len(done))]
        axes.step([n for n, _ in done], best, where="post", color=ORANGE, label="best so far")
        pruned = [(t["number"], list(t["curve"].values())[-1]) for t in study["trials"] if _is_pruned(t)]
        if pruned and len(goals) == 1:
            colour, mark = _MARKS["pruned"]
            axes.plot(
                *zip(*pruned, strict=True), mark, color=colour, label="pruned, last value", markersize=5
            )
        axes.set(xlabel="trial", ylabel=label(goal["name"]))
        axes.legend(fontsize=8)
    return figure


def importance(study: Mapping[str, Any]) -> Figure:
    """Plot the importance of each parameter for each goal: its share of the variance of the goal's values."""
    by_goal = study["importance"]
    most = max(map(len, by_goal.values()))
    figure = new_figure(7.5, (0.8 + 0.35 * most) * len(by_goal))
    for place, (goal, shares) in enumerate(by_goal.items()):
        axes = figure.add_subplot(len(by_goal), 1, place + 1)
        ordered = sorted(shares.items(), key=lambda item: item[1])
        axes.barh([label(key, 32) for key, _ in ordered], [share for _, share in ordered], color=BLUE)
        axes.set(xlabel=f"importance for {label(goal)}", xlim=(0, 1))
    return figure


def slices(study: Mapping[str, Any]) -> Figure:
    """Plot each goal over each parameter; later trials are darker."""
    goals, keys = study["goals"], list(study["params"])
    rows_each = -(-len(keys) // _COLUMNS)
    figure = new_figure(7.5, 2.6 * rows_each * len(goals))
    for place, goal in enumerate(goals):
        for i, key in enumerate(keys):
            row, column = place * rows_each + i // _COLUMNS, i % _COLUMNS
            axes = figure.add_subplot(rows_each * len(goals), _COLUMNS, row * _COLUMNS + column + 1)
            _slice(axes, study, place, key)
            axes.set(xlabel=label(key), ylabel=label(goal["name"]) if column == 0 else "")
    return figure


def _slice(axes: Axes, study: Mapping[str, Any], place: int, key: str) -> None:
    trials = [trial for trial in _complete_trials(study) if key in trial["params"]]
    settings = [trial["params"][key] for trial in trials]
    if not all(isinstance(value, int | float) for value in settings):
        settings = [label(str(value), 14) for value in settings]
        axes.tick_params("x", rotation=30)
    elif study["params"][key]["log"]:
        axes.set_xscale("log")
    values = [trial["values"][place] for trial in trials]
    axes.scatter(
        settings, values, c=[trial["number"] for trial in trials], cmap="Blues", edgecolors=GREY, vmin=-5
    )


def _complete_trials(study: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [trial for trial in study["trials"] if trial["state"] == "complete"]


def _is_pruned(trial: Mapping[str, Any]) -> bool:
    return trial["state"] == "pruned" and bool(trial["curve"])


def _svg(figure: Figure, name: str) -> str:
    """Return the figure as an <svg> element, with text as text and ids that are unique within a page."""
    file = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Title": name})
    text = printable(file.getvalue())
    return text[text.index("<svg") :]


# --- the report's sections ---


def sections(root: Path) -> list[tuple[str, str]]:
    """Return (title, HTML) of every study at or under `root`; the HTML loads no external resources."""
    return [_titled(folder) for folder in find(root)]


def _titled(folder: Path) -> tuple[str, str]:
    """Return title and HTML of a study; of a damaged one the reason, so that the others are shown."""
    try:
        study = load(folder)
        return f"Search {study['name']}", _section(study)
    except UserError as error:
        return f"Search {folder.name}", f'<p class="warn">{escape(str(error))}</p>'


def _section(study: Mapping[str, Any]) -> str:
    plots = "".join(f"<h3>{name.capitalize()}</h3>{svg}" for name, svg in sorted(figures(study).items()))
    return "".join(_summary(study)) + plots


def _summary(study: Mapping[str, Any]) -> Iterator[str]:
    states: dict[str, int] = {}
    for trial in study["trials"]:
        states[trial["state"]] = states.get(trial["state"], 0) + 1
    goals = ", ".join(f"{goal['direction']} {goal['name']}" for goal in study["goals"])
    counts = ", ".join(f"{n} {state}" for state, n in states.items())
    settings = f"sampler {study['sampler']}, pruner {study['pruner']}, seed {study['seed']}"
    total = study["total"]
    yield f"<p>{escape(f'{goals}; {counts} of {total}; {settings}')}</p>"
    heads = ["trial", *(goal["name"] for goal in study["goals"]), "parameters", "command"]
    yield "<table><tr>" + "".join(f"<th>{escape(head)}</th>" for head in heads) + "</tr>"
    by_number = {trial["number"]: trial for trial in study["trials"]}
    for trial in (by_number[n] for n in study["best"][:_MAX_BEST]):
        params = ", ".join(f"{key}={_short_value(value)}" for key, value in trial["params"].items())
        cells = [str(trial["number"]), *map(number, trial["values"]), params]
        row = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        yield f"<tr>{row}<td><code>{escape(_command(trial))}</code></td></tr>"
    yield "</table>"


def _short_value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
