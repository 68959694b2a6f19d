"""`leyden evaluate RUN [key=value ...]`: a finished run's metrics again, or on other data of the same classes.

leyden evaluate runs/default/digits-cnn-seed1-0123456789
leyden evaluate RUN --split test data.source.root=other/folder
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from leyden.arguments import Arguments
from leyden.console import console
from leyden.errors import UserError
from leyden.overrides import parse


def main(arguments: Sequence[str]) -> int:
    """Print the tables, or the metrics as JSON."""
    parser = Arguments(prog="leyden evaluate", description="Evaluate a finished run.")
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument(
        "overrides", nargs="*", default=[], help="key=value of the stored configuration: data.source.root=..."
    )
    parser.add_argument(
        "--split", choices=("train", "val", "test"), action="append", help="default: val and test"
    )
    parser.add_argument("--json", action="store_true", help="print the metrics as JSON")
    given = parser.parse_args(arguments)
    found = evaluate(given.run, given.overrides, tuple(given.split or ("val", "test")))
    if given.json:
        print(json.dumps(found, indent=1))
        return 0
    from leyden.reporting.tables import result_table

    console.print(result_table({"status": "complete", "metrics": found, "folder": str(given.run)}))
    return 0


def evaluate(
    folder: Path, overrides: Sequence[str] = (), splits: tuple[str, ...] = ("val", "test")
) -> dict[str, Any]:
    """Metrics of each split by the run's best checkpoint; the run's folder is not changed.

    Raises:
        UserError: not a finished run, or data of other classes.
    """
    from leyden import build, fit
    from leyden.check import check
    from leyden.restore import restore
    from leyden.runtime import prepare, tune_process

    tune_process()
    restored = restore(folder)
    prepare(restored.config.threads)  # as in training: other threads, other rounding
    config = check(_overridden(restored.config.model_dump(by_alias=True), overrides))
    data = build.data(config, restored.tokenizer)
    if data.spec.class_names != restored.spec.class_names:
        raise UserError(
            f"the data have the classes {', '.join(data.spec.class_names[:10])}, "
            f"the run {', '.join(restored.spec.class_names[:10])}: they must be the same"
        )
    with tempfile.TemporaryDirectory() as scratch:
        trainer = build.evaluator(config, Path(scratch))
        return fit.metrics_of(trainer, restored.module, data, splits)


def _overridden(plain: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The stored configuration with key=value pairs laid over it."""
    merged = OmegaConf.create(plain)
    for override in parse(overrides):
        key, whole = override.key_or_group, isinstance(plain.get(override.key_or_group), dict)
        if "/" in key or whole or override.is_delete():
            raise UserError(
                f"{override.input_line}: a finished run keeps its options; "
                "change keys in them: data.source.root=..."
            )
        OmegaConf.update(merged, key, override.value())
    return dict(OmegaConf.to_container(merged, resolve=True))  # type: ignore[arg-type]
