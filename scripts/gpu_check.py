"""What Leyden does on a GPU, checked and measured in minutes: scripts/gpu_check [--part train,resume] [--out FILE].

    scripts/gpu_check --data-root data --out gpu.json    # all parts; MNIST, SMS Spam and FSDD lie in data/
    scripts/gpu_check --part speed                       # without --data-root on generated sets

train      experiments of each modality and task, on the GPU and on the processor: test metrics, peak memory, seconds
resume     deterministic runs that are killed and resumed, bit for bit; `leyden check resume`
doctor     planted NaN, far too high rates, replay; how often the host waits for the device in a step
speed      training samples/s over a bare loop with the same net and all data on the device, and over the processor
commands   evaluate, also on the other device, predict, profile, find, check model
precision  bf16-mixed and 16-mixed against 32-true
tests      the tests marked gpu

Each part is a process of its own: if one fails or hangs, the others go on, and the exit status is 1. With --device cpu
the same runs in a reduced form on the processor, to test the script itself.
"""

import argparse
import contextlib
import io
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "helpers")]

QUIET = ("logger=none",)
NO_GPU = "skipped: no GPU"


class Row(NamedTuple):
    """A line of the table. ok: None where something is measured and not judged."""

    what: str
    expected: str
    seen: str
    ok: bool | None = None


class Given(NamedTuple):
    """What was asked for. device: gpu or cpu, as an option of group `trainer`."""

    device: str
    data_root: str

    @property
    def on_gpu(self) -> bool:
        """Whether there is anything of a GPU to check."""
        return self.device == "gpu"


Part = Callable[[Given], Iterator[Row]]


# --- the driver: one process for each part ---


def main() -> int:
    """Run the parts, print the table, write the file; exit status 1 if anything is not as expected."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", default=",".join(PARTS), help="names, separated by commas (default: all)")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--data-root", default="", help="folder of the real sets")
    parser.add_argument("--out", type=Path, help="write the table to this file, as JSON")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for each part (120)")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    names = given.part.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"--part: {unknown[0]} is none of {', '.join(PARTS)}")
    root = str(Path(given.data_root).absolute()) if given.data_root else ""
    if given.inside:
        run_part(PARTS[names[0]], Given(given.device, root), given.inside)
        return 0
    table: list[dict[str, Any]] = []
    for name in names:
        began = time.monotonic()
        command = [*("--part", name, "--device", given.device, "--data-root", root)]
        rows, log = supervised(command, given.limit)
        rows.append(Row("seconds", "", f"{time.monotonic() - began:.1f}"))
        table += [{"part": name, **row._asdict()} for row in rows]
        for row in rows:
            print(line(name, row), flush=True)
        if any(row.ok is False for row in rows):
            print(*log.splitlines()[-30:], sep="\n", file=sys.stderr, flush=True)
        if given.out:
            with given.out.with_suffix(".log").open("a") as file:
                file.write(f"=== {name} ===\n{log}\n")
            given.out.write_text(json.dumps(table, indent=1) + "\n")
    bad = [f"{row['part']}: {row['what']}" for row in table if row["ok"] is False]
    print(f"\n{len(bad)} of {sum(row['ok'] is not None for row in table)} not as expected", *bad, sep="\n  ")
    return int(bool(bad))


def line(part: str, row: Row) -> str:
    """A line of the table."""
    mark = {True: "ok  ", False: "BAD ", None: "    "}[row.ok]
    wanted = f" (expected: {row.expected})" if row.expected else ""
    return f"{mark} {part:<10} {row.what:<42} {row.seen}{wanted}"


def supervised(command: list[str], limit: float) -> tuple[list[Row], str]:
    """The rows of a part, with one more if it ends with an error or not in time; and what it printed."""
    with tempfile.TemporaryDirectory(prefix="leyden-gpu-") as scratch:
        found, log = Path(scratch) / "rows.jsonl", Path(scratch) / "log"
        found.touch()
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, __file__, *command, "--inside", str(found)],
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=scratch,
            )
        try:
            failed = f"exit status {status}" if (status := process.wait(limit)) else ""
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            failed = f"not done after {limit:g} s"
        rows = [Row(*json.loads(text)) for text in found.read_text().splitlines()]
        if failed:
            rows.append(Row("the part itself", "no error", failed, False))
        return rows, log.read_text(errors="replace")


def run_part(part: Part, given: Given, found: Path) -> None:
    """In a part's process: write each row as soon as it is known."""
    import os

    os.environ["LEYDEN_CACHE"] = str(found.parent / "cache")
    os.environ["XDG_STATE_HOME"] = str(found.parent / "state")
    from leyden.utils.runtime import load_torch

    load_torch()
    with found.open("a") as file:
        for row in part(given):
            file.write(json.dumps(row) + "\n")
            file.flush()


# --- shared by the parts ---


def guarded(name: str, check: Callable[..., Iterable[Row]], *arguments: Any) -> Iterator[Row]:
    """The rows of one check of a part; if it fails, the next ones go on."""
    try:
        yield from check(*arguments)
    except Exception as error:  # whatever a device gives
        print(f"{name}: {traceback.format_exc()}", flush=True)
        yield Row(name, "no error", f"{type(error).__name__}: {str(error)[:300]}", False)


def fit(words: list[str], name: str) -> Any:
    """Train in a folder of runs called `name`: the outcome."""
    from leyden.training.job import train

    outcome = train([*words, *QUIET, f"runs={name}"])
    if outcome.status == "failed" and (error := outcome.folder / "error.txt").exists():
        print(error.read_text(), flush=True)
    return outcome


def value(outcome: Any, name: str) -> float:
    """A metric on the test split; NaN where the run did not end."""
    metrics = (outcome.result or {}).get("metrics") or {}
    return float(metrics["test"]["values"][name]["value"]) if "test" in metrics else float("nan")


def leyden(*words: str) -> tuple[int, str]:
    """`leyden WORDS` in this process: its exit status, and what it prints to its standard output."""
    from leyden.cli.main import main as command

    print("$ leyden", *words, flush=True)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = command(list(words))
    print(out.getvalue(), flush=True)
    return status, out.getvalue()


def peak() -> str:
    """The largest memory of tensors on the GPU since `reset_peak`."""
    import torch

    return f"{torch.cuda.max_memory_allocated() / 1e6:,.0f} MB"


def reset_peak(given: Given) -> None:
    """Start the count of `peak`."""
    import torch

    if given.on_gpu:
        torch.cuda.reset_peak_memory_stats()


@contextlib.contextmanager
def around_epochs(begin: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
    """Call `begin` before the first training batch of each epoch, and `end` after the last."""
    from leyden.callbacks.metrics_csv import MetricsCSV

    hooks: Any = MetricsCSV
    start, stop = hooks.on_train_epoch_start, hooks.on_train_batch_end

    def started(self: Any, trainer: Any, module: Any) -> None:
        start(self, trainer, module)
        begin()

    def stopped(self: Any, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        stop(self, trainer, module, outputs, batch, batch_idx)
        if batch_idx + 1 == trainer.num_training_batches:
            end()

    hooks.on_train_epoch_start, hooks.on_train_batch_end = started, stopped
    try:
        yield
    finally:
        hooks.on_train_epoch_start, hooks.on_train_batch_end = start, stop


# --- train, precision ---


HALF_TOLERANCE = 0.05  # of a metric between 0 and 1


class Case(NamedTuple):
    """An experiment, the metric that is compared, and by how much the devices' may differ after so short a training."""

    name: str
    words: list[str]
    metric: str
    tolerance: float


def cases(given: Given) -> list[Case]:
    """Of each modality and task: on real sets where there are some."""
    from brightness import REGRESSION

    few = [f"trainer.limit_train_batches={100 if given.on_gpu else 3}", "trainer.max_epochs=2"]
    root = [f"data_root={given.data_root}", *few]
    angles = ["data.source.samples=10000", "data.source.test_samples=2000"]
    tags = Case("multilabel", ["experiment=planted_tags", *few], "average_precision", 0.1)
    if not given.data_root:
        return [
            Case("image", ["experiment=planted_images", *few], "accuracy", 0.05),
            Case("text", ["experiment=planted_text", *few], "accuracy", 0.1),
            Case("audio", ["experiment=planted_audio", *few], "accuracy", 0.1),
            tags,
            Case("regression", [*REGRESSION, "model=cnn", *few], "r2", 0.1),
        ]
    return [
        Case("image", ["experiment=mnist_cnn", *root], "accuracy", 0.02),
        Case("text", ["experiment=sms_spam", *root], "mcc", 0.1),
        Case("audio", ["experiment=fsdd", *root], "accuracy", 0.1),
        tags,
        Case("regression", ["experiment=mnist_angle", *angles, *root], "r2", 0.05),
    ]


def train(given: Given) -> Iterator[Row]:
    """Each case on both devices."""
    for case in cases(given):
        yield from guarded(case.name, both_devices, case, given)


def both_devices(case: Case, given: Given) -> Iterator[Row]:
    """A case on the device and on the processor."""
    fit([*case.words, "trainer=cpu", "trainer.limit_train_batches=1"], "cache")  # decodes the data
    reset_peak(given)
    began = time.monotonic()
    mine = fit([*case.words, f"trainer={given.device}"], "device")
    middle, memory = time.monotonic(), peak() if given.on_gpu else NO_GPU
    other = fit([*case.words, "trainer=cpu"], "processor")
    took = f"{middle - began:.1f} s, processor {time.monotonic() - middle:.1f} s, peak {memory}"
    yield Row(
        f"{case.name}: status", "complete", f"{mine.status} {mine.message}".strip(), mine.status == "complete"
    )
    seen, want = value(mine, case.metric), value(other, case.metric)
    near = abs(seen - want) <= case.tolerance
    yield Row(f"{case.name}: {case.metric}", f"{want:.4f} +- {case.tolerance}", f"{seen:.4f}, {took}", near)


def precision(given: Given) -> Iterator[Row]:
    """The first case in half precision."""
    case = cases(given)[0]
    reset_peak(given)
    full = value(fit([*case.words, f"trainer={given.device}"], "32-true"), case.metric)
    yield Row("32-true", "", f"{full:.4f}, peak {peak() if given.on_gpu else NO_GPU}", math.isfinite(full))
    yield from guarded("bf16-mixed", in_half, case, given, "bf16-mixed", full)
    if given.on_gpu:
        yield from guarded("16-mixed", in_half, case, given, "16-mixed", full)
    else:
        yield Row("16-mixed", "", NO_GPU)


def in_half(case: Case, given: Given, name: str, full: float) -> Iterator[Row]:
    """A case in half precision. full: its metric in float32."""
    reset_peak(given)
    outcome = fit([*case.words, f"trainer={given.device}", f"trainer.precision={name}"], name)
    half, memory = value(outcome, case.metric), peak() if given.on_gpu else NO_GPU
    near = abs(half - full) <= HALF_TOLERANCE
    yield Row(name, f"{full:.4f} +- {HALF_TOLERANCE}", f"{outcome.status}, {half:.4f}, peak {memory}", near)


# --- resume ---


def resume(given: Given) -> Iterator[Row]:
    """Killed and resumed runs of each modality, at the same time; then the command."""
    from torture_resume import MODALITIES

    from leyden.training.resume_check import fault_injection

    fault_injection.fork_server([fault_injection.__name__])  # before the threads: one for all
    with ThreadPoolExecutor() as pool:
        for rows in pool.map(lambda n: list(guarded(n, killed, n, MODALITIES[n], given)), MODALITIES):
            yield from rows
    words = ["data=digits", "model=cnn", f"trainer={given.device}", "trainer.deterministic=true"]
    yield from guarded("check resume", command, "check", "resume", *words, "--kills", "2")


def killed(name: str, words: list[str], given: Given) -> Iterator[Row]:
    """A run that is killed three times ends as one that is not."""
    from leyden.training.resume_check import compare_runs, fault_injection

    log = Path(f"{name}.log")
    common = [
        f"trainer={given.device}",
        "trainer.deterministic=true",
        "trainer.max_epochs=2",
        "batch_size=16",
    ]
    words = [*words, *common, "threads=1", "logger=tensorboard"]
    broken = [*words, f"runs={name}-broken", "checkpoint_steps=2"]
    kills = [fault_injection.Kill(*kill) for kill in (("step", 3), ("saving", 6), ("validation", 8))]
    ends = [fault_injection.train([*words, f"runs={name}-whole"], log)]
    ends += [fault_injection.train(broken, log, kill) for kill in (*kills, None)]
    if ends != (expected := [0, *[fault_injection.KILLED] * len(kills), 0]):
        print(log.read_text(), flush=True)
        yield Row(f"{name}: exit statuses", str(expected), f"{ends}: {last_line(log.read_text())}", False)
        return
    whole, resumed = (next(Path(f"{name}-{kind}").glob("*/*/result.json")) for kind in ("whole", "broken"))
    parts = compare_runs.compare(whole.parent, resumed.parent)
    differences = [f"{part.name}: {part.difference}" for part in parts if part.difference]
    seen = differences[0] if differences else f"{sum(part.values for part in parts):,} values identical"
    yield Row(f"{name}: {len(kills)} times killed, resumed", "identical", seen, not differences)


def command(*words: str) -> Iterator[Row]:
    """A command that must succeed."""
    status, out = leyden(*words)
    yield Row(f"leyden {' '.join(words[:2])}", "exit status 0", f"{status}: {last_line(out)}", status == 0)


def last_line(text: str) -> str:
    """The last line that says something."""
    return next((found.strip()[:160] for found in reversed(text.splitlines()) if found.strip()), "")


# --- doctor ---


WAITS = {
    "digits, cnn": ["data=digits", "model=cnn", "trainer.max_epochs=4"],
    "images, crop_flip": ["experiment=planted_images", "augment=crop_flip", "trainer.max_epochs=2"],
    "text, lstm": ["experiment=planted_text", "trainer.max_epochs=2"],
    "audio, spec_augment": ["experiment=planted_audio", "augment=spec_augment", "trainer.max_epochs=2"],
    "digits, 16-mixed": ["data=digits", "model=cnn", "trainer.max_epochs=4", "trainer.precision=16-mixed"],
}


def doctor(given: Given) -> Iterator[Row]:
    """Trainings that go wrong, and how often the host waits in one that does not."""
    from planting import NETS

    rate = ["data=digits", "model=mlp", "optimizer=sgd", f"trainer={given.device}"]
    yield from guarded("rate 1e30", gone_wrong, "rate 1e30", [*rate, "optimizer.lr=1e30"], 1)
    for name, net in NETS.items():
        yield from guarded(f"NaN in {name}", planted_nan, name, net, given)
    if not given.on_gpu:
        yield Row("float16 overflow; waits for the device", "", NO_GPU)
        return
    half = [*rate, "optimizer.lr=1e5", "trainer.precision=16-mixed"]
    yield from guarded("1e5 in 16-mixed", gone_wrong, "1e5 in 16-mixed", half, None)
    for name, words in WAITS.items():
        yield from guarded(f"waits: {name}", waits, name, [*words, "trainer=gpu"])


def gone_wrong(name: str, words: list[str], step: int | None) -> Iterator[Row]:
    """A run that fails: its finding, its folder, its replay. step: of the finding; None: any."""
    outcome = fit(words, name.replace(" ", "-"))
    yield from findings(name, outcome, step, "")
    status, out = leyden("replay", str(outcome.folder))
    located = status == 0 and "it is finite" not in " ".join(out.split())
    yield Row(f"{name}: leyden replay", "the operation", f"{status}: {' '.join(out.split())[:200]}", located)


def findings(name: str, outcome: Any, step: int | None, where: str) -> Iterator[Row]:
    """The first finding of a failed run, and its snapshot."""
    errors = [found for found in outcome.result["doctor"] if found["level"] == "error"]
    first: dict[str, Any] = errors[0] if errors else {"id": "none", "step": None, "where": ""}
    good = first["id"] == "non_finite" and step in (None, first["step"]) and first["where"].endswith(where)
    wanted = f"non_finite{'' if step is None else f' at step {step}'} {where}"
    yield Row(f"{name}: finding", wanted, f"{first['id']} at step {first['step']}, {first['where']}", good)
    stored = sorted(path.name for path in (outcome.folder / "bad_step").glob("*"))
    yield Row(f"{name}: bad_step/", "rank0.pt", " ".join(stored), "rank0.pt" in stored)


def planted_nan(name: str, net: list[str], given: Given) -> Iterator[Row]:
    """A NaN of one module for one sample, in the twentieth step."""
    from leyden.training.job import attempt
    from planting import modules_of, planted

    words = [*net, "data.source.samples=600", f"trainer={given.device}", "trainer.max_epochs=2"]
    words += ["batch_size=16", *QUIET, f"runs=planted-{name}"]
    module = modules_of(words)[2]
    outcome = attempt(planted(words, [20], module), ["leyden", "train"])
    yield from findings(f"NaN in {name}", outcome, 20, module)


def waits(name: str, words: list[str]) -> Iterator[Row]:
    """How often the host waits for the device in a training step; a gradient scaler waits once a step."""
    each, seen = waits_a_step(words, name.replace(" ", "-"))
    most = 1.25 if "16-mixed" in name else 0.25
    yield Row(f"waits a step: {name}", f"at most {most}", seen, each <= most)


def waits_a_step(words: list[str], folder: str) -> tuple[float, str]:
    """How often the host waits for the device in a training step; that in words, with the places."""
    import torch

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with around_epochs(
            lambda: torch.cuda.set_sync_debug_mode("warn"), lambda: torch.cuda.set_sync_debug_mode("default")
        ):
            outcome = fit(words, folder)
    places = Counter(
        f"{Path(w.filename).name}:{w.lineno}" for w in heard if "called a synchronizing" in str(w.message)
    )
    steps = outcome.result["cost"]["steps"]
    often = ", ".join(f"{place} {count}" for place, count in places.most_common(4))
    each = places.total() / steps
    return each, f"{each:.3f} of {steps} steps: {often}"


# --- commands ---


def commands(given: Given) -> Iterator[Row]:
    """The commands that run a model, and runs of one device on the other."""
    digits = ["data=digits", "model=cnn"]
    for trained in dict.fromkeys((given.device, "cpu")):
        yield from guarded(f"runs of {trained}", evaluated, trained, [*digits, f"trainer={trained}"], given)
    words = [*digits, f"trainer={given.device}"]
    yield from guarded("profile", profiled, words, given)
    for verb in (("find", "batch_size"), ("find", "lr"), ("check", "model")):
        yield from guarded(" ".join(verb), command, *verb, *words)
    lstm = ["data=planted_text", "model=lstm", f"trainer={given.device}"]
    yield from guarded("check model, lstm", command, "check", "model", *lstm)


def evaluated(trained: str, words: list[str], given: Given) -> Iterator[Row]:
    """A run that was trained on one device: its test metric on each, its predictions of ten digits."""
    from PIL import Image
    from sklearn.datasets import load_digits

    run = fit([*words, "trainer.max_epochs=3"], f"on-{trained}")
    want, folder = value(run, "accuracy"), str(run.folder)
    for device in dict.fromkeys((given.device, "cpu")):
        status, out = leyden("evaluate", folder, f"trainer.accelerator={device}", "--json")
        seen = json.loads(out)["test"]["values"]["accuracy"]["value"] if status == 0 else math.nan
        near = abs(seen - want) <= 0.003
        yield Row(f"evaluate on {device}, trained on {trained}", f"{want:.4f} +- 0.003", f"{seen:.4f}", near)
    for number, image in enumerate(load_digits().images[:10]):
        Image.fromarray((image * 255 / 16).astype("uint8")).save(f"{number}.png")
    status, out = leyden("predict", folder, *(f"{number}.png" for number in range(10)), "--format", "json")
    right = sum(found["classes"] == [str(n)] for n, found in enumerate(json.loads(out))) if status == 0 else 0
    yield Row(f"predict, trained on {trained}", "8 of 10 right or more", f"{right} of 10", right >= 8)


def profiled(words: list[str], given: Given) -> Iterator[Row]:
    """`leyden profile`: what it measures on the device."""
    status, out = leyden("profile", *words, "--json")
    if status != 0:
        yield Row("profile", "exit status 0", last_line(out), False)
        return
    found = json.loads(out)
    times = ", ".join(f"batch {size}: {1e3 * each['p50']:.3f} ms" for size, each in found["latency"].items())
    yield Row("profile: latency", "", f"{found['device']}, {times}")
    if not given.on_gpu:
        yield Row("profile: peak memory, energy", "", NO_GPU)
        return
    memory, energy = found["memory"], found["energy"]
    counted = sum(memory[name] for name in ("parameters", "gradients", "optimizer"))
    yield Row("profile: peak", f"above {counted:,} bytes", f"{memory['peak']:,}", memory["peak"] > counted)
    joules = energy["joules_per_1000"]
    seen = energy.get("reason") or f"{joules:.3f} J for 1,000 samples ({energy['source']})"
    yield Row("profile: energy", "above 0", seen, joules is not None and joules > 0)


# --- speed ---

EPOCHS, ROUNDS = 3, 3  # the first epoch warms up
PICTURES = 4_000  # in each of six files


def speed(given: Given) -> Iterator[Row]:
    """ResNet-32 on pictures of noise of CIFAR's shape."""
    random_cifar(Path("noise"), PICTURES if given.on_gpu else 60)
    settings = (
        [(128, "32-true"), (128, "bf16-mixed"), (1024, "bf16-mixed")] if given.on_gpu else [(32, "32-true")]
    )
    for size, half in settings:
        yield from guarded(f"batch {size}, {half}", over_bare, size, half, given)
    if given.on_gpu:
        yield from guarded("other rates", other_rates)


def over_bare(size: int, half: str, given: Given) -> Iterator[Row]:
    """Leyden's rate over that of a bare loop: medians of rounds in which both take turns."""
    steps = min(40, 4 * PICTURES // size) if given.on_gpu else 2
    words = speed_words(size, half, given.device, steps)
    pairs = []
    for _ in range(ROUNDS):
        mine = leyden_rate(words, size * steps, given.on_gpu)
        pairs.append((mine, bare_rate(words, size, steps, given.on_gpu)))
    ratios = [mine / bare for mine, bare in pairs]
    mine, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    spread = f"({min(ratios):.2f} - {max(ratios):.2f})"
    seen = f"{mine:,.0f} / {bare:,.0f} samples/s = {mine / bare:.2f} {spread}"
    yield Row(f"resnet32, batch {size}, {half}: over bare", "", seen)


def other_rates() -> Iterator[Row]:
    """With augmentation, and on the processor."""
    augmented = speed_words(128, "32-true", "gpu", 40, "crop_flip")
    yield Row("batch 128, 32-true, crop_flip", "", f"{leyden_rate(augmented, 128 * 40, True):,.0f} samples/s")
    slow = leyden_rate(speed_words(128, "32-true", "cpu", 6), 128 * 6, False)
    yield Row("batch 128, 32-true, processor", "", f"{slow:,.0f} samples/s")


def speed_words(size: int, half: str, device: str, steps: int, augment: str = "none") -> list[str]:
    """The configuration that is timed."""
    short = [f"trainer.max_epochs={EPOCHS}", f"trainer.limit_train_batches={steps}", "data_root=noise"]
    less = ["trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "scheduler=constant"]
    words = [f"augment={augment}", "experiment=cifar10_resnet32", *short, *less]
    return [*words, f"batch_size={size}", f"trainer={device}", f"trainer.precision={half}"]


def random_cifar(root: Path, samples: int) -> None:
    """CIFAR-10's files, each of so many pictures of noise."""
    import pickle

    import numpy as np

    rng, folder = np.random.default_rng(0), root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        content = {
            b"data": rng.integers(0, 256, (samples, 3072), np.uint8),
            b"labels": [i % 10 for i in range(samples)],
        }
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))


def leyden_rate(words: list[str], samples: int, on_gpu: bool) -> float:
    """Samples per second of the training steps of `leyden train`; samples: of an epoch."""
    import torch

    times: list[float] = []
    wait = torch.cuda.synchronize if on_gpu else lambda: None

    def begin() -> None:
        wait()
        times.append(-time.perf_counter())

    def end() -> None:
        wait()
        times[-1] += time.perf_counter()

    with around_epochs(begin, end):
        outcome = fit([*words, "force=true"], "speed")
    if outcome.status != "complete":
        raise RuntimeError(outcome.message)
    return samples / statistics.median(times[1:])


def bare_rate(words: list[str], size: int, steps: int, on_gpu: bool) -> float:
    """Samples per second of a loop over the same net, all pictures prepared and on the device."""
    import torch

    from leyden.config.compose import compose
    from leyden.config.validate import check
    from leyden.modules.standalone import fit_frontend, optimizer_of
    from leyden.training import build

    made = build.experiment(check(compose(words)))
    device = torch.device("cuda" if on_gpu else "cpu")
    module: Any = made.module().to(device)
    fit_frontend(module, made.data)
    rows, data = torch.from_numpy(made.data.splits.train), made.data
    with torch.no_grad():
        images = module.frontend(data.inputs.gather(rows).map(lambda x: x.to(device))).values
    labels = torch.from_numpy(data.table.index.targets)[rows].to(device)
    net, optimizer, loss_of = module.net.train(), optimizer_of(module), torch.nn.CrossEntropyLoss()
    half = any("bf16" in word for word in words)
    times = []
    for _ in range(EPOCHS):
        order = torch.randperm(len(labels), device=device)
        if on_gpu:
            torch.cuda.synchronize()
        began = time.perf_counter()
        for k in range(steps):
            chosen = order[k * size : (k + 1) * size]
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                loss = loss_of(net(images[chosen]), labels[chosen])
            loss.backward()
            optimizer.step()
        if on_gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return size * steps / statistics.median(times[1:])


# --- tests ---


def tests(given: Given) -> Iterator[Row]:
    """The tests marked gpu, from the files that have one."""
    files = sorted(
        str(path) for path in (ROOT / "tests").rglob("test_*.py") if "pytest.mark.gpu" in path.read_text()
    )
    options = ["-m", "gpu", "-W", "default", "-p", "no:cacheprovider", "-rs"]
    command = [sys.executable, "-m", "pytest", *options, *files]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    seen = last_line(done.stdout)
    passed = done.returncode == 0 and (not given.on_gpu or ("passed" in seen and "skipped" not in seen))
    yield Row("pytest -m gpu", "all pass", seen if given.on_gpu else NO_GPU, passed)


PARTS: dict[str, Part] = {
    part.__name__: part for part in (train, resume, doctor, speed, commands, precision, tests)
}


if __name__ == "__main__":
    sys.exit(main())
