"""TensorBoard's tags of what a run logs, and its charts, in the order in which a person looks at them.

TensorBoard sorts tags by name (numbers by value) and groups them by what stands before the first slash. So a logged
name gets a numbered group: `val/loss` becomes `1 loss/val`. metrics.csv, result.json and `monitor` keep the names.
"""

import re
from collections.abc import Iterable

from leyden.utils.text import printable

LOSS, WATCHED, RATE, METRICS = "1 loss", "2 watched", "3 learning rate", "4 metrics"
RECALL, HEALTH, FIRST_BATCH, EPOCHS = "5 recall", "6 health", "7 first batch", "8 val by epoch"

_SPLIT = re.compile(r"(train|val|test)/(.+)")
_HEALTH_CHARTS = {
    "update_ratio": "update-to-weight ratio of each layer",
    "gradient": "gradient norm of each layer",
    "dead": "share of dead ReLU channels of each layer",
    "data_wait": "share of the time spent waiting for data",
}

Layout = dict[str, dict[str, list[object]]]


def tag(name: str, monitor: str) -> str:
    """The tag under which a logged value is shown; a name of the user's own outside of train/ and val/ stays.

    >>> [tag(name, "val/accuracy") for name in ("val/loss", "train/loss_step", "val/accuracy", "lr", "own/x")]
    ['1 loss/val', '1 loss/train_step', '2 watched/val/accuracy', '3 learning rate/lr', 'own/x']
    """
    name = printable(name)  # protobuf takes no surrogates, as a class of a folder has where the locale is C
    if name == "lr" or name.startswith("lr-"):  # the second: of Lightning's LearningRateMonitor
        return f"{RATE}/{name}"
    for group in (RECALL, HEALTH):
        if name.startswith(f"{group[2:]}/"):
            return f"{group[:2]}{name}"
    if (found := _SPLIT.fullmatch(name)) is None:
        return name
    split, metric = found.groups()
    base = metric.removesuffix("_step")
    if base == "loss":
        return f"{LOSS}/{split}{metric.removeprefix('loss')}"
    return f"{WATCHED if base == monitor.removeprefix('val/') else METRICS}/{name}"


def part_of_tag(name: str) -> str:
    """A name as a part of a tag, in which a slash would start another part."""
    return printable(name).replace("/", "_")


def layout(tags: Iterable[str]) -> Layout:
    """Charts of the tab Custom Scalars for the tags of a run, as `SummaryWriter.add_custom_scalars` takes them.

    Train and validation of a metric share a chart, and so do all layers and all classes.
    """
    known = sorted(tags)
    charts: dict[str, dict[str, str]] = {"training": {}, "metrics": {}, "recall": {}, "health": {}}
    charts["training"]["loss"] = rf"{LOSS}/(train|val)$"
    for group, category, suffix in ((WATCHED, "training", " (watched)"), (METRICS, "metrics", "")):
        for name in dict.fromkeys(_metric(t) for t in known if t.startswith(f"{group}/")):
            charts[category][f"{name}{suffix}"] = rf"{group}/(train|val)/{re.escape(name)}$"
    charts["training"]["learning rate"] = rf"{RATE}/"
    charts["training"]["loss within the epoch"] = rf"{LOSS}/train_step$"
    charts["recall"]["recall of each class or label"] = rf"{RECALL}/"
    charts["health"] = {title: rf"{HEALTH}/{name}(/|$)" for name, title in _HEALTH_CHARTS.items()}
    there = {
        category: {
            title: pattern for title, pattern in found.items() if any(map(re.compile(pattern).match, known))
        }
        for category, found in charts.items()
    }
    return {
        category: {title: ["Multiline", [pattern]] for title, pattern in found.items()}
        for category, found in there.items()
        if found
    }


def _metric(shown: str) -> str:
    return shown.split("/", 2)[2].removesuffix("_step")
