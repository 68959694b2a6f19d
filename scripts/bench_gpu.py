"""Leyden's speed on a GPU, from `scripts/bench_gpu`; ten minutes in all.

scripts/bench_gpu --data-root data --out gpu_speed.json    # CIFAR-10-JPEG lies in data/

resnet18   a compiled ResNet-18 in bfloat16, images on the device: training samples/s over a bare compiled loop with the
           same net and augmentation, the share of the time in which the GPU computes, how often the host waits for it
speed      experiment=cifar10_speed as it is, then with other seeds while there is time: test accuracy and seconds

What a part has found is written to the file at once, and what stands there is not measured again: after an interruption
the same command goes on. With --device cpu the same runs in a reduced form on the processor, to test the script itself.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gpu_check

ROUNDS, EPOCHS, STEPS = 5, 4, 60  # epochs of a round, of which the first compiles the net
SEEDS = (1, 2, 3)


class Given(NamedTuple):
    """What was asked for. device: gpu or cpu; words: the configuration; limit: seconds for the runs of `speed`."""

    device: str
    words: list[str]
    limit: float

    @property
    def on_gpu(self) -> bool:
        """Whether there is a GPU to measure."""
        return self.device == "gpu"


Found = dict[str, str]


def main() -> None:
    """Measure what the file lacks, and print the table."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench_gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", default=",".join(PARTS), help="names, separated by commas (default: all)")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--data-root", type=Path, default=Path("data"), help="folder with cifar10-jpg.tar.gz")
    parser.add_argument("--out", type=Path, default=Path("gpu_speed.json"), help="the table, as JSON")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for the runs of speed (300)")
    given = parser.parse_args()
    if unknown := [name for name in given.part.split(",") if name not in PARTS]:
        parser.error(f"--part: {unknown[0]} is none of {', '.join(PARTS)}")
    if not (given.data_root / "cifar10-jpg.tar.gz").exists():
        parser.error(f"--data-root: there is no cifar10-jpg.tar.gz in {given.data_root}")
    words = [
        *("experiment=cifar10_speed", f"data_root={given.data_root.absolute()}", f"trainer={given.device}"),
        *(() if given.device == "gpu" else ("compute.compile=false", "batch_size=8")),
    ]
    out, table = given.out.absolute(), read(given.out)
    chosen = Given(given.device, words, given.limit)
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as scratch:
        os.chdir(scratch)
        for part in given.part.split(","):
            for what, seen in PARTS[part](chosen, table):
                table[what] = seen
                print(f"{what:<44} {seen}", flush=True)
                out.write_text(json.dumps(table, indent=1) + "\n")


def read(path: Path) -> Found:
    """What earlier calls have found."""
    found: Found = json.loads(path.read_text()) if path.exists() else {}
    for what, seen in found.items():
        print(f"{what:<44} {seen}    (from {path})")
    return found


# --- resnet18 ---


def resnet18(given: Given, table: Found) -> Iterator[tuple[str, str]]:
    """Over a bare loop; how busy the GPU is; waits. Each is left out where the table has it."""
    from leyden.config.compose import compose

    size = int(compose(given.words)["batch_size"])
    steps = STEPS if given.on_gpu else 2
    short = [f"trainer.max_epochs={EPOCHS}", f"trainer.limit_train_batches={steps}", "scheduler=constant"]
    words = [*given.words, *short, "trainer.limit_val_batches=1", "trainer.limit_test_batches=1"]
    if (what := "ResNet-18: samples/s over a bare loop") not in table:
        yield what, over_bare(words, size, steps, given)
    if not given.on_gpu:
        return
    if (what := "ResNet-18: GPU busy") not in table:
        yield what, busy(words)
    if (what := "ResNet-18: waits for the GPU a step") not in table:
        yield what, gpu_check.waits_a_step([*words, "force=true"], "waits")[1]


def over_bare(words: list[str], size: int, steps: int, given: Given) -> str:
    """Leyden and the loop take turns."""
    pairs = []
    for _ in range(ROUNDS if given.on_gpu else 1):
        mine = gpu_check.leyden_rate(words, size * steps, given.on_gpu)
        pairs.append((mine, bare_rate(words, size, steps, given.on_gpu)))
    ratios = [mine / bare for mine, bare in pairs]
    mine, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    middle = statistics.median(ratios)
    return f"{mine:,.0f} / {bare:,.0f} = {middle:.3f} ({min(ratios):.3f} - {max(ratios):.3f})"


def bare_rate(words: list[str], size: int, steps: int, on_gpu: bool) -> float:
    """Samples per second of a loop over the same compiled net, images on the device, the same augmentation."""
    import torch

    from leyden.config.compose import compose
    from leyden.config.validate import check
    from leyden.data.batch import Batch, Input
    from leyden.modules.standalone import fit_frontend, optimizer_of
    from leyden.training import build

    config = check(compose(words))
    made = build.experiment(config)
    device = torch.device("cuda" if on_gpu else "cpu")
    module: Any = made.module()
    fit_frontend(module, made.data)
    module.to(device).train()
    net = torch.compile(module.net) if config.compute.compile else module.net
    rows = torch.from_numpy(made.data.splits.train)
    images = made.data.inputs.gather(rows).values.to(device)
    labels = torch.from_numpy(made.data.table.index.targets)[rows].to(device)
    optimizer, wait = optimizer_of(module), torch.cuda.synchronize if on_gpu else lambda: None
    times = []
    for epoch in range(EPOCHS):
        order = torch.randperm(len(labels), device=device)
        places = torch.arange(len(labels), device=device)
        wait()
        began = time.perf_counter()
        for k in range(steps):
            span = slice(k * size, (k + 1) * size)
            chosen = order[span]
            batch = Batch({"image": Input(images[chosen])}, labels[chosen], chosen, places[span], epoch)
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16):
                batch = module.prepare(batch)
                loss = module.losses(net(batch.input.values), batch).mean()
            loss.backward()
            optimizer.step()
        wait()
        times.append(time.perf_counter() - began)
    return size * steps / statistics.median(times[1:])


def busy(words: list[str]) -> str:
    """The share of an epoch's time in which the GPU runs a kernel, by torch's profiler."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    epochs: list[tuple[Any, float]] = []

    def begin() -> None:
        torch.cuda.synchronize()
        profiler = profile(activities=[ProfilerActivity.CUDA])
        profiler.start()
        epochs.append((profiler, time.perf_counter()))

    def end() -> None:
        torch.cuda.synchronize()
        profiler, began = epochs.pop()
        seconds = time.perf_counter() - began
        profiler.stop()
        computing = sum(event.self_device_time_total for event in profiler.key_averages()) / 1e6
        shares.append(computing / seconds)

    shares: list[float] = []
    with gpu_check.around_epochs(begin, end):
        gpu_check.fit([*words, "force=true"], "busy")
    return f"{statistics.median(shares[1:]):.3f} of the time ({min(shares[1:]):.3f} - {max(shares[1:]):.3f})"


# --- speed ---


def speed(given: Given, table: Found) -> Iterator[tuple[str, str]]:
    """The experiment with each seed, while there is time for one more."""
    began, longest = time.monotonic(), 0.0
    few = [] if given.on_gpu else ["trainer.max_epochs=1", "trainer.limit_train_batches=2"]
    for seed in SEEDS if given.on_gpu else SEEDS[:1]:
        what, start = f"cifar10_speed, seed {seed}", time.monotonic()
        if what in table:
            continue
        if start + longest > began + given.limit:
            return
        outcome = gpu_check.fit([*given.words, f"seed={seed}", *few], "speed")
        longest = max(longest, time.monotonic() - start)
        cost = outcome.result["cost"]
        rate = f"{cost['seconds']:.1f} s of training, {time.monotonic() - start:.1f} s in all"
        yield what, f"{outcome.status}, test accuracy {gpu_check.value(outcome, 'accuracy'):.4f}, {rate}"


PARTS: dict[str, Callable[[Given, Found], Iterator[tuple[str, str]]]] = {
    part.__name__: part for part in (resnet18, speed)
}


if __name__ == "__main__":
    main()
