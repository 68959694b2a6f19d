"""The results of `leyden profile` as tables and as a figure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import RenderableType

from leyden.reporting.format import count, duration, si_number
from leyden.reporting.plots.style import BLUE, ORANGE, PLAIN, label, name_axes, new_figure
from leyden.reporting.terminal.layout import note, plain_table, text
from leyden.utils.text import plural

_MAX_ROWS = 15  # layers in the table
_MAX_BARS = 40  # layers in the figure


def costs_tables(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield the table of the totals, then that of the most expensive layers."""
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
        "most expensive layers",
        *(("layer", "left"), ("", "left"), ("parameters", "right"), ("FLOP", "right"), ("share", "right")),
    )
    for layer in layers[:_MAX_ROWS]:
        share = f"{100 * layer['flops'] / total:.1f} %"
        numbers = (count(layer["parameters"]), si_number(layer["flops"]), share)
        table.add_row(text(layer["name"]), text(layer["kind"]), *numbers)
    yield table
    if len(layers) > _MAX_ROWS:
        yield note(f"and {len(layers) - _MAX_ROWS} more layers (all with --json)")
    if found["uncounted"]:
        yield note(
            f"the FLOPs are a lower bound: torch's counter does not support an operator of "
            f"{', '.join(found['uncounted'])}"
        )


def _rows(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "input", found["input"]
    trained = found["trained_parameters"]
    frozen = "" if trained == found["parameters"] else f", {count(trained)} of them trainable"
    yield "parameters", count(found["parameters"]) + frozen
    # a module of the user's own, of which only a training step can be measured
    step_only = found["flops"] is None
    if not step_only:
        yield "FLOPs", f"forward pass {si_number(found['flops'], 'FLOP')}/sample"
    ratio = f" ({found['training_flops'] / found['flops']:.2f} x forward)" if found["flops"] else ""
    yield (
        "FLOPs" if step_only else "",
        f"training step {si_number(found['training_flops'], 'FLOP')}/sample{ratio}",
    )
    memory = found["memory"]
    yield (
        "memory",
        ", ".join(
            f"{name} {si_number(memory[name], 'B')}" for name in ("parameters", "gradients", "optimizer")
        ),
    )
    per_sample = si_number(memory["activations_per_sample"], "B")
    yield (
        "",
        f"activations {si_number(memory['activations'], 'B')} at batch_size={memory['batch_size']}, "
        f"{per_sample}/sample",
    )
    if memory["peak"] is not None:
        yield "", f"peak in a training step {si_number(memory['peak'], 'B')}"
    for size, latency in found.get("latency", {}).items():
        throughput = count(int(size) / latency["p50"])
        yield (
            f"batch of {size}",
            f"p50 {_time(latency['p50'])}, p95 {_time(latency['p95'])}: {throughput} samples/s "
            f"({plural(latency['calls'], 'call')})",
        )
    energy = found.get("energy")
    if energy is not None:
        joules = energy["joules_per_1000"]
        measured = energy.get("reason") or f"{joules:.3g} J per 1,000 samples ({energy['source']})"
        yield "energy", measured


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else duration(seconds)


def costs_figure(layers: Sequence[Mapping[str, Any]]) -> Figure:
    """Plot each layer's share of the FLOPs and of the parameters as bars, in the order of the net."""
    kept = _most_expensive(layers)[:_MAX_BARS]
    shown = [layer for layer in layers if layer in kept]
    title = (
        "layers" if len(shown) == len(layers) else f"the {_MAX_BARS} most expensive of {len(layers)} layers"
    )
    figure = new_figure(7.5, 1.1 + max(1.2, 0.26 * len(shown)))
    axes = figure.subplots()
    places = np.arange(len(shown))
    for key, colour, name, offset in (
        ("flops", BLUE, "of FLOPs", -0.19),
        ("parameters", ORANGE, "of parameters", 0.19),
    ):
        shares = [layer[key] / max(1, sum(other[key] for other in layers)) for layer in shown]
        axes.barh(places + offset, shares, 0.38, color=colour, label=name)
    axes.set(title=title, ylim=(len(shown) - 0.4, -0.6))
    axes.set_yticks(places, [label(layer["name"], 32) for layer in shown])
    name_axes(axes, "share of the whole net")
    axes.legend(fontsize=PLAIN, frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _most_expensive(layers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sort layers by FLOPs, then by parameters, the most expensive first."""
    return sorted(layers, key=lambda layer: (-layer["flops"], -layer["parameters"]))
