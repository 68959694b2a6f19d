"""What explains a run with several inputs: one input seen alone, maps within inputs, samples that lack some."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import leyden
from leyden.inference.load import load
from leyden.inference.predictor import batch_of, outputs_of, prepared
from leyden.interpretation.access import open_data
from leyden.interpretation.explained import Request, net_inputs
from leyden.interpretation.explained_inputs import explain_inputs
from leyden.interpretation.one_input import InputAccess, first_rows
from leyden.utils.errors import UserError
from small_runs import QUICK, Opened

Open = Callable[[str], Opened]


def having(opened: Opened, name: str, count: int = 12) -> list[dict[str, np.ndarray]]:
    """The first samples that have an input."""
    _, data = opened
    samples = [net_inputs(data, row) for row in range(60)]
    return [sample for sample in samples if name in sample][:count]


@pytest.mark.parametrize("name", ["image", "text", "audio"])
def test_one_input_seen_alone_answers_as_the_whole_does(name: str, opened: Open) -> None:
    run, data = opened("several")
    samples = having((run, data), name)
    assert {len(sample) for sample in samples} > {3}
    access = InputAccess(run, data, name)
    with torch.no_grad():
        whole = outputs_of(run, prepared(run, batch_of(run, samples)))
        batch = access.batch(samples)
        alone = outputs_of(access.run, prepared(access.run, batch))
        own = access.data.splits.train[:8]
        part = access.data.batch_of(own)
        rows = first_rows(data, name)[own]
        of_table = outputs_of(run, prepared(run, data.batch_of(rows)))
        by_part = outputs_of(access.run, prepared(access.run, part))
    assert list(batch.inputs) == [name]
    assert torch.allclose(alone, whole, atol=1e-5)
    assert torch.allclose(by_part, of_table, atol=1e-5)
    others = [type(part) for part in access.run.module.modules()]
    assert (nn.Embedding in others) == (name == "text")


def test_maps_are_of_the_inputs_that_a_sample_has_and_the_planted_truth_is_known(opened: Open) -> None:
    run, data = opened("several")
    rows = [0, 1, 2, 3, 4, 5]
    found = explain_inputs(run, data, Request(rows=rows, method="occlusion"))
    assert [one.row for one in found] == rows
    assert {len(one.maps) for one in found} > {3}
    for row, one in zip(rows, found, strict=True):
        assert set(one.maps) == set(net_inputs(data, row))
        assert one.without == {}
        for each in one.maps.values():
            assert each.attribution.output == one.shares.output
            assert each.test is not None
            assert each.test.pointing is not None
            assert each.test.untrained_similarity is not None
        shown = one.shown()
        assert [sample.name for sample in shown.maps.values()] == [f"{n}: {one.name}" for n in one.maps]
    shapes = {name: one.maps[name].attribution.values.ndim for one in found for name in one.maps}
    assert shapes == {"image": 2, "text": 1, "audio": 2}


def test_a_method_that_an_input_does_not_allow_leaves_it_without_a_map(opened: Open) -> None:
    run, data = opened("several")
    (found,) = explain_inputs(run, data, Request(rows=[_whole(data)], baseline="unknown", tests=False))
    assert set(found.maps) == {"text"}
    assert set(found.without) == {"image", "audio"}
    assert "--baseline unknown: there is none for this run's input" in found.without["image"]
    with pytest.raises(UserError, match="--method nothing"):
        explain_inputs(run, data, Request(rows=[0], method="nothing", tests=False))
    waves = explain_inputs(
        run, data, Request(rows=[_whole(data)], method="occlusion", waveform=True, tests=False)
    )
    assert [one.unit for one in waves[0].maps.values()] == ["cell", "token", "10 ms"]


def _whole(data: object) -> int:
    """The first row with all inputs."""
    return next(row for row in range(60) if len(net_inputs(data, row)) == 3)  # type: ignore[arg-type]


def test_a_net_without_encoders_has_shares_and_no_maps(opened: Open) -> None:
    run, data = opened("several")

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.inner = nn.Identity(), run.module

        def prepare(self, batch):  # type: ignore[no-untyped-def]
            return self.inner.prepare(batch)

        def forward(self, batch):  # type: ignore[no-untyped-def]
            return self.inner(batch)

    plain = replace(run, module=Plain())  # type: ignore[arg-type]
    (found,) = explain_inputs(plain, data, Request(rows=[0], method="occlusion"))
    assert found.maps == {}
    assert set(found.without) == set(net_inputs(data, 0))
    assert all("no maps within inputs" in why for why in found.without.values())
    (same,) = explain_inputs(run, data, Request(rows=[0], method="occlusion", tests=False))
    assert found.shares == same.shares


def test_a_sample_by_words_has_the_shares_of_its_inputs(opened: Open, tmp_path: Path) -> None:
    run, data = opened("several")
    row = _whole(data)
    picture = net_inputs(data, row)["image"]
    Image.fromarray(picture[0]).save(tmp_path / "a.png")
    words = [f"image={tmp_path / 'a.png'}", "text=tibe gogebo"]
    (found,) = explain_inputs(run, data, Request(files=words, method="occlusion", tests=False))
    assert found.shares.shares["audio"] is None
    assert set(found.maps) == {"image", "text"}
    assert found.maps["text"].tokens == ("tibe", "gogebo")
    assert found.row is None


def test_a_table_is_explained_by_emptying_its_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = ["note,age,site,label"]
    for place in range(80):
        ill = place % 2
        age = "" if place % 5 == 4 else f"{40 + 20 * ill + rng.normal():.2f}"
        lines.append(
            f"came {place % 3},{age},{'north' if rng.random() < 0.5 else 'south'},{'ill' if ill else 'well'}"
        )
    Path("own.csv").write_text("\n".join(lines))
    words = [
        "data=multimodal_table",
        "data.source.csv=own.csv",
        "data.source.text=note",
        "model=fusion_concat",
    ]
    columns = ["data.source.numbers=[age]", "data.source.categories=[site]", "optimizer.lr=0.01"]
    outcome = leyden.train([*words, *columns, *QUICK, "trainer.max_epochs=15"])
    run = load(Path(outcome.folder))
    data = open_data(run)
    found = explain_inputs(run, data, Request(rows=[1, 4], target="ill"))
    assert [one.without for one in found] == [{}, {}]
    first, empty = (one.maps["table"] for one in found)
    assert first.tokens[0].startswith("age=6")
    assert empty.tokens[0] == "age="
    assert first.unit == "column"
    assert first.attribution.baseline == "empty cells"
    assert first.attribution.values[0] > 2 * abs(first.attribution.values[1])
    assert empty.attribution.values[0] == pytest.approx(0, abs=1e-5)
    (refused,) = explain_inputs(run, data, Request(rows=[1], method="integrated_gradients", tests=False))
    assert "cells of a table" in refused.without["table"]
    assert set(refused.maps) == {"text"}
