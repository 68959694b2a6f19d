"""Leyden: PyTorch Lightning experiments for images, text and audio, selected by Hydra configs.

import leyden
run = leyden.train(["data=digits", "model=cnn"])    # run.status, run.metrics, run.folder
model = leyden.load(run.folder)                     # model.predict(images), model.net, model.class_names
leyden.errors(run.folder).slices                    # which rows are wrong, and what they have in common
leyden.explain(run.folder, rows=[3, 17])            # maps of what its answers rest on, with their tests
leyden.report("runs");  leyden.runs("runs", ["state=failed"])

Nothing heavy is imported before one of these is used.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import leyden.runs
from leyden.utils.errors import UserError
from leyden.utils.version import __version__

if TYPE_CHECKING:
    from leyden.inference.model import load_model as load
    from leyden.interpretation.atlas import errors_of_run as errors
    from leyden.interpretation.explained_inputs import explain_run as explain
    from leyden.reporting.comparison.compare import compare as report
    from leyden.runs.query import find_matching as runs
    from leyden.training.job import train

__all__ = ["UserError", "__version__", "errors", "explain", "load", "report", "runs", "train"]

_LAZY = {
    "train": ("leyden.training.job", "train"),
    "load": ("leyden.inference.model", "load_model"),
    "errors": ("leyden.interpretation.atlas", "errors_of_run"),
    "explain": ("leyden.interpretation.explained_inputs", "explain_run"),
    "report": ("leyden.reporting.comparison.compare", "compare"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'leyden' has no attribute {name!r}; there are {', '.join(__all__)}")
    if name in ("train", "load", "errors", "explain"):
        import_module("leyden.utils.runtime").load_torch()
    module, attribute = _LAZY[name]
    return getattr(import_module(module), attribute)


class _Runs(ModuleType):
    """The package `leyden.runs`, which is also the function `leyden.runs(root, terms)`."""

    def __call__(self, root: str | Path = "runs", terms: Sequence[str] = ()) -> Any:
        """The runs at or under a folder that satisfy every term: `leyden.runs.query.find_matching`."""
        return import_module("leyden.runs.query").find_matching(root, terms)


leyden.runs.__class__ = _Runs
