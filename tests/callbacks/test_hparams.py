"""The HPARAMS tab: what was typed and what came of it, and nothing that changes no result."""

from leyden.callbacks.tensorboard import _choices


def test_the_choices_are_what_was_typed_and_the_few_keys_of_every_run() -> None:
    plain = {
        "data": {"name": "digits", "limit_gb": 8.0},
        "model": {"name": "mlp", "net": {"hidden": [64, 32]}},
        "optimizer": {"lr": 0.01, "_target_": "torch.optim.Adam"},
        "loss": {"_target_": "leyden.losses.focal.FocalSoftmax", "gamma": 2.0},
        **{"batch_size": 64, "seed": 3, "threads": 1, "runs": "elsewhere", "monitor": "val/accuracy"},
    }
    command = ["leyden", "train", "--config-dir=my", "model=mlp", "loss=focal", "loss.gamma=2"]
    command += ["model.net.hidden=[64,32]", "threads=1", "runs=elsewhere", "optimizer.lr=1e-2", "seed=3"]
    assert _choices(plain, command) == {
        **{"data.name": "digits", "model.name": "mlp", "optimizer.lr": 0.01, "batch_size": 64, "seed": 3},
        **{"loss": "focal", "loss.gamma": 2.0, "model.net.hidden": "[64, 32]"},
    }
