"""Baselines majority and linear: runs of every modality with the expected metrics."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from leyden.data.batch import Input
from leyden.data.spec import DataSpec
from leyden.data.transforms.fixed_vector import Bands, FixedVector, NGrams, Pixels
from leyden.nets.baselines import ConstantNet
from leyden.tasks.classification import Classification
from leyden.training.job import Outcome, train
from leyden.utils.errors import UserError
from words import last_of_each

QUICK = ["trainer=cpu", "threads=1", "logger=none", "batch_size=32"]
SMALL = {
    "image": ["data=planted_images", "data.source.samples=240", "data.source.size=12"],
    "text": ["data=planted_text", "data.source.samples=300"],
    "audio": ["data=planted_audio", "data.source.samples=200"],
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Train a baseline in a temporary working folder."""
    monkeypatch.chdir(tmp_path)
    return lambda kind, *more: train([*SMALL[kind], *QUICK, *more])


# --- majority ---


@pytest.mark.parametrize("kind", SMALL)
def test_majority_predicts_the_training_prior(run: Callable[..., Outcome], kind: str) -> None:
    outcome = run(kind, "model=majority", "trainer.max_epochs=5")
    spec = _spec(outcome)
    prior = torch.tensor(spec["class_counts"], dtype=torch.float64)
    prior = prior / prior.sum()
    probabilities = _probabilities(outcome)
    torch.testing.assert_close(probabilities, prior.float().expand_as(probabilities))
    assert outcome.result["metrics"]["test"]["values"]["mcc"]["value"] == 0
    assert outcome.result["metrics"]["test"]["values"]["auroc"]["value"] == pytest.approx(0.5)


def _spec(outcome: Outcome) -> Any:
    import json

    return json.loads((outcome.folder / "spec.json").read_text())


def _probabilities(outcome: Outcome) -> Tensor:
    import numpy as np

    return torch.from_numpy(np.load(outcome.folder / "predictions" / "test.npz")["probabilities"])


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["optimizer=sgd", "scheduler=cosine", "scheduler.warmup=1"],
        ["optimizer=adamw", "optimizer.weight_decay=0.5", "model.module.decay_norms_and_biases=true"],
        ["scheduler=one_cycle", "model.module.l1=0.1"],
        ["scheduler=plateau", "optimizer=rmsprop"],
    ],
)
def test_majority_is_not_trained_and_takes_one_epoch(run: Callable[..., Outcome], more: list[str]) -> None:
    outcome = run("image", "model=majority", "trainer.max_epochs=7", *more)
    assert outcome.status == "complete"
    rows = (outcome.folder / "metrics.csv").read_text().splitlines()
    assert len(rows) == 2  # the header and one epoch
    assert not outcome.result["doctor"]
    weights = torch.load(outcome.folder / "checkpoints" / "best.ckpt", weights_only=False)["state_dict"]
    constant = ConstantNet(Classification().trivial_outputs(DataSpec.from_dict(_spec(outcome))))
    assert torch.equal(weights["net.outputs"], constant.outputs.detach())


def test_majority_killed_after_its_epoch_is_complete(run: Callable[..., Outcome]) -> None:
    first = run("image", "model=majority")
    table = (first.folder / "metrics.csv").read_text()
    (first.folder / "result.json").unlink()
    second = run("image", "model=majority")
    assert (second.folder / "metrics.csv").read_text() == table
    assert second.result["metrics"] == first.result["metrics"]
    assert second.result["cost"]["steps"] == first.result["cost"]["steps"]


@pytest.mark.parametrize(
    ("kind", "augment"), [("audio", "audio_strong"), ("text", "token_dropout"), ("image", "crop_flip")]
)
@pytest.mark.parametrize("model", ["majority", "linear"])
def test_experiments_with_augmentation_work(
    run: Callable[..., Outcome], model: str, kind: str, augment: str
) -> None:
    outcome = run(kind, f"model={model}", f"augment={augment}", "trainer.max_epochs=1")
    assert outcome.status == "complete"


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=2, max_size=9).filter(any))
def test_prior_is_a_distribution_and_finite(counts: list[int]) -> None:
    spec = DataSpec("text", tuple(map(str, counts)), tuple(counts))
    logits = ConstantNet(Classification().trivial_outputs(spec))(torch.zeros(3, 2), torch.tensor([1, 2, 1]))
    assert logits.shape == (3, len(counts))
    assert bool(logits.isfinite().all())
    assert math.isclose(float(logits.exp().sum(1)[0].detach()), 1, abs_tol=1e-5)
    assert int(logits[0].argmax()) == counts.index(max(counts))


# --- linear ---


@pytest.mark.parametrize(
    ("kind", "more", "least"),
    [("image", "data=digits", 0.9), ("text", "model.frontend.buckets=4096", 0.8), ("audio", "seed=1", 0.8)],
)
def test_linear_learns_in_every_modality(
    run: Callable[..., Outcome], kind: str, more: str, least: float
) -> None:
    chosen = last_of_each([*SMALL[kind], *QUICK, "model=linear", "trainer.max_epochs=15", more])
    outcome = train([word for word in chosen if "source" not in word or kind != "image"])
    assert outcome.result["metrics"]["test"]["values"]["accuracy"]["value"] >= least
    assert outcome.result["cost"]["parameters"] > 0


def test_linear_always_uses_characters(run: Callable[..., Outcome]) -> None:
    small = ["trainer.max_epochs=1", "model.frontend.buckets=1024"]
    one = run("text", "model=linear", *small)
    stored = (one.folder / "tokenizer.json").read_text()
    assert '" "' in stored  # the space is a token
    words = run("text", "model=linear", "model.tokenizer=null", *small)
    assert words.folder != one.folder
    assert '" "' not in (words.folder / "tokenizer.json").read_text()


def test_linear_predicts_files(run: Callable[..., Outcome], capsys: pytest.CaptureFixture[str]) -> None:
    from leyden.cli.main import main

    outcome = run("text", "model=linear", "trainer.max_epochs=1")
    Path("texts.txt").write_text("one text\nanother\n")
    assert main(["predict", str(outcome.folder), "texts.txt"]) == 0
    assert "2 predictions" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["model.frontend.ngrams=[4,2]"], r"write \[2,4\] for \[4,2\]"),
        (["model.frontend.buckets=1000"], "a power of two is expected, such as 1024"),
        (["model.frontend.buckets=1"], "buckets=1"),
        (["model.frontend.ngrams=3"], "ngrams=3"),
        (["model.frontend.bucket=8"], "did you mean 'model.frontend.buckets=8'"),
        (["model.frontend.modality=text"], "a fact of the data"),
        (["model.tokenizer._target_=leyden.data.tokenizers.Chars"], "did you mean 'Char'"),
        (["model.tokenizer.vocab_size=1"], "vocab_size=1"),
    ],
)
def test_refused(run: Callable[..., Outcome], more: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        run("text", "model=linear", *more)
    assert not Path("runs").exists()


# --- the vector ---


def batch(values: Tensor, lengths: Tensor | None = None) -> Input:
    return Input(values, lengths)


def ids(*texts: str) -> Input:
    lengths = torch.tensor([len(text) for text in texts])
    rows = torch.zeros(len(texts), int(lengths.max()), dtype=torch.int32)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = torch.tensor([ord(c) for c in text])
    return batch(rows, lengths)


def expected(text: str, low: int, high: int) -> dict[str, int]:
    marked = f"\0{text}\0"
    grams = [marked[i : i + n] for n in range(low, high + 1) for i in range(len(marked) - n + 1)]
    return {gram: grams.count(gram) for gram in grams}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("abc ", min_size=1, max_size=9), min_size=1, max_size=4), st.integers(1, 3))
def test_ngram_counts(texts: list[str], low: int) -> None:
    part = NGrams((low, low + 1), 1 << 20)  # so many that none of these few fall together
    counts = part.counts(ids(*texts))
    for row, text in zip(counts, texts, strict=True):
        assert sorted(row[row > 0].tolist()) == sorted(expected(text, low, low + 1).values())
    alone = torch.cat([part.counts(ids(text)) for text in texts])
    assert torch.equal(alone, counts)  # padding counts for nothing


def test_ngram_hashes_are_uniform() -> None:
    """640 distinct trigrams in 4,096 buckets occupy 593 of them in expectation (standard deviation 6)."""
    letters = [a + b + c for a in "abcdefgh" for b in "abcdefgh" for c in "abcdefgh"]
    counts = NGrams((3, 3), 1 << 12).counts(ids(*letters))
    assert int((counts.sum(0) > 0).sum()) == pytest.approx(593, abs=30)


@pytest.mark.parametrize(
    ("classes", "buckets"),
    [(1, 32768), (128, 32768), (129, 16384), (1000, 4096), (10_000, 256), (10**8, 256)],
)
def test_many_classes_take_fewer_buckets(classes: int, buckets: int) -> None:
    frontend = FixedVector("text", 1, (8, 8), 8000, classes)
    assert frontend.facts()["image_size"] == (1, buckets)


def test_every_text_has_the_same_norm_and_no_lengths() -> None:
    made = NGrams((2, 4), 1 << 12)(ids("a", "some text", "some text that is longer"))
    assert made.lengths is None
    torch.testing.assert_close(made.values.flatten(1).norm(dim=1), torch.ones(3))


def test_bands_are_mean_and_deviation_of_log_mel_whatever_the_padding() -> None:
    torch.manual_seed(0)
    clips = (torch.randn(3, 4000) * 3000).to(torch.int16)
    lengths = torch.tensor([4000, 2500, 1600])
    part = Bands(8000, 20)
    together = part.moments(batch(clips * (torch.arange(4000) < lengths[:, None]), lengths))
    for clip, length, found in zip(clips, lengths, together, strict=True):
        alone = batch(clip[None, :length], length[None])
        mel = part.mel(alone).values[0, 0]
        by_hand = torch.stack((mel.mean(1), mel.std(1, correction=0)))
        torch.testing.assert_close(found, by_hand, rtol=1e-3, atol=1e-3)


def test_large_images_are_averaged_down() -> None:
    part = Pixels(3, (48, 20), 16)
    assert part.facts() == {"in_channels": 3, "image_size": (16, 16)}
    image = torch.randint(0, 256, (2, 3, 48, 20), dtype=torch.uint8)
    made = part(batch(image)).values
    assert made.shape == (2, 3, 16, 16)
    torch.testing.assert_close(made[0, 0, 0, 0], image[0, 0, :3, :2].float().mean() / 255)


@pytest.mark.parametrize("kind", SMALL)
def test_vectors_have_a_fixed_size_after_the_fit(kind: str) -> None:
    torch.manual_seed(0)
    inputs = {
        "image": batch(torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8)),
        "text": ids(*("abcd efgh"[i % 5 :] for i in range(50))),
        "audio": batch((torch.randn(50, 2000) * 999).to(torch.int16), torch.full((50,), 2000)),
    }[kind]
    frontend = FixedVector(kind, 1, (8, 8), 8000, 2)
    frontend.fit([inputs])
    sums = frontend(inputs).values.abs().flatten(1).sum(1)
    assert float(sums.mean()) == pytest.approx(FixedVector.REACH, rel=0.01)
