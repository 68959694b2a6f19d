"""`leyden report` on generated run folders: groups, tests, notes, files, and errors."""

import csv
import html
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from leyden.cli.main import main
from leyden.reporting.comparison import html_plots, notes, svg
from leyden.reporting.comparison.compare import compare
from leyden.reporting.comparison.groups import Metric
from leyden.reporting.comparison.report import Report
from leyden.reporting.comparison.report import assess as assess_runs
from leyden.runs.records import find, survey

SEEDS = (1, 2, 3)
Run = Callable[..., Path]


def estimate(value: float) -> dict[str, Any]:
    return {"value": value, "low": value - 0.01, "high": min(value + 0.01, 1.0), "method": "Wilson"}


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """make(accuracy, model="mlp", seed=1, ...) writes a run's folder under tmp_path/runs; the test runs in tmp_path."""
    monkeypatch.chdir(tmp_path)
    count = iter(range(10**6))

    def write(accuracy: float = 0.9, **given: Any) -> Path:
        number, model, seed = next(count), given.get("model", "mlp"), given.get("seed", 1)
        config = {
            "experiment": given.get("experiment", "default"),
            "data": {"name": "digits", "source": {"_target_": "a.Digits", "root": f"/somewhere/{number}"}},
            "split": given.get("split", {"_target_": "leyden.data.split.Auto"}),
            "model": {"name": model, "net": {"_target_": f"nets.{model.upper()}"}},
            "optimizer": {"_target_": "torch.optim.Adam", "lr": given.get("lr", 0.001)},
            "trainer": {"_target_": "Trainer", "max_epochs": 3, "enable_progress_bar": bool(number % 2)},
            "logger": {} if number % 2 else {"tensorboard": {"_target_": "x"}},
            "checkpoint_minutes": number,
            "runs": f"runs{number}",
            "name": f"digits-{model}-seed{seed}",
            "seed": seed,
        }
        status = given.get("status", "complete")
        result = {
            "schema": 1,
            "status": status,
            "command": ["leyden", "train", f"model={model}", f"seed={seed}", "note=a b<c>"],
            "started": given.get("started", "2026-01-01T00:00:00+0000"),
            "data": given.get("data", "d1"),
            "made_with": {"leyden": "0.1.0", "torch": given.get("torch", "2.14.1")},
            "config": config,
            "error": {"type": "ValueError", "message": "no <good>", "where": "x.py:1"}
            if status == "failed"
            else None,
        }
        if status == "complete":
            hits = given.get("hits", round(accuracy * 100))
            of_test = {
                "n": 100,
                "values": {"accuracy": estimate(accuracy), "log_loss": estimate(1 - accuracy)},
                "per_class": [],
                "confusion": [[hits, 100 - hits], [0, 0]],
            }
            val = given.get("val", accuracy)
            of_val = {**of_test, "values": {"accuracy": estimate(val), "log_loss": estimate(1 - val)}}
            result["metrics"] = {"test": of_test, "val": of_val}
            result["best"] = {
                "monitor": "val/accuracy",
                "value": accuracy,
                "higher_is_better": True,
                "epoch": 2,
            }
            cost = {"mlp": 100, "cnn": 5000, "linear": 10, "majority": 0}.get(model, 1000)
            result["cost"] = {"seconds": 1.0 + cost / 1000, "parameters": cost, "flops": 20 * cost}
        folder = tmp_path / "runs" / config["experiment"] / f"{config['name']}-{number:010x}"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(result))
        if "sizes" in given:
            (folder / "spec.json").write_text(json.dumps({"sizes": given["sizes"]}))
        if "rows" in given:
            (folder / "predictions").mkdir()
            np.savez(folder / "predictions" / "test.npz", rows=np.asarray(given["rows"], np.int64))
        rows = [f"{epoch},{epoch},{accuracy - 0.1 / epoch}" for epoch in (1, 2, 3)]
        (folder / "metrics.csv").write_text("\n".join(["epoch,step,val/accuracy", *rows]) + "\n")
        return folder

    return write


def three(make: Run, mean: float, spread: float = 0.01, **given: Any) -> None:
    for seed, away in zip(SEEDS, (-spread, 0.0, spread), strict=True):
        make(mean + away, seed=seed, **given)


def assess(**given: Any) -> Report:
    return assess_runs(survey(Path("runs")), **given)


def notes_of(report: Report) -> str:
    return "\n".join(word for part in report.parts for word in notes.of_part(part))


def test_runs_that_differ_in_seed_paths_and_display_are_one_group(make: Run) -> None:
    three(make, 0.9)
    three(make, 0.95, model="cnn")
    (part,) = assess().parts
    assert part.columns == ("model.name",)
    assert [(row.values, len(row.group.runs)) for row in part.rows] == [(("cnn",), 3), (("mlp",), 3)]
    best = part.rows[0].summary
    assert best is not None
    assert best.mean == pytest.approx(0.95)
    half = stats.t.isf(0.025, 2) * 0.01 / 3**0.5
    assert (best.low, best.high) == pytest.approx((0.95 - half, 0.95 + half))


def test_runs_on_other_data_are_never_one_group(make: Run) -> None:
    three(make, 0.9, data="d1")
    three(make, 0.8, data="d2")
    report = assess()
    assert [len(part.rows) for part in report.parts] == [1, 1]
    means = [part.rows[0].summary.mean for part in report.parts if part.rows[0].summary]
    assert sorted(means) == pytest.approx([0.8, 0.9])
    # of one name, so that the title says in what they differ
    assert {part.title for part in report.parts} == {
        "default on digits (root=/somewhere/0)",
        "default on digits (root=/somewhere/3)",
    }


def test_a_single_data_set_is_titled_by_its_name(make: Run) -> None:
    three(make, 0.9)
    three(make, 0.8, model="cnn")
    assert [part.title for part in assess().parts] == ["default on digits"]


def test_the_comparison_is_the_paired_test_with_holm(make: Run) -> None:
    values = {"mlp": (0.90, 0.91, 0.93), "cnn": (0.94, 0.96, 0.965), "rnn": (0.90, 0.92, 0.925)}
    for model, found in values.items():
        for seed, value in zip(SEEDS, found, strict=True):
            make(value, model=model, seed=seed)
    (part,) = assess(baseline=["model=mlp"]).parts
    tests = {row.values[0]: row.comparison for row in part.rows if row.comparison}
    ps = {model: stats.ttest_rel(values[model], values["mlp"]).pvalue for model in ("cnn", "rnn")}
    assert set(tests) == {"cnn", "rnn"}
    for model, p in ps.items():
        assert tests[model].p == pytest.approx(p)
        assert tests[model].pairs == 3
    low, high = sorted(ps, key=lambda model: ps[model])
    assert tests[low].adjusted == pytest.approx(min(1, 2 * ps[low]))
    assert tests[high].adjusted == pytest.approx(max(min(1, 2 * ps[low]), ps[high]))
    assert part.baseline is not None
    assert "baseline" in part.baseline.marks


def test_noise_is_not_significant_and_a_difference_is(make: Run) -> None:
    three(make, 0.9)
    three(make, 0.9, spread=-0.01, model="rnn")
    for seed in SEEDS:
        make(0.95 + 0.01 * (seed - 2) + 0.0005 * (seed == 1), model="cnn", seed=seed)
    (part,) = assess(baseline=["model=mlp"]).parts
    assert {row.values[0]: row.comparison.significant for row in part.rows if row.comparison} == {
        "cnn": True,
        "rnn": False,
    }


def test_unfinished_runs_are_listed_and_not_averaged(make: Run, capsys: pytest.CaptureFixture[str]) -> None:
    three(make, 0.9)
    failed = make(seed=4, status="failed")
    make(seed=5, status="pruned")
    make(seed=6, status="running")  # nobody holds its lock
    damaged = make(seed=7)
    (damaged / "result.json").write_text("{")
    report = assess()
    (row,) = report.parts[0].rows
    assert row.group.counted == "3"
    assert row.group.states() == {"failed": 1, "pruned": 1, "interrupted": 1}
    assert main(["report"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Not averaged, 1 failed, 1 pruned, 1 interrupted" in out
    assert failed.name in out
    assert "is damaged" in out


def test_one_seed_has_no_interval_and_no_test(make: Run, capsys: pytest.CaptureFixture[str]) -> None:
    make(0.9)
    make(0.95, model="cnn")
    (part,) = assess(baseline=["model=mlp"]).parts
    assert [row.interval for row in part.rows] == [None, None]
    assert part.rows[0].comparison is not None
    assert (part.rows[0].comparison.p, part.rows[0].comparison.significant) == (None, False)
    assert main(["report", "--baseline", "model=mlp"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "1 group not tested: a single seed" in out
    assert "A single replicate has no interval" in out


def fold_of(fold: int) -> dict[str, Any]:
    return {"_target_": "leyden.data.split.KFold", **({"fold": fold} if fold else {})}


def random_split(seed: int) -> dict[str, Any]:
    return {"_target_": "leyden.data.split.Stratified", "seed": seed}


def nadeau_and_bengio(values: list[float], ratio: float) -> float:
    return float(np.std(values, ddof=1) * (1 / len(values) + ratio) ** 0.5)


def test_the_replicates_of_folds_are_folds_not_the_seeds_within(make: Run) -> None:
    for seed in (1, 2):
        for fold in range(5):
            split = fold_of(fold)
            accuracy = 0.9 + 0.01 * fold + 0.002 * (seed - 1)
            make(accuracy, seed=seed, split=split, hits=90 + fold, sizes=(720, 80, 200 + fold))
    report = assess()
    (row,) = report.parts[0].rows
    assert (row.group.counted, row.group.seeds, row.group.folds) == ("10 (2x5)", 2, 5)
    assert row.pooled is not None
    assert row.pooled.value == pytest.approx(0.92)
    assert row.pooled.low is None, "each sample is tested by two seeds: Wilson's interval would be too narrow"
    assert row.summary is not None
    assert row.summary.n == 5
    ratio = 202 / 720  # the mean over runs; of training samples without those of validation
    assert row.summary.error == pytest.approx(nadeau_and_bengio([0.901 + 0.01 * f for f in range(5)], ratio))
    over = "Intervals: over 5 folds (10 runs, averaged within each) whose training sets overlap: Nadeau and Bengio"
    assert f"{over}, n_test / n_train = 0.281." in notes_of(report)


@pytest.mark.parametrize("sizes", [{}, {"sizes": [720]}, {"sizes": "many"}, {"sizes": [0, 80, 200]}])
def test_runs_that_recorded_no_sizes_count_as_tested_on_as_much_as_trained_on(
    make: Run, sizes: dict[str, Any]
) -> None:
    values = [0.9, 0.92, 0.93]
    for fold, value in enumerate(values):
        make(value, split=fold_of(fold), **sizes)
    report = assess()
    summary = report.parts[0].rows[0].summary
    assert summary is not None
    assert summary.error == pytest.approx(nadeau_and_bengio(values, 1.0))
    assert "n_test / n_train = 1.000, taken as 1 where not recorded" in notes_of(report)


def test_left_out_groups_take_the_ratio_from_the_sizes(make: Run) -> None:
    values, sizes = [0.9, 0.8], [(900, 100, 200), (800, 100, 300)]
    for name, value, of_run in zip("ab", values, sizes, strict=True):
        split = {"_target_": "leyden.data.split.LeaveOneGroupOut", "test_group": name}
        make(value, split=split, sizes=of_run)
    report = assess()
    summary = report.parts[0].rows[0].summary
    assert summary is not None
    assert summary.error == pytest.approx(nadeau_and_bengio(values, (200 / 900 + 300 / 800) / 2))
    assert "over 2 left-out groups whose" in notes_of(report)


@pytest.mark.parametrize("metric", ["test", "val"])
def test_a_split_that_varies_with_the_seed_is_corrected_in_means_and_tests(make: Run, metric: str) -> None:
    mlp, cnn = [0.90, 0.92, 0.93], [0.92, 0.93, 0.96]
    for model, values in (("mlp", mlp), ("cnn", cnn)):
        for seed, value in enumerate(values):
            make(value, model=model, seed=seed, split=random_split(seed), sizes=(700, 100, 200))
    report = assess(baseline=["model=mlp"], metric=Metric(metric, "accuracy"))
    best, base = report.parts[0].rows
    ratio = {"test": 200 / 700, "val": 100 / 700}[metric]
    assert base.summary is not None
    assert base.summary.error == pytest.approx(nadeau_and_bengio(mlp, ratio))
    assert best.comparison is not None
    error = nadeau_and_bengio(list(np.subtract(cnn, mlp)), ratio)
    assert best.comparison.error == pytest.approx(error)
    assert best.comparison.p == pytest.approx(2 * stats.t.sf((0.81 - 0.75 + 2 - 2) / 3 / error, 2))
    over = "over 3 random splits whose training sets overlap: Nadeau and Bengio"
    assert over in notes_of(report)


def test_test_rows_that_stay_while_validation_is_drawn_anew_are_not_corrected(make: Run) -> None:
    values = [0.90, 0.92, 0.93]
    for seed, value in enumerate(values):
        make(
            value, seed=seed, split={"_target_": "Auto", "seed": seed}, sizes=(700, 100, 200), rows=[5, 6, 8]
        )
    report = assess()
    summary = report.parts[0].rows[0].summary
    assert summary is not None
    assert summary.error == pytest.approx(nadeau_and_bengio(values, 0))
    assert "over 3 draws of the validation rows, all with the same test rows." in notes_of(report)
    make(0.9, seed=9, split={"_target_": "Auto", "seed": 9}, sizes=(700, 100, 200), rows=[5, 6, 9])
    summary = assess().parts[0].rows[0].summary
    assert summary is not None
    assert summary.error == pytest.approx(nadeau_and_bengio([*values, 0.9], 200 / 700))


def test_rows_that_cannot_be_read_count_as_drawn_anew(make: Run) -> None:
    for seed, damage in enumerate((b"", None, b"no zip file")):
        folder = make(
            0.9 + seed / 100, seed=seed, split=random_split(seed), rows=[1, 2], sizes=(700, 100, 200)
        )
        if damage is not None:
            (folder / "predictions" / "test.npz").write_bytes(damage)
    assert assess().parts[0].rows[0].group.overlap == pytest.approx(200 / 700)


def test_seeds_within_splits_are_averaged_also_where_some_are_missing(make: Run) -> None:
    runs = {0: (0.90, 0.94), 1: (0.91, 0.93), 2: (0.96,)}  # split -> values of its seeds
    for split, values in runs.items():
        for seed, value in enumerate(values):
            make(value, seed=seed, split=random_split(split), sizes=(700, 100, 200))
            make(
                value - 0.01 * split - 0.01,
                seed=seed,
                split=random_split(split),
                model="cnn",
                sizes=(700, 100, 200),
            )
    report = assess(baseline=["model=mlp"])
    base, other = report.parts[0].rows
    assert base.summary is not None
    assert (base.summary.n, base.group.counted) == (3, "3 (5 runs)")
    assert base.summary.error == pytest.approx(nadeau_and_bengio([0.92, 0.92, 0.96], 200 / 700))
    assert other.comparison is not None
    assert (other.comparison.test, other.comparison.pairs) == ("paired t", 3)
    assert other.comparison.error == pytest.approx(nadeau_and_bengio([-0.01, -0.02, -0.03], 200 / 700))


def test_groups_on_several_splits_and_on_one_are_not_tested_against_each_other(make: Run) -> None:
    for seed, value in enumerate([0.90, 0.92, 0.93]):
        make(value, seed=seed, split=random_split(seed), sizes=(700, 100, 200))
        make(value + 0.05, seed=seed, split=random_split(0), model="cnn", sizes=(700, 100, 200))
        make(value + 0.05, seed=seed, split=random_split(1), model="rnn", sizes=(700, 100, 200))
    for baseline in ("mlp", "cnn"):
        tests = [
            row.comparison for row in assess(baseline=[f"model={baseline}"]).parts[0].rows if row.comparison
        ]
        assert [test.p for test in tests] == [None, None]
        assert all("use the same splits" in test.reason for test in tests)


def test_two_common_seeds_do_not_hide_the_other_runs(make: Run, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(3)
    for model, first, mean in (("mlp", 0, 0.8), ("cnn", 8, 0.9)):
        for seed in range(first, first + 10):
            make(mean + rng.normal(0, 0.01), model=model, seed=seed)
    (row,) = [row for row in assess(baseline=["model=mlp"]).parts[0].rows if row.comparison]
    assert row.comparison is not None
    assert (row.comparison.test, row.comparison.pairs, row.comparison.used) == ("Welch's t", 2, 20)
    assert row.comparison.p is not None
    assert row.comparison.p < 1e-6
    make(0.9, model="cnn", seed=7)
    assert main(["report", "--baseline", "model=mlp", "--markdown", "report.md"]) == 0
    assert "3 partly" in capsys.readouterr().out
    assert "partly paired t, 3 pairs of 21" in Path("report.md").read_text()


def test_values_without_a_partner_in_a_paired_test_are_said(make: Run) -> None:
    three(make, 0.9)
    three(make, 0.8, model="cnn")
    make(0.91, seed=7)
    make(0.81, model="cnn", seed=8)
    make(0.80, model="cnn", seed=7)
    report = assess(baseline=["model=mlp"])
    said = "\n".join(notes.of_comparison(report.parts[0]))
    assert "Paired tests leave out values without a partner; used of both groups: #2 8 of 9." in said


def test_pooled_folds_of_one_seed_have_wilsons_interval(make: Run) -> None:
    for fold in range(5):
        make(0.9, split={"_target_": "leyden.data.split.KFold", "fold": fold}, hits=90)
    (row,) = assess().parts[0].rows
    assert row.pooled is not None
    wilson = stats.binomtest(450, 500).proportion_ci(method="wilson")
    assert (row.pooled.low, row.pooled.high) == pytest.approx((wilson.low, wilson.high))


def test_different_software_versions_are_noted(make: Run) -> None:
    make(seed=1)
    make(seed=2, torch="2.15.0")
    assert "1 run by leyden 0.1.0 torch 2.14.1; 1 run by leyden 0.1.0 torch 2.15.0" in notes_of(assess())


def test_of_two_runs_with_one_seed_the_newer_is_averaged(make: Run) -> None:
    make(0.8, started="2026-01-01T00:00:00+0000")
    make(0.9, started="2026-01-02T00:00:00+0000")
    report = assess()
    (row,) = report.parts[0].rows
    assert row.summary is not None
    assert (row.summary.n, row.summary.mean) == (1, 0.9)
    assert "Superseded by a newer run with the same configuration and seed" in notes_of(report)


def test_trivial_models_are_always_included_and_mark_groups_that_are_not_better(make: Run) -> None:
    three(make, 0.90, model="linear")
    three(make, 0.10, model="majority", spread=0)
    three(make, 0.89, model="mlp")
    three(make, 0.95, model="cnn", spread=0.001)
    for seed, value in zip(SEEDS, (0.99, 0.85, 0.9), strict=True):
        make(value, model="rnn", seed=seed)
    report = compare("runs", ["model=cnn,mlp,rnn"])
    marks = {row.values[0]: row.marks for row in report.parts[0].rows}
    assert marks["mlp"] == ("not better than linear",)
    assert marks["rnn"] == ("not significant vs. linear",)
    assert marks["cnn"] == ("best", "simplest")
    assert marks["linear"] == marks["majority"] == ("trivial",)
    assert "No trivial baseline" not in notes_of(report)


def test_a_mark_against_several_runs_of_one_trivial_model_is_said_once(make: Run) -> None:
    for rate in (0.1, 0.2):
        three(make, 0.90, model="linear", lr=rate)
    three(make, 0.80, model="mlp", lr=0.1)
    marks = [row.marks for row in compare("runs", ["model=mlp"]).parts[0].rows]
    assert ("not better than linear",) in marks


def test_of_several_trivial_models_of_one_name_the_one_that_validation_chose_is_the_bar(make: Run) -> None:
    three(make, 0.85, val=0.9, model="linear", lr=0.1)
    three(make, 0.95, val=0.8, model="linear", lr=0.2)
    for seed, value in zip(SEEDS, (0.90, 0.91, 0.90), strict=True):
        make(value, seed=seed)
    marks = {row.values[0]: row.marks for row in assess().parts[0].rows}
    assert marks["mlp"] == ()


def test_a_missing_trivial_model_is_noted_with_the_command_to_train_it(make: Run) -> None:
    make(experiment="fsdd")
    both = "No trivial baseline to compare with: leyden train -m experiment=fsdd model=majority,linear"
    assert both in notes_of(assess())
    make(model="majority", experiment="fsdd")
    one = "No model=linear to compare with: leyden train experiment=fsdd model=linear"
    assert one in notes_of(assess())


def test_that_command_reads_the_same_data_and_writes_to_the_same_folder(make: Run) -> None:
    path = make() / "result.json"
    stored = json.loads(path.read_text())
    words = [
        "--config-dir=my lab",
        "data=digits",
        "data.on_bad=skip",
        "model=cnn",
        "model.net.width=3",
        "seed=2",
    ]
    stored["command"] = ["leyden", "train", *words, "data_root=/big disk/data", "runs=here"]
    path.write_text(json.dumps(stored))
    expected = (
        "leyden train -m '--config-dir=my lab' data=digits data.on_bad=skip 'data_root=/big disk/data' runs=here "
        "model=majority,linear"
    )
    assert expected in notes_of(assess())


def test_the_metric_is_the_one_that_was_monitored(make: Run) -> None:
    three(make, 0.9)
    folders = [make(0.9, seed=seed, experiment="rare") for seed in SEEDS]
    for path in (folder / "result.json" for folder in folders):
        stored = json.loads(path.read_text())
        stored["best"]["monitor"] = "val/log_loss"
        path.write_text(json.dumps(stored))
    assert {part.cohort.experiment: str(part.metric) for part in assess().parts} == {
        "default": "test/accuracy",
        "rare": "test/log_loss",
    }


def stored(change: Callable[[dict[str, Any]], None], pattern: str = "*") -> None:
    """Change the result.json of the runs of a model."""
    for path in Path("runs").rglob(f"digits-{pattern}-*/result.json"):
        result = json.loads(path.read_text())
        change(result)
        path.write_text(json.dumps(result))


@pytest.fixture
def disputed(make: Run) -> None:
    """mlp is best on validation and far cheaper, cnn on test; rnn is good on test alone."""
    for seed, away in zip(SEEDS, (-0.01, 0.0, 0.01), strict=True):
        make(0.80 + away, val=0.95 + away, model="mlp", seed=seed)
        make(0.90 + away, val=0.949 + away, model="cnn", seed=seed)
        make(0.85 + away, val=0.70 + away, model="rnn", seed=seed)


@pytest.mark.parametrize("words", [[], ["--metric", "accuracy"]])
@pytest.mark.usefixtures("disputed")
def test_validation_chooses_and_test_is_shown(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--csv", "r.csv", "--markdown", "r.md", "--html", "r.html"]
    assert main(["report", *words, "--baseline", "model=rnn", *files]) == 0
    with Path("r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["marks"]) for row in rows] == [
        ("mlp", "best; simplest"),
        ("cnn", ""),
        ("rnn", "baseline"),
    ]
    assert [round(float(row["mean"]), 6) for row in rows] == [0.8, 0.9, 0.85]
    assert [round(float(row["val_mean"]), 6) for row in rows] == [0.95, 0.949, 0.7]
    assert {(row["metric"], row["chosen_by"], row["val_n"]) for row in rows} == {
        ("test/accuracy", "val/accuracy", "3")
    }
    assert [row["fronts"] for row in rows] == ["parameters flops seconds", "", ""]
    assert float(rows[0]["baseline_difference"]) == pytest.approx(-0.05)
    page = html.unescape(re.sub("<[^>]+>", " ", Path("r.html").read_text()))
    for said in (capsys.readouterr().out, Path("r.md").read_text(), page):
        flat = " ".join(said.replace("\\", "").split())
        assert "test/accuracy, chosen by val/accuracy, higher is better" in flat
        assert "Mean, interval and tests are of test/accuracy, which took no part in the choice" in flat
        assert "The differences are of test/accuracy, which took no part in the choice" in flat
        assert flat.index("0.9500") < flat.index("0.9490") < flat.index("0.7000")
        assert "Selected on" not in flat


@pytest.mark.usefixtures("disputed")
def test_by_test_only_when_asked_and_marked_so(capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--csv", "r.csv", "--markdown", "r.md", "--html", "r.html"]
    assert main(["report", "--metric", "test/accuracy", *files]) == 0
    with Path("r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["chosen_by"]) for row in rows] == [
        (m, "test/accuracy") for m in ("cnn", "rnn", "mlp")
    ]
    assert rows[0]["marks"].startswith("best")
    assert round(float(rows[0]["val_mean"]), 6) == 0.949
    page = html.unescape(re.sub("<[^>]+>", " ", Path("r.html").read_text()))
    for said in (capsys.readouterr().out, Path("r.md").read_text(), page):
        flat = " ".join(said.split())
        assert "test/accuracy, selected on test, higher is better" in flat
        assert "which inflates the best row's value" in flat
        assert "--metric accuracy" in flat


@pytest.mark.parametrize(("missing", "shown"), [("val", "test"), ("test", "val")])
@pytest.mark.usefixtures("disputed")
def test_without_validation_or_test_values_the_others_choose_and_it_is_said(missing: str, shown: str) -> None:
    stored(lambda result: result["metrics"].pop(missing))
    (part,) = assess().parts
    assert (str(part.metric), str(part.chosen_by)) == (f"{shown}/accuracy",) * 2
    assert part.heading == f"{shown}/accuracy, selected on {shown}, higher is better"
    assert f"No run has {missing}/accuracy" in notes_of(assess())


@pytest.mark.usefixtures("disputed")
def test_a_group_without_validation_values_is_not_chosen(make: Run) -> None:
    stored(lambda result: result["metrics"].pop("val"), "cnn")
    (part,) = assess().parts
    assert [row.values[0] for row in part.rows] == ["mlp", "rnn", "cnn"]
    assert (part.rows[2].marks, part.rows[2].fronts, part.rows[2].validation) == ((), (), None)
    assert "Without val/accuracy, so last, and not chosen between: #3" in notes_of(assess())


@pytest.mark.usefixtures("disputed")
def test_a_validation_value_that_was_chosen_on_its_own_samples_does_not_choose() -> None:
    def tuned(result: dict[str, Any]) -> None:
        of_val = result["metrics"]["val"]
        of_val["before"] = {"accuracy": 0.6}
        of_val["values"]["accuracy"]["method"] = "chosen here: on the samples that it is measured on"

    stored(tuned, "mlp")
    (part,) = assess().parts
    assert [row.values[0] for row in part.rows] == ["cnn", "rnn", "mlp"]
    assert part.rows[2].validation is not None
    assert part.rows[2].validation.mean == pytest.approx(0.6)
    (part,) = assess(metric=Metric("test", "accuracy")).parts
    assert part.rows[2].summary is not None
    assert part.rows[2].summary.mean == pytest.approx(0.8)


def test_one_group_needs_no_choice(make: Run) -> None:
    three(make, 0.9)
    assert assess().parts[0].heading == "test/accuracy, higher is better"
    assert "hose" not in notes_of(assess())


def test_axes_hold_all_points(make: Run) -> None:
    """Also a trivial model far away, one without a cost, and a first epoch far above all others."""
    three(make, 0.90, spread=0.001)
    three(make, 0.91, spread=0.001, model="cnn")
    three(make, 0.01, spread=0, model="majority")
    for path in Path("runs").rglob("metrics.csv"):
        epochs = [
            f"{epoch},{epoch},{value}" for epoch, value in ((1, -500), *((e, 0.9) for e in range(2, 40)))
        ]
        path.write_text("\n".join(["epoch,step,val/accuracy", *epochs]) + "\n")
    (part,) = assess().parts
    scale = html_plots.bar_scale(part)
    assert scale is not None
    assert all(0 <= scale.at(row.summary.mean) <= 150 for row in part.rows if row.summary)
    for section, shape in ((html_plots.learning_curves(part), "M"), (html_plots.pareto_fronts(part), "cy")):
        assert section is not None
        (_, right), (bottom, top) = svg.inner()
        for drawing in re.findall(r'<svg class="inside".*?</svg>', section.html, re.DOTALL):
            if shape == "M":
                points = re.findall(r"[ML]([-\d.]+) ([-\d.]+)", drawing)
            else:
                points = re.findall(r'cx="([-\d.]+)" cy="([-\d.]+)"', drawing)
                assert len(points) == 3
            assert points
            assert all(64 <= float(x) <= right and top <= float(y) <= bottom for x, y in points)


def test_by_averages_over_other_keys_but_not_over_trivial_models(make: Run) -> None:
    for lr in (0.1, 0.01):
        three(make, 0.9, lr=lr)
        three(make, 0.95, model="cnn", lr=lr)
    three(make, 0.2, model="majority", lr=0.1)
    (part,) = assess(by=["optimizer.lr"], baseline=["optimizer.lr=0.1", "model=cnn,mlp"]).parts
    assert part.columns == ("optimizer.lr", "model.name")
    expected = {("0.01", "-"): 6, ("0.1", "-"): 6, ("0.1", "majority"): 3}
    assert {row.values: len(row.group.runs) for row in part.rows} == expected
    by_values = {row.values: row for row in part.rows}
    assert {row.values: row.summary.n for row in part.rows if row.summary} == dict.fromkeys(expected, 3)
    assert by_values["0.01", "-"].group.counted == "3 (6 runs)"
    assert by_values["0.01", "-"].comparison is not None
    assert by_values["0.01", "-"].comparison.pairs == 3


@pytest.mark.parametrize("by", [[], ["optimizer.lr"]])
def test_rows_of_a_trivial_model_are_told_apart_by_each_key_that_differs(
    make: Run, by: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for lr in (0.001, 0.01):
        three(make, 0.9 + lr, model="linear", lr=lr)
    three(make, 0.95)
    words = [word for key in by for word in ("--by", key)]
    assert main(["report", *words, "--csv", "r.csv", "--markdown", "r.md", "--html", "r.html"]) == 0
    with Path("r.csv").open(newline="") as file:
        rows = {(row["model"], row["optimizer.lr"]) for row in csv.DictReader(file)}
    assert {("linear", "0.001"), ("linear", "0.01")} < rows
    texts = [
        capsys.readouterr().out,
        Path("r.md").read_text(),
        html.unescape(re.sub("<[^>]+>", " ", Path("r.html").read_text())),
    ]
    for text in texts:
        rows_of_linear = [line for line in text.splitlines() if "linear" in line]
        assert any("0.001" in line for line in rows_of_linear)
        assert any("0.01 " in line for line in rows_of_linear)
    curves = html_plots.learning_curves(assess(by=by).parts[0])
    assert curves is not None
    legend = re.findall(r"</span><a[^>]*>#\d+ ([^<]*)</a>", curves.html)
    assert len(set(legend)) == len(legend) == 3


@pytest.mark.parametrize("rates", [(0.1, 0.1 + 1e-9), (None, "null")])
def test_values_that_look_alike_when_shortened_are_given_in_full(make: Run, rates: tuple[Any, Any]) -> None:
    for lr in rates:
        three(make, 0.9, lr=lr)
    assert len({row.values for row in assess().parts[0].rows}) == 2


def test_main_effects_are_estimated_within_seeds(make: Run) -> None:
    for seed, luck in zip(SEEDS, (-0.2, 0.0, 0.1), strict=True):
        for model, lr in ((m, lr) for m in ("mlp", "cnn") for lr in (0.1, 0.01)):
            noise = 0.001 * ((3 * seed + 5 * (model == "cnn") + 7 * (lr == 0.1)) % 4)
            make(0.6 + luck + 0.05 * (model == "cnn") + noise, seed=seed, model=model, lr=lr)
    found = assess().parts[0].effects
    assert [key.names for key in found.keys] == [("model",), ("optimizer.lr",)]
    assert found.keys[0].p is not None
    assert found.keys[0].p < 0.01
    assert found.keys[1].p is not None
    assert found.keys[1].p > 0.2
    assert found.between > 0.9
    make(0.9, seed=9, lr=0.1)
    (said, left_out) = notes.of_effects(assess().parts[0])
    assert said.startswith("Over 12 values, one for each group and seed, compared within 3 common seeds: ")
    assert "lies between seeds" in said
    assert left_out == "1 value left out of the effects: no other group has the same seed."


def test_groups_on_different_splits_have_no_effects(make: Run) -> None:
    cells = [(model, lr) for model in ("mlp", "cnn") for lr in (0.1, 0.01)]
    for place, (model, lr) in enumerate(cells):
        split = {"_target_": "leyden.data.split.Stratified", "seed": place}
        three(make, 0.9, spread=0.01 * (place + 1), split=split, model=model, lr=lr)
    part = assess().parts[0]
    assert not part.effects.keys
    assert "No table of main effects: the groups are on different splits" in notes_of(assess())


def test_lower_is_better_of_a_loss(make: Run) -> None:
    three(make, 0.9)
    three(make, 0.95, model="cnn")
    report = assess(metric=Metric("test", "log_loss"))
    assert not report.parts[0].higher
    assert report.parts[0].rows[0].values == ("cnn",)


def test_the_terminal_stays_in_80_columns(make: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for lr in (0.1, 0.01):
        three(make, 0.9, lr=lr)
        three(make, 0.95, model="a_model_with_a_rather_long_name", lr=lr)
    assert main(["report", "--baseline", "model=mlp", "optimizer.lr=0.1"]) == 0
    out = capsys.readouterr().out
    long = [line for line in out.splitlines() if len(line) > 80]
    assert all("leyden train" in line for line in long), long  # a command is left whole
    assert "a_model" in out
    assert "main effects and interactions on test/accuracy" in out


def test_a_folder_may_follow_the_baseline(make: Run, capsys: pytest.CaptureFixture[str]) -> None:
    three(make, 0.9)
    three(make, 0.95, model="cnn")
    assert main(["report", "--baseline", "model=mlp", "runs"]) == 0
    assert "compared with the baseline" in capsys.readouterr().out


def test_csv_has_a_row_per_group_and_full_precision(make: Run) -> None:
    three(make, 0.9)
    three(make, 0.95, model="cnn")
    assert main(["report", "--baseline", "model=mlp", "--csv", "r.csv"]) == 0
    with Path("r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["n"], row["metric"]) for row in rows] == [
        ("cnn", "3", "test/accuracy"),
        ("mlp", "3", "test/accuracy"),
    ]
    (part,) = assess(baseline=["model=mlp"]).parts
    assert part.rows[0].summary is not None
    assert float(rows[0]["mean"]) == part.rows[0].summary.mean
    assert float(rows[0]["baseline_difference"]) == pytest.approx(0.05)
    assert len(rows[0]["folders"].split()) == 3


def test_csv_of_runs_has_each_once_in_any_state(make: Run) -> None:
    three(make, 0.9)
    folder = make(1 / 3, model="cnn", lr=1.23456789e-5)
    make(model="cnn", seed=2, lr=1.23456789e-5, status="failed")
    make(0.8, seed=2, started="2025-01-01T00:00:00+0000")  # repeated: not averaged
    assert main(["report", "--by", "optimizer.lr", "--csv-runs", "r.csv"]) == 0
    with Path("r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["folder"] for row in rows}) == len(rows) == 6
    assert list(rows[0])[:6] == ["experiment", "data", "model", "optimizer.lr", "seed", "state"]
    (one,) = (row for row in rows if row["folder"].endswith(folder.name))
    assert (one["model"], float(one["optimizer.lr"]), one["seed"]) == ("cnn", 1.23456789e-5, "1")
    assert (float(one["test/accuracy"]), float(one["val/log_loss"])) == (1 / 3, 1 - 1 / 3)
    assert (one["state"], one["parameters"], one["seconds"]) == ("complete", "5000", "6.0")
    (failed,) = (row for row in rows if row["state"] == "failed")
    assert (failed["model"], failed["seed"], failed["test/accuracy"], failed["seconds"]) == (
        "cnn",
        "2",
        "",
        "",
    )


def test_markdown_tables_have_equal_columns_in_all_rows(make: Run) -> None:
    for lr in (0.1, 0.01):
        three(make, 0.9, lr=lr)
        three(make, 0.95, model="cnn", lr=lr)
    assert main(["report", "--baseline", "model=mlp", "optimizer.lr=0.1", "--markdown", "r.md"]) == 0
    text = Path("r.md").read_text()
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3
    for table in tables:
        assert len({line.count(" | ") for line in table.splitlines()}) == 1, table


class Page(HTMLParser):
    """Ids, links, addresses of anything loaded, and whether each tag is closed."""

    VOID = ("meta", "line", "circle", "path", "rect", "wbr", "br", "img", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.bare: list[str] = []  # numbers in a numeric cell that lead nowhere
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.ids += [str(given["id"])] if "id" in given else []
        self.links += [str(given["href"])] if "href" in given else []
        assert "src" not in given
        if tag not in self.VOID:
            self.open.append(tag if tag != "td" or "n" not in str(given.get("class", "")).split() else "td-n")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop().removesuffix("-n") == tag

    def handle_data(self, data: str) -> None:
        if "td-n" in self.open and "a" not in self.open and re.search(r"\d", data):
            self.bare.append(data)


@pytest.fixture
def page(make: Run) -> tuple[str, Page]:
    for lr in (0.1, 0.01):
        three(make, 0.9, lr=lr)
        three(make, 0.95, spread=0.004, model="cnn", lr=lr)  # else no pair differs, and there is no test
    make(seed=9, status="failed")
    Path("pages").mkdir()
    assert main(["report", "--baseline", "model=mlp", "optimizer.lr=0.1", "--html", "pages/r.html"]) == 0
    text = Path("pages/r.html").read_text()
    return text, Page(text)


def test_the_page_loads_no_external_resources(page: tuple[str, Page]) -> None:
    text, parsed = page
    assert not parsed.open
    assert not {"script", "link", "img", "iframe"} & set(parsed.tags)
    assert not re.search(r"https?:|url\(|@import", text)
    assert parsed.tags.count("svg") >= 3


def test_every_number_of_the_page_links_to_its_runs(page: tuple[str, Page]) -> None:
    text, parsed = page
    assert not parsed.bare
    assert "d_z = " in text
    assert len(set(parsed.ids)) == len(parsed.ids)
    inner = {link[1:] for link in parsed.links if link.startswith("#")}
    assert inner <= set(parsed.ids)
    runs = [name for name in parsed.ids if name.startswith("r-")]
    assert len(runs) == 13
    assert set(runs) <= inner
    files = [link for link in parsed.links if not link.startswith("#")]
    assert len(files) >= 3 * 13
    for link in files:
        assert (Path("pages") / link).exists(), link


def test_the_page_has_each_runs_command_and_escapes_it(page: tuple[str, Page]) -> None:
    text, _ = page
    assert text.count("leyden train model=cnn seed=1 &#x27;note=a b&lt;c&gt;&#x27;") == 2
    assert "ValueError: no &lt;good&gt;" in text
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "test/acuracy"], "did you mean 'test/accuracy'"),
        (["--metric", "acuracy"], "did you mean 'accuracy'"),
        (["nowhere"], "there is no such folder"),
        (["empty"], "there are no runs in it"),
        (["model=transformer"], "no run matches, of 6"),
        (["modle=cnn"], "did you mean 'model'"),
        (["--baseline", "model=lstm"], "no group with a complete run matches"),
        (["--baseline", "data=digits"], "2 groups of default on digits match (cnn; mlp)"),
        (["--baseline", "modle=cnn"], "--baseline modle=cnn: none of these runs has the key modle"),
        (["--baseline", "mlp"], "expected key=value"),
        (["--by", "modle"], "did you mean 'model'"),
        (["--html", "nowhere/r.html"], "there is no folder nowhere"),
        (["--html", "empty"], "is a folder"),
        (["--html", "r", "--csv", "r"], "two outputs in one file"),
        (["--metrc", "x"], "did you mean '--metric'"),
    ],
)
def test_mistakes_are_one_message_and_nothing_is_written(
    make: Run, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    three(make, 0.9)
    three(make, 0.95, model="cnn")
    Path("empty").mkdir()
    before = sorted(map(str, Path().rglob("*")))
    assert main(["report", "--markdown", "out.md", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("leyden: ")
    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert sorted(map(str, Path().rglob("*"))) == before


def test_no_complete_run_is_an_error(make: Run, capsys: pytest.CaptureFixture[str]) -> None:
    make(status="failed")
    assert main(["report"]) == 2
    assert "none of these runs is complete (1 failed)" in capsys.readouterr().err


def test_a_module_of_the_users_own_has_scalars(make: Run) -> None:
    for seed in SEEDS:
        file = make(0.9, seed=seed) / "result.json"
        result = json.loads(file.read_text())
        result["metrics"] = {"val": {"scalars": {"distance": 0.1 * seed}}}
        result["best"] = {"monitor": "val/distance", "value": 0.1, "higher_is_better": False}
        file.write_text(json.dumps(result))
    report = assess()
    assert report.metrics == "val/distance"
    assert not report.parts[0].higher
    assert report.parts[0].rows[0].summary is not None
    assert report.parts[0].rows[0].summary.mean == pytest.approx(0.2)


def test_survey_equals_find(make: Run) -> None:
    three(make, 0.9)
    make(status="failed", seed=5)
    slow, fast = find(Path("runs")), survey(Path("runs"))
    assert [record.folder for record in slow] == [record.folder for record in fast]
    assert [record.state for record in slow] == [record.state for record in fast]
    assert [record.keys for record in slow] == [record.keys for record in fast]
