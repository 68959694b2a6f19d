"""The doctor's look at a model before training: a contract that any net can be held to, a user's own too.

    for look in looks(Subject.of(ready(["model=mine"], ["conf"]))): print(look.name, look.word, look.told)

What each look does and why it is a fault where it fails: docs/check-model.md. Most of it is Karpathy's "A recipe for
training neural networks" (2019) and Goodfellow et al. 2016, chapter 11.5, done by a machine.
"""

from collections.abc import Iterator

from leyden.health.finding import Look
from leyden.health.model import forwards, learning, leaving
from leyden.health.model.subject import Subject

PROBES = (
    forwards.shapes,
    forwards.determinism,
    forwards.samples_apart,
    forwards.padding,
    learning.initial_loss,
    learning.gradients,
    learning.memory,
    learning.inputs_matter,
    leaving.save_and_load,
    leaving.bfloat16,
    leaving.export,
)


def looks(subject: Subject) -> Iterator[Look]:
    """One look after the other; where the shapes are wrong, nothing else can be looked at."""
    for probe in PROBES:
        look = probe(subject)
        yield look
        if probe is forwards.shapes and look.word == "error":
            return
