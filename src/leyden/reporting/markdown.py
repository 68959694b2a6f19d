"""Results as Markdown, for TensorBoard's text tab and for a README."""

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from leyden.reporting.format import confused_words, count, estimate, normaliser_note, number
from leyden.utils.text import printable

# What Markdown, or a viewer's formulas, interprets: these characters anywhere, an underscore at the edge of a word,
# brackets of a link or a picture, the mark of a heading or a list at the beginning.
_MARK = re.compile(
    r"[\\`*~|$]|(?<!\w)_|_(?!\w)|!(?=\[)|\[(?=[^\]]*\]\s*[(\[:])|\](?=\s*[(\[:])|^\s*[#+-](?=\s|$)"
)

_ENTITIES = {"~": "&#126;", "$": "&#36;"}  # TensorBoard's Markdown shows a backslash before these
_PAIRS = 20  # of confused words
_CARD, _SHORT = 72, 24  # characters of a line in TensorBoard's tab Text; of a cell that is never broken
_OF_CLASS = {"precision": "precision", "recall": "recall", "f1": "F1"}
_DETAILS = {
    "per_class": _OF_CLASS,
    "per_label": {**_OF_CLASS, "average_precision": "average precision"},
    "per_target": {"mae": "MAE", "rmse": "RMSE", "r2": "R2", "spearman": "Spearman"},
}


def metrics_markdown(metrics: Mapping[str, Any]) -> str:
    """Format the stored metrics of one split: a table of the values with intervals, and one per class or target."""
    values = {name: estimate(stored) for name, stored in (metrics.get("values") or {}).items()}
    values |= {name: number(value) for name, value in (metrics.get("scalars") or {}).items()}
    size = f" (n = {count(metrics['n'])})" if "n" in metrics else ""
    parts = [table(("metric", f"value [95 % interval]{size}"), values.items())]
    groups = metrics.get("groups") or {}
    if len(groups) > 1:
        rows = ((name, count(g["classes"]), estimate(g["recall"])) for name, g in groups.items())
        parts.append(table(("training samples", "classes", "mean recall"), rows))
    for part, columns in _DETAILS.items():
        if metrics.get(part):
            header = (part.removeprefix("per_"), "n", *columns.values())
            parts.append(table(header, (_row(row, columns) for row in metrics[part])))
    return "\n\n".join([*parts, *_of_transcripts(metrics)])


def _of_transcripts(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield how texts were normalised, the words most often confused, and rates by length and speaker."""
    if normalised := normaliser_note([metrics]):
        yield escape(normalised)
    if pairs := metrics.get("confused_words"):
        yield table(
            ("confused", "times"), ((confused_words(pair), count(pair["n"])) for pair in pairs[:_PAIRS])
        )
    for part, name in (("by_length", "words said"), ("by_speaker", "speaker")):
        if groups := metrics.get(part):
            rows = ((g["name"], count(g["n"]), number(g["wer"]), number(g["string_error"])) for g in groups)
            yield table((name, "n", "WER", "string error"), rows)


def inputs_markdown(found: Mapping[str, Any], beside: Iterable[str]) -> str:
    """Format the metrics by each subset of several inputs, and what all add.

    Args:
        found: `inputs` of result.json.
        beside: lines about nets trained on one input alone.
    """
    names = list(found["subsets"][-1]["values"])
    rows = (
        (" + ".join(s["inputs"]), count(s["n"]), *(estimate(s["values"][name]) for name in names))
        for s in found["subsets"]
    )
    adds = f"All inputs add {estimate(found['adds'])} to {found['best_single']} alone: {found['measure']}."
    return "\n\n".join([table(("inputs", "n", *names), rows), adds, *map(escape, beside)])


def _row(row: Mapping[str, Any], columns: Iterable[str]) -> Sequence[str]:
    return (row["name"], count(row["n"]), *(estimate(row[column]) for column in columns))


def classes_markdown(classes: Sequence[Mapping[str, Any]], prior: Mapping[str, Any]) -> str:
    """Format how often each class was sampled, and its prior: `classes` and `prior` of result.json."""
    header = (
        "class",
        "samples",
        "share",
        "effective share",
        "draws per sample",
        "train recall",
        "train - val recall",
    )
    effective = prior["phases"][-1]["effective"]
    rows = (
        (
            *(c["name"], count(c["samples"]), number(share), number(after)),
            *(number(c[key]) for key in ("draws_per_sample", "train_recall", "recall_gap")),
        )
        for c, share, after in zip(classes, prior["training"], effective, strict=True)
    )
    return table(header, rows)


def labels_markdown(names: Sequence[str], prior: Mapping[str, Any]) -> str:
    """Format the share of samples with each label, of the training rows and effective: `prior` of result.json."""
    shares = (map(number, prior["training"]), map(number, prior["phases"][-1]["effective"]))
    return table(("label", "share", "effective share"), zip(names, *shares, strict=True))


class Markup(str):
    """Text that is Markdown already, in a cell of a table."""


def table(header: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """Format a Markdown table; cells are escaped."""
    lines = [header, [Markup("---")] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(escape, line)) + " |" for line in lines)


def table_of_texts(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a table whose long cells are broken into lines that fit into a card beside the others.

    TensorBoard gives each column its share by its longest line, and breaks words where one is narrow.
    """
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    texts = sum(width > _SHORT for width in widths)
    room = (_CARD - sum(width for width in widths if width <= _SHORT)) // max(1, texts)

    def broken(cell: str) -> Markup:
        parts = textwrap.wrap(cell, max(room, _SHORT), break_on_hyphens=False)
        return Markup("<br>".join(escape(type(cell)(part)) for part in parts))

    return table(header, (map(broken, line) for line in lines))


def escape(text: str) -> str:
    """Return text that Markdown shows as it is: no markup, link, picture, formula or HTML, all on one line.

    >>> print(escape("![x](y) a_b *c* <b>"))
    \\!\\[x\\](y) a_b \\*c\\* &lt;b&gt;
    """
    if isinstance(text, Markup):
        return text
    line = (
        " ".join(printable(text).split("\n")).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    )
    return _MARK.sub(lambda found: _ENTITIES.get(found[0], rf"\{found[0]}"), line)


def code(text: str) -> str:
    """Return text as a code span, in which nothing is interpreted."""
    line = " ".join(printable(text).split("\n"))
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if "`" in line else ""
    return f"{fence}{space}{line}{space}{fence}"
