"""Every cost of a model by name: parameters, FLOPs, memory, latency, energy."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from leyden.data import datamodule
from leyden.modules import standalone

if TYPE_CHECKING:
    from leyden.modules.session import Session


BATCHES = (1, 64)  # of which the latency is measured


def profile(made: "Session") -> dict[str, Any]:
    """Every cost by name; bytes, seconds, joules and operations."""
    from leyden.profiling import costs

    module, data = made.module, made.data
    batch = datamodule.median_length_batch(data, made.config.batch_size).to(made.device)
    one = datamodule.median_length_batch(data, 1).to(made.device)
    with made.forward_context():
        forward = costs.forward_flops(module, data)
        training = costs.training_flops(module, batch)
    memory = _memory(made, batch)
    layers = (
        {n: f // len(batch.targets) for n, f in training.layers.items()}
        if forward is None
        else forward.layers
    )
    return {
        "model": made.config.model.name,
        "input": made.data.modality.describe(made.data.spec, _length(one)),
        "device": str(made.device),
        "precision": str(made.trainer.strategy.precision_plugin.precision),
        "parameters": sum(p.numel() for p in module.parameters()),
        "trained_parameters": sum(p.numel() for p in module.parameters() if p.requires_grad),
        "flops": None if forward is None else forward.total,
        "training_flops": training.total / len(batch.targets),
        "uncounted": list(training.uncounted),
        "memory": memory,
        **({} if forward is None else _times(made)),
        "layers": _layers(module, layers),
    }


def _length(batch: Any) -> int | None:
    """Of its first sample; None where all inputs have one shape."""
    lengths = batch.input.lengths
    return None if lengths is None else int(lengths[0])


def _layers(module: Any, flops: dict[str, int]) -> list[dict[str, Any]]:
    """Parameters and operations of every module that has any of its own, in the order of the net."""
    found = []
    for name, part in module.named_modules():
        own = sum(p.numel() for p in part.parameters(recurse=False))
        if own or name in flops:
            row = {"name": name.removeprefix("net.") or "(net)", "kind": type(part).__name__}
            found.append({**row, "parameters": own, "flops": flops.get(name, 0)})
    return found


def _memory(made: "Session", batch: Any) -> dict[str, Any]:
    """Bytes in a training step of the configured batch size."""
    import torch

    from leyden.profiling import costs, memory

    module, half = made.module, max(1, len(batch.labels) // 2)
    small = datamodule.median_length_batch(made.data, half).to(made.device)
    with made.forward_context():
        kept, of_half = costs.activation_bytes(module, batch), costs.activation_bytes(module, small)
    optimizer = standalone.optimizer_of(module)
    with standalone.preserved_state(module, training=True):
        if made.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(made.device)
        made.step(module, optimizer, batch)
    peak = torch.cuda.max_memory_allocated(made.device) if made.device.type == "cuda" else None
    return {
        "batch_size": len(batch.labels),
        "parameters": memory.tensor_bytes(module.parameters()),
        "gradients": memory.tensor_bytes(p.grad for p in module.parameters()),
        "optimizer": memory.optimizer_bytes(optimizer),
        "activations": kept,
        "activations_per_sample": (kept - of_half) / max(1, len(batch.labels) - half),
        "peak": peak,
    }


def _times(made: "Session") -> dict[str, Any]:
    """Latency and energy, from decoded inputs in the host's memory to logits there."""
    import torch

    from leyden.profiling import energy, latency

    module, device = made.module, made.device
    found: dict[str, Any] = {}
    with standalone.preserved_state(module), torch.inference_mode(), made.forward_context():
        for size in BATCHES:
            batch = datamodule.median_length_batch(made.data, size)

            def call(batch: Any = batch) -> None:
                standalone.forward(module, batch.to(device)).cpu()

            found[str(size)] = asdict(latency.measure(call, device))
        meter, reason = energy.meter(device)
        if meter is None:
            return {"latency": found, "energy": {"joules_per_1000": None, "reason": reason}}
        meter.start()
        spent = latency.measure(call, device)
        joules = meter.joules()
    samples = (spent.calls + latency.WARM_UP) * BATCHES[-1]
    return {
        "latency": found,
        "energy": {"joules_per_1000": 1000 * joules / samples, "source": meter.source},
    }
