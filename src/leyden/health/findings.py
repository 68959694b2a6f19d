"""A finding: what is wrong, where, what shows it, what to try; a look, which gives some or none. Plain values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Level = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Finding:
    """One thing that the doctor has found.

    Args:
        id: what it is, as docs/health.md lists it: "non_finite", "split_leak", ...
        level: error: the result is wrong or the run cannot go on; warning: it may be much better; info: good to know.
        message: one or two sentences with the numbers that show it.
        where: the layer, file, split, class or batch; empty where it is the whole run.
        advice: overrides to try, the most promising first: "optimizer.lr=0.0003", "data.deduplicate=true".
        evidence: numbers behind the message, as JSON can hold them.
        step: optimizer steps taken when it was found; None: before training.
    """

    id: str
    level: Level
    message: str
    where: str = ""
    advice: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    step: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """As result.json and doctor.jsonl hold it."""
        return {**asdict(self), "advice": list(self.advice), "evidence": dict(self.evidence)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Finding":
        """What `to_dict` returned."""
        return cls(**{**stored, "advice": tuple(stored["advice"])})


@dataclass(frozen=True)
class CheckResult:
    """One check.

    Args:
        name: what was looked for.
        told: its numbers in a few words.
        findings: what does not hold; none: it holds.
    """

    name: str
    summary: str
    findings: tuple[Finding, ...] = ()

    @property
    def status(self) -> str:
        """ "holds", or the level of the worst finding."""
        levels = {finding.level for finding in self.findings}
        return next((level for level in ("error", "warning", "info") if level in levels), "holds")


def check_failed(look: str, kind: str, level: Level, message: str, where: str = "") -> CheckResult:
    """A look at something that does not hold; `kind` is the finding's id."""
    return CheckResult(look, "see below", (Finding(kind, level, message, where),))


class Stopped(Exception):
    """The doctor has ended the run: what it found, and which epoch was best until then (as in result.json)."""

    def __init__(
        self, message: str, findings: "tuple[Finding, ...]" = (), best: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.findings, self.best = findings, dict(best or {})


class NonFinite(Stopped):
    """A loss, gradient, weight or monitored metric has become NaN or infinite."""
