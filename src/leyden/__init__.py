"""Leyden: PyTorch Lightning experiments for images, text and audio, selected by Hydra configs.

leyden train                      # the embedded default, digits
leyden train experiment=mnist_keras
"""

from leyden.utils.version import __version__ as __version__
