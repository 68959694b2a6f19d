"""A run's folder that is damaged or hostile: the other runs are listed all the same, and nothing is a traceback."""

import json
import os
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from leyden.cli.main import main
from leyden.runs.query import find_matching
from leyden.training.job import train

Damage = Callable[[Path], object]
GOOD = ("good-0123456781", "good-0123456782")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    root = tmp_path_factory.mktemp("trained")
    quick = ("trainer=cpu", "trainer.max_epochs=1", "threads=1", "logger=none")
    return train(["data=digits", "model=linear", *quick, f"runs={root}", f"cache={root / 'cache'}"]).folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two good runs beside one that a test damages, in the working folder; returns the last."""
    monkeypatch.chdir(tmp_path)
    for name in (*GOOD, "damaged-0123456783"):
        shutil.copytree(trained, Path("runs/default") / name)
    return Path("runs/default/damaged-0123456783")


def result(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Change the content of result.json."""

    def damage(run: Path) -> None:
        content = json.loads((run / "result.json").read_text())
        change(content)
        (run / "result.json").write_text(json.dumps(content, indent=1))

    return damage


def at(path: str, value: Any) -> Damage:
    """Set a field of result.json by its dotted path."""
    *parents, last = path.split(".")

    def change(content: Any) -> None:
        for name in parents:
            content = content[int(name)] if isinstance(content, list) else content[name]
        content[last] = value

    return result(change)


def put(name: str, content: str | bytes) -> Damage:
    data = content.encode() if isinstance(content, str) else content
    return lambda run: (run / name).write_bytes(data)


def add(name: str, content: str | bytes) -> Damage:
    data = content.encode() if isinstance(content, str) else content
    return lambda run: (run / name).write_bytes((run / name).read_bytes() + data)


def cut(name: str, size: int) -> Damage:
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:size])


def gone(name: str) -> Damage:
    return lambda run: (run / name).unlink()


def instead(name: str, make: Callable[[Path], object]) -> Damage:
    """Put something that is no regular file in the place of a file."""

    def damage(run: Path) -> None:
        (run / name).unlink(missing_ok=True)
        make(run / name)

    return damage


def link_to(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


OTHER_LENGTH = {"temperature": 1.0, "shift": [1.0, 2.0], "decision": [0.0]}
VALUES = "metrics.test.values"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
LAUGHS = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise(LETTERS))
DAMAGES: dict[str, Damage] = {
    "result empty": cut("result.json", 0),
    "result cut": cut("result.json", 700),
    "result not utf-8": put("result.json", b"\xff\xfe{}"),
    "result a list": put("result.json", "[]"),
    "result deeply nested": put("result.json", "[" * 200_000),
    "result nested objects": put("result.json", '{"a":' * 900 + "1" + "}" * 900),
    "result of bytes": put("result.json", bytes(range(256)) * 20),
    "result without schema": result(lambda r: r.pop("schema")),
    "result of a later schema": at("schema", 99),
    "schema a word": at("schema", "3"),
    "schema a list": at("schema", [3]),
    "earlier schema with wrong parts": result(lambda r: r.update(schema=2, prior=[1], classes=[2])),
    "status unknown": at("status", "wonderful"),
    "status a number": at("status", 3),
    "a surrogate and damage": put("result.json", '{"schema": 3, "status": "\\udcff"}'),
    "NaN": result(lambda r: r["metrics"]["test"]["values"]["accuracy"].update(value=float("nan"))),
    "infinity": put("result.json", '{"schema": 3, "status": "complete", "config": {"a": 1e999}}'),
    "a huge number": at("cost.parameters", 10**400),
    "a huge float": at(f"{VALUES}.accuracy.value", 10**400),
    "metrics a list": at("metrics", [1]),
    "metrics of a split a number": at("metrics", {"val": 5, "test": [1]}),
    "a metric is a word": at(f"{VALUES}.accuracy", {"value": "high"}),
    "a metric is a number": at(f"{VALUES}.accuracy", 0.5),
    "a metric has a list": at(f"{VALUES}.accuracy.low", [0.5]),
    "scalars of words": at("metrics.test.scalars", {"wer": "low"}),
    "n is null": at("metrics.test.n", None),
    "per_class of numbers": at("metrics.test.per_class", [1]),
    "per_class without recall": at("metrics.test.per_class", [{"name": "a", "n": 1}]),
    "confusion ragged": at("metrics.test.confusion", [[1, 2], [3]]),
    "confusion of words": at("metrics.test.confusion", [["a"]]),
    "groups unknown": at("metrics.test.groups", {"tiny": {"classes": 1, "recall": {}}, "few": {}}),
    "config a list": at("config", [1, 2]),
    "config null": at("config", None),
    "model a word": at("config.model", "mlp"),
    "split with a fold of words": at("config.split", {"_target_": "leyden.data.split.KFold", "k": "five", "fold": {}}),
    "split of one fold": at("config.split", {"_target_": "leyden.data.split.KFold", "k": 1}),
    "seed a mapping": at("config.seed", {"a": [1]}),
    "experiment a list": at("config.experiment", ["x"]),
    "monitor a mapping": at("config.monitor", {"a": 1}),
    "best a number": at("best", 7),
    "best of words": at("best", {"monitor": 3, "value": "high"}),
    "cost a word": at("cost", "x"),
    "seconds a word": at("cost.seconds", "long"),
    "doctor a word": at("doctor", "fine"),
    "doctor of unknown level": at("doctor", [{"level": "fatal"}]),
    "doctor with an open quote": at(
        "doctor",
        [{"id": "x", "level": "error", "message": "m", "where": "", "advice": ["a='"], "evidence": {}, "step": 1}],
    ),
    "error a word": at("error", "broken"),
    "command a number": at("command", 5),
    "command of numbers": at("command", [1, 2]),
    "started a number": at("started", 5),
    "started in another age": at("started", "0001-01-01T00:00:00"),
    "data a list": at("data", []),
    "made with lists": at("made_with", {"torch": []}),
    "operating point of words": at("operating_point", {"temperature": "hot", "shift": "x"}),
    "prior of words": at("prior", {"training": "x"}),
    "manifest a list": put("manifest.json", "[]"),
    "manifest broken": put("manifest.json", '{"x": 1'),
    "manifest of wrong types": put("manifest.json", '{"packages": 3, "command": 5, "folder": 7, "git": 1}'),
    "config.yaml empty": cut("config.yaml", 0),
    "config.yaml cut": cut("config.yaml", 300),
    "config.yaml a list": put("config.yaml", "[1, 2]"),
    "config.yaml deeply nested": put("config.yaml", "[" * 5000),
    "config.yaml of aliases": put("config.yaml", LAUGHS),
    "config.yaml holds itself": put("config.yaml", "a: &a [*a]\n"),
    "config.yaml with an object": put("config.yaml", "a: !!python/object/apply:os.system [exit]\n"),
    "metrics.csv of words": add("metrics.csv", "11,abc,1e-3,x,y\nbroken line"),
    "metrics.csv of bytes": add("metrics.csv", bytes(range(256))),
    "metrics.csv empty": cut("metrics.csv", 0),
    "metrics.csv with many cells": add("metrics.csv", "1," * 50),
    "spec {}": put("spec.json", "{}"),
    "spec of wrong types": put("spec.json", '{"modality": 3, "target_names": "abc"}'),
    "spec gone": gone("spec.json"),
    "operating point {}": put("operating_point.json", "{}"),
    "operating point of another length": put("operating_point.json", json.dumps(OTHER_LENGTH)),
    "operating point gone": gone("operating_point.json"),
    "best checkpoint gone": gone("checkpoints/best.ckpt"),
    "best checkpoint cut": cut("checkpoints/best.ckpt", 900),
    "best checkpoint a pipe": instead("checkpoints/best.ckpt", os.mkfifo),
    "result a pipe": instead("result.json", os.mkfifo),
    "result a folder": instead("result.json", Path.mkdir),
    "result a link": instead("result.json", link_to("/etc/hostname")),
    "result a loop of links": instead("result.json", link_to("result.json")),
    "config.yaml a pipe": instead("config.yaml", os.mkfifo),
    "metrics.csv a pipe": instead("metrics.csv", os.mkfifo),
    "manifest a pipe": instead("manifest.json", os.mkfifo),
    "lock a pipe": instead(".lock", os.mkfifo),
    "links that form a loop": lambda run: [(run.parent / name).symlink_to("..") for name in ("up", "over")],
}  # fmt: skip
LISTING = (["runs"], ["runs", "--json"], ["runs", "--sort", "metric"])
SHOWING = (
    ["runs", "show", "RUN"],
    ["runs", "diff", "RUN", GOOD[0]],
    ["doctor", "RUN"],
    ["doctor", "RUN", "--json"],
)
LOADING = (
    ["evaluate", "RUN", "--split", "val"],
    ["predict", "RUN", "RUN/config.yaml"],
    ["errors", "RUN"],
    ["replay", "RUN"],
)
OF_OTHER_FILES = (
    "config.yaml",
    "manifest",
    "spec",
    "operating point {}",
    "operating point of another",
    "best",
)
REPORT = ["report", "--html", "r.html", "--csv", "a.csv", "--csv-runs", "b.csv", "--markdown", "m.md"]


def test_there_are_sixty_kinds_of_damage() -> None:
    assert len(DAMAGES) >= 60


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_the_other_runs_are_listed_and_nothing_is_a_traceback(
    damage: Damage, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(runs)
    for words in LISTING:
        assert main(words) == 0
        out = capsys.readouterr().out
        assert all(name in out for name in GOOD), words
    assert {record.name for record in find_matching("runs")} >= {*GOOD}
    assert main(REPORT) == 0
    assert all(name in Path("b.csv").read_text() for name in GOOD)
    assert all(name in Path("r.html").read_text() for name in GOOD)
    for words in SHOWING:
        is_quiet(words, runs, capsys)
    assert main(["runs", "rm", str(runs), "--yes"]) in (0, 2)


@pytest.mark.parametrize("words", LOADING, ids=lambda words: words[0])
@pytest.mark.parametrize("name", [name for name in DAMAGES if name.startswith(OF_OTHER_FILES)])
def test_a_damaged_run_is_refused_where_it_is_loaded(
    name: str, words: list[str], runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    DAMAGES[name](runs)
    is_quiet(words, runs, capsys)


def is_quiet(words: list[str], run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A command on the run answers or refuses in one message."""
    status = main([str(run) + word[3:] if word.startswith("RUN") else word for word in words])
    said = capsys.readouterr()
    assert status in ((0, 1, 2) if words[0] == "doctor" else (0, 2)), words
    assert "Traceback" not in said.out + said.err
    assert status != 2 or said.err.startswith("leyden: ")
