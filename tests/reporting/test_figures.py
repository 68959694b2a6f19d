"""Figures: what they show, read back from the axes; labels inside the picture; no global state."""

import io
import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score

from leyden.metrics import evaluate
from leyden.reporting import figures


def scores(n: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(logits, probabilities, labels)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), labels] += 1.5
    p = np.exp(logits)
    return logits, p / p.sum(1, keepdims=True), labels


def drawn(figure: Figure) -> Figure:
    """Rendered, as TensorBoard would; no label may be clipped."""
    figure.savefig(io.BytesIO(), format="png")
    content, size = figure.get_tightbbox(), figure.get_size_inches()  # inches
    assert min(content.x0, content.y0) >= -0.01
    assert content.x1 <= size[0] + 0.01
    assert content.y1 <= size[1] + 0.01
    return figure


def heights(bars: PolyCollection, axis: int = 1) -> np.ndarray:
    """Of bars that are one collection; axis 0 for those that lie."""
    return np.array([np.ptp(path.vertices[:, axis]) for path in bars.get_paths()])


NAMES = ["ship", "a class of a rather long name indeed", "$5 only", "d"]


def test_confusion_matrix_shows_shares_of_rows_and_counts() -> None:
    confusion = np.array([[8, 2, 0, 0], [0, 900, 100, 0], [0, 0, 0, 0], [1, 0, 0, 3]])
    figure = drawn(figures.confusion_matrix(confusion, NAMES, "test"))
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array()[:2, :3], [[0.8, 0.2, 0], [0, 0.9, 0.1]])
    cells = [t for t in axes.texts if t.get_transform() == axes.transData]
    printed = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in cells}
    assert printed == {(r, c): str(confusion[r, c]) for r, c in np.argwhere(confusion)}
    named_below = [t.get_text() for t in axes.texts if t.get_rotation() == 90]
    assert named_below == ["ship", "a class ...e indeed", r"\$5 only", "d", "true"]


def test_confusion_matrix_of_many_classes_prints_no_counts() -> None:
    names = [f"class {i}" for i in range(130)]
    figure = drawn(figures.confusion_matrix(np.eye(130, dtype=int) * 5, names, "test"))
    axes = figure.axes[0]
    assert all(t.get_transform() == axes.transAxes for t in axes.texts)
    assert 40 <= sum(t.get_rotation() == 90 for t in axes.texts) <= 60


def test_reliability_agrees_with_the_metric() -> None:
    logits, p, labels = scores(800, 4)
    figure = drawn(figures.reliability(p.max(1), p.argmax(1) == labels, "test"))
    (axes,) = figure.axes
    ece = evaluate(torch.tensor(logits), torch.tensor(labels), NAMES, intervals=False).values["ece"].value
    assert figure.texts[0].get_text() == f"test: ECE {ece:.4f}, n = 800"
    bars, samples = (heights(c) for c in axes.collections[:2])
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
    figure = drawn(figures.pr_curves(p, labels, names, "test"))
    areas = {n: average_precision_score(labels == c, p[:, c]) for c, n in enumerate(names)}
    worst = sorted(areas, key=lambda n: areas[n])[:6]
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert legend[0] == "3 better classes"
    assert legend[1:] == [f"{n}  AP {areas[n]:.3f}" for n in reversed(worst)]
    for line in figure.axes[0].lines:
        assert line.get_xdata()[-1] == pytest.approx(1.0)


def test_pr_curve_of_two_classes_is_that_of_class_one_and_is_thinned() -> None:
    _, p, labels = scores(9000, 2)
    (line,) = figures.pr_curves(p, labels, ["ham", "spam"]).axes[0].lines
    assert line.get_label().startswith("spam")
    assert len(line.get_xdata()) == 1000


def test_an_absent_class_has_no_curve_and_no_bar() -> None:
    logits, p, labels = scores(200, 4)
    labels[labels == 2] = 1
    assert len(figures.pr_curves(p, labels, NAMES).axes[0].lines) == 3
    found = evaluate(torch.tensor(logits), torch.tensor(labels), NAMES, intervals=False).to_dict()
    figure = drawn(figures.recall_bars(found["per_class"], "test"))
    present = sorted((c for c in found["per_class"] if c["n"]), key=lambda c: c["recall"]["value"])
    widths = heights(figure.axes[0].collections[0], axis=0)
    np.testing.assert_allclose(widths, [c["recall"]["value"] for c in present])
    assert [t.get_text() for t in figure.axes[0].texts[1::2]] == [f"n = {c['n']}" for c in present]


def test_recall_bars_of_many_classes_are_the_worst() -> None:
    logits, _, labels = scores(2000, 90)
    found = evaluate(torch.tensor(logits), torch.tensor(labels), list(map(str, range(90))), intervals=False)
    figure = drawn(figures.recall_bars(found.to_dict()["per_class"], "test"))
    assert len(figure.axes[0].collections[0].get_paths()) == 40
    assert figure.texts[0].get_text() == "test (the worst 40 of 90)"


@pytest.mark.parametrize(("n", "channels"), [(1, 1), (5, 3), (14, 1), (3, 4), (2, 2)])
def test_image_grid_shows_the_pixels(n: int, channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 255, (n, channels, 8, 6), dtype=np.uint8)
    captions = [f"photos/{i}/" + "x" * 40 + "\ntrue $a, predicted b" for i in range(n)]
    figure = drawn(figures.image_grid(images, captions, "worst errors"))
    (mosaic,) = figure.images
    pixels = np.asarray(mosaic.get_array())
    columns = min(8, int(np.ceil(np.sqrt(n))))
    rows = int(np.ceil(n / columns))
    expected = images[:, [0, 0, 0]] if channels < 3 else images[:, :3]
    for place, picture in enumerate(expected.transpose(0, 2, 3, 1)):
        row, column = divmod(place, columns)
        cell = np.array_split(np.array_split(pixels, rows)[row], columns, axis=1)[column]
        there = (cell < 255).any(2)  # white is between the pictures, and not in them
        box = cell[there.any(1)][:, there.any(0)]
        side = box.shape[0] / 8
        assert box.shape[1] == pytest.approx(6 * side, abs=1)  # a pixel is square
        at = [(np.arange(k) * side + side / 2).astype(int) for k in (8, 6)]
        np.testing.assert_array_equal(box[at[0]][:, at[1]], picture)


def test_waveform_grid_keeps_peaks_and_lengths() -> None:
    wave = np.zeros(16_000, dtype=np.int16)
    wave[7_777] = 16_384
    figure = drawn(figures.waveform_grid([wave, wave[:4000], wave[:0]], 8000, ["a.wav", "b.wav", "empty"]))
    (bands,) = (c for c in figure.axes[0].collections if isinstance(c, PolyCollection))
    long, short, empty = (path.vertices for path in bands.get_paths())
    assert np.ptp(long[:, 0]) == pytest.approx(3.2)  # inches
    assert np.ptp(short[:, 0]) == pytest.approx(0.8)
    assert np.ptp(empty[:, 0]) == 0
    assert np.ptp(long[:, 1]) == pytest.approx(0.55)  # half of the place: the loudest peak fills it
    peak = long[long[:, 1].argmin(), 0] - long[:, 0].min()
    assert peak == pytest.approx(3.2 * 7_777 / 16_000, abs=3.2 / 600)
    assert len(long) < 2500
    assert figure.axes[0].get_xlabel() == "each 2 s wide, full height = 0.5 of full scale"


def test_nothing_to_show_is_an_empty_picture() -> None:
    drawn(figures.image_grid(np.zeros((0, 1, 4, 4), dtype=np.uint8), [], "no errors"))
    drawn(figures.waveform_grid([], 8000, []))
    drawn(figures.recall_bars([]))
    drawn(figures.reliability([], []))


def test_no_pyplot_and_no_global_figures() -> None:
    backend = mpl.rcParams._get("backend")
    figures.confusion_matrix(np.eye(2, dtype=int), ["a", "b"])
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    assert mpl.rcParams._get("backend") is backend
