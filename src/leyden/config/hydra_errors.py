"""Translate errors of Hydra, OmegaConf and YAML to one message with the file or key and the nearest valid choice."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.errors import HydraException, MissingConfigException, SearchPathException
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from leyden.config.suggestions import suggest_option
from leyden.utils.errors import UserError, first_line, nearest
from leyden.utils.text import and_more


@contextmanager
def translated_errors(conf: Path) -> Iterator[None]:
    """Re-raise errors of composition as UserError. conf: the folder of Leyden's options."""
    try:
        yield
    except MissingConfigException as error:
        raise UserError(_missing_option(error)) from error
    except SearchPathException as error:
        raise UserError(str(error)) from error
    except MarkedYAMLError as error:
        raise UserError(invalid_yaml(error)) from error
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(_unknown_key(error, conf) or _first_lines(error)) from error


def invalid_yaml(error: MarkedYAMLError, name: str = "") -> str:
    """Return `file:line` and the YAML error. name: the file name, if the parser was not given one."""
    mark = error.problem_mark or error.context_mark
    place = f"{name or mark.name}:{mark.line + 1}" if mark else name
    return f"{place}: invalid YAML: {error.problem}"


def _missing_option(error: MissingConfigException) -> str:
    """Return the message for an option file that does not exist, with the nearest that does."""
    group, _, option = (error.missing_cfg_file or "").removesuffix(".yaml").rpartition("/")
    if error.options:
        options = [name for name in error.options if not name.startswith("_")]
        meant = suggest_option(group, option)
        hint = (
            f"did you mean {meant!r}? There are: {and_more(options, 20)}"
            if meant
            else nearest(option, options)
        )
        return f"{group}={option}: there is no such option; {hint}"
    return f"{first_line(error).rstrip('.')}; `leyden list` shows the options of every group"


def _unknown_key(error: Exception, conf: Path) -> str:
    """Return the message for an override of an unknown key or group, with the nearest; "" for any other error."""
    found = re.search(r"Could not (?:override|append to config|delete).{0,20}?'([^']+)'", str(error))
    if found is None:
        return ""
    from leyden.config.schema import Config, nearest_key

    file = re.match(r"In '([^']+)'", str(error))
    place = f"{file.group(1)}: " if file and file.group(1) != "config" else ""
    key = found.group(1).lstrip("+~").split("=")[0]
    if "@experiment" in key or key.startswith("experiment/"):
        return (
            f"{place}an experiment file must start with the line '# @package _global_', "
            "and its overrides with a slash: 'override /model: ...'"
        )
    if (conf / key).is_dir():
        return f"{place}{key}: nothing to override: this group is not in the defaults; add it with +{key}=..."
    root = re.split(r"[./@]", key)[0]
    return (
        f"{place}{key}: there is no such key or group; {nearest_key(root, [*Config.model_fields, 'hydra'])}"
    )


def _first_lines(error: Exception) -> str:
    """Return the first line of an error's message, and in parentheses that of its cause, if any."""
    cause = first_line(error.__cause__)
    return first_line(error) + (f" ({cause})" if cause else "")
