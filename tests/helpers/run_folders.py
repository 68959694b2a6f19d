"""Run folders written by hand, in the layout of docs/result.md: many states without training anything."""

import json
from pathlib import Path
from typing import Any

import leyden
from leyden.runs.manifest import packages
from leyden.runs.run import SCHEMA


def estimate(value: float) -> dict[str, Any]:
    """A stored Estimate."""
    return {"value": value, "low": value - 0.05, "high": value + 0.05, "method": "Wilson"}


def config(model: str = "cnn", seed: int = 1, lr: float = 0.001, **more: Any) -> dict[str, Any]:
    """A composed configuration, in short."""
    return {
        "data": {"name": "digits", "source": {"_target_": "leyden.data.sources.image.Digits"}},
        "model": {"name": model, "net": {"_target_": f"leyden.nets.{model}", "hidden": [16, 8]}},
        "optimizer": {"_target_": "torch.optim.AdamW", "lr": lr},
        "scheduler": {"_target_": "leyden.optim.lr_schedules.OneCycle"},
        "seed": seed,
        "force": False,
        "threads": None,
        "monitor": "val/accuracy",
        "experiment": "default",
        **more,
    }


def write(
    root: Path,
    status: str = "complete",
    accuracy: float = 0.9,
    started: str = "2026-01-31T12:00:00+0000",
    made_with: dict[str, str] | None = None,
    monitor: str = "val/accuracy",
    **of_config: Any,
) -> Path:
    """A run's folder under root/default; its fingerprint is made of the model and the seed."""
    chosen = config(**of_config)
    model, rate = chosen["model"]["name"], int(chosen["optimizer"]["lr"] * 1e5)
    fingerprint = f"{model.encode().hex()[:4]}{rate:03d}{chosen['seed']:03x}"
    name = f"digits-{model}-seed{chosen['seed']}"
    folder = root / "default" / f"{name}-{fingerprint}"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"x" * 2000)
    (folder / ".lock").touch()
    versions = packages()
    manifest = {
        "command": ["leyden", "train", f"model={chosen['model']['name']}", f"seed={chosen['seed']}"],
        "folder": "/somewhere",
        "packages": versions,
        "python": "3.11.0",
        "host": "here",
        "platform": "Linux",
        "cpu": {"cores": 2, "threads": 1},
        "gpus": [],
        "precision": "32-true",
        "data": "abc",
        "git": {"commit": "c0ffee", "changed": True},
    }
    result: dict[str, Any] = {
        "schema": SCHEMA,
        "status": status,
        "command": manifest["command"],
        "started": started,
        "data": "abc",
        "made_with": made_with or {"leyden": leyden.__version__, "torch": versions["torch"]},
        "config": chosen,
    }
    if status == "complete":
        values = {"accuracy": estimate(accuracy), "log_loss": estimate(1 - accuracy)}
        metrics = {split: {"n": 100, "values": values, "loss": 1 - accuracy} for split in ("val", "test")}
        best = {
            "monitor": monitor,
            "value": values[monitor.removeprefix("val/").replace("loss", "log_loss")]["value"],
        }
        result |= {"metrics": metrics, "best": {**best, "higher_is_better": "loss" not in monitor}}
        result |= {"cost": {"seconds": 10 * accuracy, "parameters": 1000}}
    if status == "failed":
        result["error"] = {"type": "ValueError", "message": "it broke", "where": "net.py:3"}
        (folder / "error.txt").write_text("Traceback")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "result.json").write_text(json.dumps(result))
    return folder
