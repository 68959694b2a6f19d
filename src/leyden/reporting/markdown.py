"""A result as Markdown, for TensorBoard's text tab and for a README."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from leyden.reporting.words import count, estimate, number


def metrics_markdown(metrics: Mapping[str, Any]) -> str:
    """The stored Metrics of one split: a table of the values with their intervals, and one by class."""
    values = {name: estimate(stored) for name, stored in (metrics.get("values") or {}).items()}
    values |= {name: number(value) for name, value in (metrics.get("scalars") or {}).items()}
    size = f" (n = {count(metrics['n'])})" if "n" in metrics else ""
    parts = [table(("metric", f"value [95 % interval]{size}"), values.items())]
    if metrics.get("per_class"):
        header = ("class", "n", "precision", "recall", "F1")
        parts.append(table(header, map(_class_row, metrics["per_class"])))
    return "\n\n".join(parts)


def _class_row(c: Mapping[str, Any]) -> Sequence[str]:
    return (c["name"], count(c["n"]), *(estimate(c[key]) for key in ("precision", "recall", "f1")))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_escaped, line)) + " |" for line in lines)


def _escaped(cell: str) -> str:
    """A class name must not end its cell, its row or its table, nor be taken for HTML."""
    return cell.replace("|", r"\|").replace("<", "&lt;").replace("\n", " ")
