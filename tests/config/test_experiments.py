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

# What an option needs beside it to make a valid whole.
TEXT = ["data=planted_text", "model=lstm"]
AUDIO = ["data=planted_audio", "model=logmel_cnn"]
COMPANY = {
    "audio": AUDIO,
    "text": TEXT,
    "image": [],
}


def modality(option: str) -> str:
    """Of a model, data or augment option, from the targets that its file names."""
    text = (conf_dir() / option).read_text(encoding="utf-8")
    found = re.findall(r"leyden\.(?:data\.sources|modules|data\.transforms|data\.tokenizers)\.?(\w+)?", text)
    names = {"synthetic": option.rpartition("_")[2].removesuffix(".yaml").removesuffix("s"), "Word": "text"}
    kinds = {names.get(name, name) for name in found}
    if "tokenizer" in option:
        return "text"
    return next((kind for kind in ("audio", "text") if kind in kinds), "image")


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes_and_binds(option: str) -> None:
    group, _, name = option.removesuffix(".yaml").rpartition("/")
    kind = modality(option) if group in ("data", "model", "augment", "data/tokenizer") else "image"
    company = [o for o in COMPANY[kind] if not o.startswith(f"{group}=")]
    given = [f"{key}={value}" for key, value in mandatory(contents(option), group.replace("/", "."))]
    assert isinstance(check(compose([*company, f"{group}={name}", *given])), Config)


def contents(option: str) -> dict[str, Any]:
    return yaml.safe_load((conf_dir() / option).read_text(encoding="utf-8")) or {}


def mandatory(node: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """(key, a value of its type) of all that has to be given with a node: neither it nor a default says it."""
    for name, value in node.items():
        if isinstance(value, dict):
            yield from mandatory(value, f"{path}.{name}")
    if "_target_" in node and path in PROVIDED:
        target = import_target(node["_target_"], path)
        for name, parameter in inspect.signature(target).parameters.items():
            missing = parameter.default is parameter.empty and name not in PROVIDED[path]
            if missing and node.get(name, "???") == "???":
                yield f"{path}.{name}", "0.01" if "float" in str(hints_of(target)[name]) else "x"


def test_what_must_be_given_is_found() -> None:
    assert dict(mandatory(contents("data/text_table.yaml"), "data")) == {"data.source.path": "x"}
    thinned = dict(mandatory(contents("long_tail/share.yaml"), "long_tail"))
    assert thinned == {"long_tail.name": "x", "long_tail.share": "0.01"}
    assert dict(mandatory(contents("split/leave_one_group_out.yaml"), "split")) == {"split.test_group": "x"}


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


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_trains_one_batch(name: str, data_root: Path, tmp_path: Path) -> None:
    quick = [
        "trainer=cpu",
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=1",
        "threads=1",
        "batch_size=8",
    ]
    small = ["data.source.samples=60"] if "planted" in name else []
    places = [f"data_root={data_root}", f"runs={tmp_path}"]
    outcome = train([f"experiment={name}", *quick, *small, *places])
    assert outcome.status == "complete"
    assert outcome.result["cost"]["steps"] == 1
    assert outcome.result["metrics"]["test"]["n"] > 0
