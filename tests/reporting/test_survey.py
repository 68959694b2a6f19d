"""`survey` equals `find` without per-class metrics for any folder of runs, and is fast."""

import gc
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leyden.metrics.results import ClassMetrics, Estimate, Metrics
from leyden.runs.records import find, flat, survey
from leyden.runs.run import Run
from leyden.utils.errors import UserError
from leyden.utils.runtime import gc_paused
from run_folders import write

NAMES = ['"per_class": [', '\n   ],\n "confusion"', "a"]


def metrics() -> dict[str, Any]:
    """Of one split, with class names that look like the fields around them."""
    some = Estimate(0.9, 0.8, 1.0, "Wilson")
    classes = [ClassMetrics(name, 3, some, some, some) for name in NAMES]
    return Metrics(9, {"accuracy": some}, classes, [[3, 0, 0]] * 3).to_dict()


def stored(folder: Path, change: Callable[[dict[str, Any]], None], indent: int | None = 1) -> None:
    """Change a run's result.json."""
    path = folder / "result.json"
    result = json.loads(path.read_text())
    change(result)
    path.write_text(json.dumps(result, indent=indent))


def whole(result: dict[str, Any]) -> None:
    result["metrics"] = {"val": metrics(), "test": metrics()}
    result["config"]["metrics"] = {"per_class": [1, {"confusion": 2}]}


def less_classes(result: Any) -> dict[str, Any]:
    lean: dict[str, Any] = json.loads(json.dumps(result))
    for split in lean.get("metrics", {}).values():
        split.pop("per_class", None)
    return lean


def same(root: Path) -> None:
    lean, full = survey(root), find(root)
    assert [record.folder for record in lean] == [record.folder for record in full]
    assert [record.problem for record in lean] == [record.problem for record in full]
    assert [dict(record.result) for record in lean] == [less_classes(record.result) for record in full]


@pytest.mark.parametrize("indent", [1, 2, None])
def test_only_the_classes_are_omitted(tmp_path: Path, indent: int | None) -> None:
    for seed in (1, 2):
        stored(write(tmp_path, seed=seed), whole, indent)
    stored(write(tmp_path, seed=3), lambda r: r.update(metrics={"test": {"scalars": {"wer": 0.2}}}), indent)
    same(tmp_path)
    record = survey(tmp_path)[0]
    assert record.metric("test", "accuracy") == 0.9
    assert record.keys["metrics.per_class"] == [1, {"confusion": 2}]
    assert "per_class" in find(tmp_path)[0].result["metrics"]["test"]


def test_as_leyden_writes_it(tmp_path: Path) -> None:
    folder = write(tmp_path)
    Run(folder).finish({"status": "complete", "metrics": {"test": metrics()}})
    text = (folder / "result.json").read_bytes()
    assert b'\n   "per_class": [\n' in text  # what the quick way looks for
    same(tmp_path)


def test_every_state_damage_and_nesting(tmp_path: Path) -> None:
    write(tmp_path / "a", seed=1)
    write(tmp_path / "a" / "b", seed=2, status="failed")
    write(tmp_path, seed=3, status="running")
    for seed, text in enumerate(
        ("{", "[1]", "", "null", '{"schema": 1}', '{"schema": 99, "status": "complete"}')
    ):
        (write(tmp_path, seed=10 + seed) / "result.json").write_text(text)
    (write(tmp_path, seed=20) / "result.json").write_bytes(b"\xff\xfe")
    begun = write(tmp_path, seed=30)
    (begun / "result.json").unlink()
    (begun / "config.yaml").write_text("seed: 30\n")
    (tmp_path / ".sweep" / "x").mkdir(parents=True)
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    (tmp_path / "note.txt").write_text("")
    same(tmp_path)
    states = [record.state for record in survey(tmp_path)]
    assert sorted(set(states)) == ["complete", "damaged", "failed", "interrupted", "new"]
    assert states.count("damaged") == 7
    same(begun)


def test_a_missing_folder(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with pytest.raises(UserError, match=r"did you mean '.*runs'"):
        survey(tmp_path / "rums")


def test_the_garbage_collectors_state_is_restored() -> None:
    with gc_paused():
        assert not gc.isenabled()
        with gc_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), gc_paused():
        _ = 1 / 0
    assert gc.isenabled()


def test_flat() -> None:
    node = {"a": {"b": {"c": 1}, "d": []}, "e": {}, "f": [{"g": 1}]}
    assert flat(node) == [("a.b.c", 1), ("a.d", []), ("e", {}), ("f", [{"g": 1}])]


def test_a_thousand_runs_are_read_quickly(tmp_path: Path) -> None:
    folder = write(tmp_path / "one")
    stored(folder, whole)
    text = (folder / "result.json").read_text()
    for number in range(1000):
        made = tmp_path / "runs" / f"digits-{number:010x}"
        made.mkdir(parents=True)
        (made / "result.json").write_text(text)
    began = time.process_time()
    assert len(survey(tmp_path / "runs")) == 1000
    assert time.process_time() - began < 1  # about 0.1 s; the limit allows for a slow machine
