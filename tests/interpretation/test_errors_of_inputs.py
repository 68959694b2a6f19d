"""The errors of a run with several inputs: each shows the inputs that it has, what each adds, heat, facts by input."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leyden.interpretation.atlas import Wanted, collect
from leyden.interpretation.explained import net_inputs
from leyden.interpretation.facts import facts_of
from leyden.reporting.atlas.atlas import Atlas
from leyden.reporting.atlas.page import page
from small_runs import Opened

Open = Callable[[str], Opened]


@pytest.fixture(scope="module")
def atlas(opened: Open) -> Atlas:
    run, _ = opened("several")
    return collect(run.run.folder, Wanted(split="val", each=2, heat=1, suspects=True))


def test_each_error_has_the_inputs_of_its_row_and_what_they_add(atlas: Atlas, opened: Open) -> None:
    _, data = opened("several")
    shown = [error for group in atlas.groups for error in group.worst]
    assert len(shown) > 4
    assert {len(error.inputs) for error in shown} > {3}
    for error in shown:
        sample = net_inputs(data, error.row)
        assert [one.name for one in error.inputs] == list(sample)
        assert error.media is None
        assert error.shares is not None
        assert {name for name, share in error.shares.shares.items() if share is not None} == set(sample)
        assert error.shares.scalar == f"log probability of {error.answer!r}"
        for one in error.inputs:
            if one.name == "image":
                assert np.array_equal(one.media.picture, sample["image"])
            elif one.name == "audio":
                assert one.media.wave is not None
                assert one.media.mel is not None
            else:
                assert one.media.text
                assert len(one.media.text.split()) == len(sample["text"])


def test_the_worst_of_each_class_have_heat_by_input_and_neighbours_by_all(atlas: Atlas) -> None:
    for group in atlas.groups:
        for place, error in enumerate(group.worst):
            assert [one.heat is not None for one in error.inputs] == [place == 0] * len(error.inputs)
            assert error.verdict is (None if place else all(one.heat.passes for one in error.inputs))
            assert len(error.neighbours) == 3
    assert re.search(r"image: .+; text: .+; audio: ", atlas.method)
    assert atlas.suspects
    assert all(one.neighbours is not None for one in atlas.suspects)


def test_the_page_has_a_block_for_each_input(atlas: Atlas, tmp_path: Path) -> None:
    html = page(atlas, tmp_path)
    shown = [error for group in atlas.groups for error in group.worst]
    for name in ("image", "text", "audio"):
        assert html.count(f"<h5>{name}</h5>") == sum(name in [i.name for i in e.inputs] for e in shown)
    assert html.count('<dl class="shares">') == len(shown)
    absent = sum(share is None for e in shown if e.shares for share in e.shares.shares.values())
    assert html.count("<dd>absent</dd>") == absent > 0
    assert html.count("<audio ") == sum("audio" in [i.name for i in e.inputs] for e in shown)


def test_facts_are_of_each_input_and_of_which_there_are(opened: Open) -> None:
    _, data = opened("several")
    rows = np.arange(40)
    found = facts_of(data, rows).facts
    for row in rows:
        sample = net_inputs(data, row)
        assert found["has image"][row] == ("yes" if "image" in sample else "no")
        assert np.isnan(found["audio: seconds"][row]) == ("audio" not in sample)
        assert (found["text: cluster"][row] == "") == ("text" not in sample)
        if "image" in sample:
            assert found["image: brightness"][row] == pytest.approx(sample["image"].mean() / 255)
    assert "cluster" not in found
