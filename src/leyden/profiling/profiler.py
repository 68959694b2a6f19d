"""Profile of a model: parameters, FLOPs, memory, latency, energy."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from leyden.data.typical_batch import median_length_batch
from leyden.modules import standalone

if TYPE_CHECKING:
    from leyden.data.batch import Batch
    from leyden.data.datamodule import DataModule
    from leyden.modules.session import Session


BATCHES = (1, 64)  # batch sizes of the latency measurement


def profile(session: "Session") -> dict[str, Any]:
    """The profile of a session's model, as a JSON object: memory in bytes, latency in seconds, energy in joules."""
    from leyden.profiling import costs

    module, data = session.module, session.data
    batch = median_length_batch(data, session.config.batch_size).to(session.device)
    one = median_length_batch(data, 1).to(session.device)
    with session.forward_context():
        forward = costs.forward_flops(module, data)
        training = costs.training_flops(module, batch)
    memory = _memory(session, batch)
    layers = (
        {n: f // len(batch.targets) for n, f in training.layers.items()}
        if forward is None
        else forward.layers
    )
    return {
        "model": session.config.model.name,
        "input": _described(data, one),
        "device": str(session.device),
        "precision": str(session.trainer.strategy.precision_plugin.precision),
        "parameters": sum(p.numel() for p in module.parameters()),
        "trained_parameters": sum(p.numel() for p in module.parameters() if p.requires_grad),
        "flops": None if forward is None else forward.total,
        "training_flops": training.total / len(batch.targets),
        "uncounted": list(training.uncounted),
        "memory": memory,
        **({} if forward is None else _latency_and_energy(session)),
        "layers": _layers(module, layers),
    }


def _described(data: "DataModule", batch: "Batch") -> str:
    """The first sample of a batch in words; of several inputs each after its name."""
    parts = data.parts or {"": data}
    said = []
    for (name, part), given in zip(parts.items(), batch.inputs.values(), strict=True):
        words = part.modality.describe(part.spec, None if given.lengths is None else int(given.lengths[0]))
        said.append(f"{name}: {words}" if name else words)
    return "; ".join(said)


def _layers(module: Any, flops: dict[str, int]) -> list[dict[str, Any]]:
    """Parameters and FLOPs of every module without its children, in the order of the net."""
    result = []
    for name, part in module.named_modules():
        parameters = sum(p.numel() for p in part.parameters(recurse=False))
        if parameters or name in flops:
            row = {"name": name.removeprefix("net.") or "(net)", "kind": type(part).__name__}
            result.append({**row, "parameters": parameters, "flops": flops.get(name, 0)})
    return result


def _memory(session: "Session", batch: Any) -> dict[str, Any]:
    """Memory in bytes of a training step of the configured batch size."""
    import torch

    from leyden.profiling import costs, memory

    module, half = session.module, max(1, len(batch.targets) // 2)
    small = median_length_batch(session.data, half).to(session.device)
    with session.forward_context():
        activations, half_activations = (
            costs.activation_bytes(module, batch),
            costs.activation_bytes(module, small),
        )
    optimizer = standalone.optimizer_of(module)
    with standalone.preserved_state(module, training=True):
        if session.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(session.device)
        session.step(module, optimizer, batch)
    peak = torch.cuda.max_memory_allocated(session.device) if session.device.type == "cuda" else None
    return {
        "batch_size": len(batch.targets),
        "parameters": memory.tensor_bytes(module.parameters()),
        "gradients": memory.tensor_bytes(p.grad for p in module.parameters()),
        "optimizer": memory.optimizer_bytes(optimizer),
        "activations": activations,
        "activations_per_sample": (activations - half_activations) / max(1, len(batch.targets) - half),
        "peak": peak,
    }


def _latency_and_energy(session: "Session") -> dict[str, Any]:
    """Latency in seconds and energy in joules, from decoded inputs in host memory to logits in host memory."""
    import torch

    from leyden.profiling import energy, latency

    module, device = session.module, session.device
    result: dict[str, Any] = {}
    with standalone.preserved_state(module), torch.inference_mode(), session.forward_context():
        for size in BATCHES:
            batch = median_length_batch(session.data, size)

            def call(batch: Any = batch) -> None:
                standalone.forward(module, batch.to(device)).cpu()

            result[str(size)] = asdict(latency.measure(call, device))
        meter, reason = energy.meter(device)
        if meter is None:
            return {"latency": result, "energy": {"joules_per_1000": None, "reason": reason}}
        meter.start()
        spent = latency.measure(call, device)
        joules = meter.joules()
    samples = (spent.calls + latency.WARM_UP) * BATCHES[-1]
    return {
        "latency": result,
        "energy": {"joules_per_1000": 1000 * joules / samples, "source": meter.source},
    }
