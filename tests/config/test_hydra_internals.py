"""What config/hydra_internals.py takes of Hydra that Hydra does not promise: what for, and that it is still needed.

A test that fails after an update of Hydra says that a public way may have come: use it, and remove the work-around.
"""

import sys
from pathlib import Path

import hydra
import pytest
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf

from leyden.config.compose import conf_dir, config_loader, options, plain_of, run_hydra
from leyden.config.hydra_internals import (
    BASIC_PLUGINS,
    ConfigLoaderImpl,
    apply_overrides,
    create_config_search_path,
    get_args_parser,
)
from leyden.utils.errors import UserError


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of a user's options, with one model."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("# A model of the user's\nwidth: 3\n")
    return tmp_path


# --- a config loader with more than one folder: Hydra.create_main_hydra2, create_config_search_path ---


def test_the_options_of_a_second_folder_are_listed(own: Path) -> None:
    with config_loader([str(own)]) as loader:
        assert {"mine", "cnn"} <= set(options(loader, "model"))


def test_hydras_public_api_lists_the_options_of_one_folder(own: Path) -> None:
    """`hydra.searchpath` reaches `compose` alone, and the loader's search path is not read again."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        found = hydra.compose("config", [f"hydra.searchpath=[file://{own}]", "model=mine"])
        assert found.model.width == 3
        loader.get_search_path().append("user", f"file://{own}")
        assert "mine" not in options(loader, "model")


def test_search_paths_and_loaders_are_public_as_abstract_classes_only() -> None:
    for abstract in (ConfigSearchPath, ConfigLoader):
        with pytest.raises(TypeError, match="abstract"):
            abstract()  # type: ignore[abstract]
    assert isinstance(create_config_search_path(str(conf_dir())), ConfigSearchPath)


# --- the flags of Hydra's command line: get_args_parser ---


def test_hydras_main_ends_the_process_at_an_unknown_flag(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So Leyden asks the parser first; argparse's own words name the program and know no nearest flag."""
    monkeypatch.setattr(sys, "argv", ["leyden", "--multirum"])
    with pytest.raises(SystemExit):
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(print)()
    assert "unrecognized arguments: --multirum" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"--multirum.*--multirun"):
        run_hydra(print, ["--multirum"])


def test_hydra_has_no_public_parser_of_its_flags() -> None:
    assert not [name for name in hydra.__all__ if "pars" in name.lower()]
    given = get_args_parser().parse_args(["-m", "seed=1,2"])
    assert (given.multirun, given.overrides) == (True, ["seed=1,2"])


# --- values put into a composed configuration: ConfigLoaderImpl, apply_overrides ---


def composed(*words: str) -> DictConfig:
    """By the loader that is open."""
    return hydra.compose("config", list(words), return_hydra_config=True)


def test_values_put_into_a_composed_configuration_are_as_if_composed_with_it() -> None:
    words = ["++model.net.width=64", "seed=3", "+trainer.max_steps=5", "monitor='a b'"]
    with config_loader() as loader:
        job = composed("model=mlp")
        apply_overrides(OverridesParser.create(config_loader=loader).parse_overrides(words), job)
        assert plain_of(job) == plain_of(composed("model=mlp", *words))


def test_nothing_public_puts_overrides_into_a_configuration() -> None:
    """OmegaConf's dot lists know no `++`, and no public method of a loader puts overrides into a configuration."""
    base = OmegaConf.create({"model": {"width": 1}})
    assert "++model" in OmegaConf.merge(base, OmegaConf.from_dotlist(["++model.width=64"]))
    assert not [name for name in dir(ConfigLoader) if "override" in name and not name.startswith("_")]


def test_the_groups_of_a_loader_are_known_to_its_repository_alone() -> None:
    """The public question takes a group that is not there for one without options."""
    with config_loader() as loader:
        assert isinstance(loader, ConfigLoaderImpl)
        assert loader.repository.group_exists("model")
        assert not loader.repository.group_exists("seed")
        assert loader.get_group_options("seed") == loader.get_group_options("hydra/env/none") == []


# --- whose launcher and sweeper it is: BASIC_PLUGINS ---


def test_hydras_own_plugins_are_known_by_the_beginning_of_their_target() -> None:
    with config_loader():
        node = composed().hydra
    assert node.launcher._target_.startswith(BASIC_PLUGINS)
    assert node.sweeper._target_.startswith(BASIC_PLUGINS)


def test_the_name_of_the_option_does_not_tell_whose_launcher_it_is() -> None:
    """With a target of the user's own, the option is still called basic."""
    with config_loader():
        node = composed("hydra.launcher._target_=mine.Launcher").hydra
    assert node.runtime.choices["hydra/launcher"] == "basic"
    assert not node.launcher._target_.startswith(BASIC_PLUGINS)


@pytest.mark.parametrize(("kind", "name"), [(Launcher, "BasicLauncher"), (Sweeper, "BasicSweeper")])
def test_hydras_own_plugins_have_no_public_place(kind: type, name: str) -> None:
    (basic,) = [found for found in Plugins.instance().discover(kind) if found.__name__ == name]
    assert basic.__module__.startswith(BASIC_PLUGINS)
