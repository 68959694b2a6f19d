"""Looks at what can be learnt: the first loss, gradients for all, one batch by heart, inputs that matter."""

import copy
from dataclasses import replace

import torch
import torch.nn.functional as F

from leyden.health import step_rules
from leyden.health.data.common import examples
from leyden.health.findings import CheckResult, Finding, check_failed
from leyden.health.model.model_under_test import OVERFITTED, STEPS, ModelUnderTest
from leyden.modules.standalone import preserved_state

UNUSED = 0.02  # a loss that rises less, as a share, when all inputs are zero: the net does not look at them


def initial_loss(subject: ModelUnderTest) -> CheckResult:
    """A net that knows nothing answers ln C."""
    module = copy.deepcopy(subject.module)
    with preserved_state(module, training=True), torch.no_grad():
        loss = subject.loss(module(subject.prepared))
    told = f"{loss:.3g}, ln {subject.classes} = {torch.tensor(float(subject.classes)).log():.3g}"
    found = step_rules.initial_loss(loss, subject.classes, subject.policy)
    return CheckResult("initial loss", told, tuple(replace(finding, step=None) for finding in found))


def gradients(subject: ModelUnderTest) -> CheckResult:
    """Every trainable parameter receives one."""
    name, module = "gradients reach every parameter", copy.deepcopy(subject.module)
    with preserved_state(module, training=True):
        logits = module(subject.prepared)
        if not logits.requires_grad:
            words = "the loss depends on no trainable parameter: all are frozen, or forward runs without gradients"
            return check_failed(name, "no_gradient", "error", words)
        F.cross_entropy(logits.float(), subject.batch.targets).backward()
    trained = {n: p for n, p in module.named_parameters() if p.requires_grad}
    none = [n for n, p in trained.items() if p.grad is None]
    zero = [n for n, p in trained.items() if p.grad is not None and not p.grad.any()]
    found = []
    if none:
        message = (
            f"{len(none)} of {len(trained)} parameters receive no gradient: {examples(none, len(none))}. They are "
            "never used in forward, or a .detach(), .data, argmax or no_grad() stands behind them; freeze those that "
            "shall stay as they are"
        )
        found.append(Finding("no_gradient", "error", message, none[0], (f"init.freeze=[{none[0]}]",)))
    if zero:
        message = (
            f"{len(zero)} of {len(trained)} parameters receive only zeros: {examples(zero, len(zero))}. A unit that "
            "never fires, or a layer behind that starts at zero"
        )
        found.append(Finding("zero_gradient", "warning", message, zero[0]))
    return CheckResult(name, f"{len(trained)} parameters" if not found else "see below", tuple(found))


def memory(subject: ModelUnderTest) -> CheckResult:
    """One batch can be learnt by heart."""
    name, found = "one batch can be learnt", subject.memory
    told = f"loss {found.before:.3g} to {found.after:.3g} in {found.steps} steps"
    if found.has_overfitted:
        return CheckResult(name, f"{told} of Adam at {found.rate:g}")
    message = (
        f"{len(subject.batch.targets)} samples cannot be overfitted: in {STEPS} steps of Adam the loss goes from "
        f"{found.before:.3g} to {found.after:.3g}, expected is less than {OVERFITTED * found.before:.2g}. A layer that "
        "is cut off, an activation behind the last layer, labels that do not go with the inputs, or far too small a net"
    )
    return check_failed(name, "cannot_memorise", "error", message)


def inputs_matter(subject: ModelUnderTest) -> CheckResult:
    """With all inputs zero, what has been learnt is not known any more."""
    name, found = "inputs matter", subject.memory
    blank = subject.prepared.map_inputs(lambda x: x._replace(values=torch.zeros_like(x.values)))
    with torch.no_grad():
        # in training mode: after a few steps batch norm's running statistics are not yet those
        with_, without = (
            subject.loss(subject.in_training(found.module, batch)) for batch in (subject.prepared, blank)
        )
    if without - with_ > UNUSED * max(with_, 1e-3):
        return CheckResult(name, f"loss {with_:.3g}, of zeros {without:.3g}")
    message = (
        f"the loss is {with_:.3g} with the inputs and {without:.3g} with zeros in their place: the net does not look "
        "at them; a line of forward that works on another variable, or a layer whose output is not used"
    )
    return check_failed(name, "inputs_unused", "error", message)
