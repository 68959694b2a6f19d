"""Common helpers of the callbacks."""

from lightning.pytorch import Trainer

_ASK_EVERY = 20  # steps between two reductions over the ranks, each of which synchronises them


def any_rank(trainer: Trainer, wish: bool) -> bool:
    """Whether `wish` is true on any rank; the same result on all ranks.

    With several ranks only every 20th step is reduced; on the steps between, the result is False.
    """
    if trainer.world_size == 1:
        return wish
    if trainer.global_step % _ASK_EVERY:
        return False
    return bool(trainer.strategy.reduce_boolean_decision(wish, all=False))
