"""The HPARAMS tab: overrides and result, without keys that do not change the result."""

from leyden.callbacks.tensorboard import hparams


def testhparams_are_the_overrides_and_the_default_keys() -> None:
    plain = {
        "data": {"name": "digits", "limit_gb": 8.0},
        "model": {"name": "mlp", "net": {"hidden": [64, 32]}},
        "optimizer": {"lr": 0.01, "_target_": "torch.optim.Adam"},
        "loss": {"_target_": "leyden.losses.focal.FocalSoftmax", "gamma": 2.0},
        **{"batch_size": 64, "seed": 3, "threads": 1, "runs": "elsewhere", "monitor": "val/accuracy"},
    }
    command = ["leyden", "train", "--config-dir=my", "model=mlp", "loss=focal", "loss.gamma=2"]
    command += ["model.net.hidden=[64,32]", "threads=1", "runs=elsewhere", "optimizer.lr=1e-2", "seed=3"]
    command += [
        "logger=[tensorboard,mlflow]",
        "+logger.mlflow.tracking_uri=https://me:secret@host",
        "+loss.x=1",
    ]
    assert hparams(plain, command) == {
        **{"data.name": "digits", "model.name": "mlp", "optimizer.lr": 0.01, "batch_size": 64, "seed": 3},
        **{"loss": "focal", "loss.gamma": 2.0, "model.net.hidden": "[64, 32]", "loss.x": "1"},
    }
