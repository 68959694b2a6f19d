"""Evaluation figures: their content, read from the sheets; labels within the figure; no global state."""

import sys
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, precision_recall_curve

from leyden.metrics import evaluate
from leyden.reporting.plots import evaluation
from leyden.reporting.plots.fast_figure import Areas, Lines, Pixels
from sheets import heights, render, sheet_of, texts_of


def scores(n: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(logits, probabilities, labels)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), labels] += 1.5
    p = np.exp(logits)
    return logits, p / p.sum(1, keepdims=True), labels


def curves(figure: Figure) -> list[np.ndarray]:
    """The curves (n, 2), without the frame, the grid and the ticks."""
    lines = [mark for mark in sheet_of(figure).marks if isinstance(mark, Lines) and mark.offset == (0, 0)]
    return [mark.strokes[0] for mark in lines if len(mark.strokes) == 1 and len(mark.strokes[0]) != 5]


NAMES = ["ship", "a class of a rather long name indeed", "$5 only", "d"]


def test_confusion_matrix_shows_shares_of_rows_and_counts() -> None:
    confusion = np.array([[8, 2, 0, 0], [0, 900, 100, 0], [0, 0, 0, 0], [1, 0, 0, 3]])
    figure = render(evaluation.confusion_matrix(confusion, NAMES, "test"))
    (cells,) = (mark for mark in sheet_of(figure).marks if isinstance(mark, Pixels))
    blues = mpl.colormaps["Blues"]([[0.8, 0.2, 0], [0, 0.9, 0.1]], bytes=True)[..., :3].astype(int)
    assert np.abs(cells.pixels[:2, :3] - blues).max() <= 3  # of 255: one step of the map
    printed = {(w.y, w.x): w.text for w in texts_of(figure) if w.offset == (0, 0)}
    assert printed == {(r, c): str(confusion[r, c]) for r, c in np.argwhere(confusion)}
    named_below = [w.text for w in texts_of(figure) if w.rotated]
    assert named_below == ["ship", "a class ...e indeed", "$5 only", "d", "true"]
    named_beside = [w.text for w in texts_of(figure) if w.ha == "right" and not w.rotated]
    assert named_beside == named_below[:4]


def test_confusion_matrix_of_many_classes_prints_no_counts() -> None:
    names = [f"class {i}" for i in range(130)]
    figure = render(evaluation.confusion_matrix(np.eye(130, dtype=int) * 5, names, "test"))
    assert all(w.offset != (0, 0) for w in texts_of(figure))
    assert 40 <= sum(w.rotated for w in texts_of(figure)) <= 60


def test_reliability_agrees_with_the_metric() -> None:
    logits, p, labels = scores(800, 4)
    figure = render(evaluation.reliability(p.max(1), p.argmax(1) == labels, "test"))
    ece = evaluate(torch.tensor(logits), torch.tensor(labels), NAMES, intervals=False).values["ece"].value
    assert texts_of(figure)[0].text == f"test: ECE {ece:.4f}, n = 800"
    bars, samples = heights(figure)[:2]
    assert len(bars) == len(samples) == 15
    np.testing.assert_allclose(
        samples / 0.25,
        np.histogram(p.max(1), 15, (0, 1))[0] / np.histogram(p.max(1), 15, (0, 1))[0].max(),
        atol=1e-9,
    )
    last = p.max(1) > 14 / 15
    assert bars[14] == pytest.approx((p.argmax(1) == labels)[last].mean())


def test_pr_curves_name_the_worst_with_their_average_precision() -> None:
    _, p, labels = scores(600, 9, seed=3)
    names = [f"k{i}" for i in range(9)]
    figure = render(evaluation.pr_curves(p, labels, names, "test"))
    areas = {n: average_precision_score(labels == c, p[:, c]) for c, n in enumerate(names)}
    worst = sorted(areas, key=lambda n: areas[n])[:6]
    key = [w.text for w in texts_of(figure)][-7:]
    assert key == [*(f"{n}  AP {areas[n]:.3f}" for n in worst), "3 better classes"]
    assert len(curves(figure)) == 9
    for curve in curves(figure):
        assert curve[-1, 0] == pytest.approx(1.0)


def test_a_legend_of_long_names_is_not_clipped() -> None:
    _, p, labels = scores(300, 9, seed=3)
    render(evaluation.pr_curves(p, labels, [f"{i} WWWWWWWWWWWWWWWWWWWWWW" for i in range(9)], "test"))


def test_pr_curve_of_two_classes_is_that_of_class_one_and_is_thinned() -> None:
    _, p, labels = scores(9000, 2)
    figure = evaluation.pr_curves(p, labels, ["ham", "spam"])
    (curve,) = curves(figure)
    assert texts_of(figure)[-1].text.startswith("spam")
    assert len(curve) == 1000  # 500 steps
    right = {tuple(corner) for corner in curve[1::2]}
    precision, recall, _ = precision_recall_curve(labels, p[:, 1])
    there = np.array(sorted(zip(recall.tolist(), precision.tolist(), strict=True)))
    for x, y in right:
        assert np.abs(there - (x, y)).max(1).min() < 1e-9
    np.testing.assert_array_equal(curve[:-1:2, 1], curve[1::2, 1])  # level up to each
    np.testing.assert_array_equal(curve[1:-1:2, 0], curve[2::2, 0])  # and upright from there


def test_an_absent_class_has_no_curve_and_no_bar() -> None:
    logits, p, labels = scores(200, 4)
    labels[labels == 2] = 1
    assert len(curves(evaluation.pr_curves(p, labels, NAMES))) == 3
    found = evaluate(torch.tensor(logits), torch.tensor(labels), NAMES, intervals=False).to_dict()
    figure = render(evaluation.recall_bars(found["per_class"], "test"))
    present = sorted((c for c in found["per_class"] if c["n"]), key=lambda c: c["recall"]["value"])
    (widths,) = heights(figure, axis=0)
    np.testing.assert_allclose(widths, [c["recall"]["value"] for c in present])
    sizes = [w.text for w in texts_of(figure) if w.text.startswith("n = ")]
    assert sizes == [f"n = {c['n']}" for c in present]


def test_recall_bars_of_many_classes_are_the_worst() -> None:
    logits, _, labels = scores(2000, 90)
    found = evaluate(torch.tensor(logits), torch.tensor(labels), list(map(str, range(90))), intervals=False)
    figure = render(evaluation.recall_bars(found.to_dict()["per_class"], "test"))
    assert len(heights(figure)[0]) == 40
    assert texts_of(figure)[0].text == "test (the worst 40 of 90)"


@pytest.mark.parametrize(("n", "channels"), [(1, 1), (5, 3), (14, 1), (3, 4), (2, 2)])
def test_image_grid_shows_the_pixels(n: int, channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 255, (n, channels, 8, 6), dtype=np.uint8)
    captions = [f"photos/{i}/" + "x" * 40 + "\ntrue $a, predicted b" for i in range(n)]
    figure = render(evaluation.image_grid(images, captions, "worst errors"))
    canvas: Any = figure.canvas
    canvas.draw()
    rendered = np.asarray(canvas.buffer_rgba())[..., :3]
    shown = [mark for mark in sheet_of(figure).marks if isinstance(mark, Pixels)]
    expected = images[:, [0, 0, 0]] if channels < 3 else images[:, :3]
    boxes = []
    for mark, picture in zip(shown, expected.transpose(0, 2, 3, 1), strict=True):
        ends = [sheet_of(figure)._to_pixels(corner) for corner in (mark.lower_left, mark.upper_right)]
        (left, bottom), (right, top) = (end.round().astype(int) for end in ends)
        box = rendered[len(rendered) - top : len(rendered) - bottom, left:right]
        side = box.shape[0] / 8
        assert box.shape[1] == pytest.approx(6 * side, abs=1)  # a pixel is square
        at = [(np.arange(k) * side + side / 2).astype(int) for k in (8, 6)]
        np.testing.assert_array_equal(box[at[0]][:, at[1]], picture)
        boxes.append((left, bottom, right, top))
    for i, (left, bottom, right, top) in enumerate(boxes):
        apart = [right <= o[0] or o[2] <= left or top <= o[1] or o[3] <= bottom for o in boxes[:i]]
        assert all(apart)


def test_waveform_grid_keeps_peaks_and_lengths() -> None:
    wave = np.zeros(16_000, dtype=np.int16)
    wave[7_777] = 16_384
    figure = render(
        evaluation.waveform_grid([wave, wave[:4000], wave[:0]], 8000, ["a.wav", "b.wav", "empty"])
    )
    (bands,) = (mark for mark in sheet_of(figure).marks if isinstance(mark, Areas))
    long, short, empty = bands.outlines
    assert np.ptp(long[:, 0]) == pytest.approx(3.1)  # inches
    assert np.ptp(short[:, 0]) == pytest.approx(3.1 / 4)
    assert np.ptp(empty[:, 0]) == 0
    assert np.ptp(long[:, 1]) == pytest.approx(0.3)  # half of the place: the loudest peak fills it
    peak = long[long[:, 1].argmin(), 0] - long[:, 0].min()
    assert peak == pytest.approx(3.1 * 7_777 / 16_000, abs=3.2 / 600)
    assert len(long) < 2500
    assert texts_of(figure)[-1].text == "each 2 s wide, full height = 0.5 of full scale"


def test_no_data_gives_an_empty_figure() -> None:
    render(evaluation.image_grid(np.zeros((0, 1, 4, 4), dtype=np.uint8), [], "no errors"))
    render(evaluation.waveform_grid([], 8000, []))
    render(evaluation.recall_bars([]))
    render(evaluation.reliability([], []))


def test_no_pyplot_and_no_global_figures() -> None:
    backend = mpl.rcParams._get("backend")
    evaluation.confusion_matrix(np.eye(2, dtype=int), ["a", "b"])
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    assert mpl.rcParams._get("backend") is backend
