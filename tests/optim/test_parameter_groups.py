"""Weight decay groups, freezing and transfer of weights."""

import pytest
import torch
from torch import nn

from leyden.optim.parameter_groups import decay_groups, decayed
from leyden.training.transfer import freeze, names_of, transfer


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def test_norms_and_biases_are_not_decayed() -> None:
    model = net()
    weights, rest = decay_groups(model, everything=False)
    assert {id(p) for p in weights["params"]} == {id(model[0].weight), id(model[3].weight)}
    assert rest["weight_decay"] == 0
    assert len(rest["params"]) == 4
    assert {id(p) for p in decayed(model)} == {id(p) for p in weights["params"]}
    (everything,) = decay_groups(model, everything=True)
    assert len(everything["params"]) == 6


def test_freezing_by_name_excludes_parameters_from_the_optimizer() -> None:
    model = net()
    assert freeze(model, names_of(model, ["0.*"], "3.")) == 2 * 9 + 2
    assert sum(len(g["params"]) for g in decay_groups(model, everything=False)) == 4
    with pytest.raises(ValueError, match=r"'9\.\*' matches no parameter"):
        names_of(model, ["9.*"], "3.")


def test_head_and_backbone_are_all_parameters() -> None:
    model = net()
    head, backbone = names_of(model, ["head"], "3."), names_of(model, ["backbone"], "3.")
    assert head == {"3.weight", "3.bias"}
    assert head | backbone == {name for name, _ in model.named_parameters()}
    assert not head & backbone


def test_transfer_loads_matching_weights_and_reports_others() -> None:
    old, new = net(), nn.Sequential(*list(net())[:3], nn.Linear(8, 5))
    copied, left = transfer(new, old.state_dict())
    assert torch.equal(new[0].weight, old[0].weight)
    assert left == ["3.bias", "3.weight"]
    assert "0.weight" in copied
    with pytest.raises(ValueError, match="fits this net"):
        transfer(new, {"other": torch.zeros(1)})
