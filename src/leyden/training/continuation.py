"""More epochs for a finished run: `continue=RUN trainer.max_epochs=6`.

The new run has the configuration of its parent, except what is given, and a folder of its own. It begins with copies of
the parent's last state, best weights and event files (`resume.take_over`): from then on it is resumed like any other.
Only schedules that depend on the length of the run are planned anew (`callbacks.checkpoint`).
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leyden.config.compose import compose, config_dirs_of
from leyden.config.schema import Config
from leyden.runs import signature
from leyden.runs.lookup import find_run, find_runs
from leyden.runs.records import Record, flat, read
from leyden.runs.run import COSMETIC, Run
from leyden.tuning.parameters import word
from leyden.utils.errors import UserError
from leyden.utils.files import verify_plain
from leyden.utils.text import plural
from leyden.utils.trust import FLAG, is_trusting

_KEY, _SOURCE, _ENCODERS = "continue", "init.from", "init.encoders."
_MAY_DIFFER = (_KEY, *COSMETIC)
_MAY_DIFFER_NODES = ("trainer", "callbacks", "logger", "compute")


def with_parent(arguments: Sequence[str]) -> list[str]:
    """Put the words of the parent's command before the arguments, if these have `continue=RUN`.

    Of `init.from=RUN` and `init.encoders.NAME=RUN` the run's folder takes the place, since the configuration is to name
    what it began with.
    A command may name any code and any folder: of a parent that this user has not made, they must have been typed.

    Raises:
        UserError: no run matches, or several do; a link or a pipe lies in it; or it is somebody else's, and words of
            its command were not typed.
    """
    given = dict(argument.partition("=")[::2] for argument in arguments if not argument.startswith("-"))
    for key in (key for key in given if key == _SOURCE or key.startswith(_ENCODERS)):
        if (folder := _source(given, key)) is not None:
            arguments = [word(key, folder) if a.startswith(f"{key}=") else a for a in arguments]
    if given.get(_KEY, "null") in ("", "null"):
        return list(arguments)
    parent = find_run(given[_KEY].strip("'\""), Path(given.get("runs", "runs")))
    verify_plain(parent.folder)  # its state is copied: through a link that would be any file of this user's
    replaced = tuple(f"{key}{end}" for key in (*given, _KEY) for end in "=.")  # callbacks= and callbacks.x=
    is_own = signature.is_own(parent.folder)
    command = Run(parent.folder).manifest().get("command", ()) if is_own else Run(parent.folder).command()
    inherited = [w for w in command[2:] if w != FLAG and not w.startswith(replaced)]
    if not (is_own or is_trusting()) and (untyped := [w for w in inherited if w not in arguments]):
        raise UserError(
            f"{_KEY}={parent.folder}: was not made by you, and its command is not repeated unseen: add "
            f"{shlex.join(untyped)}, or {FLAG} if you trust it"
        )
    others = [argument for argument in arguments if argument.partition("=")[0] != _KEY]
    return [*inherited, *others, word(_KEY, str(parent.folder))]


def compose_with_runs(
    overrides: Sequence[str], config_dirs: Sequence[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """Compose what was typed, where `init.from` and `continue` may name a run; returns also the whole words.

    Raises:
        UserError: as `with_parent` and `compose`.
    """
    words = with_parent([*(f"--config-dir={folder}" for folder in config_dirs), *overrides])
    typed = [word for word in words if not word.startswith("--config-dir=")]
    return compose(typed, config_dirs_of(words)), words


def _source(given: Mapping[str, str], key: str) -> str | None:
    """The folder of the one run that `key` names by another word than its folder; None: it does not.

    Raises:
        UserError: several runs match.
    """
    value = given[key].strip("'\"")
    root = Path(given.get("runs", "runs"))
    if not value or Path(value).exists() or not root.is_dir():
        return None
    try:
        found = find_runs(value, root)
    except UserError:
        return None  # what is no run may be a list or null; else the reader of the weights refuses it
    return str(find_run(value, root).folder if len(found) > 1 else found[0])


def verify_parent(config: Config, plain: Mapping[str, Any], data: str, epochs: int) -> str:
    """A line that says what the run goes on from; "" if it has no parent.

    Args:
        config: checked.
        plain: the same, as composed.
        data: fingerprint of the data.
        epochs: that the run will have trained at its end.

    Raises:
        UserError: the parent is not finished, keeps no last state, or differs in more than its length.
    """
    if config.parent is None:
        return ""
    parent = read(Path(config.parent))
    name = f"{_KEY}={config.parent}"
    if parent.state != "complete":
        advice = "; the command that began it resumes it" if parent.state == "interrupted" else ""
        raise UserError(f"{name}: is {parent.problem or parent.state}, not complete{advice}")
    if Run(parent.folder).resume_point() is None:
        raise UserError(
            f"{name}: it has kept no last state (checkpoint.keep=best), so it cannot go on; init.from={config.parent} "
            "begins a new run with its best weights"
        )
    if differing := [
        *_differing(parent, plain),
        *(["the data"] if parent.result.get("data") != data else []),
    ]:
        raise UserError(
            f"{name}: {', '.join(differing)} must be as it was there; only trainer, callbacks, logger and compute "
            f"may differ (init.from={config.parent} begins another run with its best weights)"
        )
    done = epochs_of(parent)
    if epochs <= done:
        steps = " and a higher trainer.max_steps" if epochs < config.epochs else ""
        raise UserError(
            f"{name}: it has trained {plural(done, 'epoch')}; give more, such as trainer.max_epochs={2 * done}{steps}"
        )
    return (
        f"goes on from epoch {done} of {config.parent}; schedules that depend on the length of the run are planned "
        f"anew, for {plural(epochs, 'epoch')}"
    )


def shorter_run(config: Config, plain: Mapping[str, Any], run: Run, epochs: int) -> str:
    """A remark on a finished run that differs from a new one of so many epochs only in fewer; "" without one."""
    if config.parent is not None or run.state() != "new" or not run.folder.parent.is_dir():
        return ""
    there = [read(path.parent) for path in run.folder.parent.glob(f"{config.name}-*/result.json")]
    same = [r for r in there if r.state == "complete" and not _differing(r, plain, ("trainer.max_epochs",))]
    found = max((r for r in same if epochs_of(r) < epochs), key=epochs_of, default=None)
    if found is None or Run(found.folder).resume_point() is None:
        return ""
    return (
        f"{found.folder} has trained {epochs_of(found)} of these epochs; to go on from it instead: "
        f"leyden train {word(_KEY, str(found.folder))} trainer.max_epochs={config.epochs}"
    )


def _differing(one: Record, plain: Mapping[str, Any], free: Sequence[str] = _MAY_DIFFER_NODES) -> list[str]:
    """Keys that differ between a run and a configuration and may change a result, except those that are free."""
    own, other = one.keys, dict(flat(plain))
    keys = sorted(own.keys() | other.keys())
    return [
        key
        for key in keys
        if own.get(key) != other.get(key) and key not in _MAY_DIFFER and not key.startswith(tuple(free))
    ]


def epochs_of(record: Record) -> int:
    """How many epochs a run has trained."""
    return len(record.curves())
