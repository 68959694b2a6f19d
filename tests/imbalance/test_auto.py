"""Corrections of class imbalance in whole runs: recipes, second stages, the minority ledger, and wrong input."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from leyden.cli.main import main
from leyden.config.compose import compose, conf_dir
from leyden.config.validate import check
from leyden.data.sampler import EpochSampler
from leyden.data.sampling_policies import Instance, Power, Progressive, SamplingPolicy, UnderSampling
from leyden.imbalance import class_exposure
from leyden.imbalance.auto import apply_auto, choose, effective_classes, ratio
from leyden.metrics import evaluate
from leyden.training.job import Outcome, train
from leyden.utils.errors import UserError
from loss_options import loss_options

TAIL = ("long_tail=exponential", "long_tail.ratio=8", "batch_size=16")
QUICK = ("trainer=cpu", "trainer.max_epochs=2", "threads=1", "logger=none")
DATA = {
    "image": ("data=planted_images", "data.source.samples=400", "data.source.size=12", "model=mlp"),
    "text": ("data=planted_text", "data.source.samples=400", "model=lstm"),
    "audio": (
        "data=planted_audio",
        "data.source.samples=240",
        "data.source.max_seconds=0.5",
        "model=logmel_cnn",
    ),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(modality: str, *words: str) -> Outcome:
    return train([*DATA[modality], *TAIL, *QUICK, *words])


# --- recipes ---


def test_what_the_counts_say() -> None:
    assert ratio((500, 0, 5)) == 100
    assert effective_classes((10, 10, 10, 0)) == pytest.approx(3)
    assert effective_classes((10_000, 1)) == pytest.approx(1, abs=0.01)
    assert choose((50, 40, 30)).name == "none"
    assert choose((5000, 50)).name == "balanced_softmax"
    assert "100 times" in choose((5000, 50)).why


@pytest.mark.parametrize("modality", DATA)
def test_auto_corrects_once_and_says_so(modality: str, here: Path, capsys: Any) -> None:
    assert main(["train", *DATA[modality], *TAIL, *QUICK, "imbalance=auto"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "imbalance=auto, balanced_softmax" in printed
    assert "class prior (offsets)" in printed
    (stored,) = (json.loads(p.read_text()) for p in here.rglob("result.json"))
    seen = stored["prior"]["phases"][0]["effective"]
    np.testing.assert_allclose(seen, 1 / len(seen), atol=1e-6)
    assert stored["best"]["monitor"] == "val/balanced_accuracy"
    assert stored["classes"]


def test_auto_leaves_even_classes_alone(here: Path) -> None:
    plain = train(["data=digits", "model=mlp", *QUICK])
    auto = train(["data=digits", "model=mlp", *QUICK, "imbalance=auto"])
    assert auto.folder != plain.folder
    assert auto.result["metrics"] == plain.result["metrics"]
    assert auto.result["classes"] == []


def test_auto_and_a_choice_of_ones_own_are_refused(here: Path) -> None:
    with pytest.raises(UserError, match=r"leave out loss=\.\.\. or imbalance=auto"):
        run("image", "imbalance=auto", "loss=focal")
    with pytest.raises(UserError, match=r"sampling=leyden\.data\.sampling_policies\.Power is chosen already"):
        run("image", "imbalance=auto", "sampling=balanced")
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "words", [["imbalance=auto"], ["loss=drw", "loss.start=0.5", "trainer.max_epochs=2"]]
)
def test_a_run_by_recipe_or_phases_is_evaluated_as_it_was(words: list[str], here: Path) -> None:
    from leyden.inference.evaluate import evaluate as again

    outcome = run("image", *words)
    assert again(outcome.folder)["test"] == outcome.result["metrics"]["test"]


# --- every part in a run ---


@pytest.mark.parametrize("option", [path.stem for path in loss_options("classification")])
def test_every_objective_trains(option: str, here: Path) -> None:
    head = ["head=cosine"] if option.startswith("ldam") else []
    outcome = run("image", f"loss={option}", *head)
    assert outcome.status == "complete"
    assert outcome.result["prior"]["phases"][-1]["epochs"][1] == 1


@pytest.mark.parametrize("option", sorted(p.stem for p in (conf_dir() / "sampling").glob("*.yaml")))
def test_every_sampling_trains_text(option: str, here: Path) -> None:
    batch = ["batch_size=4"] if option == "under_sampling" else []
    assert run("text", f"sampling={option}", *batch).status == "complete"


def test_a_deferred_objective_changes_in_the_midst_of_training(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step asks for the loss of its own epoch, also after a resume: the batch knows its epoch."""
    from leyden.losses.class_weighted import Weighted
    from leyden.losses.cross_entropy import CrossEntropy

    calls: list[str] = []
    for cls in (CrossEntropy, Weighted):
        plain = cls.forward

        def counted(self: Any, logits: Any, labels: Any, plain: Any = plain, name: str = cls.__name__) -> Any:
            calls.append(name)
            return plain(self, logits, labels)

        monkeypatch.setattr(cls, "forward", counted)
    outcome = run("image", "loss=drw", "loss.start=0.5", "trainer.max_epochs=4")
    epoch = outcome.result["cost"]["steps"] // 4 + 1  # and one batch of validation, by the loss of its epoch
    evaluations = 3  # val, test, and the training samples of the table of classes: by the last loss
    assert calls[: 2 * epoch] == ["CrossEntropy"] * 2 * epoch
    assert calls[2 * epoch :] == ["Weighted", "CrossEntropy"] * (2 * epoch + evaluations)
    assert [p["epochs"] for p in outcome.result["prior"]["phases"]] == [[0, 1], [2, 3]]


def test_ldam_needs_its_head(here: Path) -> None:
    for loss in ("ldam", "ldam_drw"):
        with pytest.raises(UserError, match="add head=cosine"):
            run("image", f"loss={loss}")
    with pytest.raises(UserError, match="must be the same"):
        run("image", "loss=ldam", "head=cosine", "head.scale=16")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    stored = torch.load(folder / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=False)
    return dict(stored["state_dict"])


def test_crt_trains_a_new_head_on_a_frozen_backbone(here: Path) -> None:
    first = run("image")
    second = run(
        "image",
        f"init.from={first.folder}",
        "init.redraw=[head]",
        "init.freeze=[backbone]",
        "sampling=balanced",
    )
    old, new = weights(first.folder), weights(second.folder)
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed == {n for n in old if n.startswith("net.") and n.split(".")[-2] == max(old).split(".")[-2]}
    assert len(changed) == 2


def test_learnable_scaling_learns_a_factor_for_each_class(here: Path) -> None:
    first = run("image")
    frozen = "init.freeze=[backbone,net.*.weight,net.*.bias]"
    second = run("image", f"init.from={first.folder}", frozen, "head=scaled", "sampling=balanced")
    old, new = weights(first.folder), weights(second.folder)
    (factor,) = set(new) - set(old)
    assert factor.endswith(".factor")
    assert not torch.equal(new[factor], torch.ones_like(new[factor]))
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_tau_normalisation_of_a_trained_run_changes_its_answers(here: Path) -> None:
    first = run("image", "trainer.max_epochs=4", "optimizer=sgd")
    untrained = ["init.freeze=[backbone]", "optimizer=sgd", "optimizer.lr=0", "trainer.max_epochs=1"]
    second = run("image", f"init.from={first.folder}", *untrained, "head=tau_normalised")
    assert all(
        torch.equal(a, b) for a, b in zip(*(weights(r.folder).values() for r in (first, second)), strict=True)
    )
    probabilities = [np.load(r.folder / "predictions" / "test.npz")["probabilities"] for r in (first, second)]
    assert np.abs(probabilities[0] - probabilities[1]).max() > 0.01


def test_the_last_epoch_counts_where_no_metric_chooses(here: Path, capsys: Any) -> None:
    outcome = run("image", "monitor=epoch", "trainer.max_epochs=3")
    assert outcome.result["best"]["epoch"] == 3
    assert "more is taken for better" not in capsys.readouterr().out
    with pytest.raises(UserError, match="uses the last epoch as the best"):
        run("image", "monitor=epoch", "callbacks=early_stopping")


# --- the minority ledger ---


@pytest.mark.parametrize(
    "policy", [Instance(), Power(0.0), Power(0.5), UnderSampling(), Progressive()], ids=repr
)
def test_exposure_is_what_the_orders_show(policy: SamplingPolicy) -> None:
    labels = np.repeat([0, 1, 2], [300, 40, 7])
    plan = EpochSampler(labels, 3, policy, seed=2, epochs=6)
    for epochs in (1, 3, 6):
        drawn = np.concatenate([plan.epoch(e) for e in range(epochs)])
        draws, unique = class_exposure.exposure(plan, epochs)
        assert draws.tolist() == np.bincount(labels[drawn], minlength=3).tolist()
        rows = class_exposure.exposure_table("abc", plan, epochs, [], [])
        of_epochs = [np.bincount(labels[plan.epoch(e)], minlength=3).tolist() for e in (0, epochs - 1)]
        assert [row["epoch_draws"] for row in rows] == [list(pair) for pair in zip(*of_epochs, strict=True)]
        assert unique.tolist() == [len(set(drawn[labels[drawn] == c])) for c in range(3)]


def test_a_class_that_is_learnt_by_heart_is_named() -> None:
    def part(recalls: list[float], n: int) -> list[dict[str, Any]]:
        return [{"n": n, "recall": {"value": r}} for r in recalls]

    labels = np.repeat([0, 1, 2], [300, 40, 12])
    plan = EpochSampler(labels, 3, Power(0.0), seed=0, epochs=10)
    train_part, val_part = part([0.95, 0.97, 1.0], 40), part([0.93, 0.9, 0.2], 40)
    rows = class_exposure.exposure_table("abc", plan, 10, train_part, val_part)
    assert rows[2]["draws_per_sample"] == pytest.approx(352 * 10 / 3 / 12, rel=0.01)
    assert rows[2]["recall_gap"] == pytest.approx(0.8)
    assert rows[2]["unique_samples"] == 12
    assert rows[2]["epoch_draws"] == [int(plan.quotas(0)[2]), int(plan.quotas(9)[2])]
    (found,) = class_exposure.exposure_findings(rows, train_part, val_part)
    assert found.message.startswith("'c' is memorised: recall 1.00 on its 12 training samples")
    assert "sampling=square_root" in found.message  # it was drawn far more often than the others
    assert not list(class_exposure.exposure_findings(rows, train_part, part([0.93, 0.9, 0.85], 40)))
    overfit = class_exposure.exposure_table("abc", plan, 10, train_part, part([0.3, 0.25, 0.2], 40))
    assert not list(
        class_exposure.exposure_findings(overfit, train_part, part([0.3, 0.25, 0.2], 40))
    )  # all alike: plain overfitting
    few = part([0.93, 0.9, 0.5], 2)  # one of two is no evidence
    assert not list(class_exposure.exposure_findings(rows, train_part, few))
    assert class_exposure.exposure_table("abc", plan, 10, train_part, [])[0]["recall_gap"] is None


# --- seeing it ---


def test_groups_by_training_counts() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 400)
    logits = rng.normal(size=(400, 4))
    logits[np.arange(400), labels] += np.array([3, 2, 1, 0.2])[labels]
    found = evaluate(
        torch.tensor(logits), torch.tensor(labels), list("abcd"), class_counts=(500, 101, 100, 19)
    )
    assert {name: g.classes for name, g in found.groups.items()} == {"many": 2, "medium": 1, "few": 1}
    recalls = [c.recall.value or 0 for c in found.per_class]
    assert found.groups["many"].recall.value == pytest.approx((recalls[0] + recalls[1]) / 2)
    assert found.groups["few"].recall.value == pytest.approx(recalls[3])
    low, high = found.groups["few"].recall.low, found.groups["few"].recall.high
    assert low is not None
    assert high is not None
    assert low < recalls[3] < high
    assert not evaluate(torch.tensor(logits), torch.tensor(labels), list("abcd")).groups


def test_data_describes_the_imbalance(here: Path, capsys: Any) -> None:
    assert main(["data", *DATA["image"][:3], "long_tail=exponential", "long_tail.ratio=20"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "imbalance ratio" in printed
    assert "always predicting" in printed
    assert "imbalance=auto" in printed
    assert main(["data", "data=digits"]) == 0
    assert "always predicting" not in capsys.readouterr().out


def test_bad_input_is_refused_in_one_line(here: Path, capsys: Any) -> None:
    image = [*DATA["image"], *QUICK]
    for words, part in (
        (["loss=balanced_sofmax"], "balanced_softmax"),
        (["long_tail=share"], "long_tail.name must be given"),
        (["sampling.q=2", "sampling=balanced"], "sampling.q=2"),
        (["decision=recall"], "decision.of must be given"),
        (["decision=recall", "decision.of=nobody"], "decision.of: there is no class 'nobody'"),
        (
            ["sampling=balanced", "loss=class_balanced", *TAIL],
            "sampling=instance instead of sampling=balanced",
        ),
        (["imbalance=yes"], "imbalance='yes': there are: auto, none"),
        (["loss=weighted", "loss.scheme=invers"], "inverse"),
        (["loss=weighted", "loss.loss.label_smoothin=0.1"], "label_smoothing"),
    ):
        assert main(["train", *image, *words]) == 2, words
        error = capsys.readouterr().err
        assert part in error, error
        assert "Traceback" not in error
        assert not list(here.rglob("result.json"))
    assert compose(image)["imbalance"] == "none"


def test_auto_says_what_it_really_changed(here: Path, capsys: Any) -> None:
    said = {}
    for monitor in ("val/accuracy", "val/macro_f1"):
        config = check(compose([*DATA["image"], f"monitor={monitor}", "imbalance=auto"]))
        spec = SimpleNamespace(class_counts=(5000, 50))
        changed, recipe = apply_auto(config, spec)  # type: ignore[arg-type]
        assert recipe is not None
        assert changed.loss != config.loss
        said[changed.monitor] = recipe.why
    assert "changed: loss=balanced_softmax, monitor=val/balanced_accuracy" in said["val/balanced_accuracy"]
    assert "changed: loss=balanced_softmax; unchanged: monitor=val/macro_f1" in said["val/macro_f1"]
    assert "best balanced accuracy" not in said["val/macro_f1"]
