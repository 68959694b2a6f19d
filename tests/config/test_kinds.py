"""Each place of a configuration takes targets of its kind, whoever named them; told before anything is called."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch import nn

from leyden.cli.main import main
from leyden.config.compose import conf_dir
from leyden.config.kinds import KINDS, kind_of_place, verify_kind
from leyden.config.validate import PROVIDED, import_target
from leyden.utils.errors import UserError

CALLED: list[str] = []


def records(*_: Any, **__: Any) -> None:
    """Would be found out."""
    CALLED.append("called")


class Other:
    """Of no kind."""

    def __init__(self, *_: Any, **__: Any) -> None:
        records()


def makes_a_net(num_outputs: int) -> nn.Module:
    return nn.Linear(1, num_outputs)


def makes_something(num_outputs: int):  # type: ignore[no-untyped-def]
    return nn.Linear(1, num_outputs)


def test_every_place_has_a_kind() -> None:
    assert {*KINDS} == {*PROVIDED, "metrics.*.function"}
    assert kind_of_place("augment.flip") is KINDS["augment.*"]
    assert [kind_of_place(p) for p in ("augment.flip.part", "model", "model.net.part")] == [None] * 3


def test_leydens_own_options_fit_their_places() -> None:
    seen = 0
    for path in conf_dir().rglob("*.yaml"):
        node = yaml.safe_load(path.read_text())
        group = path.parent.relative_to(conf_dir()).as_posix().replace("/", ".")
        for place in KINDS:
            first, _, rest = place.partition(".")
            if first != group or not isinstance(node, dict):
                continue
            parts = list(node.values()) if rest == "*" else [node.get(rest)] if rest else [node]
            for part in (p for p in parts if isinstance(p, dict) and "_target_" in p):
                name = part["_target_"]
                if not name.startswith("${"):
                    target = import_target(name, place)
                    verify_kind(place.replace("*", "x"), name, target, False)
                    assert name.startswith(KINDS[place].roots), (path, name)
                    seen += 1
    assert seen > 80


PLACES = [place.replace("*", "mine") for place in KINDS]


@pytest.mark.parametrize("target", ["builtins.print", "os.mkdir", "records", "Other", "builtins.exec"])
@pytest.mark.parametrize("place", PLACES)
def test_another_kind_is_refused_and_not_called(place: str, target: str) -> None:
    own = target in ("records", "Other")
    name = f"{__name__}.{target}" if own else target
    with pytest.raises(UserError, match=rf"{place}\._target_={name}: expected a (class|function)"):
        verify_kind(place, name, import_target(name, place), False)
    assert CALLED == []


def test_a_function_fits_if_it_says_what_it_returns() -> None:
    verify_kind("model.net", "makes_a_net", makes_a_net, False)
    with pytest.raises(UserError, match="a function whose annotation does not say what it returns"):
        verify_kind("model.net", "makes_something", makes_something, False)
    with pytest.raises(UserError, match=r"LightningModule, got a function that returns Module"):
        verify_kind("model.module", "makes_a_net", makes_a_net, False)


@pytest.mark.parametrize("place", [p for p in PLACES if not p.startswith("metrics")])
def test_no_place_takes_a_partial(place: str) -> None:
    with pytest.raises(UserError, match=rf"{place}\._partial_: expected"):
        verify_kind(place, "torch.nn.Module", nn.Module, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "long_tail._target_=builtins.print",
            "long_tail._target_=builtins.print: expected a class whose objects",
        ),
        ("model.net._target_=builtins.exec", "expected a class derived from torch.nn.Module"),
        ("split._target_=os.getcwd", "expected a class whose objects can be called"),
        ("data.source._target_=torch.nn.Linear", "methods fingerprint, index, decode, facts"),
        ("trainer._target_=torch.nn.Linear", "derived from lightning.pytorch.trainer.trainer.Trainer"),
        ("data.source._partial_=true", "data.source._partial_: expected a class with the methods"),
        ("data.source._partial_=3", "data.source._partial_"),
        ("optimizer._partial_=true", "optimizer._partial_"),
        ("model.net._args_=[1]", "model.net._args_: has no effect"),
        ("~data.source._target_", "data.source: expected an option with a _target_"),
        ("data.source._target_=3", "data.source._target_=3: expected the full name of a class"),
    ],
)
def test_such_a_mistake_is_one_line_and_writes_nothing(
    words: str, told: str, tiny: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    basic = [word for word in tiny() if not word.startswith("data.source")]
    assert main(["train", *basic, words]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert not Path("runs").exists()
