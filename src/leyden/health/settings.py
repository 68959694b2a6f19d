"""Configuration group `health`: reaction to non-finite steps and the thresholds of findings, such as health.dead=.6

Thresholds follow published tools and papers where there are any (docs/health.md cites them).
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval

Share = Annotated[float, Interval(ge=0, le=1)]
Count = Annotated[int, Ge(1)]
Positive = Annotated[float, Gt(0)]

# Fields that can change a run's result; the others only set thresholds of what is reported.
TRAINING_FIELDS = (
    *("on_bad", "adaptive_clip", "in_a_row", "share", "margin", "window", "rate_factor", "rollbacks"),
    *("spike", "spike_z", "spike_lasting"),
)
_SKIPPING = ("skip", "roll_back")


@dataclass(frozen=True)
class DiagnosticsSettings:
    """Reaction to non-finite steps, and the thresholds of findings.

    Args:
        on_bad: reaction to a non-finite loss or gradient. stop: end the run with a diagnosis; skip: skip the optimizer
            step; roll_back: skip, and go back to a checkpoint if skipping fails; ignore: no monitoring.
        adaptive_clip: clip gradients whose norm is this many standard deviations above its running mean (ZClip, Kumar
            et al. 2025: 2.5); None: no adaptive clipping.
        in_a_row: consecutive bad steps after which skipping has failed.
        share: share of bad steps among the last 1,000 above which skipping has failed (at least ten bad steps).
        rollbacks: maximum number of rollbacks; then the run stops.
        margin: minimum number of steps between the checkpoint of a rollback and the bad step.
        window: share of an epoch's batches that a rollback excludes after the bad step.
        rate_factor: factor on the learning rate at a rollback.
        spike: loss over the mean of the last 100 steps above which a step is a spike, if it is also `spike_z` standard
            deviations above that mean; five consecutive ones are reported (llm-foundry's KillLossSpike).
        spike_z: standard deviations, see `spike`.
        spike_lasting: consecutive spikes that count as divergence.
        clipped: share of steps with a clipped gradient.
        growth: growth factor of the gradient norm within 100 steps.
        vanishing: gradient norm of the first layer over that of the last layer.
        slow: update-to-weight ratio below which updates are too small.
        fast: update-to-weight ratio above which updates are too large.
        dead: share of dead ReLU channels (never above 0) of a layer that is a warning.
        dead_error: share of dead ReLU channels of a layer that is an error.
        saturated: share of saturated gates or tanh units of a layer.
        initial_loss: relative excess of the first loss over that of uniform probabilities: ln C, or ln 2 for labels.
        gap: training accuracy minus validation accuracy.
        gap_epochs: epochs for which the validation loss must have risen.
        underfit: training accuracy minus the share of the largest class; validation average precision minus the mean
            share of the labels; validation R2.
        collapse: share of validation predictions in one class (and at least twice the share of its samples).
        calibration: expected calibration error.
        data_wait: share of training time spent waiting for data.
        noise: share of validation labels that are probably wrong.
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
    noise: Share = 0.015

    @property
    def skips_bad_steps(self) -> bool:
        """Whether training continues after a bad step."""
        return self.on_bad in _SKIPPING

    @property
    def changes_training(self) -> bool:
        """Whether it changes what is computed, so that every step must be checked before it is taken."""
        return changes_training(self.on_bad, self.adaptive_clip)


def changes_training(on_bad: object, adaptive_clip: object) -> bool:
    """Whether these settings change what is computed: by skipping a step or by clipping a gradient."""
    return on_bad in _SKIPPING or adaptive_clip is not None
