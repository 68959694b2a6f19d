"""Compose a configuration from arguments with Hydra; its errors become messages with the nearest valid choice.

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
from leyden.config.overrides import format_parser_error, parse, unknown_flag, verify
from leyden.utils import own_code
from leyden.utils.errors import UserError, first_line, nearest

Plain = dict[str, Any]

_CHOICE = re.compile(r"(\+*)([\w/]+)=(\[.*\]|[^,\[]+)")  # of an option; of a sweep's choices the first
_NESTED_KEY = re.compile(r"[A-Za-z_]\w*(\.\w+)+=")


def conf_dir() -> Path:
    """Return the folder of Leyden's own options: in the installed package, or at the top of a checkout."""
    here = Path(__file__).resolve().parents[1]
    installed = here / "conf"
    return installed if installed.is_dir() else here.parents[1] / "conf"


def nested_keys_without_plus(arguments: Sequence[str]) -> list[str]:
    """Turn `a.b=v` into `++a.b=v`: the YAML need not list the arguments of a signature; `check` verifies them."""
    return [f"++{a}" if _NESTED_KEY.match(a) and not a.startswith("hydra.") else a for a in arguments]


def run_hydra(job: Callable[[DictConfig], None], arguments: Sequence[str]) -> None:
    """Run Hydra's command line (--help, --cfg, --info, -m, ...) with `job` as its task function, which must not raise.

    Raises:
        UserError: the configuration cannot be composed from the arguments.
    """
    config_dirs = config_dirs_of(arguments)
    find_own_code(config_dirs)
    main = hydra_main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
    saved = sys.argv
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise exceptions instead of printing them
    ordered = sorted(arguments, key=_is_override)  # argparse requires flags together
    _verify_keys(_verify_arguments(ordered), config_dirs)
    ordered = nested_keys_without_plus(ordered)
    with translated_errors(conf_dir()):
        sys.argv = ["leyden", *ordered]
        try:
            main(job)()
        finally:
            sys.argv = saved


def _is_override(argument: str) -> bool:
    return argument.startswith("~") or ("=" in argument and not argument.startswith("-"))


def _verify_arguments(arguments: Sequence[str]) -> list[str]:
    """Reject unknown flags of Hydra and contradictory overrides before the configuration is composed.

    Returns:
        The overrides; of a request for completion none, whose words are no keys.
    """

    def fail(message: str) -> NoReturn:
        said = key_for_flag(message) or format_parser_error(parser, message)
        raise UserError(f"{said}; see `leyden train --help`")

    parser = get_args_parser()
    parser.error = fail  # type: ignore[method-assign]
    given = parser.parse_args(list(arguments))
    if given.experimental_rerun:
        raise UserError(
            "--experimental-rerun: Hydra's pickled jobs are not read; `leyden runs show RUN` prints a run's command"
        )
    if given.shell_completion and "query=bash" in given.overrides and "COMP_LINE" not in os.environ:
        raise UserError("-sc query=bash: for the script of a shell, which `leyden completion bash` prints")
    verify(given.overrides, given.multirun, _own_groups())
    return [] if given.shell_completion else list(given.overrides)


def key_for_flag(message: str) -> str:
    """Return what to type for a flag that argparse's message calls unknown, but which is a key; "" if it is none."""
    from leyden.config.suggestions import key_meant, typed_keys
    from leyden.config.validate import provided_at

    flag, _, value = unknown_flag(message).partition("=")
    if not flag.startswith("--"):
        return ""
    meant = key_meant(flag[2:], list(typed_keys(compose_choices([], []), provided_at)))
    return f"{flag}: there is no such option; did you mean '{meant}={value or '...'}'?" if meant else ""


def _verify_keys(overrides: Sequence[str], config_dirs: Sequence[str]) -> None:
    """Reject an override whose first key is neither one of a run's nor a group, with what was meant.

    Raises:
        UserError: the first such override.
    """
    from leyden.config.schema import Config
    from leyden.config.suggestions import UnknownKey, typed_keys
    from leyden.config.validate import provided_at

    known = [field.alias or name for name, field in Config.model_fields.items()]
    for override in parse(overrides):
        key = override.get_key_element().lstrip("+~")
        if _root(key) in {*known, *map(_root, _own_groups()), "hydra"}:
            continue
        with config_loader(config_dirs) as loader:
            groups = loader.get_group_options("", ObjectType.GROUP)
        if _root(key) in groups:
            continue
        value = str(override.input_line).partition("=")[2] or "..."
        unknown = UnknownKey(key, value, "key or group", sorted({*known, *groups} - {"hydra"}))
        keys = typed_keys(compose_choices(overrides, config_dirs), provided_at)
        raise UserError(unknown.message(list(keys)))


def _root(key: str) -> str:
    return re.split(r"[./@]", key)[0]


def compose_choices(words: Sequence[str], config_dirs: Sequence[str]) -> Plain:
    """Return the configuration of the options chosen, unresolved; values are left out, since they name no target.

    Raises:
        UserError: the options do not compose.
    """
    find_own_code(config_dirs)
    with config_loader(config_dirs) as loader:
        choices = [
            match[0]
            for match in map(_CHOICE.match, words)
            if match and (loader.get_group_options(match[2]) or match[2].partition("/")[0] == "hydra")
        ]
        plain: Any = OmegaConf.to_container(hydra_compose("config", choices), resolve=False)
        return {str(key): value for key, value in plain.items()}


def _own_groups() -> dict[str, list[str]]:
    """Return the names of Leyden's options by group."""
    top = conf_dir()
    folders = sorted(path for path in top.rglob("*") if path.is_dir() and path.name != "__pycache__")
    return {
        folder.relative_to(top).as_posix(): sorted(p.stem for p in folder.glob("[!_]*.yaml"))
        for folder in folders
    }


def find_own_code(config_dirs: Sequence[str]) -> None:
    """Make `_target_: my_net.Net` find my_net.py in the working directory or next to a --config-dir.

    Raises:
        UserError: as `code_folders`.
    """
    own_code.add([Path.cwd(), *code_folders(config_dirs)])


def code_folders(config_dirs: Sequence[str]) -> tuple[Path, ...]:
    """Return the folders next to these --config-dir, in which their code lies.

    Raises:
        UserError: a --config-dir does not exist, or contains an option with the name of one of Leyden's.
    """
    for directory in config_dirs:
        _verify_own_options(Path(directory))
    return tuple(Path(directory).resolve().parent for directory in config_dirs)


def _verify_own_options(folder: Path) -> None:
    if not folder.is_dir():
        parent = folder.absolute().parent
        near = [p.name for p in parent.iterdir() if p.is_dir()] if parent.is_dir() else []
        raise UserError(f"--config-dir {folder}: there is no such folder; {nearest(folder.name, near)}")
    for path in sorted(folder.rglob("*.yaml")):
        if (conf_dir() / path.relative_to(folder)).exists():
            raise UserError(f"{path}: Leyden's own option of this name takes precedence; rename yours")


def config_dirs_of(arguments: Sequence[str]) -> list[str]:
    """Return the folders given by --config-dir or -cd."""
    joined = [a.partition("=")[2] for a in arguments if a.startswith("--config-dir=")]
    return joined + [value for flag, value in pairwise(arguments) if flag in ("--config-dir", "-cd")]


@contextmanager
def config_loader(config_dirs: Sequence[str] = ()) -> Iterator[ConfigLoader]:
    """Hydra's config loader over all option files: Leyden's, those of `config_dirs` and of installed packages."""
    GlobalHydra.instance().clear()
    version.setbase("1.3")
    with translated_errors(conf_dir()):
        search = create_config_search_path(str(conf_dir()))
        for folder in config_dirs:  # at the same position as by Hydra's own command line
            search.prepend(
                "command-line", f"file://{Path(folder).resolve()}", SearchPathQuery(provider="schema")
            )
        try:
            yield Hydra.create_main_hydra2("leyden", search).config_loader
        finally:
            GlobalHydra.instance().clear()


def compose(overrides: Sequence[str], config_dirs: Sequence[str] = ()) -> Plain:
    """Return the composed configuration as a plain dictionary, interpolations resolved.

    Raises:
        UserError: an option or a key does not exist, or a value cannot be parsed.
    """
    find_own_code(config_dirs)
    verify(overrides, sweep=False, groups=_own_groups())
    _verify_keys(overrides, config_dirs)
    with config_loader(config_dirs):
        cfg = hydra_compose("config", nested_keys_without_plus(overrides), return_hydra_config=True)
        return plain_of(cfg)


def job_of(cfg: DictConfig) -> tuple[Plain, list[str]]:
    """Return the plain configuration of Hydra's current job, and its overrides."""
    hydra = HydraConfig.get()
    return to_plain(cfg, hydra.runtime.choices.get("experiment")), job_words(hydra)


def job_words(hydra: Any) -> list[str]:
    """Return the overrides of a job from Hydra's node, as typed: no ${...} in them is resolved."""
    words: Any = OmegaConf.to_container(hydra.overrides.task, resolve=False)
    return list(words)


@contextmanager
def no_hydra_job() -> Iterator[None]:
    """Hide Hydra's current job within the block: Lightning would repeat its command line to start other ranks."""
    state = HydraConfig.instance()
    saved, state.cfg = state.cfg, None
    try:
        yield
    finally:
        state.cfg = saved


def plain_of(cfg: DictConfig) -> Plain:
    """Convert a composed configuration that still has Hydra's node, as `to_plain` does."""
    return to_plain(cfg, cfg.hydra.runtime.choices.get("experiment"))


def to_plain(cfg: DictConfig, experiment: str | None) -> Plain:
    """Return `cfg` as a plain dictionary: resolved, without Hydra's node, with the name of its experiment.

    Raises:
        UserError: a value is missing or cannot be resolved, or the options cannot be combined.
    """
    OmegaConf.set_struct(cfg, False)
    job = OmegaConf.masked_copy(cfg, [str(k) for k in cfg if k != "hydra"])
    if "experiment" in job:
        raise UserError(
            f"experiment={experiment}: an experiment file must start with the line '# @package _global_'"
        )
    if "sweep" in job:
        raise UserError(
            "sweep=... selects a search: choose one, and add -m: leyden train -m sweep=optuna ..."
        )
    try:
        missing = sorted(OmegaConf.missing_keys(job))
        plain: Any = OmegaConf.to_container(job, resolve=not missing)
    except OmegaConfBaseException as error:
        raise UserError(
            f"{error.full_key}: {first_line(error)}; set it in the option's file or on the command line"
        ) from error
    if missing:
        raise UserError(f"{missing[0]} must be given: add {missing[0]}=... to the command")
    return {**{str(k): v for k, v in plain.items()}, "experiment": experiment or "default"}


def options(loader: ConfigLoader, group: str) -> list[str]:
    """Return the names of the options of a group, the user's own included."""
    found = loader.get_group_options(group, ObjectType.CONFIG)
    return sorted(name for name in found if not name.startswith("_"))  # _base: shared parts
