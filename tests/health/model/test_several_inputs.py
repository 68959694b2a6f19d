"""`leyden check model` of nets with several inputs: checks have them all, absence has a gradient, export works."""

import pytest
import torch

from leyden.health.model.checks import run_checks
from leyden.health.model.model_under_test import ModelUnderTest
from leyden.health.model.training_checks import gradients
from leyden.modules.flattened import Flattened, flattened
from leyden.training.setup import model_under_test, open_session

DATA = ["data=planted_fusion", "data.source.samples=180", "trainer=cpu", "threads=1"]
SMALL = [f"model.encoders.{name}.net.widths=[8,16]" for name in ("image", "audio")]


def subject_of(model: str) -> ModelUnderTest:
    return model_under_test(open_session([*DATA, f"model={model}", *SMALL]))


@pytest.mark.parametrize("model", ["fusion", "fusion_gated"])
def test_all_checks_pass(model: str) -> None:
    found = {result.name: result for result in run_checks(subject_of(model))}
    # a sum of untrained experts is further from uniform than one of them: that is no fault of the checks
    failed = {name: result.summary for name, result in found.items() if result.status != "passed"}
    assert failed.keys() <= {"initial loss"}
    assert "image (16, 1, 16, 16), text (16, 12)" in found["shapes"].summary
    assert len(found) == 11


def test_what_is_learned_for_absence_has_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = subject_of("fusion_concat")
    assert gradients(subject).findings == ()
    monkeypatch.setattr(
        "leyden.health.model.training_checks._with_absences", lambda subject: subject.prepared
    )
    (finding,) = gradients(subject).findings
    assert finding.where == "net.absent"


def test_the_flattened_net_answers_as_the_net_does() -> None:
    subject = subject_of("fusion")
    net, tensors = flattened(subject.net.eval(), subject.prepared)
    assert isinstance(net, Flattened)
    with torch.no_grad():
        assert torch.equal(net(*tensors), subject.net(subject.prepared.inputs))


@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")  # torch, of its own recurrent layers
@pytest.mark.parametrize("model", ["fusion", "fusion_concat", "fusion_gated", "fusion_attention"])
def test_an_exported_net_is_told_which_inputs_are_absent(model: str) -> None:
    subject = subject_of(model)
    net, tensors = flattened(subject.net.eval(), subject.prepared, with_presence=True)
    with torch.no_grad():
        program = torch.export.export(net, tensors, strict=False).module()
        for absent in subject.prepared.inputs:
            present = {name: torch.ones(16, dtype=torch.bool) for name in subject.prepared.inputs}
            present[absent][3:7] = False
            given = {name: x.values.clone() for name, x in subject.prepared.inputs.items()}
            if given[absent].is_floating_point():
                given[absent][3:7] = float("nan")  # of no account, as everything behind an empty cell
            values = (
                v
                for name, x in subject.prepared.inputs.items()
                for v in (given[name], x.lengths)
                if v is not None
            )
            told = program(*values, *present.values())
            assert told.isfinite().all()
            torch.testing.assert_close(
                told, subject.net(subject.prepared.inputs, present), atol=1e-5, rtol=1e-5
            )
