"""Searches: the space, trials as jobs, pruning, several goals; no trial is lost or repeated."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

pytest.importorskip("optuna")

import leyden.sweeps.optuna_sweep as searching
from leyden.cli.main import main
from leyden.config.compose import compose, conf_dir
from leyden.reporting import search as reporting
from leyden.runs.records import read
from leyden.tuning.parameters import literal
from leyden.tuning.settings import Settings
from leyden.tuning.space import Space
from leyden.tuning.study import Study
from leyden.utils.errors import UserError

Tiny = Callable[..., list[str]]
LR = "optimizer.lr=tag(log, interval(1e-4, 1e-1))"
GAMMA = """# a search of the tests
params:
  optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
  model.net.hidden: [[4], [8, 4]]
  loss: [cross_entropy, focal]
  loss.gamma: {low: 0.5, high: 3, when: loss=focal}
trials: 5
startup: 2
"""


@pytest.fixture
def search(tiny: Tiny, tmp_path: Path) -> Callable[..., int]:
    """Run a search in process: search("sweep.trials=3") -> exit status."""
    (tmp_path / "my" / "sweep").mkdir(parents=True)
    (tmp_path / "my" / "sweep" / "mine.yaml").write_text(GAMMA)

    def run(*more: str) -> int:
        quick = tiny("trainer.max_epochs=1")
        return main(["train", "-m", "--config-dir", "my", *quick, *more])

    return run


def studies() -> list[dict[str, Any]]:
    return [reporting.load(folder) for folder in reporting.find(Path("runs"))]


def plain(study: dict[str, Any]) -> list[Any]:
    """What must not depend on interruptions."""
    keys = ("number", "state", "params", "values", "curve", "folder", "words")
    return [[trial[key] for key in keys] for trial in study["trials"]]


# --- the space ---


class FixedTrial:
    """An Optuna trial that always takes the last choice and the low end."""

    def suggest_categorical(self, key: str, choices: list[Any]) -> Any:
        return choices[-1]

    def suggest_int(self, key: str, low: int, high: int, step: int, log: bool) -> int:
        return low

    def suggest_float(self, key: str, low: float, high: float, step: float | None, log: bool) -> float:
        return low


SPACE = {
    "loss.gamma": {"low": 0.5, "high": 3, "when": "loss=focal"},
    "loss": ["cross_entropy", "focal"],
    "batch_size": {"low": 16, "high": 64, "step": 16},
}


def test_a_parameter_exists_only_under_its_condition() -> None:
    space = Space.of(SPACE)
    assert space.draw(FixedTrial()) == {"loss": "focal", "batch_size": 16, "loss.gamma": 0.5}
    turned = {**SPACE, "loss": ["focal", "cross_entropy"]}
    assert "loss.gamma" not in Space.of(turned).draw(FixedTrial())


def test_the_probes_include_every_choice_and_every_bound() -> None:
    probes = list(Space.of(SPACE).probes())
    for key, value in [
        ("loss", "focal"),
        ("loss.gamma", 3),
        ("batch_size", 64),
        ("batch_size", 16),
    ]:
        assert any(probe.get(key) == value for probe in probes)
    assert all(("loss.gamma" in probe) == (probe["loss"] == "focal") for probe in probes)


def test_the_size_counts_conditions() -> None:
    assert Space.of(SPACE).size() is None
    gamma = {"choices": [1, 2, 3], "when": "loss=focal"}
    assert Space.of({**SPACE, "loss.gamma": gamma}).size() == (1 + 3) * 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (None, "null"),
        (1e-05, "1e-05"),
        ("focal", "focal"),
        ("1", "'1'"),
        ([1, [2]], "[1,[2]]"),
    ],
)
def test_values_as_overrides(value: Any, text: str) -> None:
    assert literal(value) == text


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"seed": {"low": 3, "high": 1}}, "low=3 is above high=1"),
        ({"seed": {"low": 0, "high": 1, "log": True}}, "log needs low above 0"),
        ({"seed": {"low": 0, "hihg": 1}}, "did you mean 'high'"),
        ({"seed": {"low": 0}}, "both ends"),
        ({"seed": 3}, "expected a range or choices"),
        ({"seed": {"low": 1, "high": 9, "log": True, "step": 2}}, "has no step"),
        ({"seed": {"low": 1, "high": 9, "step": 0}}, "above 0"),
        ({"seed": {"low": "a", "high": 9}}, "expected a number"),
        ({"seed": [1, 1]}, "twice"),
        ({"seed": []}, "expected a list of choices"),
        ({"seed": {"choices": [1, 2], "when": "nme=a"}, "name": ["a"]}, "did you mean 'name'"),
        ({"seed": {"choices": [1, 2], "when": "name=b"}, "name": ["a"]}, "name is never b"),
        (
            {"seed": {"choices": [1], "when": "name=a"}, "name": {"choices": ["a"], "when": "seed=1"}},
            "depend on each other",
        ),
    ],
)
def test_an_invalid_space_is_one_message(params: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Space.of(params)


@pytest.mark.parametrize("path", sorted((conf_dir() / "sweep").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_search_of_conf_is_valid(path: Path) -> None:
    import yaml
    from omegaconf import OmegaConf

    node = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(node, dict)
    assert set(node) == set(yaml.safe_load(path.read_text()))
    Space.of(Settings.of(node).params)


# --- a mistake: one message, status 2, nothing written ---


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep=optuna"], "no parameters to search"),
        (["sweep=optuna", "optimizer.lrr=interval(0.1, 0.2)"], "did you mean 'optimizer.lr="),
        (["sweep=optuna", LR, "sweep.sampler=tpee"], "did you mean 'tpe'"),
        (["sweep=optuna", LR, "sweep.trails=3"], "did you mean 'trials'"),
        (["sweep=optuna", LR, "sweep.trials=0"], "sweep.trials=0"),
        (["sweep=optuna", LR, "sweep.sampler=grid"], "needs a step"),
        (["sweep=optuna", LR, "sweep.objectives=[val/acuracy]"], "did you mean 'val/accuracy'"),
        (["sweep=optuna", LR, "sweep.objectives=[test/accuracy]"], "select by the test split"),
        (["sweep=optuna", LR, "sweep.directions=[maximize, minimize]"], "one for each"),
        (
            ["sweep=optuna", LR, "sweep.objectives=[val/accuracy,cost.parameters]", "sweep.pruner=median"],
            "pruning is not supported",
        ),
        (["sweep=optuna", LR, "force=true"], "force=true"),
        (["sweep=optuna", "loss=cross_entropy,focl"], "focl"),
        (["sweep=mine", "optimizer.lr=0.1"], "is both fixed on the command line and searched"),
        (["sweep=mine,optuna"], "choose one"),
        (["sweep=optuna", "data.source.samples=0,240"], "samples"),
    ],
)
def test_mistakes(search: Any, words: list[str], message: str, capsys: Any) -> None:
    import re

    assert search(*words) == 2
    said = capsys.readouterr().err
    assert re.search(message, said), said
    assert not Path("runs").exists()


def test_a_search_without_a_sweep_says_what_is_missing(tiny: Tiny, capsys: Any) -> None:
    assert main(["train", *tiny("sweep=optuna")]) == 2
    assert "-m sweep=optuna" in capsys.readouterr().err


def test_without_optuna_the_message_says_what_to_install(
    search: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert search("sweep=mine") == 2
    assert 'pip install "leyden[search]"' in capsys.readouterr().err
    assert not Path("runs").exists()


# --- trials ---


def test_a_search_of_ones_own_file_and_once_more(search: Any, capsys: Any) -> None:
    assert search("sweep=mine") == 0
    (study,) = studies()
    assert [trial["state"] for trial in study["trials"]] == ["complete"] * 5
    for trial in study["trials"]:
        record = read(Path(trial["folder"]))
        assert record.best["value"] == trial["values"][0]
        assert record.keys["optimizer.lr"] == trial["params"]["optimizer.lr"]
        assert list(record.config["model"]["net"]["hidden"]) == trial["params"]["model.net.hidden"]
        assert ("loss.gamma" in trial["params"]) == (trial["params"]["loss"] == "focal")
        assert not any("trial=" in word for word in record.result["command"])
    best = max(study["trials"], key=lambda trial: trial["values"][0])
    assert best["values"][0] == study["trials"][study["best"][0]]["values"][0]
    said = capsys.readouterr().out
    assert "leyden train --config-dir=my" in said
    folder = Path("runs") / "studies" / study["name"]
    assert {path.name for path in folder.glob("*.svg")} == {"history.svg", "slice.svg", "importance.svg"}
    written = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("result.json")}
    assert search("sweep=mine") == 0
    assert plain(studies()[0]) == plain(study)
    assert written == {path: path.stat().st_mtime_ns for path in Path("runs").rglob("result.json")}
    assert search("sweep=mine", "sweep.trials=6") == 0
    assert plain(studies()[0])[:5] == plain(study)
    assert len(studies()[0]["trials"]) == 6


@pytest.mark.slow
def test_another_configuration_is_another_study(search: Any) -> None:
    assert search("sweep=optuna", LR, "sweep.trials=1") == 0
    assert search("sweep=optuna", LR, "sweep.trials=1", "seed=2") == 0
    assert len({study["name"] for study in studies()}) == 2


def test_plan_writes_nothing(search: Any, capsys: Any) -> None:
    assert search("sweep=mine", "--plan") == 0
    assert "5 trials of 4 parameters by tpe" in capsys.readouterr().out.replace("\n", " ")
    assert not Path("runs").exists()


def test_the_grid_has_each_point_once_and_ends(search: Any) -> None:
    words = ["sweep=optuna", "sweep.sampler=grid", "optimizer.lr=0.1,0.01", "seed=range(1,3)"]
    assert search(*words, "sweep.trials=50") == 0
    (study,) = studies()
    points = [(trial["params"]["optimizer.lr"], trial["params"]["seed"]) for trial in study["trials"]]
    assert sorted(points) == [(0.01, 1), (0.01, 2), (0.1, 1), (0.1, 2)]


@pytest.mark.parametrize(
    "sampler", ["random", "cmaes", "nsga2", "qmc", pytest.param("gp", marks=pytest.mark.slow)]
)
def test_every_sampler_proposes_what_it_would_have_proposed(
    search: Any, tmp_path: Path, sampler: str
) -> None:
    """Trials asked for in one go and in two: a sampler that begins its random numbers anew would repeat itself."""
    space, goals = (
        Space.of({"a": {"low": 0.0, "high": 1.0}, "b": {"low": 1, "high": 100}}),
        Settings().goals("val/ece", {}),
    )

    def ask(folder: Path, breaks: tuple[int, ...]) -> list[Any]:
        settings = Settings.of({"sampler": sampler, "startup": 2, "trials": 6})
        asked: list[Any] = []
        for end in (*breaks, 6):
            study = Study(folder, settings, space, goals, 1)
            while len(asked) < end and (trial := study.ask()) is not None:
                asked.append(trial.values)
                study.tell(trial.number, "complete", [trial.values["a"] - trial.values["b"]])
            study.close()
        return asked

    straight = ask(tmp_path / "straight", ())
    assert len({str(values) for values in straight}) == 6
    assert ask(tmp_path / "broken", (1, 3)) == straight


@pytest.mark.parametrize("goal", ["monitor=val/regret", "sweep.objectives=[val/regret]"])
def test_an_own_metric_is_searched_by_in_its_own_direction(search: Any, tmp_path: Path, goal: str) -> None:
    """Beside the code of one's own module, which says the same of what it logs."""
    (tmp_path / "own_search.py").write_text(
        "from leyden.modules.classification import Classifier\n\n\n"
        "def regret(probabilities, labels):\n"
        "    return 1 - probabilities[range(len(labels)), labels].mean()\n\n\n"
        "class Own(Classifier):\n"
        "    lower_is_better = ('val/distance',)\n"
    )
    (tmp_path / "my" / "metrics").mkdir()
    entry = "regret:\n  function: {_target_: own_search.regret}\n  higher_is_better: false\n"
    (tmp_path / "my" / "metrics" / "regret.yaml").write_text(entry)
    assert search("sweep=optuna", LR, "metrics=regret", "sweep.trials=2", goal) == 0
    (study,) = studies()
    assert study["goals"] == [{"name": "val/regret", "direction": "minimize"}]
    values = [trial["values"][0] for trial in study["trials"]]
    assert values[study["best"][0]] == min(values) < max(values)
    composed = OmegaConf.create(compose(["metrics=regret", "task=multilabel"], ["my"]))
    composed.model.module["_target_"] = "own_search.Own"
    directions = searching._directions(composed)
    assert directions["val/average_precision_micro"]
    assert not any(
        directions[name] for name in ("val/regret", "val/distance", "val/hamming_loss", "val/loss")
    )


@pytest.mark.slow
def test_several_objectives(search: Any, capsys: Any) -> None:
    goals = ["sweep.objectives=[val/accuracy,cost.parameters]", "sweep.trials=4", "sweep.startup=2"]
    assert search("sweep=mine", *goals) == 0
    (study,) = studies()
    assert [goal["direction"] for goal in study["goals"]] == ["maximize", "minimize"]
    front = [study["trials"][n]["values"] for n in study["best"]]
    for trial in study["trials"]:
        accuracy, parameters = trial["values"]
        better = [v for v in front if v[0] >= accuracy and v[1] <= parameters]
        assert better
    assert "Pareto-optimal trial" in capsys.readouterr().out


def test_a_failing_trial_does_not_affect_others(search: Any) -> None:
    """A learning rate of 1e30 makes NaNs."""
    assert search("sweep=optuna", "sweep.sampler=grid", "optimizer=sgd", "optimizer.lr=1e30,0.01") == 1
    (study,) = studies()
    assert sorted(trial["state"] for trial in study["trials"]) == ["complete", "failed"]
    failed = next(trial for trial in study["trials"] if trial["state"] == "failed")
    assert failed["params"]["optimizer.lr"] == 1e30
    assert failed["error"]
    assert search("sweep=optuna", "sweep.sampler=grid", "optimizer=sgd", "optimizer.lr=1e30,0.01") == 1
    assert plain(studies()[0]) == plain(study)


# --- pruning ---


@pytest.fixture
def prunes_the_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pruner that stops every run but the first after its first epoch."""
    import optuna

    class Harsh(optuna.pruners.BasePruner):
        def prune(self, study: Any, trial: Any) -> bool:
            return bool(trial.number)

    monkeypatch.setattr("leyden.tuning.trial.pruner_of", lambda settings: Harsh())


@pytest.mark.usefixtures("prunes_the_slow")
def test_a_pruned_run_says_so_and_is_finished_by_train(search: Any, capsys: Any) -> None:
    assert search("sweep=optuna", LR, "sweep.trials=2", "trainer.max_epochs=3", "sweep.pruner=median") == 0
    (study,) = studies()
    assert [trial["state"] for trial in study["trials"]] == ["complete", "pruned"]
    assert [len(trial["curve"]) for trial in study["trials"]] == [3, 1]
    pruned = study["trials"][1]
    record = read(Path(pruned["folder"]))
    assert record.state == "pruned"
    assert record.best["epoch"] == 1
    assert record.result["metrics"] == {}
    assert record.result["cost"]["steps"] > 0
    command = [word for word in record.result["command"] if not word.startswith("leyden")]
    assert main(command) == 0
    whole = read(Path(pruned["folder"]))
    assert whole.state == "complete"
    assert [row["epoch"] for row in whole.curves()] == [1, 2, 3]
    straight = [*command, "runs=straight"]
    assert main(straight) == 0
    (other,) = Path("straight").rglob("metrics.csv")
    assert other.read_text() == (whole.folder / "metrics.csv").read_text()


# --- nothing lost, nothing doubled ---


def interrupted_at(monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """Ctrl-C before (even moments) or after (odd) the run of a trial, whatever that process had still to write."""
    count = iter(range(1000))
    real = searching.Sweep._train_here

    def train(self: Any, job: Any) -> Any:
        place = next(count)
        if 2 * place == moment:
            raise KeyboardInterrupt
        outcome = real(self, job)
        if 2 * place + 1 == moment:
            raise KeyboardInterrupt
        return outcome

    monkeypatch.setattr(searching.Sweep, "_train_here", train)


def test_interrupted_and_launched_again(search: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert search("sweep=mine", "runs=straight") == 0
    (straight,) = map(reporting.load, reporting.find(Path("straight")))
    for moment in (0, 3, 2):
        with monkeypatch.context() as patch:
            interrupted_at(patch, moment)
            assert search("sweep=mine") == 130
        (study,) = studies()
        assert sum(trial["state"] == "running" for trial in study["trials"]) == 1
    assert search("sweep=mine") == 0
    (study,) = studies()
    shifted = json.loads(json.dumps(plain(straight)).replace("straight/", "runs/"))
    without = [[part for part in trial if not isinstance(part, list)] for trial in shifted]
    assert [[part for part in trial if not isinstance(part, list)] for trial in plain(study)] == without
    assert [t["values"] for t in study["trials"]] == [t["values"] for t in straight["trials"]]


def test_two_processes_share_a_study(tmp_path: Path) -> None:
    """What one has asked for the other does not get, until the first is gone."""
    space, settings = Space.of({"seed": {"low": 1, "high": 999}}), Settings.of({"trials": 3})
    study = Study(tmp_path / "s", settings, space, settings.goals("val/accuracy", {}), 1)
    first = study.ask()
    code = (
        "import sys; from pathlib import Path; from leyden.tuning.study import Study\n"
        "from leyden.tuning.settings import Settings; from leyden.tuning.space import Space\n"
        "space, settings = Space.of({'seed': {'low': 1, 'high': 999}}), Settings.of({'trials': 3})\n"
        "study = Study(Path(sys.argv[1]), settings, space, settings.goals('val/accuracy', {}), 1)\n"
        "asked = [study.ask(), study.ask(), study.ask()]\n"
        "print([a and a.number for a in asked], study.elsewhere(), flush=True)\n"
        "import os; os._exit(9)  # dies over two trials\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s")], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[1, 2, None] True", done.stderr
    left = [study.ask(), study.ask(), study.ask()]
    assert first is not None
    assert [trial and trial.number for trial in left] == [1, 2, None]
    study.close()


@pytest.mark.slow
def test_killed_and_launched_again(search: Any, tiny: Tiny) -> None:
    """SIGKILL in the middle of a trial, two jobs at once; then the rest."""
    words = ["--config-dir", "my", *tiny("trainer.max_epochs=2"), "sweep=mine", "--jobs", "2"]
    command = [sys.executable, "-m", "leyden", "train", "-m", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(Path("runs").rglob("metrics.csv"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    begun = sorted(path.parent.name for path in Path("runs").rglob("config.yaml"))
    assert begun
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    (study,) = studies()
    assert [trial["number"] for trial in study["trials"]] == list(range(5))
    assert {trial["state"] for trial in study["trials"]} == {"complete"}
    folders = {Path(trial["folder"]).name for trial in study["trials"]}
    assert folders.issuperset(begun)


# --- the report ---


@pytest.mark.slow
def test_a_database_is_not_made_through_a_link(search: Any, tmp_path: Path, capsys: Any) -> None:
    words = ["sweep=optuna", LR, "sweep.trials=1"]
    assert search(*words) == 0
    (folder,) = reporting.find(Path("runs"))
    (folder / "study.db").unlink()
    (folder / "study.db").symlink_to(tmp_path / "outside.db")
    assert search(*words[:2], "sweep.trials=2") == 2
    assert "study.db is a symbolic link" in capsys.readouterr().err
    assert not (tmp_path / "outside.db").exists()


def test_sections_of_the_report_need_no_optuna(search: Any) -> None:
    assert search("sweep=mine", "sweep.trials=4") == 0
    code = (
        "import sys; sys.modules['optuna'] = sys.modules['torch'] = None\n"
        "from pathlib import Path; from leyden.reporting.search import sections\n"
        "((title, page),) = sections(Path('runs')); print(title, page)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("Search mine-"), done.stderr
    assert done.stdout.count("<svg") == 3
    assert "<code>leyden train --config-dir=my " in done.stdout
    assert "http" not in done.stdout.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "https://matplotlib.org", ""
    ).replace("http://creativecommons.org", "")
    assert "loss.gamma" in done.stdout
