"""The terminal tables: content, 80 columns without colour, complete names."""

import io
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from markdown import markdown
from rich.console import RenderableType

import leyden.reporting
from leyden.metrics import evaluate
from leyden.metrics.multilabel import evaluate_multilabel
from leyden.metrics.regression import evaluate_regression
from leyden.reporting.format import count, duration, number
from leyden.reporting.markdown import Markup, metrics_markdown, table_of_texts
from leyden.reporting.terminal.run_result import result_table
from leyden.reporting.terminal.tables import (
    answers_table,
    config_tree,
    counts_table,
    jobs_table,
    label_counts_table,
    values_table,
)
from leyden.utils.console import Printer
from leyden.utils.text import plural


def render(renderable: RenderableType, width: int = 80, fits: bool = True) -> str:
    """As written to a file: no colour, no terminal. fits: nothing in it is copied, so that it can be folded."""
    out, printer = io.StringIO(), Printer()
    printer.file, printer.width = out, width
    printer.print(renderable)
    text = out.getvalue()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= width or not fits
    return text


def without_spaces(text: str) -> str:
    return "".join(text.split())


def metrics(n: int, names: list[str], seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(names), n)
    logits = rng.normal(size=(n, len(names)))
    logits[np.arange(n), labels] += 2.0
    return evaluate(torch.tensor(logits), torch.tensor(labels), names).to_dict()


NAMES = ["airplane", "[red]bird[/red]", "a very long class name that goes on and on for ever", "ship"]


@pytest.fixture
def result() -> dict[str, Any]:
    return {
        "schema": 1,
        "status": "complete",
        "metrics": {"val": metrics(300, NAMES, 1), "test": metrics(1200, NAMES, 2)},
        "best": {
            "monitor": "val/macro_f1",
            "value": 0.93123,
            "epoch": 12,
            "step": 3400,
            "checkpoint": "checkpoints/best.ckpt",
        },
        "cost": {"seconds": 192.3, "samples_per_second": 12345.6, "parameters": 123456},
        "prior": {},
        "doctor": [],
        "error": None,
        "folder": "runs/cifar10_lt/resnet32-1a2b3c4d",
    }


def test_a_result_table_is_complete(result: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    folder.mkdir(parents=True)
    (folder / "events.out.tfevents.1.host.1.0").touch()
    text = render(result_table({**result, "folder": str(folder)}), fits=False)
    for split in ("test", "val"):
        for name, e in result["metrics"][split]["values"].items():
            assert name in text
            assert f"{e['value']:.4f} [{e['low']:.4f}, {e['high']:.4f}]" in text
    for c in result["metrics"]["test"]["per_class"]:
        assert without_spaces(c["name"])[:20] in without_spaces(text)
        assert f"{c['recall']['value']:.4f} [{c['recall']['low']:.4f}, {c['recall']['high']:.4f}]" in text
    for words in (
        "test (n = 1,200)",
        "validation (n = 300)",
        "val/macro_f1 0.9312 at epoch 12, step 3,400: checkpoints/best.ckpt",
        "3 min 12 s, 12,346 samples/s, 123,456 parameters",
        f"folder  {folder}",
        f"tensorboard --logdir '{folder}'",
        "complete",
    ):
        assert words in text
    assert "[red]bird[/red]" in text


def test_many_classes_are_cut_to_the_ten_worst(result: dict[str, Any]) -> None:
    found = metrics(2000, [f"k{i:03d}" for i in range(100)])
    found["per_class"][7]["recall"].update(value=0.0, low=0.0)
    text = render(result_table({**result, "metrics": {"test": found}}))
    worst = sorted(found["per_class"], key=lambda c: c["recall"]["value"])
    assert text.index("k007") < text.index(worst[1]["name"])
    assert sum(c["name"] in text for c in found["per_class"]) == 10
    assert "90 more classes in result.json" in text
    assert "the 10 of 100 classes with the lowest recall" in text


def test_of_more_than_a_thousand_classes_those_that_were_kept_are_not_called_all(
    result: dict[str, Any],
) -> None:
    stored = metrics(4000, [f"k{i:04d}" for i in range(1200)])
    for row in stored["per_class"]:
        row["recall"].update(value=0.0, low=0.0, high=0.1)
    text = render(result_table({**result, "metrics": {"test": stored}}))
    assert "test, the 10 classes with the lowest recall" in text
    assert "990 more classes in result.json; at least 1,000 classes with zero recall" in text


def test_thirty_classes_are_all_shown(result: dict[str, Any]) -> None:
    found = metrics(900, [f"k{i:03d}" for i in range(30)])
    text = render(result_table({**result, "metrics": {"test": found}}))
    assert all(c["name"] in text for c in found["per_class"])
    assert "more classes" not in text


def test_a_failed_run_shows_its_error_and_findings() -> None:
    text = render(
        result_table(
            {
                "status": "failed",
                "error": {"type": "NonFinite", "message": "nan at step 17", "where": "classifier.py:88"},
                "doctor": [
                    {"id": "lr", "level": "warning", "message": "the learning rate is high"},
                    {
                        "id": "collapsed",
                        "level": "error",
                        "message": "collapse",
                        "advice": ["imbalance=auto"],
                    },
                ],
                "folder": "runs/a b/c",
            }
        )
    )
    for words in (
        "failed",
        "NonFinite: nan at step 17",
        "classifier.py:88",
        "learning rate is high",
        "collapse",
        "try: leyden train imbalance=auto",
    ):
        assert words in text
    assert "tensorboard" not in text  # where there is nothing to look at


def test_missing_parts_are_omitted() -> None:
    text = render(result_table({"status": "complete", "metrics": {"test": {"scalars": {"psnr": 31.23}}}}))
    assert "psnr" in text
    assert "31.23" in text
    for word in ("tensorboard", "best", "cost", "by class", "95 %", "None"):
        assert word not in text
    assert "unknown" in render(result_table({}))


def test_undefined_values_are_a_dash() -> None:
    logits = torch.eye(3)[torch.tensor([0, 0, 1])]
    found = evaluate(logits, torch.tensor([0, 0, 0]), ["a", "b", "c"]).to_dict()
    text = render(result_table({"metrics": {"test": found}}))
    assert "nan" not in text.lower()
    assert "None" not in text
    auroc = next(line for line in text.splitlines() if "auroc" in line)
    assert auroc.split() == ["auroc", "-"]


def test_a_configuration_is_a_tree_with_every_leaf() -> None:
    config = {
        "model": {
            "net": {"_target_": "pkg.ResNet", "width": 32, "blocks": [1, 2]},
            "augment": [{"_target_": "pkg.Crop", "pad": 4}, {"_target_": "pkg.Flip"}],
            "scheduler": {},
        },
        "on": True,
        "init": None,
        "name": "[bold]x[/bold]",
    }
    text = render(config_tree(config))
    for words in (
        "net pkg.ResNet",
        "width: 32",
        "blocks: [1, 2]",
        "0 pkg.Crop",
        "pad: 4",
        "1 pkg.Flip",
        "scheduler: {}",
        "on: true",
        "init: null",
        "name: [bold]x[/bold]",
    ):
        assert words in text
    assert "_target_" not in text


# The failed job comes first: a NaN there would win every comparison.
JOBS = [
    {
        "state": "failed",
        "overrides": ["model=resnet", "seed=1"],
        "metric": float("nan"),
        "seconds": None,
        "folder": "runs/s/resnet-99aabbcc",
    },
    {
        "state": "complete",
        "overrides": ["model=cnn", "seed=1"],
        "metric": 0.91,
        "seconds": 12.3,
        "folder": "runs/s/cnn-1a2b3c4d",
    },
    {
        "state": "complete",
        "overrides": ["model=rnn", "loss=balanced_softmax", "seed=1"],
        "metric": 0.4,
        "seconds": 4000,
        "folder": "runs/s/rnn-99aabbdd",
    },
    {"state": "new", "overrides": ["model=mlp", "seed=1"], "metric": None, "seconds": None, "folder": None},
]


@pytest.mark.parametrize(("higher", "best"), [(True, "0.9100: model=cnn"), (False, "0.4000: model=rnn")])
def test_a_sweep_table_gives_the_best_job_and_shared_overrides(higher: bool, best: str) -> None:
    text = render(jobs_table(JOBS, "val/balanced_accuracy", higher=higher))
    assert f"best val/balanced_accuracy {best}" in text
    assert (
        "balanced_" in text.split("state")[0]
    )  # the first line of the broken heading: not "accuracy", another metric
    assert "4 jobs: 1 failed, 2 complete, 1 new" in text
    assert text.count("seed=1") == 1
    assert "common to all: seed=1" in text
    assert "folders are under runs/s\n" in text
    for words in ("cnn-1a2b3c4d", "resnet-99aabbcc", "loss=balanced_softmax", "1 h 07 min", "12.3 s"):
        assert words in text


def test_a_sweep_of_one_job_keeps_its_overrides() -> None:
    text = render(jobs_table(JOBS[1:2], "val/loss"))
    assert "model=cnn seed=1" in text
    assert "common to all" not in text
    assert "0 jobs" in render(jobs_table([]))
    assert "folders" not in render(jobs_table([]))


def test_overrides_as_typed_text_are_the_same_table() -> None:
    typed = [{**job, "overrides": " ".join(job["overrides"])} for job in JOBS]
    assert render(jobs_table(typed)) == render(jobs_table(JOBS))


def test_predictions_are_a_row_for_each_input_with_the_cells_of_the_task() -> None:
    path = "photos/" + "very/long/" * 9 + "cat.jpg"
    rows = [(path, {"class": "cat", "probability": 0.9876}), ("b.jpg", {"class": "dog", "probability": 0.5})]
    text = render(answers_table(rows), fits=False)
    assert [name in text for name in ("input", "class", "probability")] == [True] * 3
    assert "0.9876" in text
    assert "2 predictions" in text
    assert path in text
    assert "0 predictions" in render(answers_table([]))


def test_labels_are_counted_as_shares_of_the_samples() -> None:
    counts = {"train": [30, 60], "val": [2, 5]}
    text = render(label_counts_table(counts, {"train": 60, "val": 5}, ["cat", "dog"]))
    cat = next(line for line in text.splitlines() if line.split()[:1] == ["cat"])
    assert cat.split() == ["cat", "30", "50.0", "%", "2"]
    assert "1.50 labels per sample" in text
    assert next(line.split() for line in text.splitlines() if "all" in line) == [
        "all",
        "60",
        "100.0",
        "%",
        "5",
    ]


def test_values_are_described_by_target_and_split() -> None:
    targets = {"train": np.array([[1.0, 10.0], [3.0, 30.0]]), "val": np.zeros((0, 2))}
    lines = [line.split() for line in render(values_table(targets, ["width", "height"])).splitlines()]
    assert ["width", "train", "2", "2.0000", "1.0000", "1.0000", "3.0000"] in lines
    assert ["height", "train", "2", "20", "10", "10", "30"] in lines
    assert ["width", "val", "0"] in lines


def test_a_result_shows_each_label_and_several_targets() -> None:
    rng = np.random.default_rng(0)
    truth, scores = rng.integers(0, 2, (40, 2)), rng.normal(size=(40, 2))
    labels = evaluate_multilabel(scores, truth, ["cat", "dog"]).to_dict()
    text = render(result_table({"metrics": {"test": labels}}))
    assert "test, by label" in text
    assert all(any(line.split()[:1] == [name] for line in text.splitlines()) for name in ("cat", "dog"))
    assert "average precision" in metrics_markdown(labels)
    values = rng.normal(size=(40, 2))
    found = evaluate_regression(values, values + 0.1, ["width", "height"]).to_dict()
    assert "test, by target" in render(result_table({"metrics": {"test": found}}))
    assert "| height | 40 |" in metrics_markdown(found)
    one = evaluate_regression(values[:, :1], values[:, :1] + 0.1, ["width"]).to_dict()
    assert "by target" not in render(result_table({"metrics": {"test": one}}))


def test_counts_include_the_imbalance_ratio() -> None:
    counts = {"train": [900, 100, 0], "val": [90, 10, 0], "test": [5, 5, 5]}
    text = render(counts_table(counts, ["ham", "spam", "odd"]))
    assert "imbalance ratio in train: 9.0 (ham 900, spam 100)" in text
    effective = np.exp(-(0.9 * np.log(0.9) + 0.1 * np.log(0.1)))
    assert f"effective number of classes: {effective:.2f} of 3" in text
    assert "1 class without samples in train" in text
    total = next(line for line in text.splitlines() if line.split()[:1] == ["all"])
    assert total.split() == ["all", "1,000", "100.0", "%", "100", "15"]
    equal = render(counts_table({"all": [7] * 4}, list("abcd")))
    assert "imbalance ratio in all: 1.0 (7 of each class)" in equal
    assert "effective number of classes: 4.00 of 4" in equal
    assert "train has no samples" in render(counts_table({"train": [0, 0]}, ["a", "b"]))


def test_counts_of_many_classes_show_both_ends() -> None:
    counts = list(range(1, 1001))
    text = render(counts_table({"train": counts}, [f"k{i:04d}" for i in range(1000)]))
    assert "... 980 more classes ..." in text
    for name in ("k0999", "k0990", "k0009", "k0000"):
        assert name in text
    assert "k0500" not in text
    assert "0.0002 %" in text


def test_tables_are_ascii_except_for_rules(result: dict[str, Any]) -> None:
    """A terminal of any encoding prints it; rich replaces the rules where it must."""
    everything = (
        result_table(result),
        jobs_table(JOBS),
        counts_table({"train": [1] * 99}, [str(i) for i in range(99)]),
    )
    for renderable in everything:
        assert render(renderable).replace("─", "").isascii()


def test_number_formats() -> None:
    assert [number(x) for x in (0.91234, 1234.5678, 1.234e-5, -0.5, 0.0, None)] == [
        "0.9123",
        "1234.6",
        "1.23e-05",
        "-0.5000",
        "0.0000",
        "-",
    ]
    assert [duration(x) for x in (0.42, 9.999, 59.96, 192, 3599.9, 7500, None)] == [
        "0.42 s",
        "10.0 s",
        "1 min 00 s",
        "3 min 12 s",
        "1 h 00 min",
        "2 h 05 min",
        "-",
    ]
    assert (count(1234567.2), plural(1, "class", "classes"), plural(2, "job")) == (
        "1,234,567",
        "1 class",
        "2 jobs",
    )


def test_texts_leave_room_for_the_short_columns_beside_them() -> None:
    rows = [
        ("SMSSpamCollection:2775", "spam 0.89", "ten words of a text | and a *star* " * 5),
        ("a:1", "ham 0.5", "short"),
        ("a:2", "ham 0.6", "a" * 60),
    ]
    for line, given in zip(
        table_of_texts(("row", "answer", "text"), rows).split("\n")[2:], rows, strict=True
    ):
        *short, text = line.strip("| ").split(" | ")
        assert short == list(given[:2])
        parts = text.replace("\\", "").split("<br>")
        assert "".join(parts).replace(" ", "") == given[2].replace(" ", "")
        assert max(map(len, parts)) + sum(map(len, rows[0][:2])) <= 72
    marked = table_of_texts(("tokens",), [(Markup("**[unknown]** " * 20),)])
    assert marked.count("**[unknown]**") == 20


def test_tensorboard_shows_texts_as_they_are() -> None:
    text = "$1 at ~me/a_b *c* \\d #e `f` g|h [i](j)"
    html = markdown(table_of_texts(("text",), [(text,)]), extensions=["tables"])
    shown = re.findall("<td>(.*)</td>", html)[0].replace("<br>", " ")
    assert unescape(shown) == text


def test_markdown_keeps_names_in_their_cells() -> None:
    text = metrics_markdown(metrics(200, ["a|b", "<script>", "c\nd"]))
    tables = text.split("\n\n")
    assert [table.splitlines()[1] for table in tables] == ["| --- | --- |", "| --- | --- | --- | --- | --- |"]
    assert len(tables[0].splitlines()) == 2 + 8
    assert len(tables[1].splitlines()) == 2 + 3
    assert r"a\|b" in text
    assert "<script>" not in text
    assert metrics_markdown({"scalars": {"psnr": 31.0}}).endswith("| psnr | 31 |")


def test_reporting_imports_no_torch() -> None:
    """Each module of the package, whoever wrote it."""
    folder = Path(leyden.reporting.__file__).parent
    files = (p.relative_to(folder).with_suffix("") for p in folder.rglob("*.py") if p.stem != "__init__")
    modules = [".".join(("leyden.reporting", *path.parts)) for path in files]
    assert {"leyden.reporting.terminal.tables", "leyden.reporting.plots.evaluation"} <= set(modules)
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_operating_point_is_described_and_a_neutral_one_is_not() -> None:
    neutral = {
        "temperature": 1.0,
        "shift": [0.0, 0.0],
        "decision": [0.0, 0.0],
        "cost": [],
        "criterion": "accuracy",
    }
    assert "decision" not in render(result_table({"status": "complete", "operating_point": neutral}))
    chosen = {"split": "val", "n": 100, "before": 0.8, "after": 0.91}
    moved = neutral | {
        "temperature": 1.5,
        "decision": [0.0, 2.0],
        "criterion": "macro_f1",
        "chosen_on": chosen,
    }
    moved |= {"shift": [0.0, -1.0]}
    line = render(result_table({"status": "complete", "operating_point": moved}), width=120)
    for words in (
        "temperature 1.5000",
        "custom class prior",
        "optimised for macro_f1 (in-sample 0.8000 -> 0.9100)",
    ):
        assert words in line


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("uniform", "class shares: uniform"),
        ("training", "class shares: as in training"),
        ("validation", "class shares: as in validation"),
        ({"ham": 0.9, "spam": 0.1}, "class shares: ham 0.9000, spam 0.1000"),
        ({f"c{i}": 0.1 for i in range(10)}, "c4 0.1000, ..."),
    ],
)
def test_the_target_prior_is_printed(target: Any, words: str) -> None:
    point = {
        "temperature": 1.0,
        "shift": [0.0, -1.0],
        "decision": [0.0, 0.0],
        "cost": [],
        "criterion": "accuracy",
    }
    config = {"decision": {"target_prior": target}}
    result = {"status": "complete", "operating_point": point, "config": config}
    assert words in render(result_table(result), width=160)


def test_what_a_net_was_found_to_answer_by_is_printed() -> None:
    last = {"effective": [0.6, 0.4], "source": "validation"}
    for phase, shown in ((last, True), (last | {"source": "exact"}, False)):
        prior = {"training": [0.9, 0.1], "phases": [phase]}
        text = render(result_table({"status": "complete", "prior": prior}), width=160)
        words = "answers by the shares 0.6000, 0.4000 (estimated on validation); training: 0.9000, 0.1000"
        assert (words in text) == shown


def test_recall_by_training_samples_is_in_markdown_too() -> None:
    recall = {"value": 0.25, "low": 0.2, "high": 0.3, "method": ""}
    group = {"classes": 7, "recall": recall}
    text = metrics_markdown({"values": {}, "groups": {"many": group, "few": group | {"classes": 3}}})
    assert "| few | 3 | 0.2500 [0.2000, 0.3000] |" in text
    assert "few" not in metrics_markdown({"values": {}, "groups": {"few": group}})


def test_recall_by_training_samples_is_shown_where_there_are_groups() -> None:
    recall = {"value": 0.5, "low": 0.4, "high": 0.6, "method": ""}
    groups = {
        "many": {"classes": 7, "recall": recall},
        "few": {"classes": 3, "recall": recall | {"value": 0.25}},
    }
    for key in ("val", "test"):
        printed = render(
            result_table({"status": "complete", "metrics": {key: {"values": {}, "groups": groups}}})
        )
        assert "few (< 20)" in printed
        assert "0.2500" in printed
    one = {"many": groups["many"]}
    assert "many" not in render(
        result_table({"status": "complete", "metrics": {"val": {"values": {}, "groups": one}}})
    )
