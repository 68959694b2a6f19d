"""What corrections of class imbalance gain: planted long tails in three modalities, or the published CIFAR-10 table.

    scripts/imbalance_table --data-root data          # plain and imbalance=auto, 3 sets, 3 seeds
    scripts/imbalance_table --cifar trainer=gpu        # ResNet-32, 200 epochs, a GPU
    scripts/imbalance_table --cifar --short            # 20 epochs of a narrow net, for a CPU

Jobs that are done are not done again. Other words (key=value) go to every job. Exit status 1 if a bound is missed.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
from typing import Any

import numpy as np

RAREST = 0.3  # share of the classes, at least one
SETS = {
    "long-tailed MNIST, ratio 100": ["experiment=mnist_cnn", "long_tail=exponential", "long_tail.ratio=100"],
    "long-tailed FSDD, ratio 20": ["experiment=fsdd", "long_tail=exponential", "long_tail.ratio=20"],
    "SMS Spam, 2 % spam": [
        "experiment=sms_spam",
        "model=lstm",
        "loss=cross_entropy",
        "long_tail=share",
        "long_tail.name=spam",
        "long_tail.share=0.02",
    ],
}
CIFAR = ["experiment=cifar10_lt", "data=cifar10_jpeg"]
SHORT = [
    *("model.net.width=8", "trainer.max_epochs=20", "scheduler.milestones=[16,18]", "scheduler.warmup=1"),
    "optimizer.lr=0.05",
]
# name -> words, published accuracy (one recipe for all; best epoch on the test set, lossless images), least gain
METHODS = {
    "plain": ([], 71.5, None),
    "post-hoc logit adjustment": ([], 77.4, 3.0),  # of the very same plain run
    "balanced softmax": (["loss=balanced_softmax"], 77.5, 4.5),
    "LDAM-DRW": (["loss=ldam_drw", "head=cosine"], 77.7, 4.5),
    "DRW": (["loss=drw"], 74.6, None),
    "class-balanced sampling": (["sampling=balanced"], 72.5, None),
    "cRT": (["sampling=balanced"], 75.0, 2.5),
}
SECOND_STAGE = [
    *(
        "init.redraw=[head]",
        "init.freeze=[backbone]",
        "optimizer.lr=0.1",
        "scheduler=cosine",
        "scheduler.warmup=0",
    ),
    "trainer.max_epochs=10",
]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="*", help="key=value for every job")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--runs", default="runs")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--only", default="", help="sets or methods whose names hold one of these, A,B")
    parser.add_argument("--cifar", action="store_true")
    parser.add_argument("--short", action="store_true", help="with --cifar: 20 epochs of a narrow net")
    given = parser.parse_args()
    sys.exit(cifar(given) if given.cifar else planted(given))


def wanted(given: argparse.Namespace, name: str) -> bool:
    """Whether a set or method is among those asked for."""
    return any(part in name for part in given.only.split(","))


TRAIN = """
import json, sys
from leyden.training.job import train
print(json.dumps(train(sys.argv[1:]).result, default=str))
"""


def run(given: argparse.Namespace, words: list[str], seed: str) -> dict[str, Any]:
    """One job's result, trained in a process of its own if it is not there yet."""
    words = [*words, f"seed={seed}", *given.words, f"data_root={given.data_root}", f"runs={given.runs}"]
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, *words], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"status {done.returncode}: leyden train {' '.join(words)}\n{done.stdout}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def adjusted(folder: str) -> dict[str, Any]:
    """Metrics of a run whose logits are adjusted to a uniform prior, without training."""
    words = ["evaluate", folder, "--decision", "logit_adjusted", "--split", "test", "--json"]
    done = subprocess.run([sys.executable, "-m", "leyden", *words], stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measures(result: dict[str, Any]) -> dict[str, float]:
    """Of the test split, in per cent: recall of the rarest classes of training, macro F1, balanced accuracy."""
    test, training = result["metrics"]["test"], np.array(result["prior"]["training"])
    rarest = np.argsort(training, kind="stable")[: max(1, round(RAREST * len(training)))]
    recall = [test["per_class"][c]["recall"]["value"] for c in rarest]
    values = {name: 100 * test["values"][name]["value"] for name in ("macro_f1", "balanced_accuracy")}
    return {"rarest": 100 * statistics.mean(recall), **values}


def planted(given: argparse.Namespace) -> int:
    """Plain and imbalance=auto on each set; whether a bound is missed."""
    missed = 0
    for name, words in SETS.items():
        if not wanted(given, name):
            continue
        plain = [measures(run(given, words, seed)) for seed in given.seeds.split(",")]
        auto = [measures(run(given, [*words, "imbalance=auto"], seed)) for seed in given.seeds.split(",")]
        print(f"\n{name}, {len(plain)} seeds: mean (standard deviation), in per cent")
        for key, label in (
            ("rarest", "recall, rarest classes"),
            ("macro_f1", "macro F1"),
            ("balanced_accuracy", "balanced accuracy"),
        ):
            both = [[m[key] for m in of] for of in (plain, auto)]
            paired = [b - a for a, b in zip(*both, strict=True)]
            print(
                f"  {label:24s} plain {spread(both[0])}   auto {spread(both[1])}   paired {spread(paired)}",
                flush=True,
            )
        gain = statistics.mean(b["rarest"] - a["rarest"] for a, b in zip(plain, auto, strict=True))
        left = 100 - statistics.mean(a["rarest"] for a in plain)
        loss = statistics.mean(a["macro_f1"] - b["macro_f1"] for a, b in zip(plain, auto, strict=True))
        held = gain >= min(10, left / 2) and loss <= 0.5
        print(
            f"  {'held' if held else 'MISSED'}: gain {gain:.1f} of at least {min(10, left / 2):.1f} points, "
            f"macro F1 {-loss:+.2f}"
        )
        missed += not held
    return int(missed > 0)


def cifar(given: argparse.Namespace) -> int:
    """Each method against plain; cRT and the post-hoc correction start from the plain run of the same seed."""
    base = [*CIFAR, *(SHORT if given.short else [])]
    seeds, missed = given.seeds.split(","), 0
    plain: list[dict[str, Any]] = []
    for name, (words, published, least) in METHODS.items():
        if name != "plain" and not wanted(given, name):
            continue
        found = []
        for place, seed in enumerate(seeds):
            if name.startswith("post-hoc"):
                found.append({**plain[place], "metrics": adjusted(plain[place]["folder"])})
                continue
            second = [f"init.from={plain[place]['folder']}", *SECOND_STAGE] if name == "cRT" else []
            # a second stage has a schedule of its own
            first = [w for w in base if not (second and w.startswith("scheduler."))]
            found.append(run(given, [*first, *words, *second], seed))
        plain = plain or found
        values = [measures(result)["balanced_accuracy"] for result in found]
        gains = [v - measures(p)["balanced_accuracy"] for v, p in zip(values, plain, strict=True)]
        held = least is None or given.short or statistics.mean(gains) >= least
        bound = f"of at least {least}" if least and not given.short else ""
        print(
            f"{name:28s} {spread(values)}  gain {spread(gains)} {bound}  published {published}  "
            f"{'' if held else 'MISSED'}",
            flush=True,
        )
        missed += not held
    return int(missed > 0)


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else math.nan
    return f"{statistics.mean(values):5.1f} ({deviation:.1f})"


if __name__ == "__main__":
    main()
