"""`leyden evaluate RUN [key=value ...]`: a finished run's metrics again, or on other data of the same classes.

leyden evaluate runs/default/digits-cnn-seed1-0123456789
leyden evaluate RUN --split test data.source.root=other/folder
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from leyden.arguments import Arguments
from leyden.console import console
from leyden.errors import UserError, nearest
from leyden.overrides import parse

if TYPE_CHECKING:
    from leyden.config import Config
    from leyden.data.spec import DataSpec

_USED = ("data", "split", "trainer", "cache")  # of the configuration, by an evaluation
_FACTS = ("in_channels", "image_size", "vocab_size", "sample_rate")  # that a model is built for


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
        UserError: not a finished run, or data that its model was not built for.
    """
    from leyden import build, fit
    from leyden.check import check
    from leyden.restore import restore
    from leyden.runtime import prepare, tune_process

    tune_process()
    restored = restore(folder)
    prepare(restored.config.threads)  # as in training: other threads, other rounding
    config = check(_overridden(restored.config.model_dump(by_alias=True), overrides))
    _verify_effect(overrides)
    data = build.data(config, restored.tokenizer)
    _verify_facts(config, data.spec, restored.spec)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = build.evaluator(config, Path(scratch))
        return fit.metrics_of(trainer, restored.module, data, splits)


def _verify_effect(overrides: Sequence[str]) -> None:
    """Refuse a key that training is over with."""
    for override in parse(overrides):
        root = override.key_or_group.partition(".")[0]
        if root not in _USED:
            raise UserError(
                f"{override.key_or_group}: has no effect on a finished run; {nearest(root, _USED)}"
            )


def _verify_facts(config: "Config", now: "DataSpec", then: "DataSpec") -> None:
    """What the run's model was built for must hold for these data, too."""
    from leyden.check import locate, targets
    from leyden.signatures import parameters_of

    models = [(path, node) for path, node, _ in targets(config) if path.startswith("model")]
    asked = {name for path, node in models for name in parameters_of(locate(node["_target_"], path))}
    for name in ("class_names", *(fact for fact in _FACTS if fact in asked)):
        found, wanted = getattr(now, name), getattr(then, name)
        if found != wanted:
            raise UserError(
                f"the data have {name} {_shown(found)}, the run {_shown(wanted)}: they must be the same; "
                "choose data.source.* so that they are"
            )


def _shown(fact: Any) -> str:
    return ", ".join(map(str, fact[:10])) if isinstance(fact, tuple) else str(fact)


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
