"""Group `health`: what the doctor does, and the thresholds of its signals. Each can be overridden: health.dead=.6

The thresholds are those of published tools and papers where there are any (docs/health.md names them).
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval

Share = Annotated[float, Interval(ge=0, le=1)]
Count = Annotated[int, Ge(1)]
Positive = Annotated[float, Gt(0)]

# What can change a run's result; the rest says what is reported, and a run is the same without it.
TRAINING_FIELDS = (
    *("on_bad", "adaptive_clip", "in_a_row", "share", "margin", "window", "rate_factor", "rollbacks"),
    *("spike", "spike_z", "spike_lasting"),
)
_SKIPPING = ("skip", "roll_back")


@dataclass(frozen=True)
class DiagnosticsSettings:
    """What is done, and from where on something is said.

    Args:
        on_bad: at a loss or gradient that is not finite. stop: end the run with the diagnosis; skip: take no step;
            roll_back: skip, and where that does not help go back to a checkpoint; ignore: look at nothing.
        adaptive_clip: gradients whose norm is so many standard deviations above its running mean are scaled down
            (ZClip, Kumar et al. 2025: 2.5); None: none are.
        in_a_row: so many bad steps in a row are more than skipping can help; so is the share.
        share: of bad steps among the last thousand (at least ten are looked for).
        rollbacks: at most; then the run stops.
        margin: steps that must lie between the checkpoint and the event.
        window: share of an epoch's batches that is passed over behind the event.
        rate_factor: of the learning rate after a rollback.
        spike: a loss so many times the mean of the last hundred steps, and `spike_z` standard deviations above it, in
            five steps in a row (llm-foundry's KillLossSpike).
        spike_z: as above.
        spike_lasting: steps after which such a spike counts as divergence.
        clipped: share of steps whose gradient is clipped, over a hundred.
        growth: of the gradient's norm in a hundred steps.
        vanishing: gradient norm of the first layer over that of the last.
        slow: ratio of update and weight below which a layer hardly learns.
        fast: the same above which it is thrown about.
        dead: share of a layer's ReLU channels that are never above 0, worth a warning.
        dead_error: the same, an error.
        saturated: share of gates or tanh units that are stuck.
        initial_loss: distance of the first loss from ln C, as a share of it.
        gap: accuracy on training above that on validation.
        gap_epochs: epochs in which the validation loss must have risen.
        underfit: accuracy on training above that of the largest class.
        collapse: share of predictions in one class (at least twice its share of samples).
        calibration: expected calibration error.
        data_wait: share of the time in which a step waits for data.
        noise: share of validation labels that look wrong.
    """

    on_bad: Literal["stop", "skip", "roll_back", "ignore"] = "stop"
    adaptive_clip: Positive | None = None
    in_a_row: Count = 3
    share: Share = 0.01
    rollbacks: Count = 3
    margin: Annotated[int, Ge(0)] = 100
    window: Share = 0.01
    rate_factor: Positive = 0.5
    spike: Positive = 2.0
    spike_z: Positive = 4.0
    spike_lasting: Count = 50
    clipped: Share = 0.5
    growth: Positive = 10.0
    vanishing: Positive = 1e-4
    slow: Positive = 1e-5
    fast: Positive = 0.1
    dead: Share = 0.1
    dead_error: Share = 0.4
    saturated: Share = 0.5
    initial_loss: Positive = 0.3
    gap: Share = 0.15
    gap_epochs: Count = 5
    underfit: Share = 0.05
    collapse: Share = 0.9
    calibration: Share = 0.05
    data_wait: Share = 0.2
    noise: Share = 0.03

    @property
    def skips_bad_steps(self) -> bool:
        """Whether it goes on after a bad step."""
        return self.on_bad in _SKIPPING

    @property
    def changes_training(self) -> bool:
        """Whether it changes what is computed, and so must know before each step."""
        return changes_training(self.on_bad, self.adaptive_clip)


def changes_training(on_bad: object, adaptive_clip: object) -> bool:
    """Of a policy's arguments, whether they change what is computed: by a step not taken, or a gradient clipped."""
    return on_bad in _SKIPPING or adaptive_clip is not None
