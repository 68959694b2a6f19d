"""docs/result.md and the files of a run have the same fields of the same types."""

import csv
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn

from leyden.callbacks.compute_plan import ComputePlan
from leyden.callbacks.interrupt import Interrupt, Interrupted
from leyden.data.batch import Batch
from leyden.inference.evaluate import evaluate
from leyden.metrics import METRICS
from leyden.metrics.results import MULTILABEL_METRICS, REGRESSION_METRICS
from leyden.modules.classification import Classifier
from leyden.runs.manifest import SCHEMA
from leyden.runs.result import Result
from leyden.training.job import Outcome, train
from words import last_of_each

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "result.md").read_text(encoding="utf-8")
JSON = {
    "int": int,
    "float": float,
    "bool": bool,
    "text": str,
    "list": list,
    "object": dict,
    "null": type(None),
}
COVERAGE = ("coverage", "coverage_band_low", "coverage_band_high", "interval_width")
PLACEHOLDERS = {
    "<split>": "(val|test)",
    "<metric>": f"({'|'.join({*METRICS, *MULTILABEL_METRICS, *REGRESSION_METRICS, *COVERAGE})})",
    "<label_metric>": "(precision|recall|f1|average_precision)",
    "<target_metric>": f"({'|'.join(REGRESSION_METRICS)})",
    "<score>": "(accuracy|label_accuracy|mae)",
    "<rate>": "(precision|recall|f1)",
    "<group>": "(many|medium|few)",
    "<part>": "(sampling|weights|offsets)",
    "<package>": "[^.]+",
    "<plan>": "[^.]+",
    "<name>": "[^.]+",
}
QUICK = ("trainer=cpu", "trainer.max_epochs=1", "threads=1")
TASKS = ("complete", "multilabel", "regression")
DIGITS = ("data=digits", "model=mlp", *QUICK)


class Own(LightningModule):
    """A module of somebody's own, which keeps no outputs: what it logs is all that is known."""

    def __init__(self, net: nn.Module, frontend: nn.Module) -> None:
        super().__init__()
        self.net, self.frontend = net, frontend

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.net(self.frontend(batch.input).values), batch.targets)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log(
            "val/hits",
            (self.net(self.frontend(batch.input).values).argmax(1) == batch.targets).float().mean(),
        )

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.log(
            "test/hits",
            (self.net(self.frontend(batch.input).values).argmax(1) == batch.targets).float().mean(),
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters())


def table(heading: str) -> dict[str, tuple[str, ...]]:
    """First cell without its backquotes -> the other cells, of the first table below a heading."""
    below = PAGE.partition(f"# {heading}\n")[2]
    found = re.search(r"^\|[- |]+\|\n((?:\|.*\|\n)+)", below, re.MULTILINE)
    assert found is not None, heading
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]
    return {first.strip("`"): tuple(rest) for first, *rest in rows}


def pattern(field: str) -> re.Pattern[str]:
    text = re.escape(field)
    for placeholder, expression in PLACEHOLDERS.items():
        text = text.replace(placeholder, expression)
    return re.compile(text)


def fields(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of parsed JSON by its path, `a.b` and `a[].b`, with its value; the configuration is one field."""
    if isinstance(value, dict):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else key
            yield here, inner
            if here in ("config", "parts") or path == "doctor[]":  # evidence is each finding's own
                continue
            yield from fields(inner, here)
    elif isinstance(value, list):
        for inner in value:
            yield from fields(inner, f"{path}[]")


def is_of(value: Any, kinds: str) -> bool:
    """Whether a value parsed from JSON is of a type like "float or null"; a bool is no int."""
    return type(value) in [JSON[kind] for kind in kinds.split(" or ")]


def hold_against(heading: str, written: list[tuple[str, Any]]) -> None:
    """Each field is documented once and of its type, each documented field is there, each has a meaning."""
    documented = table(heading)
    patterns = {field: pattern(field) for field in documented}
    seen = set()
    for path, value in written:
        matching = [field for field, expression in patterns.items() if expression.fullmatch(path)]
        assert len(matching) == 1, f"{path} is documented as {matching}"
        seen.add(matching[0])
        kinds = documented[matching[0]][0]
        assert is_of(value, kinds), f"{path} is {value!r}, documented as {kinds}"
    assert seen == set(documented)
    assert all(meaning for _, meaning in documented.values())


def read(outcome: Outcome, name: str) -> Any:
    return json.loads((outcome.folder / name).read_text(encoding="utf-8"))


def under_a_plan(overrides: list[str]) -> Outcome:
    """A run whose threads were measured, and changed after the first epoch, as far as its result says."""
    change = {"epoch": 0, "step": 19, "threads": 1, "reason": "slower steps: 1 ms a step"}
    record = {"threads": 1, "memory_format": "contiguous", "precision": "32-true", "compiled": False}
    measured = {"reason": "1 ms a step", "seconds": {"1 thread": 0.001}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ComputePlan, "replayed", {**record, **measured, "changes": [change]})
        return train(overrides)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[dict[str, Outcome]]:
    """A run of each kind of result, made in a git checkout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("runs"))
        identity = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
        subprocess.run(["git", "init", "-q"], check=True)
        Path("notes.txt").write_text("as committed\n", encoding="utf-8")
        subprocess.run(["git", "add", "notes.txt"], check=True)
        subprocess.run(["git", *identity, "commit", "-q", "-m", "notes"], check=True)
        Path("notes.txt").write_text("changed since\n", encoding="utf-8")
        small = ("data=planted_text", "data.source.samples=200", "model=rnn", "logger=none")
        tags = ("data=planted_tags", "task=multilabel", "decision=label_macro_f1", *small[1:])
        own = (f"model.module._target_={__name__}.Own", "monitor=val/hits", "logger=none")
        yield {
            "complete": under_a_plan(last_of_each([*DIGITS, "trainer.max_epochs=2"])),
            "text": train([*small, *QUICK]),
            "corrected": train(
                [*small, *QUICK, "decision=macro_f1", "long_tail=exponential", "long_tail.ratio=3"]
            ),
            "multilabel": train([*tags, *QUICK]),
            "regression": train([*numbers(), *small[2:], *QUICK]),
            "many": train(
                [*many_classes(), "model=linear", "model.frontend.buckets=32", *QUICK, "logger=none"]
            ),
            "several": train([*several_inputs(), *QUICK, "logger=none"]),
            "own": train([*DIGITS, *own]),
            "failed": broken(patch, ValueError("broken on purpose")),
            "interrupted": broken(patch, Interrupted()),
        }


def numbers() -> list[str]:
    """A table of texts with two values each, and what trains on it."""
    rows = [f"{'up ' * (i % 9)}word{i},{i % 9},{-i % 9}" for i in range(200)]
    Path("table.csv").write_text("\n".join(["text,a,b", *rows]), encoding="utf-8")
    table = ["data=text_table", "data.source.path=table.csv", "data.source.label_column=[a,b]"]
    return [*table, "task=regression", "decision=conformal"]


def several_inputs() -> list[str]:
    """A table with two inputs in a row."""
    rows = [f"word{i % 9},{i % 7},{'ab'[i % 2]}" for i in range(60)]
    Path("several.csv").write_text("\n".join(["note,x,label", *rows]), encoding="utf-8")
    inputs = ["data.source.csv=several.csv", "data.source.text=note", "data.source.numbers=[x]"]
    return ["data=multimodal_table", *inputs, "model=fusion", "model.encoders.text.net.hidden=8"]


def many_classes() -> list[str]:
    """Texts of more classes than there are probabilities stored of."""
    rows = [f"a word{i} {i % 3},c{i % 1001}" for i in range(3003)]
    Path("many.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    return ["data=text_table", "data.source.path=many.csv"]


def broken(patch: pytest.MonkeyPatch, by: BaseException) -> Outcome:
    """A run whose training step raises."""

    def training_step(self: Any, batch: Any, batch_idx: int) -> None:
        raise by

    with patch.context() as inner:
        inner.setattr(Classifier, "training_step", training_step)
        seed = 2 if isinstance(by, Exception) else 3
        try:
            return train([*DIGITS, f"seed={seed}", "logger=none"])
        except KeyboardInterrupt:
            (folder,) = Path("runs/default").glob("*-seed3-*")
            return Outcome("interrupted", {"folder": str(folder.resolve())})


def test_result_json(runs: dict[str, Outcome]) -> None:
    hold_against(
        "result.json", [f for outcome in runs.values() for f in fields(read(outcome, "result.json"))]
    )


def test_what_is_there_depends_on_the_status(runs: dict[str, Outcome]) -> None:
    for kind, outcome in runs.items():
        status = kind if kind in ("failed", "interrupted") else "complete"
        stored = read(outcome, "result.json")
        assert (stored["schema"], stored["status"]) == (SCHEMA, status)
        others = {"interrupted": set(), "failed": {"error", "best", "doctor"}}
        top = [field for field in table("result.json") if "." not in field]
        assert set(stored) == set(top[: top.index("config") + 1]) | others.get(status, set(top))
        assert (stored.get("error") is not None) == (status == "failed")
    for split in ("val", "test"):
        assert set(read(runs["own"], "result.json")["metrics"][split]) == {"scalars"}
    assert f"**version {SCHEMA}**" in PAGE


def test_from_python_the_result_has_the_folder_too(runs: dict[str, Outcome]) -> None:
    outcome = runs["complete"]
    assert outcome.result == read(outcome, "result.json") | {"folder": str(outcome.folder)}


def test_from_python_the_metrics_come_as_an_object(runs: dict[str, Outcome]) -> None:
    for task in TASKS:
        outcome = runs[task]
        for split in ("val", "test"):
            stored = outcome.result["metrics"][split]
            assert outcome.metrics[split].to_dict() == {
                k: v for k, v in stored.items() if k not in ("loss", "before")
            }
    for kind in ("failed", "own", "interrupted"):
        assert runs[kind].metrics == {}


def test_the_cost_of_a_resumed_run_is_that_of_all_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_after_ten(self: Any, trainer: Any, *rest: Any) -> None:
        self._signal = signal.SIGINT if trainer.global_step == 10 else 0

    overrides = [*DIGITS, f"runs={tmp_path}", "logger=none"]
    with monkeypatch.context() as patch:
        patch.setattr(Interrupt, "on_train_batch_end", stop_after_ten)
        with pytest.raises(KeyboardInterrupt):
            train(overrides)
    cost = train(overrides).result["cost"]
    assert cost["steps"] == 19
    assert cost["seconds"] * cost["samples_per_second"] == pytest.approx(19 * 64, rel=0.1)


def test_coverage_on_the_rows_that_chose_the_intervals_is_cross_fitted_or_has_no_interval(
    runs: dict[str, Outcome],
) -> None:
    metrics = read(runs["regression"], "result.json")["metrics"]
    assert {*COVERAGE} <= {*metrics["test"]["values"]}
    assert {*COVERAGE} & {*metrics["val"]["values"]} == {"coverage", "interval_width"}
    coverage = metrics["val"]["values"]["coverage"]
    assert coverage["method"].startswith("chosen here") == (coverage["low"] is None)
    assert evaluate(runs["regression"].folder)["val"] == metrics["val"]


def test_the_metrics_are_those_of_the_code() -> None:
    assert tuple(table("Metrics")) == METRICS
    assert tuple(table("Metrics of labels")) == MULTILABEL_METRICS
    assert tuple(table("Metrics of values")) == (*REGRESSION_METRICS, *COVERAGE)


def test_every_way_to_make_an_interval_is_documented(runs: dict[str, Outcome]) -> None:
    ways = PAGE.partition("### Intervals\n")[2].partition("\n## ")[0]
    stored = fields(read(runs["complete"], "result.json"))
    methods = {value for path, value in stored if path.endswith(".method")}
    assert len(methods) > 2
    for method in methods:
        for part in re.sub(r"\d+ (?=resamples|errors?|samples)", "R ", method).partition(", bias")[::2]:
            assert part in ways


def test_manifest_json(runs: dict[str, Outcome]) -> None:
    hold_against("manifest.json", list(fields(read(runs["complete"], "manifest.json"))))
    assert read(runs["complete"], "manifest.json")["command"] == [
        "leyden",
        "train",
        *last_of_each([*DIGITS, "trainer.max_epochs=2"]),
    ]


def test_spec_json(runs: dict[str, Outcome]) -> None:
    for kind in (*TASKS, "text", "several"):
        hold_against("spec.json", list(fields(read(runs[kind], "spec.json"))))


def test_metrics_csv(runs: dict[str, Outcome]) -> None:
    for task in TASKS:
        with (runs[task].folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == (2 if task == "complete" else 1)
        hold_against("metrics.csv", [(name, json.loads(cell)) for row in rows for name, cell in row.items()])


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize(
    ("task", "heading"),
    [
        ("complete", "predictions/*.npz"),
        ("many", "Predictions of many classes"),
        ("multilabel", "Predictions of labels"),
        ("regression", "Predictions of values"),
    ],
)
def test_predictions(runs: dict[str, Outcome], split: str, task: str, heading: str) -> None:
    documented = table(heading)
    arrays = np.load(runs[task].folder / "predictions" / f"{split}.npz")
    assert set(arrays) == set(documented)
    n = read(runs[task], "result.json")["metrics"][split]["n"]
    outputs = len(read(runs[task], "spec.json")["target_names"])
    for name, (kind, meaning) in documented.items():
        dtype, _, shape = kind.partition(" ")
        assert arrays[name].dtype == dtype
        assert arrays[name].shape == {"(N,)": (n,), "(N, 21)": (n, 21)}.get(shape, (n, outputs))
        assert meaning
    if task == "complete":
        assert np.allclose(arrays["probabilities"].sum(axis=1), 1)
    assert (np.diff(arrays["rows"]) > 0).all()


def test_the_files(runs: dict[str, Outcome]) -> None:
    names = {
        path.relative_to(outcome.folder).as_posix()
        for outcome in runs.values()
        for path in outcome.folder.rglob("*")
        if path.is_file()
    }
    documented = [row for row in table("The files of a run") if row != "file"]
    assert {name for name in names if not any(fnmatch(name, row) for row in documented)} == set()
    # of tests/health, of runs before their end, of other loggers, of check explain
    elsewhere = ("bad_step/", "checkpoints/previous.ckpt", "loggers/", "explain_check.json")
    documented = [row for row in documented if not row.startswith(elsewhere)]
    assert {row for row in documented if not any(fnmatch(name, row) for name in names)} == set()


def test_the_json_schema_in_docs_is_that_of_the_type() -> None:
    stored = json.loads((DOCS / "result.schema.json").read_text(encoding="utf-8"))
    assert stored == Result.model_json_schema(), "run scripts/reference.py"
