"""Callbacks that cost nothing where they do nothing.

Lightning 2.6.6 enters a profiler's context for every hook of every callback, some fifteen times a step, also where the
hook is the empty one of the base class. It passes over what is not callable: so the empty ones are taken away.
"""

from typing import TypeVar

from lightning.pytorch import Callback

_OFTEN = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "on_before_backward"),
    *("on_after_backward", "on_before_optimizer_step"),
    *("on_validation_batch_start", "on_validation_batch_end", "on_test_batch_start", "on_test_batch_end"),
)

T = TypeVar("T", bound=type[Callback])


def only_own_hooks(cls: T) -> T:
    """Of the hooks called at every batch, leave a callback class those that it defines."""
    for name in _OFTEN:
        if getattr(cls, name) is getattr(Callback, name):
            setattr(cls, name, None)
    return cls
