"""A search's study as its folder tells it: study.json, without Optuna. Figures, and sections for the report.

study.json = {"schema": 1, "name", "storage", "sampler", "pruner", "seed", "total",
              "goals": [{"name", "direction"}], "params": {key: {"log"}}, "best": [numbers],
              "importance": {goal: {key: share}},
              "trials": [{"number", "state", "params", "values", "curve": {epoch: value},
                          "folder", "words", "seconds", "error"}]}
"""

import html
import io
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leyden.reporting.format import number, plural
from leyden.reporting.plots.style import BLUE, GREY, ORANGE, VERMILION, label, laid_out
from leyden.utils.errors import UserError
from leyden.utils.files import read_object, write_text

SCHEMA = 1
_SHOWN = 10  # of the best trials
_COLUMNS = 3  # panels of a figure beside each other
_MARKS = {"pruned": (GREY, "x"), "failed": (VERMILION, "v")}


def load(folder: Path) -> dict[str, Any]:
    """study.json of a study's folder.

    Raises:
        UserError: it is damaged, or of a schema that this Leyden does not know.
    """
    known = read_object(folder / "study.json", json.loads)
    if known.get("schema") != SCHEMA:
        raise UserError(
            f"{folder / 'study.json'} is of schema {known.get('schema')}, this leyden knows {SCHEMA}"
        )
    return known


def find(root: Path) -> list[Path]:
    """The folders of all studies at or under `root`."""
    return sorted(path.parent for path in root.rglob("study.json")) if root.is_dir() else []


def best_words(study: Mapping[str, Any], command: Callable[[Sequence[str]], str]) -> str:
    """The best trials with their values, parameters and commands, as lines of text."""
    by_number = {trial["number"]: trial for trial in study["trials"]}
    best = [by_number[n] for n in study["best"]]
    if not best:
        return "no trial is complete"
    many = f"{plural(len(best), 'trial')} that no other beats in all:" if len(study["goals"]) > 1 else ""
    lines = [many] if many else []
    for trial in best[:_SHOWN]:
        lines.append(f"{'' if many else 'best: '}trial {trial['number']}: {_values(study, trial)}")
        lines.append(f"  {command(trial['words'])}")
    return "\n".join(lines)


def _values(study: Mapping[str, Any], trial: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{goal['name']} {number(value)}" for goal, value in zip(study["goals"], trial["values"], strict=True)
    )


# --- figures ---


def write_figures(folder: Path) -> list[Path]:
    """history.svg, importance.svg, slice.svg in the study's folder; returns those there is something to draw for."""
    drawn = {folder / f"{name}.svg": svg for name, svg in figures(load(folder)).items()}
    for path, svg in drawn.items():
        write_text(path, svg)
    return list(drawn)


def figures(study: Mapping[str, Any]) -> dict[str, str]:
    """name -> SVG of history, importance and slice."""
    if not _complete(study):
        return {}
    drawn = {"history": history(study), "slice": slices(study)}
    if study["importance"]:
        drawn["importance"] = importance(study)
    return {name: _svg(figure, f"{study['name']}-{name}") for name, figure in drawn.items()}


def history(study: Mapping[str, Any]) -> Figure:
    """Each goal by trial, with the best so far as a line; pruned trials at their last value."""
    goals = study["goals"]
    figure = laid_out(7.5, 2.8 * len(goals))
    for place, goal in enumerate(goals):
        axes = figure.add_subplot(len(goals), 1, place + 1)
        done = [(trial["number"], trial["values"][place]) for trial in _complete(study)]
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
    """The share of each parameter in what the values of a goal differ by."""
    known = study["importance"]
    most = max(map(len, known.values()))
    figure = laid_out(7.5, (0.8 + 0.35 * most) * len(known))
    for place, (goal, shares) in enumerate(known.items()):
        axes = figure.add_subplot(len(known), 1, place + 1)
        ordered = sorted(shares.items(), key=lambda item: item[1])
        axes.barh([label(key, 32) for key, _ in ordered], [share for _, share in ordered], color=BLUE)
        axes.set(xlabel=f"importance for {label(goal)}", xlim=(0, 1))
    return figure


def slices(study: Mapping[str, Any]) -> Figure:
    """Each goal over each parameter; the colour is the trial's number, later ones are darker."""
    goals, keys = study["goals"], list(study["params"])
    rows_each = -(-len(keys) // _COLUMNS)
    figure = laid_out(7.5, 2.6 * rows_each * len(goals))
    for place, goal in enumerate(goals):
        for i, key in enumerate(keys):
            row, column = place * rows_each + i // _COLUMNS, i % _COLUMNS
            axes = figure.add_subplot(rows_each * len(goals), _COLUMNS, row * _COLUMNS + column + 1)
            _slice(axes, study, place, key)
            axes.set(xlabel=label(key), ylabel=label(goal["name"]) if column == 0 else "")
    return figure


def _slice(axes: Axes, study: Mapping[str, Any], place: int, key: str) -> None:
    there = [trial for trial in _complete(study) if key in trial["params"]]
    chosen = [trial["params"][key] for trial in there]
    if not all(isinstance(value, int | float) for value in chosen):
        chosen = [label(str(value), 14) for value in chosen]
        axes.tick_params("x", rotation=30)
    elif study["params"][key]["log"]:
        axes.set_xscale("log")
    values = [trial["values"][place] for trial in there]
    axes.scatter(
        chosen, values, c=[trial["number"] for trial in there], cmap="Blues", edgecolors=GREY, vmin=-5
    )


def _complete(study: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [trial for trial in study["trials"] if trial["state"] == "complete"]


def _is_pruned(trial: Mapping[str, Any]) -> bool:
    return trial["state"] == "pruned" and bool(trial["curve"])


def _svg(figure: Figure, name: str) -> str:
    """The figure as an <svg> element: text stays text, and its ids clash with no other figure's on a page."""
    file = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Title": name})
    text = file.getvalue()
    return text[text.index("<svg") :]


# --- the report's sections ---


def sections(root: Path) -> list[tuple[str, str]]:
    """(title, HTML) of every study under `root`, for a page that works offline."""
    return [(f"Search {load(folder)['name']}", _section(folder)) for folder in find(root)]


def _section(folder: Path) -> str:
    study = load(folder)
    drawn = figures(study)
    plots = "".join(f"<h3>{name.capitalize()}</h3>{svg}" for name, svg in sorted(drawn.items()))
    return "".join(_summary(study)) + plots


def _summary(study: Mapping[str, Any]) -> Iterator[str]:
    states: dict[str, int] = {}
    for trial in study["trials"]:
        states[trial["state"]] = states.get(trial["state"], 0) + 1
    goals = ", ".join(f"{goal['direction']} {goal['name']}" for goal in study["goals"])
    counts = ", ".join(f"{n} {state}" for state, n in states.items())
    how = f"sampler {study['sampler']}, pruner {study['pruner']}, seed {study['seed']}"
    total = study["total"]
    yield f"<p>{html.escape(f'{goals}; {counts} of {total}; {how}')}</p>"
    heads = ["trial", *(goal["name"] for goal in study["goals"]), "parameters", "command"]
    yield "<table><tr>" + "".join(f"<th>{html.escape(head)}</th>" for head in heads) + "</tr>"
    by_number = {trial["number"]: trial for trial in study["trials"]}
    for trial in (by_number[n] for n in study["best"][:_SHOWN]):
        params = ", ".join(f"{key}={_short_value(value)}" for key, value in trial["params"].items())
        command = shlex.join(["leyden", "train", *trial["words"]])
        cells = [str(trial["number"]), *map(number, trial["values"]), params]
        row = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        yield f"<tr>{row}<td><code>{html.escape(command)}</code></td></tr>"
    yield "</table>"


def _short_value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
