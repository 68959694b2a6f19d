"""Near duplicates planted among 10,000 items of each modality: how many `leyden check data` finds, and how fast.

    taskset -c 0 scripts/audit --part near_duplicates data_root=data

Of the 10,000 items 1,000 are near duplicates, in validation and test, of items of train (tests/helpers/near_copies says
what is done to them). They are planted among generated items, and among natural ones where data_root has them: MNIST,
CIFAR-10-JPEG, SMS Spam (with generated texts up to 10,000), and FSDD, each recording also played a tenth slower and a
tenth faster as an item of its own. Whatever is found and was not planted counts as wrong, also what is
a real near duplicate of the set; "before" says how many of the other validation and test items are found.
Seconds are those of the whole look at the data, decoded before.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "helpers"))

import numpy as np
import torch

from leyden.config.compose import compose
from leyden.config.validate import check_data
from leyden.data.datamodule import DataModule
from leyden.health.data.checks import run_checks
from leyden.health.data.modality_checks import checks_of
from leyden.training import build
from near_copies import clip_copy, image_copy, layer, text_copy

ITEMS, PLANTED, TESTED = 10_000, 1000, 2000
SHORTEST = 10  # words of a text that is copied: of a shorter one a changed word leaves another text

Inputs = Sequence[np.ndarray]
Copy = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def main(words: Sequence[str]) -> None:
    """Print a line for each set of items."""
    parser = argparse.ArgumentParser(
        prog="scripts/audit --part near_duplicates", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("overrides", nargs="*", help="data_root=...")
    given = parser.parse_args(words)
    torch.set_num_threads(1)
    print(f"{'items':<44} recall  precision  before  seconds")
    for name, kind, options, more in SETS:
        try:
            inputs = gathered(options, given.overrides)
        except Exception as error:  # a set that is not here
            print(f"{name:<44} not here ({str(error).splitlines()[0][:60]})")
            continue
        report(name, kind, more(inputs) if more else inputs)


def gathered(options: Sequence[str], overrides: Sequence[str]) -> Inputs:
    """At most 10,000 inputs, no two identical."""
    data = build.experiment(check_data(compose([*options, "data.deduplicate=true", *overrides], []))).data
    rows = np.random.default_rng(0).permutation(data.kept_rows)[:ITEMS]
    return [np.array(data.table.inputs.row(row)) for row in rows.tolist()]


def slower_and_faster(inputs: Inputs) -> Inputs:
    """Each recording, and it at .9 and 1.1 times the speed."""

    def at(clip: np.ndarray, speed: float) -> np.ndarray:
        return np.interp(np.arange(0, len(clip) - 1, speed), np.arange(len(clip)), clip).astype(np.int16)

    return [*inputs, *(at(clip, 0.9) for clip in inputs), *(at(clip, 1.1) for clip in inputs)]


def with_generated(inputs: Inputs) -> Inputs:
    """Natural texts, and generated ones up to 10,000."""
    return [*inputs, *gathered(TEXT, [])][:ITEMS]


def report(name: str, kind: str, inputs: Inputs) -> None:
    """Plant, look, and print what was found."""
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as cache:
        data, origin = planted(kind, inputs, rng, Path(cache))
        begun = time.perf_counter()
        for _ in run_checks(data):
            pass
        seconds = time.perf_counter() - begun
        tested = np.concatenate([data.splits.val, data.splits.test])
        pairs = checks_of(data).near_duplicates(np.sort(tested))
    assert pairs is not None
    query, key = np.sort(tested)[pairs.query], data.splits.train[pairs.key]
    right = origin[query] == key
    natural = np.count_nonzero(origin[query] < 0)
    recall, precision = right.sum() / PLANTED, right.mean()
    title = f"{name} ({len(origin):,})"
    print(f"{title:<44} {recall:6.4f}  {precision:9.4f}  {natural:6d}  {seconds:7.1f}", flush=True)


def planted(
    kind: str, inputs: Inputs, rng: np.random.Generator, cache: Path
) -> tuple[DataModule, np.ndarray]:
    """A data layer, and for each row the row of train that it is a copy of, or -1."""
    own = [inputs[row] for row in rng.permutation(len(inputs))[: ITEMS - PLANTED]]
    tested = TESTED - PLANTED
    train = len(own) - tested
    long_enough = [row for row in range(train) if kind != "text" or len(bytes(own[row]).split()) >= SHORTEST]
    chosen = rng.choice(long_enough, PLANTED, replace=False)
    if kind == "text":
        words = sorted({word for text in own for word in bytes(text).decode().split()})
        copies = [text_copy(own[row], rng, words) for row in chosen]
    else:
        copies = [COPIES[kind](own[row], rng) for row in chosen]
    origin = np.concatenate([np.full(len(own), -1), chosen])
    part = np.concatenate([np.zeros(train), 1 + np.arange(tested + PLANTED) % 2])
    labels = np.arange(len(origin)) % 2
    data = layer(kind, [*own, *copies], labels, part, cache)
    _ = data.spec  # decoded, split, tokens made
    return data, origin


COPIES: dict[str, Copy] = {"image": image_copy, "audio": clip_copy}
MORE = f"data.source.samples={ITEMS}"
TEXT = ("data=planted_text", MORE)
SETS: list[tuple[str, str, Sequence[str], Callable[[Inputs], Inputs] | None]] = [
    ("image: generated", "image", ("data=planted_images", MORE), None),
    ("image: MNIST", "image", ("data=mnist",), None),
    ("image: CIFAR-10-JPEG", "image", ("data=cifar10_jpeg",), None),
    ("text: generated", "text", TEXT, None),
    ("text: SMS Spam and generated", "text", ("data=sms_spam",), with_generated),
    ("audio: generated", "audio", ("data=planted_audio", MORE), None),
    ("audio: FSDD at three speeds", "audio", ("data=fsdd",), slower_and_faster),
]
