"""Evaluation of the health monitor: planted faults that must be found, healthy runs without false alarms.

    scripts/torture_health                         # everything on generated data and digits
    scripts/torture_health --data-root data        # healthy runs of the real sets, too
    scripts/torture_health --only faults --name text-exploding

faults: each must give exactly its own error-level finding, at its place, and no other error.
plants: a NaN in a random module, for a sample of a random batch: batch and module must be named.
healthy: shipped experiments, several seeds: no error-level finding, at most one warning.
recovery: a poisoned batch every 200 steps under health=guard, a burst of 5 under health=recover: test accuracy within
    a point of the run without them.
"""

import argparse
import contextlib
import io
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
TESTS = Path(__file__).resolve().parents[1] / "tests" / "helpers"
sys.path.insert(0, str(TESTS))

from leyden.config.compose import compose  # noqa: E402
from leyden.config.validate import check_data  # noqa: E402
from leyden.health.data.checks import find_problems  # noqa: E402
from leyden.training import build  # noqa: E402
from leyden.training.job import attempt  # noqa: E402
from planting import NETS, modules_of, planted, prepared  # noqa: E402

QUICK = ("trainer=cpu", "threads=1", "logger=none", "batch_size=32")
DATA = {"image": "planted_images", "text": "planted_text", "audio": "planted_audio"}
ALTERED = {"image": "AlteredImages", "text": "AlteredText", "audio": "AlteredAudio"}


class Fault(NamedTuple):
    """What is wrong, and the finding that it must give."""

    name: str
    modality: str
    expected: tuple[str, ...]  # ids, one of which
    where: str = ""  # part of the finding's place
    words: tuple[str, ...] = ()
    nodes: tuple[
        tuple[str, Any], ...
    ] = ()  # of the configuration, by path: replaced, or wrapped where "inner" stands
    data: bool = False  # found by `leyden check data`


INNER = "inner"


def wrapped(target: str, inner: str, **more: Any) -> dict[str, Any]:
    """A node around what the configuration has there."""
    return {"_target_": f"faults.{target}", inner: INNER, **more}


def altered(modality: str, **more: Any) -> tuple[tuple[str, Any], ...]:
    """The source of a modality, with something wrong."""
    return (("data.source", wrapped(ALTERED[modality], "source", **more)),)


FAULTS = [
    Fault("image-log-of-zero", "image", ("non_finite",), "loss",
          nodes=(("loss", {"_target_": "faults.LogOfZero"}),)),
    Fault("image-huge-rate", "image", ("diverged", "non_finite"),
          words=("optimizer=sgd", "optimizer.lr=1e6")),
    Fault("image-half", "image", ("non_finite",), "net.net.body.1",
          nodes=(("model.net", wrapped("Half", "net", module="body.1.0")),)),
    Fault("image-dead", "image", ("dead_units",), "net.net.body.2", words=("model=mlp", "model.net.hidden=[64,64]"),
          nodes=(("model.net", wrapped("Shifted", "net", parameter="body.1.bias")),)),
    Fault("image-frozen", "image", ("frozen",), nodes=(("optimizer", {"_target_": "faults.Frozen"}),)),
    Fault("image-zero-rate", "image", ("zero_learning_rate",), words=("optimizer=sgd", "optimizer.lr=0.0")),
    Fault("image-wrong-labels", "image", ("label_noise",), "train",
          words=("data.source.samples=3000", "trainer.max_epochs=4"), nodes=altered("image", wrong_labels=0.1)),
    Fault("image-leaked", "image", ("split_leak",), nodes=altered("image", leaked=0.1), data=True),
    Fault("image-constant", "image", ("constant_input",), nodes=altered("image", constant=0.3), data=True),
    Fault("image-swapped-labels", "image", ("validation_mismatch",), "val",
          nodes=altered("image", rotated=True)),
    Fault("image-inverted-validation", "image", ("distribution_shift",), words=("data=digits",),
          nodes=altered("image", inverted=True), data=True),
    Fault("image-one-class", "image", ("collapsed",), "pattern 0",
          nodes=(("loss", {"_target_": "faults.OneClass"}),)),
    Fault("image-nan-weights", "image", ("non_finite",), "net.body.0.0.weight",
          nodes=(("callbacks", {"spoil": {"_target_": "faults.SpoilWeights", "step": 9}}),)),
    Fault("text-exploding", "text", ("non_finite",), "net.",
          nodes=(("model.net", {"_target_": "faults.Exploding"}),)),
    Fault("text-huge-rate", "text", ("diverged", "non_finite"), words=("optimizer=sgd", "optimizer.lr=1e5")),
    Fault("text-leaked", "text", ("split_leak",), words=("data.deduplicate=false",),
          nodes=altered("text", leaked=0.1), data=True),
    Fault("text-empty", "text", ("empty_input",), words=("data.deduplicate=false",),
          nodes=altered("text", constant=0.3), data=True),
    Fault("text-frozen", "text", ("frozen",), nodes=(("optimizer", {"_target_": "faults.Frozen"}),)),
    Fault("text-wrong-labels", "text", ("label_noise",), "train",
          words=("data.source.samples=2000", "trainer.max_epochs=16"), nodes=altered("text", wrong_labels=0.1)),
    Fault("text-one-class", "text", ("collapsed",), nodes=(("loss", {"_target_": "faults.OneClass"}),)),
    Fault("audio-silent", "audio", ("silent_input", "constant_input"),
          nodes=altered("audio", constant=0.3), data=True),
    Fault("audio-leaked", "audio", ("split_leak",), nodes=altered("audio", leaked=0.1), data=True),
    Fault("audio-zero-rate", "audio", ("zero_learning_rate",), words=("optimizer=sgd", "optimizer.lr=0.0")),
    Fault("audio-swapped-labels", "audio", ("validation_mismatch",), "val",
          nodes=altered("audio", rotated=True)),
    Fault("audio-log-of-zero", "audio", ("non_finite",), "loss",
          nodes=(("loss", {"_target_": "faults.LogOfZero"}),)),
]  # fmt: skip


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=("faults", "plants", "healthy", "recovery"), action="append")
    parser.add_argument("--name", action="append", help="of a fault or an experiment")
    parser.add_argument("--data-root", help="folder of the real sets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--plants", type=int, default=20)
    given = parser.parse_args()
    parts = given.only or tuple(PARTS)
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        for part in parts:
            results = list(PARTS[part](given))
            good = sum(ok for _, ok, _ in results)
            print(f"{part}: {good} of {len(results)}")
            wrong += len(results) - good
    return int(wrong > 0)


def report_line(name: str, ok: bool, words: str, began: float) -> tuple[str, bool, str]:
    """Print a line of the table and return it."""
    print(f"{'ok  ' if ok else 'BAD '} {name:<28} {words}  ({time.monotonic() - began:.1f} s)", flush=True)
    return name, ok, words


# --- faults ---


def faults(given: argparse.Namespace) -> Iterator[tuple[str, bool, str]]:
    """Each fault, and what is found of it."""
    for fault in FAULTS:
        if not given.name or fault.name in given.name:
            began = time.monotonic()
            found = data_findings(fault) if fault.data else run_findings(configured(fault))
            errors = [f for f in found if f["level"] == "error"]
            ok = len(errors) == 1 and errors[0]["id"] in fault.expected and fault.where in errors[0]["where"]
            words = "; ".join(
                f"{f['level']} {f['id']} at {f['where']!r}" for f in found if f["level"] != "info"
            )
            yield report_line(fault.name, ok, words or "nothing", began)


def configured(fault: Fault) -> dict[str, Any]:
    """The configuration with the fault in it."""
    models = {"image": "cnn", "text": "lstm", "audio": "logmel_cnn"}
    model = (
        [] if any(word.startswith("model=") for word in fault.words) else [f"model={models[fault.modality]}"]
    )
    words = [
        f"data={DATA[fault.modality]}",
        *model,
        *QUICK,
        "data.source.samples=900",
        "trainer.max_epochs=6",
    ]
    if fault.modality == "audio":
        words = [*words[:-2], "data.source.samples=400", "trainer.max_epochs=4"]
    if "data=digits" in fault.words:
        words.remove("data.source.samples=900")
    keys = {word.partition("=")[0] for word in fault.words}
    plain = compose([*(w for w in words if w.partition("=")[0] not in keys), *fault.words])
    for path, node in fault.nodes:
        *parents, key = path.split(".")
        holder = plain
        for parent in parents:
            holder = holder[parent]
        holder[key] = {k: holder[key] if v == INNER else v for k, v in node.items()}
    return plain


def run_findings(plain: dict[str, Any]) -> list[dict[str, Any]]:
    """What the doctor finds in a run."""
    outcome = quietly(plain)
    if outcome.status not in ("complete", "failed") or (
        outcome.status == "failed" and not outcome.result["doctor"]
    ):
        return [{"id": outcome.status, "level": "error", "where": outcome.message}]
    return list(outcome.result["doctor"])


def quietly(plain: dict[str, Any]) -> Any:
    """Train; nothing is printed."""
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        return attempt(plain, ["leyden", "train"])


def data_findings(fault: Fault) -> list[dict[str, Any]]:
    """What the doctor finds in the data."""
    return [
        finding.to_dict() for finding in find_problems(build.experiment(check_data(configured(fault))).data)
    ]


# --- plants ---


def plants(given: argparse.Namespace) -> Iterator[tuple[str, bool, str]]:
    """A NaN in a module for a sample: is its place named."""
    rng = random.Random(0)
    base = [*(w for w in QUICK if not w.startswith("batch_size")), "batch_size=16", "data.source.samples=300"]
    calls = {name: modules_of([*words, *base, "trainer.max_epochs=1"]) for name, words in NETS.items()}
    for number in range(given.plants):
        began = time.monotonic()
        modality, backward = rng.choice(sorted(NETS)), rng.random() < 0.3
        module, step = rng.choice(calls[modality][1:]), rng.randrange(12)
        words = [*NETS[modality], *base, "trainer.max_epochs=1", f"seed={number}"]
        (found,) = run_findings(planted(words, [step], module, backward=backward)) or [
            {"where": "", "id": "", "step": -1}
        ]
        ok = found["id"] == "non_finite" and found["where"].endswith(module) and found["step"] == step
        name = f"{modality} {module} step {step}{' backward' if backward else ''}"
        yield report_line(name, ok, f"{found['where']} step {found.get('step')}", began)


# --- healthy runs ---

GENERATED = {
    "planted_images": [], "planted_text": [], "planted_audio": [], "mnist_keras": ["data=digits"],
    "default": [], "default model=mlp": ["model=mlp"],
    "default model=resnet20": ["model=resnet20", "trainer.max_epochs=6"],
}  # fmt: skip
REAL = {
    "mnist_cnn": ["trainer.max_epochs=1"], "mnist_keras": ["trainer.max_epochs=1"],
    "sms_spam": ["trainer.max_epochs=6"], "fsdd": ["trainer.max_epochs=8"],
}  # fmt: skip


def healthy(given: argparse.Namespace) -> Iterator[tuple[str, bool, str]]:
    """Shipped experiments: is anything found."""
    sets: list[tuple[str, list[str], list[str]]] = [(name, words, []) for name, words in GENERATED.items()]
    if given.data_root:
        sets += [
            (name, words, [f"data_root={Path(given.data_root).resolve()}"]) for name, words in REAL.items()
        ]
    for name, words, root in sets:
        for seed in range(1, given.seeds + 1):
            if given.name and name not in given.name:
                continue
            began = time.monotonic()
            experiment = [] if name.startswith("default") else [f"experiment={name}"]
            found = run_findings(
                compose(
                    [*experiment, *words, *root, "trainer=cpu", "threads=1", "logger=none", f"seed={seed}"]
                )
            )
            ok = (
                not any(f["level"] == "error" for f in found)
                and sum(f["level"] == "warning" for f in found) <= 1
            )
            words_ = "; ".join(f"{f['level']} {f['id']} at {f['where']!r}" for f in found)
            yield report_line(f"{name} seed {seed}", ok, words_ or "nothing", began)


# --- recovery ---

EVERY, BURST = 200, 5
POINT = 0.01


def recovery(given: argparse.Namespace) -> Iterator[tuple[str, bool, str]]:
    """The bad samples stay in the data: every epoch meets them again, each in a batch of its own."""
    words = ["experiment=planted_images", "data.source.samples=16000", "batch_size=16"]
    if given.data_root:
        words = ["experiment=mnist_keras", f"data_root={Path(given.data_root).resolve()}"]
    words += ["trainer=cpu", "threads=1", "logger=none", "trainer.max_epochs=3"]
    for seed in range(1, given.seeds + 1):
        own = [*words, f"seed={seed}"]
        module = random.Random(seed).choice(modules_of(own)[1:])
        steps = len(prepared(own).batches)
        places = {
            "guard": list(range(EVERY - 1, steps, EVERY)),
            "recover": list(range(steps // 2, steps // 2 + BURST)),
        }
        began = time.monotonic()
        clean = quietly(compose(own))
        for name, places_ in places.items():
            run = quietly(planted([*own, f"health={name}"], places_, module))
            yield report_line(f"{name} seed {seed}", *compared(run, clean), began)
            began = time.monotonic()


def compared(run: Any, clean: Any) -> tuple[bool, str]:
    """Whether a recovered run came within a point of the clean one, and what was done."""
    if run.status != "complete":
        return False, f"{run.status}: {run.message}"
    reached, wanted = (o.metrics["test"].values["accuracy"].value for o in (run, clean))
    done: dict[str, Any] = next((f["evidence"] for f in run.result["doctor"] if f["id"] == "recovered"), {})
    words = f"test accuracy {reached:.4f}, clean {wanted:.4f}; {len(done.get('skipped', ()))} steps skipped"
    went_back = len(done.get("rollbacks", ()))
    return abs(reached - wanted) <= POINT and bool(done), f"{words}, {went_back} rollbacks"


PARTS = {"faults": faults, "plants": plants, "healthy": healthy, "recovery": recovery}

if __name__ == "__main__":
    sys.exit(main())
