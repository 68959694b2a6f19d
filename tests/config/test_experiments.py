"""Every file under conf/ composes and is valid; every experiment trains one batch on tiny data in real layouts."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import tiny_data
from leyden.config.compose import compose, conf_dir, config_loader, options
from leyden.config.schema import Config
from leyden.config.signatures import hints_of
from leyden.config.validate import PROVIDED, check, import_target
from leyden.training.job import train

FILES = sorted(p.relative_to(conf_dir()).as_posix() for p in conf_dir().rglob("*.yaml"))
EXPERIMENTS = sorted(p.stem for p in (conf_dir() / "experiment").glob("*.yaml"))
OPTIONS = [
    f
    for f in FILES
    if "/" in f and not Path(f).name.startswith("_") and not f.startswith(("experiment", "sweep/"))
]

TASKS = sorted(p.stem for p in (conf_dir() / "task").glob("*.yaml"))
# What an option needs beside it to make a valid whole, by its modality.
COMPANY = {
    "audio": ["data=planted_audio", "model=logmel_cnn"],
    "text": ["data=planted_text", "model=lstm"],
    "image": [],
    "several": ["data=planted_fusion", "model=fusion"],
    "table": ["data=planted_fusion", "model=fusion"],
}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes_and_binds(option: str) -> None:
    group, _, name = option.removesuffix(".yaml").rpartition("/")
    place = "model@model.encoders.table" if modality(option) == "table" else group  # an encoder alone
    company = [o for o in COMPANY[modality(option)] if not o.startswith(f"{place}=")]
    for task in tasks(option):
        found = mandatory(contents(option), group.replace("/", "."), contents(f"task/{task}.yaml"))
        given = [f"{key}={value}" for key, value in found]
        chosen = [] if group == "task" else [f"task={task}"]
        config = check(compose([*chosen, *company, f"{place}={name}", *given]))
        assert isinstance(config, Config)
        assert config.task.name == task


def modality(option: str) -> str:
    """Of the targets that an option's file names; image, which the defaults are of, where they are for any."""
    if option.startswith("data/tokenizer/"):
        return "text"
    targets = [import_target(t, option) for t in targets_in(contents(option)) if not t.startswith("${")]
    named = [getattr(target, "modality", "any") for target in targets]
    found = {getattr(one, "name", one) for one in named} - {"any"}
    if any(getattr(target, "takes_named_inputs", False) for target in targets):
        return "several"
    assert len(found) <= 1, option
    return found.pop() if found else "image"


def targets_in(node: Any) -> Iterator[str]:
    for name, value in node.items():
        if name == "_target_":
            yield value
        elif isinstance(value, dict):
            yield from targets_in(value)


def tasks(option: str) -> list[str]:
    """The task that an option is for; all of them, where its target is the task's choice."""
    targets = list(targets_in(contents(option)))
    if any(target.startswith("${task.") for target in targets):
        return TASKS
    if option.startswith("task/"):
        return [Path(option).stem]
    if option.startswith("data/"):  # a data set is described by the task that it is for
        return re.findall(r"task=(\w+)", (conf_dir() / option).read_text(encoding="utf-8")) or [
            "classification"
        ]
    named = {getattr(import_target(target, option), "task", "classification") for target in targets}
    return sorted(named) or ["classification"]


def test_modality_and_tasks_of_an_option() -> None:
    assert modality("data/fsdd_mixed.yaml") == "audio"
    assert modality("data/planted_tags.yaml") == modality("model/lstm.yaml") == "text"
    assert modality("augment/crop_flip.yaml") == modality("model/mlp.yaml") == "image"
    assert tasks("data/mnist_angle.yaml") == tasks("loss/huber.yaml") == ["regression"]
    assert tasks("data/mnist_pairs.yaml") == tasks("decision/label_macro_f1.yaml") == ["multilabel"]
    assert tasks("loss/auto.yaml") == tasks("model/cnn.yaml") == TASKS
    assert tasks("data/digits.yaml") == tasks("optimizer/adam.yaml") == ["classification"]


def contents(option: str) -> dict[str, Any]:
    return yaml.safe_load((conf_dir() / option).read_text(encoding="utf-8")) or {}


def mandatory(node: dict[str, Any], path: str, task: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, a value of its type) of all that has to be given with a node: neither it nor a default says it."""
    for name, value in node.items():
        if isinstance(value, dict):
            yield from mandatory(value, f"{path}.{name}", task)
    if "_target_" in node and path in PROVIDED:
        target = import_target(resolved(node["_target_"], task), path)
        for name, parameter in inspect.signature(target).parameters.items():
            missing = parameter.default is parameter.empty and name not in PROVIDED[path]
            if missing and node.get(name, "???") == "???":
                hint = str(hints_of(target)[name])
                yield f"{path}.{name}", "0.01" if "float" in hint else "{}" if "Mapping" in hint else "x"


def resolved(target: str, task: dict[str, Any]) -> str:
    """The full name that `${task.loss}` or `${task.module}` stands for."""
    return task[target[len("${task.") : -1]] if target.startswith("${task.") else target


def test_what_must_be_given_is_found() -> None:
    task = contents("task/classification.yaml")
    assert dict(mandatory(contents("data/text_table.yaml"), "data", task)) == {"data.source.path": "x"}
    thinned = dict(mandatory(contents("long_tail/share.yaml"), "long_tail", task))
    assert thinned == {"long_tail.name": "x", "long_tail.share": "0.01"}
    left_out = contents("split/leave_one_group_out.yaml")
    assert dict(mandatory(left_out, "split", task)) == {"split.test_group": "x"}
    assert dict(mandatory(contents("model/cnn.yaml"), "model", task)) == {}
    assert resolved("${task.module}", task) == "leyden.modules.classification.Classifier"


def test_the_listing_agrees_with_the_folder() -> None:
    """Hydra's view of the options, as `leyden list` shows it, and an independent walk over the files."""
    with config_loader() as loader:
        groups = sorted({f.rpartition("/")[0] for f in FILES if "/" in f})
        listed = [
            f"{g}/{o}.yaml" for g in groups for o in options(loader, g) if not (conf_dir() / g / o).is_dir()
        ]
    on_disk = [f for f in FILES if "/" in f and not Path(f).name.startswith("_")]
    assert sorted(listed) == sorted(on_disk)
    assert len(OPTIONS) >= 60
    assert len(EXPERIMENTS) >= 10


@pytest.mark.parametrize("path", [f for f in FILES if "/" in f])
def test_every_option_has_a_description(path: str) -> None:
    lines = [
        line
        for line in (conf_dir() / path).read_text(encoding="utf-8").splitlines()
        if "@package" not in line
    ]
    assert re.match(r"# \S.{15,}", lines[0]), path


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_documents_purpose_cost_and_expected_result(name: str) -> None:
    text = (conf_dir() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    for word in ("Shows:", "Cost:", "Expected:"):
        assert word in text, f"{name} lacks '# {word}'"


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for write in tiny_data.WRITERS.values():
        write(root)
    return root


# Of sources that make their samples of another data set: fewer of them; a net that would be compiled for a minute: not.
SMALL = {
    "cifar10_speed": ["compute.compile=false"],
    "av_digits": ["data.source.samples=60", "data.source.test_samples=30"],
    "av_digits_contrastive": ["data.source.samples=60", "data.source.test_samples=30"],
    "fsdd_mixed": ["data.source.mixes=60", "data.source.test_mixes=30"],
    "mnist_angle": ["data.source.samples=150", "data.source.test_samples=30"],
    "mnist_pairs": ["data.source.pairs=60", "data.source.test_pairs=30"],
    "planted_noise": [],
    "digits_ctc": ["data.source.strings=60", "data.source.test_strings=30"],
    "digits_ctc_speakers": ["data.source.strings=60", "data.source.test_strings=30"],
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_trains_one_batch(name: str, data_root: Path, tmp_path: Path) -> None:
    quick = [
        "trainer=cpu",
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=1",
        "threads=1",
        "batch_size=8",
    ]
    small = SMALL.get(name, ["data.source.samples=60"] if "planted" in name else [])
    places = [f"data_root={data_root}", f"runs={tmp_path}"]
    outcome = train([f"experiment={name}", *quick, *small, *places])
    assert outcome.status == "complete"
    assert outcome.result["cost"]["steps"] == 1
    assert outcome.result["metrics"]["test"]["n"] > 0
