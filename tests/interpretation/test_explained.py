"""What `leyden explain` gathers: which samples, which output of each, and their maps without padding."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leyden.interpretation.explained import Request, explain_samples
from leyden.runs.explain_check import ExplainCheck, MethodCheck, Share
from leyden.runs.predictions import read_predictions
from leyden.runs.run import Run
from leyden.utils.errors import UserError
from small_runs import Opened

Open = Callable[[str], Opened]


def test_the_worst_errors_are_of_each_class_in_turn_and_explain_the_answer(opened: Open) -> None:
    run, data = opened("text")
    stored = read_predictions(run.run.folder, "val")
    wrong = stored["rows"][stored["predicted"] != stored["labels"]]
    found = explain_samples(run, data, Request(worst=6, tests=False))
    assert len(found) == min(6, len(wrong)) > 3
    assert {each.row for each in found} <= set(wrong.tolist())
    labels = [each.truth for each in found]
    assert len(set(labels[:2])) == 2
    predicted = dict(zip(stored["rows"].tolist(), stored["predicted"].tolist(), strict=True))
    for each in found:
        assert each.row is not None
        assert each.attribution.output == predicted[each.row]
        assert each.answer.startswith(run.spec.target_names[predicted[each.row]])
        assert len(each.tokens) == len(each.attribution.values) == len(data.inputs.row(each.row))
        assert (each.test, each.shown().heat.passes) == (None, None)


def test_rows_are_answered_in_their_order_whatever_their_length(opened: Open) -> None:
    run, data = opened("sound")
    rows = [5, 40, 2, 40]
    found = explain_samples(
        run, data, Request(rows=rows, method="integrated_gradients", target="tone 2", tests=False)
    )
    assert [each.row for each in found] == rows
    assert {each.attribution.output for each in found} == {2}
    (alone,) = explain_samples(
        run, data, Request(rows=[40], method="integrated_gradients", target="tone 2", tests=False)
    )
    for each in (found[1], found[3]):
        assert np.allclose(each.attribution.values, alone.attribution.values, atol=2e-3)
        assert each.attribution.values.shape == alone.attribution.values.shape
    assert {each.attribution.values.shape[0] for each in found} == {64}


def test_an_error_of_a_label_explains_the_label(opened: Open) -> None:
    run, data = opened("tags")
    (found, *_) = explain_samples(run, data, Request(worst=2, tests=False))
    groups = run.task.errors(read_predictions(run.run.folder, "val"), run.spec, 1)
    assert found.attribution.scalar == f"logit of {groups[0].name!r}"


def test_a_number_is_explained_in_its_own_units(opened: Open) -> None:
    run, data = opened("values")
    (found,) = explain_samples(run, data, Request(rows=[3], method="integrated_gradients", target="contrast"))
    stored = data.batch_of(np.array([3])).targets[0]
    assert found.attribution.scalar == "value of 'contrast'"
    assert found.truth.startswith(f"brightness {stored[0]:.4g}"[:12])
    assert abs(found.attribution.score) < 100
    assert f"contrast {found.attribution.score:.4g}" in found.answer
    assert found.attribution.values.sum() == pytest.approx(
        found.attribution.score - found.attribution.baseline_score, abs=0.05
    )


def test_where_there_are_no_errors_rows_of_each_class_are_explained(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, data = opened("image")
    monkeypatch.setattr("leyden.interpretation.explained._errors", lambda *_: [])
    said: list[str] = []
    found = explain_samples(run, data, Request(worst=4, method="grad_cam", tests=False), said.append)
    assert len({each.truth for each in found}) == 4
    assert set(said) == {"no errors there: rows of each class in turn"}
    assert {each.row for each in found} <= set(data.splits.val.tolist())


def test_each_map_carries_its_test(opened: Open) -> None:
    run, data = opened("image")
    (found,) = explain_samples(run, data, Request(rows=[3], method="rise", seed=3))
    assert found.test is not None
    heat = found.shown().heat
    assert (heat.passes, heat.method) == (found.test.passes, "rise")
    assert found.test.why in heat.verdict
    assert found.attribution.seed == 3


def test_a_method_that_is_not_named_is_chosen_by_a_test_and_says_so(opened: Open, tmp_path: Path) -> None:
    run, data = opened("image")
    said: list[str] = []
    (found,) = explain_samples(run, data, Request(rows=[3], tests=False), said.append)
    assert said[0].startswith(f"method: {found.attribution.method}: deletion is ")
    shutil.copytree(run.run.folder, tmp_path / "run")
    checked = replace(run, run=Run(tmp_path / "run"))
    share = Share(value=0.95)
    trusted = MethodCheck(
        pointing=share, mass=0.5, untrained_pointing=Share(value=0.1), untrained_mass=0.1, is_trusted=True
    )
    failed = trusted.model_copy(update={"is_trusted": False, "why": "it points elsewhere"})
    check = ExplainCheck(
        data="planted_images", rows=9, accuracy=1.0, methods={"occlusion": trusted, "grad_cam": failed}
    )
    check.write(tmp_path / "run")
    (found,) = explain_samples(checked, data, Request(rows=[3]))
    assert found.attribution.method == "occlusion"
    assert found.test is not None
    assert found.shown().heat.passes == found.test.passes
    (found,) = explain_samples(checked, data, Request(rows=[3], method="grad_cam", tests=False))
    heat = found.shown().heat
    assert heat.passes is False
    assert heat.verdict == "grad_cam is not to be trusted for this net: it points elsewhere"


def test_nets_without_a_gradient_by_a_token_are_explained_by_occlusion(opened: Open) -> None:
    run, data = opened("ngrams")
    (found,) = explain_samples(run, data, Request(rows=[3], tests=False))
    assert found.attribution.method == "occlusion"


def test_a_row_that_there_is_not_is_refused(opened: Open) -> None:
    run, data = opened("image")
    with pytest.raises(UserError, match=r"row -1: the table has rows 0 to 239"):
        explain_samples(run, data, Request(rows=[-1]))
