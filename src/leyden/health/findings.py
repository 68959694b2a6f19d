"""`Finding`: a problem, its location, evidence and suggested overrides; `CheckResult`: one check and its findings."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Level = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Finding:
    """One problem found by a health check or by the health monitor.

    Args:
        id: kind of problem, as listed in docs/health.md: "non_finite", "split_leak", ...
        level: error: the result is invalid or the run cannot continue; warning: the result can be much better; info:
            no action needed.
        message: one or two sentences with the numbers behind them.
        where: layer, file, split, class or batch; empty: the whole run.
        advice: suggested overrides, the most promising first: "optimizer.lr=0.0003", "data.deduplicate=true".
        evidence: numbers behind the message, JSON-serialisable.
        step: optimizer steps taken when the problem was found; None: before training.
    """

    id: str
    level: Level
    message: str
    where: str = ""
    advice: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    step: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The finding as a JSON object, as stored in result.json and printed by `--json`."""
        return {**asdict(self), "advice": list(self.advice), "evidence": dict(self.evidence)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Finding":
        """The finding that `to_dict` returned as `stored`."""
        return cls(**{**stored, "advice": tuple(stored["advice"])})


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Args:
        name: what was checked.
        summary: the measured numbers in a few words.
        findings: the problems found; empty: the check passed.
    """

    name: str
    summary: str
    findings: tuple[Finding, ...] = ()

    @property
    def status(self) -> str:
        """ "passed", or the level of the most severe finding."""
        levels = {finding.level for finding in self.findings}
        return next((level for level in ("error", "warning", "info") if level in levels), "passed")


def check_failed(name: str, kind: str, level: Level, message: str, where: str = "") -> CheckResult:
    """A check `name` that failed with one finding, whose id is `kind`."""
    return CheckResult(name, "see below", (Finding(kind, level, message, where),))


class Stopped(Exception):
    """The health monitor has stopped the run: its findings and the best epoch so far (`best` of result.json)."""

    def __init__(
        self, message: str, findings: "tuple[Finding, ...]" = (), best: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.findings, self.best = findings, dict(best or {})


class NonFinite(Stopped):
    """A loss, gradient, weight or monitored metric has become NaN or infinite."""
