"""Checks of training: initial loss, gradients of all parameters, overfitting a single batch, use of the inputs."""

import copy
from dataclasses import replace

import torch

from leyden.data.batch import Batch
from leyden.health import step_rules
from leyden.health.data.common import examples
from leyden.health.findings import CheckResult, Finding, check_failed
from leyden.health.model.model_under_test import STEPS, ModelUnderTest
from leyden.modules.standalone import preserved_state

UNUSED = 0.02  # relative rise of the loss with zero inputs, below which the net ignores its inputs


def initial_loss(subject: ModelUnderTest) -> CheckResult:
    """The first loss is close to that of outputs of 0: of uniform predictions, or of the targets' mean."""
    if subject.kind == "pairs":
        return CheckResult("initial loss", "not applicable: that of random embeddings depends on their width")
    module = copy.deepcopy(subject.module)
    with preserved_state(module, training=True), torch.no_grad():
        loss = float(subject.loss(module(subject.prepared), module))
    excess = step_rules.VALUES_EXCESS if subject.kind == "values" else subject.settings.initial_loss
    expected = step_rules.ExpectedLoss(subject.neutral_loss, "outputs of 0 give", excess)
    found = step_rules.initial_loss(loss, expected)
    summary = f"{loss:.3g}, {expected.words} {expected.value:.3g}"
    return CheckResult("initial loss", summary, tuple(replace(finding, step=None) for finding in found))


def gradients(subject: ModelUnderTest) -> CheckResult:
    """Every trainable parameter receives a gradient that is not all zero."""
    name, module = "gradients reach every parameter", copy.deepcopy(subject.module)
    with preserved_state(module, training=True):
        loss = subject.loss(module(_with_absences(subject)), module)
        if not loss.requires_grad:
            message = (
                "the loss depends on no trainable parameter: all are frozen, or forward runs under no_grad"
            )
            return check_failed(name, "no_gradient", "error", message)
        loss.backward()
    trained = {n: p for n, p in module.named_parameters() if p.requires_grad}
    none = [n for n, p in trained.items() if p.grad is None]
    zero = [n for n, p in trained.items() if p.grad is not None and not p.grad.any()]
    found = []
    if none:
        message = (
            f"{len(none)} of {len(trained)} parameters receive no gradient: {examples(none, len(none))}. They are "
            "not used in forward, or a .detach(), .data, argmax or no_grad() follows them; freeze those that are "
            "not to be trained"
        )
        found.append(Finding("no_gradient", "error", message, none[0], (f"init.freeze=[{none[0]}]",)))
    if zero:
        message = (
            f"{len(zero)} of {len(trained)} parameters receive only zeros: {examples(zero, len(zero))}. A dead unit, "
            "or a following layer that is initialised to zero"
        )
        found.append(Finding("zero_gradient", "warning", message, zero[0]))
    return CheckResult(name, f"{len(trained)} parameters" if not found else "see below", tuple(found))


def _with_absences(subject: ModelUnderTest) -> Batch:
    """The prepared batch; of several inputs, the m-th is absent from the m-th sample, so that its embedding learns."""
    batch = subject.prepared
    if len(batch.inputs) < 2 or subject.kind == "pairs":  # a pair has both
        return batch
    everywhere = torch.ones_like(batch.rows, dtype=torch.bool)
    there = torch.stack([batch.present.get(name, everywhere) for name in batch.inputs])
    fewer = there.clone()
    fewer.diagonal().fill_(False)
    kept = torch.where(fewer.any(0), fewer, there)
    return batch._replace(present=dict(zip(batch.inputs, kept, strict=True)))


def overfitting(subject: ModelUnderTest) -> CheckResult:
    """The model can overfit a single batch."""
    name, found = "overfits a single batch", subject.overfitted
    summary = f"loss {found.before:.3g} to {found.after:.3g} in {found.steps} steps"
    if found.has_overfitted:
        return CheckResult(name, f"{summary} of Adam at {found.rate:g}")
    message = (
        f"the model does not overfit a single batch of {len(subject.batch.targets)} samples: in {STEPS} steps of Adam "
        f"the loss goes from {found.before:.3g} to {found.after:.3g}, expected is less than "
        f"{found.goal:.2g}. A disconnected layer, an activation after the last layer, targets that do not match the "
        "inputs, or a net far too small"
    )
    return check_failed(name, "cannot_overfit_batch", "error", message)


def input_use(subject: ModelUnderTest) -> CheckResult:
    """The loss of the overfitted batch rises when all inputs are set to zero."""
    name, found = "uses its inputs", subject.overfitted
    blank = subject.prepared.map_inputs(lambda x: x._replace(values=torch.zeros_like(x.values)))
    with torch.no_grad():
        # in training mode: after a few steps batch norm's running statistics have not converged
        with_, without = (
            float(subject.loss(subject.train_outputs(found.module, batch), found.module))
            for batch in (subject.prepared, blank)
        )
    if without - with_ > UNUSED * max(with_, 1e-3):
        return CheckResult(name, f"loss {with_:.3g}, with zeros {without:.3g}")
    message = (
        f"the loss is {with_:.3g} with the inputs and {without:.3g} with zeros instead: the net ignores its inputs; "
        "forward uses a wrong variable, or the output of a layer is not used"
    )
    return check_failed(name, "inputs_unused", "error", message)
