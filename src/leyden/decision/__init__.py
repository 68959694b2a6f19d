"""The operating point: what is done to a trained net's logits, chosen on the validation split without training again.

    point = DecisionRule(temperature=True, criterion="macro_f1").fit(logits, labels, class_names, effective, training)
    predicted = point.decide(point.log_probabilities(logits))

Two steps, kept apart: probabilities (a temperature, and a shift to the prior that the model will be used under), and
from them the answer (offsets, or the costs of mistakes). NumPy only.
"""

from leyden.decision.operating_point import OperatingPoint, neutral
from leyden.decision.selection import DecisionRule

__all__ = ["DecisionRule", "OperatingPoint", "neutral"]
