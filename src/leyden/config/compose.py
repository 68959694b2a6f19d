"""Arguments -> a composed configuration. Hydra composes; its errors become messages with the nearest choice.

cfg = compose(["data=mnist", "model.net.width=64"])
"""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from hydra import compose as hydra_compose
from hydra import version
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.main import main as hydra_main
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from leyden.config.hydra_errors import translated_errors
from leyden.config.hydra_internals import Hydra, create_config_search_path, get_args_parser
from leyden.config.overrides import format_parser_error, verify
from leyden.utils.errors import UserError, first_line, nearest

Plain = dict[str, Any]

_NESTED_KEY = re.compile(r"[A-Za-z_]\w*(\.\w+)+=")


def conf_dir() -> Path:
    """The folder of Leyden's own options: in the installed package, or at the top of a checkout."""
    here = Path(__file__).resolve().parents[1]
    installed = here / "conf"
    return installed if installed.is_dir() else here.parents[1] / "conf"


def nested_keys_without_plus(arguments: Sequence[str]) -> list[str]:
    """`a.b=v` becomes `++a.b=v`: the YAML need not list what a signature already has; `check` knows them."""
    return [f"++{a}" if _NESTED_KEY.match(a) and not a.startswith("hydra.") else a for a in arguments]


def run_hydra(job: Callable[[DictConfig], None], arguments: Sequence[str]) -> None:
    """Hydra's own command line (--help, --cfg, --info, -m, ...) over `job`, which must not raise.

    Raises:
        UserError: the arguments do not compose.
    """
    find_own_code(config_dirs_of(arguments))
    main = hydra_main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
    saved = sys.argv
    os.environ["HYDRA_FULL_ERROR"] = "1"  # its exceptions come to us, not to its own printer
    words = sorted(arguments, key=_is_override)  # argparse wants flags together
    _verify_words(words)
    words = nested_keys_without_plus(words)
    with translated_errors(conf_dir()):
        sys.argv = ["leyden", *words]
        try:
            main(job)()
        finally:
            sys.argv = saved


def _is_override(word: str) -> bool:
    return word.startswith("~") or ("=" in word and not word.startswith("-"))


def _verify_words(words: Sequence[str]) -> None:
    """Refuse flags that Hydra does not have and overrides that contradict each other, before it composes."""

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{format_parser_error(parser, message)}; `leyden train --help` tells more")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    given = parser.parse_args(list(words))
    verify(given.overrides, given.multirun, _own_groups())


def _own_groups() -> dict[str, list[str]]:
    """Leyden's options of every group."""
    top = conf_dir()
    folders = sorted(path for path in top.rglob("*") if path.is_dir() and path.name != "__pycache__")
    return {
        folder.relative_to(top).as_posix(): sorted(p.stem for p in folder.glob("[!_]*.yaml"))
        for folder in folders
    }


def find_own_code(config_dirs: Sequence[str]) -> None:
    """Let `_target_: my_net.Net` find my_net.py in the working directory or beside a --config-dir.

    Raises:
        UserError: a --config-dir that is not there, or an option in it that Leyden's would hide.
    """
    for directory in config_dirs:
        _verify_own_options(Path(directory))
    add_code_folders([Path.cwd(), *(Path(d).resolve().parent for d in config_dirs)])


def add_code_folders(folders: Sequence[Path]) -> None:
    """Let Python find modules in these folders, after all others."""
    for folder in folders:
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def _verify_own_options(folder: Path) -> None:
    if not folder.is_dir():
        parent = folder.absolute().parent
        near = [p.name for p in parent.iterdir() if p.is_dir()] if parent.is_dir() else []
        raise UserError(f"--config-dir {folder}: there is no such folder; {nearest(folder.name, near)}")
    for path in sorted(folder.rglob("*.yaml")):
        if (conf_dir() / path.relative_to(folder)).exists():
            raise UserError(f"{path}: Leyden has an option of this name and takes its own; rename yours")


def config_dirs_of(arguments: Sequence[str]) -> list[str]:
    """The folders given by --config-dir or -cd."""
    joined = [a.partition("=")[2] for a in arguments if a.startswith("--config-dir=")]
    return joined + [value for flag, value in pairwise(arguments) if flag in ("--config-dir", "-cd")]


@contextmanager
def config_loader(config_dirs: Sequence[str] = ()) -> Iterator[ConfigLoader]:
    """Hydra's view of all option files: Leyden's, those of `config_dirs`, those of installed packages."""
    GlobalHydra.instance().clear()
    version.setbase("1.3")
    with translated_errors(conf_dir()):
        search = create_config_search_path(str(conf_dir()))
        for folder in config_dirs:  # where and how Hydra's own command line adds them
            search.prepend(
                "command-line", f"file://{Path(folder).resolve()}", SearchPathQuery(provider="schema")
            )
        try:
            yield Hydra.create_main_hydra2("leyden", search).config_loader
        finally:
            GlobalHydra.instance().clear()


def compose(overrides: Sequence[str], config_dirs: Sequence[str] = ()) -> Plain:
    """The composed configuration as a plain dictionary, interpolations resolved.

    Raises:
        UserError: an option, a key or a value that does not exist or does not parse.
    """
    find_own_code(config_dirs)
    verify(overrides, sweep=False, groups=_own_groups())
    with config_loader(config_dirs):
        cfg = hydra_compose("config", nested_keys_without_plus(overrides), return_hydra_config=True)
        return plain_of(cfg)


def job_of(cfg: DictConfig) -> tuple[Plain, list[str]]:
    """The configuration of the job that Hydra runs now, and the overrides that make it."""
    hydra = HydraConfig.get()
    return to_plain(cfg, hydra.runtime.choices.get("experiment")), list(hydra.overrides.task)


@contextmanager
def no_hydra_job() -> Iterator[None]:
    """For the time of the block Hydra's job is not seen: Lightning would repeat its command to start other ranks."""
    state = HydraConfig.instance()
    kept, state.cfg = state.cfg, None
    try:
        yield
    finally:
        state.cfg = kept


def plain_of(cfg: DictConfig) -> Plain:
    """A composed configuration that still has Hydra's node, as `to_plain` makes it."""
    return to_plain(cfg, cfg.hydra.runtime.choices.get("experiment"))


def to_plain(cfg: DictConfig, experiment: str | None) -> Plain:
    """`cfg` less Hydra's own node, resolved, with the name of the experiment it came from."""
    OmegaConf.set_struct(cfg, False)
    job = OmegaConf.masked_copy(cfg, [str(k) for k in cfg if k != "hydra"])
    if "experiment" in job:
        raise UserError(f"experiment={experiment}: an experiment begins with the line '# @package _global_'")
    if "sweep" in job:
        raise UserError(
            "sweep=... is a search, which is a sweep: leyden train -m sweep=optuna ...; choose one of them"
        )
    try:
        missing = sorted(OmegaConf.missing_keys(job))
        plain: Any = OmegaConf.to_container(job, resolve=not missing)
    except OmegaConfBaseException as error:
        raise UserError(
            f"{error.full_key}: {first_line(error)}; give it in the option's file or on the command line"
        ) from error
    if missing:
        raise UserError(f"{missing[0]} must be given: add {missing[0]}=... to the command")
    return {**{str(k): v for k, v in plain.items()}, "experiment": experiment or "default"}


def options(loader: ConfigLoader, group: str) -> list[str]:
    """The names of the options of a group, the user's too."""
    found = loader.get_group_options(group, ObjectType.CONFIG)
    return sorted(name for name in found if not name.startswith("_"))  # _base: shared parts, no options
