"""`leyden report` over thousands of run folders: wall and CPU seconds and peak memory, of each form.

The folders are made, not trained, in the layout of docs/result.md: five experiments, each a grid of models, learning
rates, batch sizes and losses with five seeds; a result.json of 16 kB (ten classes). They are written just before,
so the files are in the operating system's cache.
"""

import itertools
import json
import random
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benches.measure import Case, Given, leyden

METRICS = {"accuracy": 0.9, "balanced_accuracy": 0.9, "macro_f1": 0.9, "mcc": 0.88, "log_loss": 0.3, "ece": 0.05,
           "auroc": 0.99, "average_precision": 0.95}  # fmt: skip
MODELS = {"cnn": 72_666, "mlp": 19_000, "resnet20": 272_000, "resnet32": 464_000}
RATES, SIZES = (0.0003, 0.001, 0.003, 0.01, 0.03), (16, 32, 64, 128, 256)
LOSSES = ("cross_entropy.CrossEntropy", "focal.Focal", "focal.FocalSigmoid", "smoothing.Smoothed")
SEEDS, EPOCHS, CLASSES = (1, 2, 3, 4, 5), 20, 10
RUNS = 10_000
FORMS: dict[str, list[str]] = {
    "terminal": [],
    "terminal, one experiment, baseline": [
        *("experiment=bench0", "--baseline", "model=cnn", "optimizer.lr=0.001"),
        *("batch_size=64", "loss._target_=*CrossEntropy"),
    ],
    "terminal and CSV": ["--csv", "report.csv"],
    "terminal and HTML": ["--html", "report.html"],
}


def cases(given: Given) -> Iterator[Case]:
    """One for each form."""
    folder = given.scratch / "report"
    make(folder / "runs", RUNS)
    for name, words in FORMS.items():
        yield Case(f"{RUNS:,} runs, {name}", together=partial(once, folder, words), unit="", ratios=False)
    shutil.rmtree(folder)


def once(folder: Path, words: list[str]) -> dict[str, float]:
    """Of one process."""
    done = leyden(["report", *words], folder)
    return {"wall s": done.seconds, "CPU s": done.cpu, "peak MB": done.peak}


def make(runs: Path, number: int) -> None:
    """Write the folders."""
    for place, config in enumerate(itertools.islice(configs(), number)):
        folder = runs / config["experiment"] / f"{config['name']}-{place:010x}"
        (folder / "checkpoints").mkdir(parents=True)
        result = json.dumps(result_of(config, random.Random(place)), indent=1)
        (folder / "result.json").write_text(result + "\n")
        (folder / "config.yaml").write_text(json.dumps(config))
        (folder / "metrics.csv").write_text(curves(random.Random(place)))
        (folder / ".lock").touch()


def configs() -> Iterator[dict[str, Any]]:
    """More experiments as more are asked for; a seed is the innermost loop, as in a sweep."""
    for number in itertools.count():
        for model, rate, size, loss, seed in itertools.product(MODELS, RATES, SIZES, LOSSES, SEEDS):
            yield config_of(f"bench{number}", model, rate, size, loss, seed)


def config_of(experiment: str, model: str, rate: float, size: int, loss: str, seed: int) -> dict[str, Any]:
    """What config.yaml holds of one run."""
    return {
        "data": {"name": experiment, "source": {"_target_": "leyden.data.sources.image.Digits"}},
        "split": {"_target_": "leyden.data.split.Auto"},
        "sampling": {"_target_": "leyden.data.sampling_policies.Instance"},
        "augment": {},
        "model": {
            "name": model,
            "module": {"_target_": "leyden.modules.classification.Classifier"},
            "frontend": {"_target_": "leyden.data.transforms.image.Normalize"},
            "net": {"_target_": f"leyden.nets.image.{model}"},
        },
        "loss": {"_target_": f"leyden.losses.{loss}"},
        "optimizer": {"_target_": "torch.optim.Adam", "lr": rate, "fused": True},
        "scheduler": {"_target_": "leyden.optim.lr_schedules.Constant"},
        "trainer": {
            "_target_": "lightning.pytorch.Trainer",
            "max_epochs": EPOCHS,
            "precision": "32-true",
            "accelerator": "cpu",
            "devices": 1,
        },
        "callbacks": {},
        "logger": {"tensorboard": {"_target_": "leyden.callbacks.tensorboard.tensorboard_logger"}},
        "name": f"{experiment}-{model}-seed{seed}",
        "seed": seed,
        "batch_size": size,
        "monitor": "val/accuracy",
        "threads": 1,
        "checkpoint_minutes": 5,
        "init": {"from": None, "freeze": []},
        "data_root": "data",
        "cache": "cache",
        "runs": "runs",
        "force": False,
        "experiment": experiment,
    }


def result_of(config: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """A complete run; the effects of the keys are made up, the seed's luck has a deviation of .01."""
    model, rate = config["model"]["name"], config["optimizer"]["lr"]
    level = -0.1 + 0.02 * list(MODELS).index(model) - 0.01 * abs(RATES.index(rate) - 2) + rng.gauss(0, 0.01)
    parameters = MODELS[model]
    command = ["leyden", "train", f"experiment={config['experiment']}", f"model={model}"]
    command += [f"optimizer.lr={rate}", f"batch_size={config['batch_size']}", f"seed={config['seed']}"]
    return {
        "schema": 1,
        "command": command,
        "started": "2026-01-31T12:00:00+0000",
        "data": f"{config['experiment']:0>32}",
        "made_with": {"leyden": "0.1.0", "torch": "2.14.1"},
        "config": config,
        "status": "complete",
        "error": None,
        "metrics": {split: metrics(level, rng) for split in ("val", "test")},
        "best": {
            "monitor": "val/accuracy",
            "value": 0.9 + level,
            "higher_is_better": True,
            "epoch": EPOCHS,
            "step": 380,
            "checkpoint": "checkpoints/best.ckpt",
        },
        "cost": {
            "seconds": round(parameters / 20_000 + 3 * rng.random(), 2),
            "samples_per_second": 3576.1,
            "parameters": parameters,
            "steps": 380,
        },
        "prior": {},
        "doctor": [],
    }


def metrics(level: float, rng: random.Random) -> dict[str, Any]:
    """Of one split: ten classes of 36 samples."""
    values = {name: estimate(base + level, "bootstrap, 1000 resamples") for name, base in METRICS.items()}
    rates = ("precision", "recall", "f1")
    per_class = [
        {"name": str(c), "n": 36, **{rate: estimate(0.9 + rng.gauss(0, 0.02), "Wilson") for rate in rates}}
        for c in range(CLASSES)
    ]
    confusion = [[32 if c == d else rng.randint(0, 1) for d in range(CLASSES)] for c in range(CLASSES)]
    return {"n": 360, "values": values, "per_class": per_class, "confusion": confusion}


def estimate(value: float, method: str) -> dict[str, Any]:
    """A number with its interval, as in result.json."""
    return {"value": value, "low": value - 0.0181234567, "high": value + 0.0171234567, "method": method}


def curves(rng: random.Random) -> str:
    """metrics.csv: a row an epoch."""
    names = ["train/accuracy", "train/loss", *(f"val/{name}" for name in METRICS), "val/loss"]
    rows = [",".join(["epoch", "step", "lr", *names])]
    for epoch in range(1, EPOCHS + 1):
        grown = 0.9 - 0.6 * 0.75**epoch + rng.gauss(0, 0.005)
        rows.append(",".join([str(epoch), str(19 * epoch), "0.001", *(f"{grown:.16f}" for _ in names)]))
    return "\n".join(rows) + "\n"
