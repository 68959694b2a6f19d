"""What TensorBoard adds to a job: CPU seconds of a training with `logger=tensorboard` over those with `logger=none`."""

from collections.abc import Iterator
from functools import partial

from benches.measure import Case, Given, leyden

SETTINGS = (
    "model=mlp trainer.max_epochs=2",
    "model=cnn trainer.max_epochs=2",
    "experiment=planted_text trainer.max_epochs=2",
    "experiment=planted_audio trainer.max_epochs=2",
    "model=cnn trainer.max_epochs=100",  # a CPU minute or more
    "experiment=planted_text trainer.max_epochs=40",
)
ONE_CPU = ("trainer=cpu", "threads=1", "force=true")


def cases(given: Given) -> Iterator[Case]:
    """One for each setting; the words of the command line are one instead of them."""
    for setting in [" ".join(given.overrides)] if given.overrides else SETTINGS:
        if given.only in setting:  # fills the cache
            cpu_seconds([*setting.split(), "trainer.max_epochs=1"], "none", given)
        ways = {name: partial(cpu_seconds, setting.split(), name, given) for name in ("tensorboard", "none")}
        yield Case(setting, ways, "CPU s")


def cpu_seconds(words: list[str], logger: str, given: Given) -> float:
    """Of a training in a process of its own, with those that it started."""
    brief = [
        word
        for k, word in enumerate(words)
        if word.partition("=")[0] not in {w.partition("=")[0] for w in words[k + 1 :]}
    ]
    return leyden(["train", *brief, *ONE_CPU, f"logger={logger}", f"runs={logger}"], given.scratch).cpu
