"""Logits and labels to metrics with 95 % intervals; NumPy only."""

from leyden.metrics.classification import evaluate
from leyden.metrics.results import METRICS, ClassMetrics, Estimate, Group, Metrics, higher_is_better

__all__ = ["METRICS", "ClassMetrics", "Estimate", "Group", "Metrics", "evaluate", "higher_is_better"]
