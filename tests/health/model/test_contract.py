"""`leyden check model`: every shipped model passes the checks, and each planted fault is identified."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from brightness import REGRESSION
from leyden.cli.main import main
from leyden.config.compose import conf_dir
from leyden.config.validate import import_target
from leyden.health.findings import Finding
from leyden.health.model.checks import CHECKS, run_checks
from leyden.health.model.model_under_test import ModelUnderTest
from leyden.modules.session import Session
from leyden.nets.text import RNN
from leyden.training.setup import model_under_test, open_session
from leyden.utils.errors import UserError

QUICK = ["trainer=cpu", "threads=1", "batch_size=16"]
DATA = {
    "image": ["data=planted_images", "data.source.samples=120"],
    "text": ["data=planted_text", "data.source.samples=120"],
    "audio": ["data=planted_audio", "data.source.samples=60"],
    "speech": ["data=planted_ctc", "data.source.samples=60", "task=ctc"],
}
ONE = ("image", "text", "audio")  # modalities of data with one input
ALIKE = {"resnet32", "resnet56"}  # deeper ones of resnet20's class
TASKS = {
    "multilabel-text": ["data=planted_tags", "data.source.samples=120", "task=multilabel", "model=lstm"],
    "regression-image": [*REGRESSION, "data.source.samples=120", "model=cnn"],
}
UNTRAINED = {"majority"}  # learns nothing, which is reported (see below)


def pairs() -> Iterator[tuple[str, str]]:
    """(modality, model) of every option of group `model`."""
    for path in sorted((conf_dir() / "model").glob("*.yaml")):
        if path.stem not in ALIKE | UNTRAINED:
            nodes = yaml.safe_load(path.read_text())
            parts = [nodes[name]["_target_"] for name in ("module", "frontend", "net") if name in nodes]
            targets = [import_target(part, "model") for part in parts if not part.startswith("$")]
            wanted = {getattr(target, "modality", "any") for target in targets} - {"any"}
            if hasattr(targets[-1], "takes_named_inputs"):
                continue
            answers_frames = hasattr(targets[-1], "output_lengths")  # the net's
            fitting = ["speech"] if answers_frames else [m for m in ONE if wanted <= {m}]
            yield from ((modality, path.stem) for modality in fitting)


PAIRS = list(pairs())


def findings(subject: ModelUnderTest) -> list[Finding]:
    return [finding for result in run_checks(subject) for finding in result.findings]


def test_all_modalities_are_covered() -> None:
    assert len(PAIRS) >= 14
    assert {modality for modality, _ in PAIRS} == set(DATA)


@pytest.mark.parametrize(("modality", "model"), PAIRS)
def test_shipped_models_pass(modality: str, model: str) -> None:
    subject = model_under_test(open_session([*DATA[modality], *QUICK, f"model={model}"]))
    found = list(run_checks(subject))
    assert len(found) == len(CHECKS)
    # several published nets start with a larger loss
    wrong = {finding.id for result in found for finding in result.findings} - {"initial_loss"}
    assert not wrong, [result for result in found if result.findings]


@pytest.mark.parametrize("task", TASKS)
def test_every_task_passes(task: str) -> None:
    subject = model_under_test(open_session([*TASKS[task], *QUICK]))
    results = {result.name: result for result in run_checks(subject)}
    assert [finding for result in results.values() for finding in result.findings] == []
    assert len(results) == len(CHECKS)
    assert results["shapes"].summary.startswith(f"outputs (16, {subject.num_outputs}) of inputs (16, ")


@pytest.mark.parametrize("loss", ["mae", "huber"])
def test_losses_of_regression(loss: str) -> None:
    assert (
        findings(model_under_test(open_session([*TASKS["regression-image"], *QUICK, f"loss={loss}"]))) == []
    )


@pytest.mark.parametrize("loss", ["asymmetric", "bce_weighted"])
def test_losses_of_labels(loss: str) -> None:
    assert findings(model_under_test(open_session([*TASKS["multilabel-text"], *QUICK, f"loss={loss}"]))) == []


def test_smoothed_labels_can_be_memorised() -> None:
    """Their loss stays above a tenth of what it was at the start."""
    words = [*DATA["image"], *QUICK, "model=mlp", "loss.label_smoothing=0.3"]
    subject = model_under_test(open_session(words))
    assert findings(subject) == []
    assert subject.least_loss > 0.1 * subject.neutral_loss
    assert subject.neutral_loss == pytest.approx(math.log(subject.num_outputs), rel=1e-5)


def test_the_least_loss_is_that_of_the_targets() -> None:
    """The entropy of smoothed labels; nothing where outputs can be the targets."""
    words = [*DATA["image"], *QUICK, "model=mlp"]
    plain = model_under_test(open_session(words))
    assert plain.least_loss < 1e-3
    smoothed = model_under_test(open_session([*words, "loss.label_smoothing=0.3"]))
    n = smoothed.num_outputs
    right, wrong = 0.7 + 0.3 / n, 0.3 / n
    entropy = -right * math.log(right) - (n - 1) * wrong * math.log(wrong)
    assert smoothed.least_loss == pytest.approx(entropy, rel=1e-3)
    assert model_under_test(open_session([*TASKS["regression-image"], *QUICK])).least_loss < 1e-3


# --- nets with one fault ---


class Net(nn.Module):
    """A correct net for images (B, 1, h, w)."""

    def __init__(self, classes: int, pixels: int) -> None:
        super().__init__()
        self.body = nn.Linear(pixels, 32)
        self.head = nn.Linear(32, classes)

    def hidden(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x.flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(x))


class Crash(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


class OneMore(Net):
    def __init__(self, classes: int, pixels: int) -> None:
        super().__init__(classes + 1, pixels)


class Infinite(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 0


class AlwaysDropout(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.dropout(self.hidden(x), 0.5))


class OverTheBatch(Net):
    def __init__(self, classes: int, pixels: int) -> None:
        super().__init__(classes, pixels)
        self.norm = nn.BatchNorm1d(32, affine=False, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.hidden(x)))


class Unused(Net):
    def __init__(self, classes: int, pixels: int) -> None:
        super().__init__(classes, pixels)
        self.spare = nn.Linear(3, 3)


class DeadUnits(Net):
    """Half of the units are dead: their weights get zero gradients."""

    def __init__(self, classes: int, pixels: int) -> None:
        super().__init__(classes, pixels)
        self.dead = nn.Linear(pixels, 32)
        nn.init.constant_(self.dead.bias, -1e4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(x) + F.relu(self.dead(x.flatten(1))))


class Squashed(Net):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(super().forward(x))


class Blind(Net):
    """Ignores the inputs; predicts by the position in the batch."""

    def __init__(self, classes: int, pixels: int) -> None:
        super().__init__(classes, pixels)
        self.place = nn.Embedding(64, 32)

    def forward(self, x: Tensor) -> Tensor:
        shift = 0 * self.body(x.flatten(1))
        return self.head(shift + self.place(torch.arange(x.shape[0])))


class UnregisteredState(Net):
    def __init__(self, classes: int, pixels: int) -> None:
        super().__init__(classes, pixels)
        self.mixing = torch.rand(pixels)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1) * self.mixing)


class Cancels(Net):
    def forward(self, x: Tensor) -> Tensor:
        return (super().forward(x) + 1000) - 1000


class RejectsHalf(Net):
    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        assert logits.dtype == torch.float32, "float32 only"
        return logits


class Branches(Net):
    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return logits if x.sum().item() > 0 else logits + 0


class OverPadding(RNN):
    """Mean pooling over all steps, including padding."""

    def features(self, x: Tensor, lengths: Tensor) -> Tensor:
        outputs = self.recurrent(self.embedding(x), lengths.clamp(min=1))
        return outputs.mean(1)


BROKEN: list[tuple[type[Net], set[str], str]] = [
    (Net, set(), ""),
    (Crash, {"shapes"}, ""),
    (OneMore, {"shapes"}, "head"),
    (Infinite, {"shapes"}, ""),
    (AlwaysDropout, {"not_deterministic"}, "head"),
    (OverTheBatch, {"sample_leak"}, "norm"),
    (Unused, {"no_gradient"}, "net.spare.weight"),
    (DeadUnits, {"zero_gradient"}, "net.dead.weight"),
    (Squashed, {"cannot_overfit_batch"}, ""),
    (Blind, {"inputs_unused", "zero_gradient"}, ""),
    (UnregisteredState, {"save_load"}, ""),
    (Cancels, {"half_precision"}, ""),
    (RejectsHalf, {"half_precision"}, ""),
    (Branches, {"export"}, ""),
]


@pytest.fixture(scope="module")
def images() -> Session:
    return open_session([*DATA["image"], *QUICK, "model=mlp"])


def subject_of(made: Session, make: Callable[[], nn.Module]) -> ModelUnderTest:
    """The model under test with another net, which is initialised anew when the module is rebuilt."""

    def rebuild() -> Any:
        again = open_session([*DATA[made.data.spec.modality], *QUICK, f"model={made.config.model.name}"])
        again.module.net = make()
        return again.module

    torch.manual_seed(0)
    made.module.net = make()
    return replace(model_under_test(made), rebuild=rebuild)


@pytest.mark.parametrize(("kind", "expected", "where"), BROKEN, ids=[kind.__name__ for kind, _, _ in BROKEN])
def test_each_fault_is_identified(kind: type[Net], expected: set[str], where: str, images: Session) -> None:
    spec = images.data.spec
    pixels = spec.in_channels * spec.image_size[0] * spec.image_size[1]
    found = findings(subject_of(images, lambda: kind(spec.num_outputs, pixels)))
    own = [finding for finding in found if finding.id in expected]
    assert {finding.id for finding in own} == expected, found
    # some faults have secondary findings; a correct net has none
    assert kind is not Net or not found
    assert where in own[0].where if own else True


class Loud(Net):
    """Starts with outputs far from the standardised targets."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 3


class Rectified(Net):
    """Cannot give values below the mean."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x)) + 0.1


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (OneMore, "shapes"),
        (Loud, "initial_loss"),
        (Rectified, "cannot_overfit_batch"),
        (Blind, "inputs_unused"),
    ],
)
def test_faults_of_a_regression(kind: type[Net], expected: str) -> None:
    made = open_session([*REGRESSION, "data.source.samples=120", *QUICK, "model=mlp"])
    torch.manual_seed(0)
    made.module.net = kind(made.data.spec.num_outputs, 64)
    found = list(run_checks(model_under_test(made)))[:8]  # those before it is built anew
    assert expected in {finding.id for result in found for finding in result.findings}, found


def test_pooling_over_padding_is_identified() -> None:
    made = open_session([*DATA["text"], *QUICK, "model=lstm"])
    spec = made.data.spec
    found = findings(subject_of(made, lambda: OverPadding(spec.num_outputs, spec.vocab_size)))
    assert [(f.id, f.level) for f in found] == [("padding", "error")], found
    assert "masked_mean" in found[0].message


def test_an_untrainable_model_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "model", *DATA["image"], *QUICK, "model=majority", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {"cannot_overfit_batch", "inputs_unused"} <= {finding["id"] for finding in found}


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "model", *DATA["image"], *QUICK, "model=mlp"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("passed") == len(CHECKS)
    assert max(map(len, printed.splitlines())) <= 80


def test_the_module_is_not_changed(images: Session) -> None:
    before = {name: value.clone() for name, value in images.module.state_dict().items()}
    modes = [part.training for part in images.module.modules()]
    findings(model_under_test(images))
    after = images.module.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert [part.training for part in images.module.modules()] == modes
    assert all(p.grad is None for p in images.module.parameters())


@pytest.mark.parametrize(
    ("words", "said"),
    [(["model=cnm"], "cnn"), (["--jsn"], "did you mean"), (["data=planted_text"], "model=... for text")],
)
def test_mistakes(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "model", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_module_without_prepare_is_refused(images: Session) -> None:
    with pytest.raises(UserError, match="has no prepare"):
        model_under_test(images._replace(module=nn.Linear(1, 1)))  # type: ignore[arg-type]
    half = nn.Linear(1, 1)
    half.prepare = lambda batch: batch  # type: ignore[assignment]
    with pytest.raises(UserError, match="has no losses"):
        model_under_test(images._replace(module=half))  # type: ignore[arg-type]
