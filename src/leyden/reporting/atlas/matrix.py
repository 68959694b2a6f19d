"""The confusion matrix whose cells choose the errors to look at, and the reliability diagram, as HTML."""

from collections.abc import Iterator

import numpy as np

from leyden.metrics.calibration import BINS, bins_of
from leyden.metrics.intervals import wilson
from leyden.reporting.atlas.atlas import Confusion
from leyden.reporting.atlas.numbering import Numbering
from leyden.reporting.comparison import svg
from leyden.reporting.comparison.html_style import escape
from leyden.reporting.format import count, number
from leyden.tasks.figures import Reliability
from leyden.utils.text import percent

_FEW = 12  # columns up to which their names stand upright


def matrix(found: Confusion, numbering: Numbering) -> str:
    """A table of buttons: rows are true, columns answers; the colour is the share of the row."""
    head = "".join(
        f'<th scope="col" title="{escape(name)}"><span>{escape(name)}</span></th>' for name in found.columns
    )
    kind = "matrix many" if len(found.columns) > _FEW else "matrix"
    rows = "".join(_row(found, place, numbering) for place in range(len(found.rows)))
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr><th scope="col"><span class="small">true \\ answered'
        f"</span></th>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(found: Confusion, place: int, numbering: Numbering) -> str:
    name, counts = found.rows[place], found.counts[place]
    total = max(1, found.sizes[place])
    cells = "".join(
        _cell(name, answer, times, times / total, found.is_square and answer == name, numbering)
        for answer, times in zip(found.columns, counts, strict=True)
    )
    return f'<tr><th scope="row" title="{escape(name)}">{escape(name)}</th>{cells}</tr>'


def _cell(true: str, answer: str, times: int, share: float, is_right: bool, numbering: Numbering) -> str:
    if not times:
        return "<td></td>"
    style = f'style="--share:{share:.3f}"'
    if is_right:
        return f'<td><span class="cell right" {style}>{count(times)}</span></td>'
    words = escape(f"{times} of {true} answered {answer}")
    return (
        f'<td><button type="button" data-group="{numbering.groups.get(true, -1)}" '
        f'data-answer="{numbering.answers.get(answer, -1)}" aria-pressed="false" aria-label="{words}" title="{words}" '
        f"{style}>{count(times)}</button></td>"
    )


def reliability(figure: Reliability) -> str:
    """Accuracy by confidence, with Wilson's intervals, and how many samples each bin has."""
    confidence = np.asarray(figure.confidence, dtype=np.float64)
    right = np.asarray(figure.right, dtype=np.int64)
    bins = bins_of(confidence)
    n, hits = np.bincount(bins, minlength=BINS), np.bincount(bins, right, BINS)
    mean = np.bincount(bins, confidence, BINS) / np.maximum(n, 1)
    gap = float(np.abs(hits - mean * n).sum() / max(len(confidence), 1))
    (left, end), (bottom, top) = svg.inner()
    x, y = svg.Scale(0, 1, left, end), svg.Scale(0, 1, bottom, top)
    content = "".join(_bars(n, hits, mean, x, y))
    content += f'<line class="even" x1="{x.at(0)}" y1="{y.at(0)}" x2="{x.at(1)}" y2="{y.at(1)}"/>'
    drawing = svg.frame(x, y, "confidence", "accuracy", content, "accuracy by confidence")
    caption = (
        f"Below the dashed line: surer than right. Expected calibration error {number(gap)}, n = "
        f"{count(len(confidence))}; whiskers are 95 % intervals (Wilson), at the mean confidence of their bin."
    )
    return f'<figure class="reliability">{drawing}<figcaption>{caption}</figcaption></figure>'


def _bars(n: np.ndarray, hits: np.ndarray, mean: np.ndarray, x: svg.Scale, y: svg.Scale) -> Iterator[str]:
    for place in np.flatnonzero(n).tolist():
        low, high, share = x.at(place / BINS), x.at((place + 1) / BINS), hits[place] / n[place]
        title = f"{place / BINS:.2f} to {(place + 1) / BINS:.2f}: {count(n[place])} samples, {percent(share)} right"
        yield (
            f'<rect class="right" x="{low + 1}" width="{high - low - 2:.1f}" y="{y.at(share)}" '
            f'height="{y.at(0) - y.at(share):.1f}"><title>{title}</title></rect>'
        )
        found = wilson(int(hits[place]), int(n[place]))
        at = x.at(float(mean[place]))
        yield (
            f'<line class="whisker" x1="{at}" x2="{at}" y1="{y.at(found.low or 0.0)}" y2="{y.at(found.high or 0.0)}"/>'
            f'<circle class="dot" cx="{at}" cy="{y.at(share)}" r="3"/>'
        )
