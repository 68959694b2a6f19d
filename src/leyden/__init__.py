"""Leyden: PyTorch Lightning experiments for images, text and audio, selected by Hydra configs.

leyden train                      # the embedded default, digits
leyden train experiment=mnist_keras
"""

__version__ = "0.1.0"
