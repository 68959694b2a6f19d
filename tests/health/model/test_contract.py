"""The contract of `leyden check model`: every shipped model holds it, and each way to break it is named."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

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
}
ALIKE = {"resnet32", "resnet56"}  # deeper ones of resnet20's class
UNTAUGHT = {"majority"}  # learns nothing, and is told so below


def pairs() -> Iterator[tuple[str, str]]:
    """(modality, model) of every option of group `model`."""
    for path in sorted((conf_dir() / "model").glob("*.yaml")):
        if path.stem not in ALIKE | UNTAUGHT:
            module = import_target(yaml.safe_load(path.read_text())["module"]["_target_"], "model.module")
            wanted = getattr(module, "modality", "any")
            yield from ((modality, path.stem) for modality in DATA if wanted in (modality, "any"))


PAIRS = list(pairs())


def findings(subject: ModelUnderTest) -> list[Finding]:
    return [finding for look in run_checks(subject) for finding in look.findings]


def test_enough_models_are_seen() -> None:
    assert len(PAIRS) >= 14
    assert {modality for modality, _ in PAIRS} == set(DATA)


@pytest.mark.parametrize(("modality", "model"), PAIRS)
def test_shipped_models_hold(modality: str, model: str) -> None:
    subject = model_under_test(open_session([*DATA[modality], *QUICK, f"model={model}"]))
    found = list(run_checks(subject))
    assert len(found) == len(CHECKS)
    # how large a first loss is, is a matter of taste of several published nets
    wrong = {finding.id for look in found for finding in look.findings} - {"initial_loss"}
    assert not wrong, [look for look in found if look.findings]


# --- nets with one thing wrong ---


class Net(nn.Module):
    """A sound net for images (B, 1, h, w)."""

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


class NeverFires(Net):
    """Half of the units never do: what leads to them gets zeros, the rest learns."""

    def __init__(self, classes: int, pixels: int) -> None:
        super().__init__(classes, pixels)
        self.idle = nn.Linear(pixels, 32)
        nn.init.constant_(self.idle.bias, -1e4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(x) + F.relu(self.idle(x.flatten(1))))


class Squashed(Net):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(super().forward(x))


class Blind(Net):
    """Tells samples apart by where they stand in the batch."""

    def __init__(self, classes: int, pixels: int) -> None:
        super().__init__(classes, pixels)
        self.place = nn.Embedding(64, 32)

    def forward(self, x: Tensor) -> Tensor:
        shift = 0 * self.body(x.flatten(1))
        return self.head(shift + self.place(torch.arange(x.shape[0])))


class OffTheBooks(Net):
    def __init__(self, classes: int, pixels: int) -> None:
        super().__init__(classes, pixels)
        self.mixing = torch.rand(pixels)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1) * self.mixing)


class Cancels(Net):
    def forward(self, x: Tensor) -> Tensor:
        return (super().forward(x) + 1000) - 1000


class Refuses16(Net):
    def forward(self, x: Tensor) -> Tensor:
        made = super().forward(x)
        assert made.dtype == torch.float32, "no halves here"
        return made


class Branches(Net):
    def forward(self, x: Tensor) -> Tensor:
        made = super().forward(x)
        return made if x.sum().item() > 0 else made + 0


class OverPadding(RNN):
    """A mean over all steps, also those of padding."""

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
    (NeverFires, {"zero_gradient"}, "net.idle.weight"),
    (Squashed, {"cannot_memorise"}, ""),
    (Blind, {"inputs_unused", "zero_gradient"}, ""),
    (OffTheBooks, {"save_load"}, ""),
    (Cancels, {"half_precision"}, ""),
    (Refuses16, {"half_precision"}, ""),
    (Branches, {"export"}, ""),
]


@pytest.fixture(scope="module")
def images() -> Session:
    return open_session([*DATA["image"], *QUICK, "model=mlp"])


def subject_of(made: Session, make: Callable[[], nn.Module]) -> ModelUnderTest:
    """With another net, which is drawn anew when the module is made again."""

    def rebuilt() -> Any:
        again = open_session([*DATA[made.data.spec.modality], *QUICK, f"model={made.config.model.name}"])
        again.module.net = make()
        return again.module

    torch.manual_seed(0)
    made.module.net = make()
    return replace(model_under_test(made), rebuild=rebuilt)


@pytest.mark.parametrize(("kind", "expected", "where"), BROKEN, ids=[kind.__name__ for kind, _, _ in BROKEN])
def test_each_fault_is_named(kind: type[Net], expected: set[str], where: str, images: Session) -> None:
    spec = images.data.spec
    pixels = spec.in_channels * spec.image_size[0] * spec.image_size[1]
    found = findings(subject_of(images, lambda: kind(spec.num_classes, pixels)))
    own = [finding for finding in found if finding.id in expected]
    assert {finding.id for finding in own} == expected, found
    # what learns by a dropout or off the books may show more than its own fault, a sound net nothing
    assert kind is not Net or not found
    assert where in own[0].where if own else True


def test_padding_that_counts_is_named() -> None:
    made = open_session([*DATA["text"], *QUICK, "model=lstm"])
    spec = made.data.spec
    found = findings(subject_of(made, lambda: OverPadding(spec.num_classes, spec.vocab_size)))
    assert [(f.id, f.level) for f in found] == [("padding", "error")], found
    assert "masked_mean" in found[0].message


def test_what_learns_nothing_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "model", *DATA["image"], *QUICK, "model=majority", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {"cannot_memorise", "inputs_unused"} <= {finding["id"] for finding in found}


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "model", *DATA["image"], *QUICK, "model=mlp"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("holds") == len(CHECKS)
    assert max(map(len, printed.splitlines())) <= 80


def test_the_module_is_left_as_it_was(images: Session) -> None:
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
