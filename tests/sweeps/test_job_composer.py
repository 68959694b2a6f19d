"""A job's configuration, composed from parts shared with other jobs, equals Hydra's own."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from leyden.config.compose import compose, conf_dir, config_loader, nested_keys_without_plus, plain_of
from leyden.sweeps.job_composer import Composer
from leyden.utils.errors import UserError

EXPERIMENTS = sorted(path.stem for path in (conf_dir() / "experiment").glob("[!_]*.yaml"))
OWN = """
net: {width: 8, depth: "${.width}", name: "${oc.env:HOME}"}
wide: ${seed}
"""


@pytest.fixture
def loader(tmp_path: Path) -> Iterator[Any]:
    """Hydra's, with options of one's own that are interpolated."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.yaml").write_text(OWN)
    (tmp_path / "mine" / "b.yaml").write_text(OWN.replace("8", "16"))
    with config_loader([str(tmp_path)]) as found:
        yield found


def composer_of(loader: Any, *fixed: str) -> tuple[Composer, Any]:
    """And Hydra's configuration of the sweep."""
    config = loader.load_configuration("config", list(fixed), run_mode=RunMode.MULTIRUN)
    return Composer(loader, config), config


def alone(loader: Any, config: Any, words: list[str]) -> dict[str, Any]:
    return plain_of(loader.load_sweep_config(config, words))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_values_over_every_experiment(loader: Any, experiment: str) -> None:
    composer, config = composer_of(loader)
    for values in (
        ["seed=1"],
        ["seed=2", "++optimizer.lr=0.25"],
        ["++optimizer.weight_decay=1e-3", "seed=3"],
    ):
        words = [f"experiment={experiment}", *values, "batch_size=8"]
        assert composer(words) == alone(loader, config, words)
    assert len(composer._bases) == 1


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["model=mlp", "++model.net.hidden=[7,8]", "seed=4"],  # a list
        ["++model.net.hidden={a:1}", "seed=4"],
        ["model=mlp", "+model.net.dropout=0.25"],
        ["model=resnet20", "imbalance=auto", "monitor=val/loss", "++trainer.max_epochs=3"],
        ["~imbalance", "seed=4"],
        ["~seed", "+seed=5"],
        ["data=sms_spam", "model=lstm", "name='a b, c=d'", "data_root=/somewhere else"],
        ["name=null", "force=true", "threads=2", "seed=0"],
        ["+mine=a", "++mine.net.width=32", "seed=6"],
        ["+mine=b", "seed=6"],
        ["hydra.job.name=other", "seed=7"],
        ["+mine=a", "++mine.net.width=32", "++mine.net={width:64,depth:2}"],  # in this order
        ["split=kfold", "++split.fold=3"],
    ],
)
def test_overrides_of_every_kind(loader: Any, words: list[str]) -> None:
    composer, config = composer_of(loader)
    assert composer(words) == alone(loader, config, words)


def test_jobs_do_not_see_each_other(loader: Any) -> None:
    composer, config = composer_of(loader)
    words = [["+mine=a", f"++mine.net.width={width}", "seed=1"] for width in (3, 4)]
    first = composer(words[0])
    kept = copy.deepcopy(first)
    assert composer(words[1])["mine"]["net"]["depth"] == 4
    assert composer(["+mine=a"])["mine"]["net"]["width"] == 8
    assert first == kept == composer(words[0])
    assert OmegaConf.select(config, "mine") is None


def test_a_choice_of_options_is_composed_once(loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    composer, _ = composer_of(loader)
    asked: list[Any] = []
    real = type(loader).load_sweep_config

    def counted(self: Any, config: Any, words: list[str]) -> Any:
        asked.append(words)
        return real(self, config, words)

    monkeypatch.setattr(type(loader), "load_sweep_config", counted)
    for seed in range(5):
        for model in ("mlp", "cnn"):
            composer([f"model={model}", f"seed={seed}"])
    assert asked == [["model=mlp"], ["model=cnn"]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sede=1"], "sede: there is no such key or group; did you mean 'seed'"),
        (["model=mpl", "seed=1"], "model=mpl: there is no such option; did you mean 'mlp'"),
        (["seed=${nothing}"], "nothing"),
        (["seed=[1"], "no viable alternative at input '[1'"),
    ],
)
def test_mistakes_are_those_of_a_single_run(loader: Any, words: list[str], message: str) -> None:
    composer, _ = composer_of(loader)
    with pytest.raises(UserError) as refused:
        composer(nested_keys_without_plus(words))
    assert message in str(refused.value)


def test_the_command_line_composes_the_same() -> None:
    words = ["experiment=planted_images", "optimizer.lr=0.5", "seed=3"]
    with config_loader() as loader:
        composer, _ = composer_of(loader)
        found = composer(nested_keys_without_plus(words))
    assert found == compose(words)
