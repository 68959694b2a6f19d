"""Means over the steps of an epoch and of a logging interval, which cost a step no kernel."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Score = Callable[[Tensor, Tensor], Tensor]


_STEPS_HELD, _VALUES_HELD = 32, 2**24


def steps_held(outputs: Tensor) -> int:
    """Of how many steps with such outputs these are held at most: 32, and no more than 67 MB of float32, but one."""
    return max(1, min(_STEPS_HELD, _VALUES_HELD // max(1, outputs.numel())))


class RunningMeans:
    """Sums of loss, score and samples, for the epoch and for the logging interval; of finite losses.

    A step only keeps its tensors; every `steps_held` they are summed at once, so that a step costs no kernel.

    Args:
        score: outputs (B, ...) and targets (B, ...) -> what is averaged (B,), such as whether an answer is right.
    """

    def __init__(self, score: Score) -> None:
        self._score = score
        self.epoch = torch.zeros(3)
        self._interval = torch.zeros(3)
        self._held: list[tuple[Tensor, Tensor, Tensor]] = []
        self._rows = torch.zeros(0, 3)  # (loss, score, samples) of steps held when the state was saved

    def add(self, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch: its mean loss (), outputs (B, ...) and targets (B, ...)."""
        self._held.append((loss, outputs, targets))
        if len(self._rows) + len(self._held) >= steps_held(outputs):
            self._fold()

    def _fold(self) -> None:
        if not self._held and not len(self._rows):
            return
        losses, scores, counts = (part.to(self._device) for part in self._rows.T)
        if self._held:
            loss, outputs, targets = zip(*self._held, strict=True)
            sizes = torch.tensor([len(part) for part in targets], dtype=torch.float32, device=self._device)
            losses, counts = torch.cat([losses, torch.stack(loss).float()]), torch.cat([counts, sizes])
            each = self._score(joined(outputs), torch.cat(targets))
            of_finite = torch.stack(loss).isfinite().repeat_interleave(sizes.long(), output_size=len(each))
            # a sum over finite steps alone: NaN times 0 would stay NaN
            scores = torch.cat([scores, torch.where(of_finite, each, 0.0).sum()[None]])
        counts = counts * losses.isfinite()  # a step that was skipped is no part of a mean
        losses = losses.nan_to_num(0.0, 0.0, 0.0)
        self._held, self._rows = [], torch.zeros(0, 3)
        sums = torch.stack(((losses * counts).sum(), scores.sum(), counts.sum()))
        self._interval = self._interval.to(self._device) + sums

    @property
    def _device(self) -> torch.device:
        return self._held[0][0].device if self._held else self._interval.device

    def state(self) -> Tensor:
        """(2 + m, 3): the sums, and the m steps held. Nothing is folded: another order of adding rounds otherwise."""
        device = self._device
        held = [
            torch.stack(
                (
                    loss.float(),
                    torch.where(loss.isfinite(), self._score(outputs, targets), 0.0).sum(),
                    loss.new_tensor(len(targets)),
                )
            )
            for loss, outputs, targets in self._held
        ]
        return torch.stack([*(x.to(device) for x in (self.epoch, self._interval, *self._rows)), *held])

    def load(self, state: Tensor) -> None:
        """Go on from what `state` returned."""
        self.epoch, self._interval, self._rows = state[0].clone(), state[1].clone(), state[2:].clone()
        self._held = []

    @property
    def interval(self) -> Tensor:
        """(sums of losses and scores, samples) since the interval began."""
        self._fold()
        return self._interval

    @interval.setter
    def interval(self, sums: Tensor) -> None:
        self._held, self._rows, self._interval = [], torch.zeros(0, 3), sums

    def read_interval(self) -> tuple[float, ...]:
        """(mean loss, mean score) since the last call; () where there has been no step."""
        values = _means(self.interval)
        self._close_interval()
        return values

    def read_epoch(self) -> tuple[float, ...]:
        """(mean loss, mean score) of the epoch, () without a step; starts the next."""
        self._close_interval()
        values, self.epoch = _means(self.epoch), torch.zeros_like(self.epoch)
        return values

    def _close_interval(self) -> None:
        self.epoch = self.epoch.to(self.interval.device) + self.interval
        self.interval = torch.zeros_like(self.interval)


def _means(sums: Tensor) -> tuple[float, ...]:
    loss, score, count = sums.tolist()
    return (loss / count, score / count) if count else ()


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Parts (n_i, ...) as one; (n_i, T_i, ...) are padded along T to the longest, with NaN, integers with -1."""
    if len({part.shape[1:] for part in parts}) == 1:
        return torch.cat(list(parts))
    longest = max(part.shape[1] for part in parts)
    fill = float("nan") if parts[0].is_floating_point() else -1
    return torch.cat(
        [
            nn.functional.pad(part, (*[0] * (2 * (part.ndim - 2)), 0, longest - part.shape[1]), value=fill)
            for part in parts
        ]
    )
