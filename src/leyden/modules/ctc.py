"""Speech recognition by connectionist temporal classification: a transcript without the places of its units."""

from typing import Any, ClassVar

from torch import Tensor

from leyden.data.batch import Batch
from leyden.data.transforms.audio import lengths_of, valid
from leyden.modules.base import SupervisedModule
from leyden.utils.errors import UserError


class CTCRecognizer(SupervisedModule):
    """Units of a transcript, in order; outputs are logits of frames (B, T', C), the blank first, targets (B, L).

    The net is `net(x, lengths) -> (B, T', C)` and says by `net.output_lengths(lengths) -> (B,)` how many frames each
    sample has left of so many.
    """

    score_name: ClassVar[str] = "string_accuracy"

    def frames(self, batch: Batch) -> Tensor:
        """int64 (B,): how many of the outputs' frames each sample of a prepared batch has."""
        return self._after_net(lengths_of(batch.input))

    def _after_net(self, lengths: Tensor) -> Tensor:
        net: Any = self.net
        if not hasattr(net, "output_lengths"):
            raise UserError(
                f"model.net: {type(net).__name__} gives one answer for a whole recording; task=ctc needs one for each "
                "frame: choose model=speech_gru, or a net with output_lengths(lengths)"
            )
        found: Tensor = net.output_lengths(lengths)
        return found

    def fewest_frames(self, lengths: Tensor) -> Tensor:
        """int64 (N,): the fewest frames that recordings of `lengths` (N,) may have in training, augmented or not.

        Raises:
            UserError: a net that does not say how many it gives.
        """
        for transform in self._transforms("inputs"):
            shortest: Any = getattr(transform, "shortest", None)
            lengths = lengths if shortest is None else shortest(lengths)
        after_frontend = getattr(self.frontend, "output_lengths", lambda given: given)
        return self._after_net(after_frontend(lengths))

    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Loss (B,) of each sample of a prepared batch, over its own frames."""
        found: Tensor = self._loss_now(batch)(outputs, batch.targets, self.frames(batch))
        return found

    def evaluated_outputs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """float32 (B, T', C), NaN after a sample's last frame."""
        inside = valid(self.frames(batch), outputs.shape[1])
        return outputs.float().masked_fill(~inside[:, :, None], float("nan"))

    def scored_outputs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """int64 (B, T'): the most probable unit of each frame, the blank after a sample's last."""
        return outputs.argmax(2) * valid(self.frames(batch), outputs.shape[1])

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """float32 (B,): whether a transcript is right as a whole, by the most probable unit of each frame (B, T')."""
        units = outputs.clamp(min=0)
        is_new = units > 0
        is_new[:, 1:] &= units[:, 1:] != units[:, :-1]
        places = is_new.cumsum(1) - 1
        wanted = (targets >= 0).sum(1)
        expected = targets.gather(1, places.clamp(0, targets.shape[1] - 1))
        fits = (expected == units) | ~is_new
        return (fits.all(1) & (is_new.sum(1) == wanted)).float()

    def prediction_summary(self, outputs: Tensor) -> list[float]:
        """[share of the frames (N, T', C) whose most probable unit is the blank]."""
        inside = outputs[:, :, 0].isfinite()
        blank = outputs.nan_to_num().argmax(2) == 0
        return [float(blank[inside].float().mean())]
