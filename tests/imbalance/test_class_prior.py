"""The prior ledger: what it computes is what an epoch's samples, weights and offsets really make of the classes."""

import functools
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logit
from torch import nn

from leyden.config.compose import compose
from leyden.config.validate import check
from leyden.data.sampler import EpochSampler
from leyden.data.sampling_policies import (
    Deferred,
    EffectiveNumber,
    Instance,
    Power,
    Progressive,
    RepeatFactor,
    SamplingPolicy,
    UnderSampling,
)
from leyden.data.transforms.mixup import Mixup
from leyden.decision.answered_prior import answered_prior
from leyden.imbalance import class_prior as ledgers
from leyden.imbalance.class_prior import (
    ClassPrior,
    Ledger,
    correction_degree,
    effective_prior,
    is_overcorrected,
)
from leyden.losses.binary import (
    AsymmetricLoss,
    BinaryCrossEntropy,
    LogitAdjustedBinaryCrossEntropy,
    WeightedBinaryCrossEntropy,
)
from leyden.losses.cdt import CDT
from leyden.losses.class_weighted import Weighted
from leyden.losses.cross_entropy import CrossEntropy
from leyden.losses.deferred import Deferred as DeferredLoss
from leyden.losses.focal import FocalSigmoid, FocalSoftmax
from leyden.losses.label_aware_smoothing import LabelAwareSmoothing
from leyden.losses.ldam import LDAM
from leyden.losses.logit_adjusted import LogitAdjusted
from leyden.nets.heads import TauNormalisedLinear
from leyden.training.build import Experiment, _correction, _is_exact, experiment
from leyden.utils.errors import UserError

COUNTS = (400, 90, 20, 6)
EPOCHS = 5
POLICIES: dict[str, SamplingPolicy] = {
    "instance": Instance(),
    "square_root": Power(0.5),
    "balanced": Power(0.0),
    "class_aware": Power(0.0, "largest"),
    "under": UnderSampling(),
    "progressive": Progressive(),
    "repeat_factor": RepeatFactor(0.1),
    "effective": EffectiveNumber(0.99),
    "deferred": Deferred(Instance(), Power(0.0), 0.6),
}
CORRECTING: dict[str, Any] = {
    "inverse": lambda: Weighted(CrossEntropy(), COUNTS, "inverse"),
    "square_root": lambda: Weighted(CrossEntropy(), COUNTS, "square_root"),
    "effective_number": lambda: Weighted(CrossEntropy(), COUNTS, "effective_number", 0.99),
    "class_balanced_focal": lambda: Weighted(FocalSigmoid(0.5), COUNTS, "effective_number", 0.99),
    "balanced_softmax": lambda: LogitAdjusted(COUNTS),
    "half_adjusted": lambda: LogitAdjusted(COUNTS, tau=0.5),
    "drw": lambda: DeferredLoss(CrossEntropy(), Weighted(CrossEntropy(), COUNTS, "inverse"), EPOCHS, 0.6),
}
NEUTRAL: dict[str, Any] = {
    "cross_entropy": CrossEntropy,
    "focal_softmax": FocalSoftmax,
    "focal_sigmoid": FocalSigmoid,
    "cdt": lambda: CDT(COUNTS),
    "ldam": lambda: LDAM(COUNTS),
    "label_aware": lambda: LabelAwareSmoothing(COUNTS),
}


def plan_of(policy: SamplingPolicy) -> EpochSampler:
    labels = np.repeat(np.arange(len(COUNTS)), COUNTS)
    return EpochSampler(labels, len(COUNTS), policy, seed=3, epochs=EPOCHS, length=40_000)


def ledger_of(policy: SamplingPolicy, loss: nn.Module) -> Ledger:
    return Ledger.of(COUNTS, plan_of(policy).prior, functools.partial(_correction, loss), EPOCHS)


class Holder(nn.Module):
    """What of a LightningModule tells of its prior."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss_fn = loss


def best_biases(loss: nn.Module) -> torch.Tensor:
    """Logits (C,) of least training loss without features; of a loss that may change, at the last epoch."""
    labels = torch.from_numpy(np.repeat(np.arange(len(COUNTS)), COUNTS))
    return minimised(loss, labels, len(COUNTS))


def minimised(loss: nn.Module, targets: torch.Tensor, outputs: int) -> torch.Tensor:
    """Biases (outputs,) of least mean loss on targets (N, ...)."""
    biases = torch.zeros(outputs, requires_grad=True)
    optimizer = torch.optim.LBFGS([biases], max_iter=200, tolerance_grad=1e-9, tolerance_change=1e-12)

    def closure() -> Any:
        optimizer.zero_grad()
        value = loss(biases.expand(len(targets), -1), targets).mean()
        value.backward()
        return value

    optimizer.step(closure)
    return biases.detach()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("loss", CORRECTING)
def test_the_ledger_is_what_an_epoch_counts(policy: str, loss: str) -> None:
    """Every drawn sample counts w / exp(o) of its class, summed over the epoch's real order."""
    plan, loss = plan_of(POLICIES[policy]), CORRECTING[loss]()
    labels = np.repeat(np.arange(len(COUNTS)), COUNTS)
    book = ledger_of(POLICIES[policy], loss)
    for epoch in range(EPOCHS):
        drawn = np.bincount(labels[plan.epoch(epoch)], minlength=len(COUNTS)).astype(float)
        correction = _correction(loss, epoch)
        counted = drawn * (1 if correction is None else np.exp(correction[0] - correction[1]))
        phase = next(p for p in book.phases if p.first <= epoch <= p.last)
        np.testing.assert_allclose(phase.effective, counted / counted.sum(), rtol=1 / drawn.min(), atol=1e-6)
        exact = effective_prior(plan.prior(epoch), correction)
        np.testing.assert_allclose(phase.effective, exact, atol=1e-12)


@pytest.mark.parametrize("loss", NEUTRAL)
def test_margins_and_focal_losses_declare_no_prior(loss: str) -> None:
    made = NEUTRAL[loss]()
    assert _correction(made, 0) is None
    np.testing.assert_allclose(ledger_of(Instance(), made).prior.effective, np.array(COUNTS) / sum(COUNTS))


@pytest.mark.parametrize("loss", {**CORRECTING, **NEUTRAL})
def test_only_a_proper_loss_makes_the_ledger_exact(loss: str) -> None:
    """Proper: the best constant logits are the log prior of the ledger. Else they are not, and it does not say so."""
    made = {**CORRECTING, **NEUTRAL}[loss]()
    book = Ledger.of(
        COUNTS,
        plan_of(Instance()).prior,
        functools.partial(_correction, made),
        EPOCHS,
        exact=functools.partial(_is_exact, Holder(made)),
    )
    biases = best_biases(made)
    gap = abs(biases.softmax(0).numpy() - book.prior.effective).max()
    assert book.prior.exact == (gap < 2e-3), gap
    stored = book.to_dict()["phases"][-1]
    assert (stored["source"] == "exact") == book.prior.exact
    labels = np.repeat(np.arange(len(COUNTS)), 50 * np.array(COUNTS))
    if not book.prior.exact:
        answered = answered_prior(np.tile(biases.numpy(), (len(labels), 1)), labels, book.prior.effective)[1]
        np.testing.assert_allclose(answered, biases.softmax(0).numpy(), atol=5e-3)
        stored = book.to_dict(answered)["phases"][-1]
        assert stored["source"] == "validation"
        assert stored["effective"] == answered.tolist()
        np.testing.assert_array_equal(ClassPrior.of(book.to_dict(answered)).effective, book.prior.effective)


@pytest.mark.parametrize(
    ("loss", "proper"),
    [
        (CrossEntropy(0.1), False),
        (BinaryCrossEntropy(), True),
        (BinaryCrossEntropy(0.1), False),
        (AsymmetricLoss(), False),
        (Weighted(FocalSoftmax(), COUNTS), False),
        (DeferredLoss(CrossEntropy(), FocalSoftmax(), EPOCHS), False),
        (nn.CrossEntropyLoss(reduction="none"), False),  # it does not say
    ],
)
def test_what_losses_say_of_themselves(loss: nn.Module, proper: bool) -> None:
    assert _is_exact(Holder(loss), EPOCHS - 1) == proper


def test_mixed_targets_and_rescaled_heads_leave_the_prior_open() -> None:
    module = Holder(CrossEntropy())
    assert _is_exact(module, 0)
    module.augment = nn.ModuleList([Mixup()])
    assert not _is_exact(module, 0)
    module.augment = nn.ModuleList([TauNormalisedLinear(nn.Linear(3, 4), 1.0)])
    assert not _is_exact(module, 0)


def test_a_net_trained_under_a_correction_answers_by_the_ledgers_prior() -> None:
    """No features, only biases: the minimum of the training loss is the log prior of the ledger, exactly."""
    for loss in (
        CORRECTING["inverse"](),
        CORRECTING["half_adjusted"](),
        CORRECTING["balanced_softmax"](),
    ):
        learnt = best_biases(loss).softmax(0).numpy()
        np.testing.assert_allclose(learnt, ledger_of(Instance(), loss).prior.effective, atol=2e-3)


# What may go together: no two parts past the uniform prior. Sampling against loss, both at their last epoch.
WHOLE_SAMPLING = {"balanced", "class_aware", "under", "progressive", "deferred"}
ALLOWED = {
    ("square_root", "half_adjusted"),
    ("square_root", "square_root"),
    ("repeat_factor", "half_adjusted"),
    ("repeat_factor", "square_root"),
    ("repeat_factor", "effective_number"),
    ("repeat_factor", "class_balanced_focal"),
}


@pytest.mark.parametrize(("policy", "loss"), list(itertools.product(POLICIES, {**CORRECTING, **NEUTRAL})))
def test_the_guard_fires_on_two_corrections_and_on_no_single_one(policy: str, loss: str) -> None:
    book = ledger_of(POLICIES[policy], {**CORRECTING, **NEUTRAL}[loss]())
    single = policy == "instance" or loss in NEUTRAL
    if single or (policy, loss) in ALLOWED:
        assert book.stacked() is None, book.phases
    else:
        assert book.stacked() is not None, book.phases


def test_deferred_corrections_are_judged_phase_by_phase() -> None:
    """Sampling that is balanced early and weights that come late never meet."""
    early = Ledger.of(
        COUNTS,
        lambda epoch: np.full(4, 0.25) if epoch < 3 else np.array(COUNTS) / sum(COUNTS),
        functools.partial(_correction, CORRECTING["drw"]()),
        EPOCHS,
    )
    assert early.stacked() is None
    assert [(p.first, p.last) for p in early.phases] == [(0, 2), (3, 4)]
    stacked = ledger_of(POLICIES["deferred"], CORRECTING["drw"]()).stacked()
    assert stacked is not None
    assert stacked.first == 3
    with pytest.raises(UserError, match="twice from epoch 4 on"):  # counted from 1, as the progress bar does
        ledger_of(POLICIES["deferred"], CORRECTING["drw"]()).refuse_stacking(
            {"sampling": "sampling=deferred_balanced", "weights": "loss=drw"}, "abcd"
        )
    (line,) = ledger_of(Instance(), CORRECTING["drw"]()).lines("abcd")
    assert line.startswith("class prior (weights, epochs 4 to 5): ")


def test_degree_of_a_power_of_the_counts() -> None:
    training = np.array(COUNTS) / sum(COUNTS)
    for q in (0.0, 0.25, 0.5, 1.0):
        assert correction_degree(training, training**q / (training**q).sum()) == pytest.approx(1 - q)
    assert correction_degree(np.full(4, 0.25), np.array([0.4, 0.3, 0.2, 0.1])) == 0
    assert correction_degree(np.full(2, 0.1), np.full(2, 0.5), labels=True) == pytest.approx(
        1
    )  # each by itself
    assert correction_degree(np.array([0.1, 0.8]), np.array([0.25, 2 / 3]), labels=True) == pytest.approx(0.5)
    assert not is_overcorrected({"sampling": 0.0, "weights": 1.7, "offsets": 0.0})
    assert is_overcorrected({"sampling": 1.0, "weights": 1.0, "offsets": 0.0})


def test_refusal_names_the_parts_the_class_and_the_ways_out() -> None:
    book = ledger_of(Power(0.0), CORRECTING["inverse"]())
    names = {
        "sampling": "sampling=balanced",
        "weights": "loss=weighted",
        "offsets": "loss=weighted",
    }
    with pytest.raises(UserError) as refused:
        book.refuse_stacking(names, ["a", "b", "c", "rare"])
    message = str(refused.value)
    for word in (
        "sampling=balanced",
        "loss=weighted",
        "'rare'",
        "1.2 %",
        "sampling=instance",
        "loss=cross_entropy",
        "allow_stacking=true",
    ):
        assert word in message


def test_a_class_without_samples_has_no_share() -> None:
    counts = (10, 0, 30)
    prior = np.array([0.5, 0.0, 0.5])
    found = Ledger.of(counts, lambda epoch: prior, lambda epoch: (np.zeros(3), np.log([10.0, 0.5, 30.0])), 1)
    np.testing.assert_allclose(found.prior.effective, [0.75, 0, 0.25])
    assert found.phases[0].degrees["sampling"] == pytest.approx(1)


def test_stored_and_read_back() -> None:
    book = ledger_of(Progressive(), CORRECTING["balanced_softmax"]())
    stored = book.to_dict()
    assert stored["changes"] == EPOCHS - 1
    back = ClassPrior.of(stored)
    np.testing.assert_allclose(back.effective, book.prior.effective)
    np.testing.assert_allclose(back.training, book.prior.training)
    assert list(book.lines("abcd"))
    assert not list(ledger_of(Instance(), CrossEntropy()).lines("abcd"))
    assert ledgers.effective_prior(np.array([1.0, 3.0]), None).tolist() == [0.25, 0.75]


# --- labels ---


def label_sets() -> np.ndarray:
    return (np.random.default_rng(0).random((3000, 4)) < [0.02, 0.1, 0.4, 0.7]).astype(np.uint8)


LABEL_COUNTS = tuple(label_sets().sum(0).tolist())
LABEL_LOSSES: dict[str, Any] = {
    "plain": BinaryCrossEntropy,
    "inverse": lambda: WeightedBinaryCrossEntropy(LABEL_COUNTS, 3000),
    "square_root": lambda: WeightedBinaryCrossEntropy(LABEL_COUNTS, 3000, "square_root"),
    "cut": lambda: WeightedBinaryCrossEntropy(LABEL_COUNTS, 3000, max_weight=5.0),
    "adjusted": lambda: LogitAdjustedBinaryCrossEntropy(LABEL_COUNTS, 3000),
    "half_adjusted": lambda: LogitAdjustedBinaryCrossEntropy(LABEL_COUNTS, 3000, tau=0.5),
}


def label_data(tmp_path: Path, *words: str) -> Experiment:
    sizes = ["task=multilabel", "data=planted_tags", "data.source.samples=400", "model=lstm"]
    return experiment(check(compose([*sizes, f"cache={tmp_path / 'cache'}", *words])))


@pytest.mark.parametrize("loss", LABEL_LOSSES)
@pytest.mark.parametrize("threshold", [0.001, 0.3])
def test_the_best_constant_logits_are_the_log_odds_of_the_ledger(loss: str, threshold: float) -> None:
    """No features: trained on an epoch's drawn rows, a bias for each label ends at the effective log-odds."""
    targets, made = label_sets(), LABEL_LOSSES[loss]()
    groups, policy = RepeatFactor(threshold).by_labels(targets)
    sampler = EpochSampler(groups, int(groups.max()) + 1, policy, seed=1, length=60_000)
    drawn = torch.from_numpy(targets[sampler.epoch(0)]).double()
    biases = minimised(made, drawn, 4)
    book = Ledger.of(
        LABEL_COUNTS, lambda epoch: drawn.mean(0).numpy(), functools.partial(_correction, made), 1, 3000
    )
    np.testing.assert_allclose(biases.detach().numpy(), logit(book.prior.effective), atol=5e-3)


def test_effective_shares_of_labels_by_weights_offsets_and_repetition_in_closed_form(tmp_path: Path) -> None:
    for words, expected in (
        (["loss=bce"], lambda odds: odds),
        (["loss=bce_weighted"], lambda odds: odds**0),
        (["loss=bce_weighted", "loss.scheme=square_root"], lambda odds: odds**0.5),
        (["loss=bce_logit_adjusted", "loss.tau=0.25"], lambda odds: odds**0.75),
    ):
        made = label_data(tmp_path, *words)
        book = made.ledger(made.module())
        assert book is not None
        shares = np.array(made.data.spec.class_counts) / made.data.spec.sizes[0]
        np.testing.assert_allclose(book.training, shares)
        np.testing.assert_allclose(
            logit(book.prior.effective), np.log(expected(shares / (1 - shares))), atol=1e-5
        )
    made = label_data(tmp_path, "loss=bce", "sampling=repeat_factor", "sampling.threshold=0.9")
    book, data = made.ledger(made.module()), made.data
    rows = data.splits.train[data.epoch_sampler(made.config.epochs).epoch(0)]
    shown = data.table.index.targets[rows].mean(0)
    assert book is not None
    np.testing.assert_allclose(book.prior.effective, shown, atol=2 / len(rows))
    assert np.abs(shown - book.training).max() > 0.01
    (line,) = book.lines(data.spec.target_names)
    assert line.startswith("label prior (sampling): ")


def test_two_corrections_of_labels_are_refused(tmp_path: Path) -> None:
    words = ("loss=bce_logit_adjusted", "sampling=repeat_factor", "sampling.threshold=0.9")
    made = label_data(tmp_path, *words)
    with pytest.raises(UserError, match=r"same label prior twice.* is on .*uniform is 50 %.*loss=bce inst"):
        made.ledger(made.module())
    made = label_data(tmp_path, *words, "allow_stacking=true")
    assert made.ledger(made.module()) is not None


@pytest.mark.parametrize("counts", [(0, 1000, 1)])
def test_labels_without_positives_or_negatives_get_finite_offsets(counts: tuple[int, ...]) -> None:
    loss = LogitAdjustedBinaryCrossEntropy(counts, 1000)
    expected = logit([0.0005, 0.9995, 0.001])
    np.testing.assert_allclose(loss.offsets.numpy(), expected, rtol=1e-5)
    shares = np.array(counts) / 1000
    seen = effective_prior(shares, _correction(loss, 0), labels=True)
    np.testing.assert_allclose(seen, [0, 1, 0.5], atol=1e-6)


# --- double correction, reproduced ---


def balanced_accuracy(trial: int, sampled: bool, weighted: bool) -> float:
    """A linear model, one Gaussian feature per class, 2 % positives; trained by full-batch L-BFGS on what is drawn."""
    rng = np.random.default_rng(trial)
    n = 5000
    labels = (rng.random(n) < 0.02).astype(int)
    inputs = rng.normal(size=(n, 2))
    inputs[np.arange(n), labels] += 1.6
    counts = np.bincount(labels, minlength=2)
    order = EpochSampler(labels, 2, Power(0.0) if sampled else Instance(), seed=trial).epoch(0)
    x, y = torch.tensor(inputs[order]), torch.tensor(labels[order])
    loss = Weighted(CrossEntropy(), tuple(counts.tolist()), "inverse") if weighted else CrossEntropy()
    linear = nn.Linear(2, 2).double()
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=100)

    def closure() -> Any:
        optimizer.zero_grad()
        value = loss(linear(x), y).mean()
        value.backward()
        return value

    optimizer.step(closure)
    fresh = np.repeat([0, 1], 20_000)
    points = rng.normal(size=(40_000, 2))
    points[np.arange(40_000), fresh] += 1.6
    with torch.no_grad():
        answers = linear(torch.tensor(points)).argmax(1).numpy()
    return float(np.mean([(answers[fresh == c] == c).mean() for c in (0, 1)]))


def test_two_corrections_are_worse_than_one() -> None:
    torch.manual_seed(0)
    mean = {
        (s, w): np.mean([balanced_accuracy(trial, s, w) for trial in range(3)])
        for s in (False, True)
        for w in (False, True)
    }
    assert mean[True, False] > 0.85
    assert mean[False, True] > 0.85
    assert mean[True, True] < min(mean[True, False], mean[False, True]) - 0.15
    assert mean[False, False] < 0.7  # plain finds few
    assert ledger_of(Power(0.0), CORRECTING["inverse"]()).stacked() is not None


def test_a_run_that_corrects_twice_is_refused_before_it_writes(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leyden.training.job import train

    monkeypatch.chdir(tmp_path)
    words = [
        "data=planted_images",
        "data.source.samples=300",
        "model=mlp",
        "trainer=cpu",
        "trainer.max_epochs=1",
        "threads=1",
        "logger=none",
        "long_tail=exponential",
        "long_tail.ratio=5",
        f"cache={tmp_path / 'cache'}",
        "sampling=balanced",
        "loss=balanced_softmax",
        "batch_size=16",
    ]
    with pytest.raises(UserError, match="correct the same class prior twice"):
        train(words)
    assert not (tmp_path / "runs").exists()
    outcome = train([*words, "allow_stacking=true"])
    assert outcome.status == "complete"
    assert outcome.result["prior"]["phases"][0]["degrees"]["offsets"] == pytest.approx(1, abs=0.01)
    assert compose(words)["allow_stacking"] is False


# --- in a run ---

RUN = (
    *("data=planted_images", "data.source.num_classes=3", "data.source.counts=[300,100,50]", "model=linear"),
    *("trainer.max_epochs=3", "loss=focal", "loss.gamma=2", "logger=none", "threads=1"),
)


def test_a_run_under_a_focal_loss_stores_what_its_net_was_found_to_answer_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leyden.inference.evaluate import evaluate
    from leyden.training.job import train

    monkeypatch.chdir(tmp_path)
    words = [*RUN, f"cache={tmp_path / 'cache'}"]
    made = train([*words, "decision=training_prior"])
    phase = made.result["prior"]["phases"][-1]
    assert phase["source"] == "validation"
    np.testing.assert_allclose(phase["imposed"], made.result["prior"]["training"])
    assert abs(np.array(phase["effective"]) - phase["imposed"]).max() > 0.02
    # from the answered shares (the head of the estimate) back to those of training, not from the ledger's: no shift
    expected = np.log(phase["imposed"]) - np.log(phase["effective"])
    np.testing.assert_allclose(made.result["operating_point"]["shift"], expected - expected.max(), atol=1e-6)
    val = made.result["metrics"]["val"]
    assert "cross-fitted" in val["values"]["log_loss"]["method"]
    again = evaluate(made.folder, decision="training_prior")
    assert again["test"]["values"] == made.result["metrics"]["test"]["values"]


def test_a_decision_that_needs_the_prior_is_refused_before_training_without_validation_rows(
    tmp_path: Path,
) -> None:
    """A focal loss leaves it open; cross-entropy does not."""
    for loss, decision in (
        ("focal", "training_prior"),
        ("focal", "none"),
        ("cross_entropy", "training_prior"),
    ):
        words = [*RUN[:2], f"loss={loss}", f"decision={decision}", f"cache={tmp_path / 'cache'}"]
        made = experiment(check(compose(words)))
        sizes = made.data.spec.sizes
        made.data.__dict__["spec"] = replace(made.data.spec, sizes=(sizes[0], 0, sizes[2]))
        if (loss, decision) == ("focal", "training_prior"):
            with pytest.raises(UserError, match=r"loss=focal leaves open.*choose decision=none"):
                made.ledger(made.module())
        else:
            assert made.ledger(made.module()) is not None
