"""What Leyden's callbacks share."""

from lightning.pytorch import Trainer

_ASK_EVERY = 20  # steps between two agreements of the ranks: each is a synchronisation


def any_rank(trainer: Trainer, wish: bool) -> bool:
    """Whether any rank wishes it, the same answer on all; several ranks are asked every so many steps only."""
    if trainer.world_size == 1:
        return wish
    if trainer.global_step % _ASK_EVERY:
        return False
    return bool(trainer.strategy.reduce_boolean_decision(wish, all=False))
