"""What `leyden profile` found, as tables and as a figure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import RenderableType

from leyden.reporting.format import count, duration, scaled
from leyden.reporting.plots.style import BLUE, ORANGE, PLAIN, label, laid_out, name_axes
from leyden.reporting.terminal.layout import note, plain_table, text

_MOST = 15  # layers that a table shows
_DRAWN = 40  # and a figure


def costs_tables(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The whole, then the layers that cost the most."""
    table = plain_table(
        f"{found['model']} on {found['device']}, {found['precision']}", ("", "left"), ("", "left")
    )
    table.show_header = False
    for name, value in _rows(found):
        table.add_row(text(name), text(value))
    yield table
    layers = _most_expensive(found["layers"])
    total = max(1, sum(layer["flops"] for layer in layers))
    table = plain_table(
        "the dearest layers",
        *(("layer", "left"), ("", "left"), ("parameters", "right"), ("FLOP", "right"), ("share", "right")),
    )
    for layer in layers[:_MOST]:
        share = f"{100 * layer['flops'] / total:.1f} %"
        numbers = (count(layer["parameters"]), scaled(layer["flops"]), share)
        table.add_row(text(layer["name"]), text(layer["kind"]), *numbers)
    yield table
    if len(layers) > _MOST:
        yield note(f"and {len(layers) - _MOST} more (--json has all)")
    if found["uncounted"]:
        yield note(
            f"FLOPs are too few: {', '.join(found['uncounted'])} ran and counted nothing (an operator that "
            "torch's counter does not know)"
        )


def _rows(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "input", found["input"]
    trained = found["trained_parameters"]
    frozen = "" if trained == found["parameters"] else f", {count(trained)} of them trained"
    yield "parameters", count(found["parameters"]) + frozen
    alone = found["flops"] is None  # a loop of the user's own, of which only a step can be called
    if not alone:
        yield "FLOPs", f"forward {scaled(found['flops'], 'FLOP')} a sample"
    ratio = f" ({found['training_flops'] / found['flops']:.2f} times)" if found["flops"] else ""
    yield (
        "FLOPs" if alone else "",
        f"a training step {scaled(found['training_flops'], 'FLOP')} a sample{ratio}",
    )
    memory = found["memory"]
    yield (
        "memory",
        ", ".join(f"{name} {scaled(memory[name], 'B')}" for name in ("parameters", "gradients", "optimizer")),
    )
    each = scaled(memory["activations_per_sample"], "B")
    yield (
        "",
        f"activations {scaled(memory['activations'], 'B')} at batch_size={memory['batch_size']}, {each} a sample",
    )
    if memory["peak"] is not None:
        yield "", f"peak of a training step {scaled(memory['peak'], 'B')}"
    for size, took in found.get("latency", {}).items():
        each_second = count(int(size) / took["p50"])
        yield (
            f"batch of {size}",
            f"p50 {_time(took['p50'])}, p95 {_time(took['p95'])}: {each_second} samples/s ({took['calls']} calls)",
        )
    energy = found.get("energy")
    if energy is not None:
        joules = energy["joules_per_1000"]
        told = energy.get("reason") or f"{joules:.3g} J for 1,000 samples ({energy['source']})"
        yield "energy", told


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else duration(seconds)


def costs_figure(layers: Sequence[Mapping[str, Any]]) -> Figure:
    """Bars of each layer's share of all operations and of all parameters, in the order of the net."""
    kept = _most_expensive(layers)[:_DRAWN]
    shown = [layer for layer in layers if layer in kept]
    title = "layers" if len(shown) == len(layers) else f"the {_DRAWN} dearest of {len(layers)} layers"
    figure = laid_out(7.5, 1.1 + max(1.2, 0.26 * len(shown)))
    axes = figure.subplots()
    places = np.arange(len(shown))
    for key, colour, words, low in (
        ("flops", BLUE, "of FLOPs", -0.19),
        ("parameters", ORANGE, "of parameters", 0.19),
    ):
        shares = [layer[key] / max(1, sum(other[key] for other in layers)) for layer in shown]
        axes.barh(places + low, shares, 0.38, color=colour, label=words)
    axes.set(title=title, ylim=(len(shown) - 0.4, -0.6))
    axes.set_yticks(places, [label(layer["name"], 32) for layer in shown])
    name_axes(axes, "share of the whole net")
    axes.legend(fontsize=PLAIN, frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _most_expensive(layers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """By operations, then by parameters."""
    return sorted(layers, key=lambda layer: (-layer["flops"], -layer["parameters"]))
