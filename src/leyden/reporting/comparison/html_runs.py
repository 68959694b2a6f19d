"""The link targets of the report page: a section per group with its runs, and one per run with its command."""

import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from leyden.reporting.comparison.distinguishing_keys import format_value, heading
from leyden.reporting.comparison.groups import Metric
from leyden.reporting.comparison.html_style import escape
from leyden.reporting.comparison.report import Part, Row
from leyden.reporting.format import duration, estimate, number
from leyden.runs.records import Record
from leyden.utils.text import plural

_FILES = (
    "result.json",
    "config.yaml",
    "metrics.csv",
    "manifest.json",
    "error.txt",
    "predictions",
)


def cell(content: str, kind: str = "", to: str = "") -> str:
    """Format a table cell. kind: CSS classes; to: link target, ignored for empty content."""
    text = escape(content)
    inner = f'<a href="{to}">{text}</a>' if to and content not in ("", "-") else text
    return f'<td class="{kind}">{inner}</td>' if kind else f"<td>{inner}</td>"


def table(header: Sequence[tuple[str, str]], rows: Iterable[str]) -> str:
    """Format a table of rows of cells; header: names with their kinds (n: a number, w: may wrap)."""
    names = "".join(f'<th class="{kind}">{escape(name).replace(".", ".<wbr>")}</th>' for name, kind in header)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{names}</tr></thead>\n<tbody>{body}</tbody></table></div>'


def anchor(run: Record) -> str:
    """Return the id of a run's section: experiment and folder name, which includes the fingerprint."""
    return quote(f"r-{run.experiment}-{run.name}", safe="-_.")


def group_section(row: Row, part: Part) -> str:
    """Format a group: its settings, and a table with one row per run."""
    settings = ", ".join(
        f"{heading(key)}={value}" for key, value in zip(part.columns, row.values, strict=True) if value != "-"
    )
    parts = [f'\n<h3 id="g{row.number}">#{row.number} {escape(settings or part.title)}</h3>']
    if row.pooled is not None:
        parts.append(
            f"<p>{row.group.seeds} x {row.group.folds} folds; accuracy of the summed confusion matrices: "
            f"{escape(estimate(vars(row.pooled)))} {escape(row.pooled.method)}</p>"
        )
    runs = sorted(row.group.all_runs(), key=lambda run: (str(run.keys.get("seed")).zfill(9), run.name))
    split = any(_split(run) for run in runs)
    metrics = list(dict.fromkeys([part.metric, part.chosen_by]))
    header = [("seed", "n"), *([("split", "")] if split else []), *((str(metric), "n") for metric in metrics)]
    header += [("state", ""), ("time", "n"), ("run", "")]
    return "".join([*parts, table(header, (_run_cells(run, metrics, split) for run in runs))])


def _split(run: Record) -> str:
    """Format the keys of the split that may differ within a group."""
    return ", ".join(
        f"{key}={format_value(run.keys, f'split.{key}')}"
        for key in ("seed", "fold", "test_group", "val_group")
        if f"split.{key}" in run.keys
    )


def _run_cells(run: Record, metrics: Sequence[Metric], split: bool) -> str:
    to = f"#{anchor(run)}"
    cells = [
        cell(str(run.keys.get("seed", "-")), "n", to),
        cell(_split(run)) if split else "",
        *(cell(number(metric.of(run)), "n", to) for metric in metrics),
        cell(run.state),
        cell(duration(run.seconds), "n", to),
        cell(run.name, "", to),
    ]
    return "".join(cells)


def run_section(run: Record, row: Row, part: Part, folder: Path) -> str:
    """Format a run: folder, state, metrics, and the command that repeats it."""
    return "".join(
        [
            f'\n<article id="{anchor(run)}"><h4>{escape(run.experiment)}/{escape(run.name)}</h4>',
            f'<div>{escape(run.state)}, of group <a href="#g{row.number}">#{row.number}</a>',
            f"{escape(_cost(run))}</div>",
            _error(run),
            *_metrics(run, part.metric.split),
            f"<pre>{escape(shlex.join(map(str, run.result.get('command') or [])))}</pre>",
            f'<div class="dim">{" ".join(run_links(run.folder, folder))}</div></article>',
        ]
    )


def _cost(run: Record) -> str:
    best, parts = run.best, []
    if run.seconds is not None:
        parts.append(duration(run.seconds))
    if best.get("epoch") is not None:
        parts.append(f"best epoch {best['epoch']}")
    return "".join(f", {part}" for part in parts)


def _error(run: Record) -> str:
    error = run.result.get("error")
    message = f"{error['type']}: {error['message']}" if error else ""
    return f'<div class="warn">{escape(message)}</div>' if message else ""


def _metrics(run: Record, split: str) -> Iterator[str]:
    found = (run.result.get("metrics") or {}).get(split) or {}
    values = [f"{name} {estimate(stored)}" for name, stored in (found.get("values") or {}).items()]
    values += [f"{name} {number(value)}" for name, value in (found.get("scalars") or {}).items()]
    if values:
        size = f" ({plural(found['n'], 'sample')})" if "n" in found else ""
        yield f"<div>{escape(f'{split}{size}: ' + '; '.join(values))}</div>"


def run_links(run: Path, folder: Path) -> Iterator[str]:
    """Yield links to a run's folder and files, relative to the folder of the page."""
    path = quote(os.path.relpath(run, folder))
    yield f'<a href="{path}/">{escape(str(run))}</a>'
    existing = set(os.listdir(run)) if run.is_dir() else set()  # noqa: PTH208 - 10,000 folders
    for name in _FILES:
        if name in existing:
            end = "/" if "." not in name else ""
            yield f'<a href="{path}/{name}{end}">{name}</a>'
