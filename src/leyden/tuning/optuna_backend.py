"""Optuna's samplers, pruners and storages by name."""

import warnings
from collections.abc import Mapping
from typing import Any

from leyden.utils.errors import UserError, first_line

_TIMEOUT = 60  # seconds that a process waits for another's write to the SQLite file
_SEEDS = 2**32


def load_optuna() -> Any:
    """Import Optuna, without its log messages and its warnings about experimental features.

    Raises:
        UserError: it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise UserError('a search needs Optuna: pip install "leyden[search]"') from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def storage_of(url: str) -> Any:
    """Optuna's storage at the URL of a database.

    Raises:
        UserError: it cannot be opened.
    """
    load_optuna()
    import sqlalchemy
    from optuna.storages import RDBStorage

    arguments = {"connect_args": {"timeout": _TIMEOUT}} if url.startswith("sqlite") else {}
    try:
        return RDBStorage(url, engine_kwargs=arguments)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError) as error:
        cause = error.__cause__ or error
        raise UserError(f"sweep.storage={url}: cannot be opened: {first_line(cause)}") from error


def sampler_of(name: str, seed: int, startup: int, number: int) -> Any:
    """A sampler for one trial.

    Its random numbers are a function of the seed and the trial's number, so an interrupted search proposes the same
    values as an uninterrupted one. (The quasi-random sequence, Sobol's, must keep its seed.)

    Args:
        name: one of the options of `Settings.sampler`.
        seed: seed of the study.
        startup: random trials before the sampler uses the results.
        number: number of the trial.

    Raises:
        UserError: it needs a package that is not installed.
    """
    samplers = load_optuna().samplers
    own = (seed * 1_000_003 + number) % _SEEDS
    learning = {"seed": own, "n_startup_trials": startup}
    factories: dict[str, Any] = {
        "tpe": lambda: samplers.TPESampler(**learning),
        "random": lambda: samplers.RandomSampler(seed=own),
        "gp": lambda: samplers.GPSampler(**learning),
        "cmaes": lambda: _cmaes_sampler()(**learning, warn_independent_sampling=False),
        "nsga2": lambda: samplers.NSGAIISampler(seed=own),
        "qmc": lambda: samplers.QMCSampler(
            seed=seed, warn_independent_sampling=False, warn_asynchronous_seeding=False
        ),
        "grid": lambda: samplers.BruteForceSampler(seed=own),
    }
    return factories[name]()


def _cmaes_sampler() -> Any:
    try:
        import cmaes  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError('sweep.sampler=cmaes needs one more package: pip install "leyden[search]"') from error
    from leyden.tuning.cmaes_sampler import ReplayedCmaEs

    return ReplayedCmaEs


def pruner_of(settings: Mapping[str, Any]) -> Any:
    """The pruner of a study.

    Args:
        settings: "name"; "startup": finished trials before it prunes; "warmup": epochs of a run that are never
            pruned; "epochs" of a run. Empty: no pruning.
    """
    pruners = load_optuna().pruners
    name = settings.get("name", "none")
    if name == "median":
        return pruners.MedianPruner(settings["startup"], n_warmup_steps=settings["warmup"])
    if name == "hyperband":
        return pruners.HyperbandPruner(
            min_resource=max(1, settings["warmup"]), max_resource=settings["epochs"]
        )
    return pruners.NopPruner()
