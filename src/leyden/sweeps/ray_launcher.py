"""Jobs of a sweep on a Ray cluster: `leyden train -m hydra/launcher=ray ...`, one Ray task each.

The released plugin, hydra-ray-launcher 1.2.2, requires cloudpickle<3 and, for clusters on AWS, a version of boto3 that
conflicts with current versions of other packages. This module implements the part of it that a sweep needs.
"""

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from leyden.config.compose import job_words
from leyden.utils.console import console
from leyden.utils.errors import UserError

_TIMEOUT = 20.0  # seconds for a connection to a cluster; Ray 2.60 itself retries for more than eight minutes


def launch(configs: Sequence[DictConfig], task: Any, options: dict[str, Any]) -> list[JobReturn]:
    """Run the jobs as Ray tasks; returns when all have ended. A job that dies does not affect the others.

    Args:
        configs: composed configurations, with Hydra's node.
        task: function that is called with each in a Ray process.
        options: `address`; `num_cpus` of a cluster that is started here; `cpus`, `gpus` and `memory_gb` per job.

    Raises:
        UserError: Ray is not installed, or there is no cluster at the address.
        KeyboardInterrupt: interrupted; the jobs were signalled to save and stop.
    """
    ray = _load()
    started = _connect(ray, options)
    job = ray.remote(max_retries=0, **_resources(options))(_job)
    code = os.environ.get("PYTHONPATH", "")
    refs = [job.remote(task, cfg, Singleton.get_state(), str(Path.cwd()), code) for cfg in configs]
    try:
        return [_result(ray, ref, cfg) for ref, cfg in zip(refs, configs, strict=True)]
    except KeyboardInterrupt:
        for ref in refs:
            ray.cancel(ref)  # raises KeyboardInterrupt in the task, which saves its state first
        with suppress(KeyboardInterrupt):
            ray.wait(refs, num_returns=len(refs))
        raise
    finally:
        if started:
            ray.shutdown()


def _load() -> Any:
    try:
        import ray
    except ImportError:
        raise UserError("hydra/launcher=ray needs Ray: pip install 'leyden[ray]'") from None
    return ray


def _connect(ray: Any, options: dict[str, Any]) -> bool:
    """Connect to the cluster, or start one on this machine; returns whether this call initialised Ray."""
    if ray.is_initialized():
        return False
    address = options["address"] or os.environ.get("RAY_ADDRESS")
    own = {} if address else {"num_cpus": options["num_cpus"], "include_dashboard": False}
    try:
        _verify_reachable(address or "")
        ray.init(address=address, configure_logging=False, log_to_driver=False, **own)
    except (OSError, OverflowError, ValueError) as error:
        raise UserError(
            f"hydra.launcher.address={address}: no Ray cluster there ({error}); start one with `ray start --head`"
        ) from None
    return True


def _verify_reachable(address: str) -> None:
    """Raise OSError if host:port does not accept connections; Ray resolves `auto` and `local` itself."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_TIMEOUT).close()


def _resources(options: dict[str, Any]) -> dict[str, Any]:
    memory = {"memory": int(options["memory_gb"] * 2**30)} if options["memory_gb"] else {}
    return {"num_cpus": options["cpus"], "num_gpus": options["gpus"], **memory}


def _job(task: Any, cfg: DictConfig, state: Any, folder: str, code: str) -> Any:
    """Run in Ray's process: restore the sweep's working folder and Hydra's state, then train."""
    os.chdir(folder)
    os.environ["PYTHONPATH"] = code
    Singleton.set_state(state)
    HydraConfig.instance().set_config(cfg)
    outcome = task(cfg)
    return outcome.status, outcome.message


def _result(ray: Any, ref: Any, cfg: DictConfig) -> JobReturn:
    """Return a job's outcome. Its record is in its run's folder; a job that died has only this."""
    job_return = JobReturn(overrides=job_words(cfg.hydra), status=JobStatus.COMPLETED)
    try:
        job_return.return_value = ray.get(ref)
    except (ray.exceptions.RayError, ray.exceptions.RayTaskError) as error:
        job_return.status, job_return.return_value = JobStatus.FAILED, error
        console.print(f"a job died in Ray: {type(error).__name__}: {error}", style="red")
    return job_return
