"""What was meant by a word that does not exist: a word that can be typed."""

import re
from pathlib import Path

import pytest

from leyden.cli.main import main
from leyden.config.compose import compose, config_dirs_of
from leyden.config.suggestions import OPTION_SYNONYMS, SYNONYMS, suggest_option
from leyden.config.validate import check
from leyden.utils.errors import UserError, closest

MEANT = {
    "lr=0.01": "optimizer.lr=0.01",
    "learning_rate=0.01": "optimizer.lr=0.01",
    "optimizer.learning_rate=0.01": "optimizer.lr=0.01",
    "model.lr=0.01": "optimizer.lr=0.01",
    "optim.lr=0.01": "optimizer.lr=0.01",
    "++lr=0.01": "optimizer.lr=0.01",
    "~lr": "optimizer.lr=...",
    "max_epochs=3": "trainer.max_epochs=3",
    "epochs=3": "trainer.max_epochs=3",
    "trainer.epochs=3": "trainer.max_epochs=3",
    "gpus=1": "trainer=gpu trainer.devices=1",
    "dropout=0.5": "model.net.dropout=0.5",
    "widths=[3]": "model.net.widths=[3]",
    "num_workers=2": "data.workers=2",
    "modle=mlp": "model=mlp",
    "batchsize=8": "batch_size=8",
    "monitor=val/acc": "val/accuracy",
    "monitor=accuracy": "val/accuracy",
    "monitor=val_loss": "val/loss",
    "monitor=val/f1": "val/macro_f1",
    "model=resnet50": "model=torchvision model.net.name=resnet50",
    "model=resnet23": "model=torchvision model.net.name=resnet23",
    "callbacks=early": "early_stopping",
    "--lr=0.01": "optimizer.lr=0.01",
    "--lr 0.01": "optimizer.lr=...",
    "--confg job": "--cfg",
    "--config-dir options model=mine wavelength=3": "model.net.wavelength=3",
    "--config-dir options model=min": "mine",
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with an option of one's own."""
    monkeypatch.chdir(tmp_path)
    Path("options/model").mkdir(parents=True)
    Path("options/model/mine.yaml").write_text(
        "name: mine\nmodule: {_target_: leyden.modules.classification.Classifier}\nnet: {_target_: own_nets.Net}\n"
    )
    Path("own_nets.py").write_text("class Net:\n    def __init__(self, num_outputs, wavelength=1): ...\n")


@pytest.mark.parametrize("words", MEANT)
def test_the_answer_is_a_word_that_can_be_typed(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *words.split()]) == 2
    said = capsys.readouterr().err
    assert f"did you mean '{MEANT[words]}'" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("words", ["lr=0.01", "max_epochs=3", "modle=mlp", "num_workers=1", "widths=[3]"])
def test_what_is_suggested_is_accepted(words: str) -> None:
    with pytest.raises(UserError) as refused:
        compose([words])
    found = re.search("did you mean '(.*)'[?]", str(refused.value))
    assert found is not None
    check(compose(found[1].split()))


def test_every_synonym_stands_for_a_key_that_exists() -> None:
    for key in set(SYNONYMS.values()):
        *options, name = key.split()
        value = {
            "init.from": "x.pt",
            "init.freeze": "[head]",
            "runs": "x",
            "data_root": "x",
            "name": "x",
        }.get(name)
        value = value or {"monitor": "val/loss", "trainer.precision": "32-true"}.get(name, "1")
        group = {"data": "digits", "model": "mlp", "optimizer": "sgd", "loss": "focal", "scheduler": "step"}
        group |= {"augment": "none", "sampling": "balanced"}
        words = [
            *(option for option in options if option != "trainer=gpu"),
            f"{name}={group.get(name, value)}",
        ]
        check(compose(words if name != "scheduler" else ["scheduler=cosine"]))


def test_option_synonyms() -> None:
    assert suggest_option("loss", "CE") == "loss=cross_entropy"
    assert suggest_option("loss", "cross") == ""
    assert suggest_option("data", "resnet50") == ""
    for group, _, meant in OPTION_SYNONYMS:
        assert group in compose(meant.replace(r"\g<0>", "resnet50").split(), config_dirs_of([]))


def test_the_order_of_the_rules() -> None:
    assert closest("VAL-ACC", ["val_acc", "val/accuracy"]) == "val_acc"
    assert closest("lr", ["lrs", "optimizer.lr"]) == "optimizer.lr", "the last part before a prefix"
    assert closest("max_epoch", ["max_depth", "max_epochs_of_all", "max_epochs"]) == "max_epochs"
    assert closest("cnm", ["cnn", "crnn"]) == "cnn"
    assert closest("猫", ["犬", "cat"]) is None
    assert closest("", ["a"]) is None
