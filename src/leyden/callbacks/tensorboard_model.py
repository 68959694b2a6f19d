"""TensorBoard: the graph of a net, and a table of its modules."""

import contextlib
import io
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from leyden.data.batch import Batch
from leyden.data.datamodule import DataModule
from leyden.modules.flattened import flattened
from leyden.modules.standalone import preserved_state
from leyden.reporting import markdown
from leyden.reporting.format import count

_MOST_MODULES = 200  # in the table
_SAMPLES = 2  # that go through the net: a batch norm in a user's net may refuse one

Rows = list[tuple[str, str, str, str]]


class _OfValues(nn.Module):
    """A LightningModule of the user's own, which takes a batch, as a function of the batch's values."""

    def __init__(self, module: LightningModule, batch: Batch) -> None:
        super().__init__()
        self.module, self._batch = module, batch

    def forward(self, values: Tensor) -> Any:
        return self.module(self._batch.map_inputs(lambda given: given._replace(values=values)))


def write_model(writer: Any, module: LightningModule, data: DataModule, step: int) -> None:
    """Write the graph of the module's net, where it can be traced, and the table of its modules.

    Args:
        writer: a torch SummaryWriter.
        module: trained; its modes and random numbers stay as they are.
        data: of which two validation (or training) samples go through the net.
        step: that the table is filed under.
    """
    rows = data.splits.val if len(data.splits.val) else data.splits.train
    batch = data.batch_of(rows[:_SAMPLES]).to(module.device)
    with preserved_state(module), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, which distrusts every Python condition
        prepare: Any = getattr(module, "prepare", lambda batch: batch)
        net, inputs = _net_and_inputs(module, prepare(batch))
        table, failure = _modules(net, inputs)
        failure = failure or _write_graph(writer, net, inputs)
    remark = f"\n\nThe graph is missing: {failure}" if failure else ""
    writer.add_text("model", markdown.table(("module", "type", "parameters", "output"), table) + remark, step)


def _net_and_inputs(module: LightningModule, batch: Batch) -> tuple[nn.Module, tuple[Tensor, ...]]:
    net = getattr(module, "net", None)
    if isinstance(net, nn.Module) and hasattr(module, "prepare"):
        return flattened(net, batch)
    return _OfValues(module, batch), (batch.input.values,)


def _modules(net: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Rows, str]:
    """(name, type, parameters, shape of the output) of each module, and what a forward pass fails with."""
    shapes: dict[nn.Module, str] = {}
    handles = [
        part.register_forward_hook(lambda part, _, output: shapes.update({part: _shape(output)}))
        for part in net.modules()
    ]
    failure = ""
    try:
        net(*inputs)
    except Exception as error:  # code of the user's own: the run itself is complete
        failure = f"{type(error).__name__}: {error}"
    finally:
        for handle in handles:
            handle.remove()
    parts = list(net.named_modules())
    rows = [(name or "(all)", type(p).__name__, count(_size(p)), shapes.get(p, "")) for name, p in parts]
    left_out = [(f"... {len(rows) - _MOST_MODULES} more", "", "", "")] if len(rows) > _MOST_MODULES else []
    return rows[:_MOST_MODULES] + left_out, failure


def _size(part: nn.Module) -> int:
    return sum(p.numel() for p in part.parameters())


def _shape(output: Any) -> str:
    """Shapes without the batch, of a tensor or of the tensors in a sequence."""
    if isinstance(output, Tensor):
        return " x ".join(map(str, output.shape[1:])) or "1"
    if isinstance(output, Sequence):
        return ", ".join(filter(None, map(_shape, output)))
    return ""


def _write_graph(writer: Any, net: nn.Module, inputs: tuple[Tensor, ...]) -> str:
    """Trace and write; returns why it failed."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # torch prints its reasons
            # traced here: `add_graph` would trace three times to compare; it takes a traced net as it is
            writer.add_graph(torch.jit.trace(net, inputs, strict=False, check_trace=False), inputs)
    except Exception as error:  # whatever a tracer meets in a net
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return ""
