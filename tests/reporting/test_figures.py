"""Figures: what they show, read back from the axes; labels inside the picture; no global state."""

import io
import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch
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


NAMES = ["ship", "a class of a rather long name indeed", "$5 only", "d"]


def test_confusion_matrix_shows_shares_of_rows_and_counts() -> None:
    confusion = np.array([[8, 2, 0, 0], [0, 900, 100, 0], [0, 0, 0, 0], [1, 0, 0, 3]])
    figure = drawn(figures.confusion_matrix(confusion, NAMES, "test"))
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array()[:2, :3], [[0.8, 0.2, 0], [0, 0.9, 0.1]])
    printed = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in axes.texts}
    assert printed == {(r, c): str(confusion[r, c]) for r, c in np.argwhere(confusion)}
    assert len(axes.get_xticklabels()) == 4


def test_confusion_matrix_of_many_classes_prints_no_counts() -> None:
    names = [f"class {i}" for i in range(130)]
    figure = drawn(figures.confusion_matrix(np.eye(130, dtype=int) * 5, names, "test"))
    assert not figure.axes[0].texts
    assert 40 <= len(figure.axes[0].get_xticklabels()) <= 60


def test_reliability_agrees_with_the_metric() -> None:
    logits, p, labels = scores(800, 4)
    figure = drawn(figures.reliability(p.max(1), p.argmax(1) == labels, "test"))
    top, below = figure.axes
    ece = evaluate(torch.tensor(logits), torch.tensor(labels), NAMES, intervals=False).values["ece"].value
    assert top.get_title() == f"test: ECE {ece:.4f}, n = 800"
    heights = [bar.get_height() for bar in below.patches]
    assert len(heights) == 15
    assert sum(heights) == 800
    last = p.max(1) > 14 / 15
    assert top.patches[14].get_height() == pytest.approx((p.argmax(1) == labels)[last].mean())


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
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == [c["recall"]["value"] for c in present]
    assert [t.get_text() for t in figure.axes[0].texts] == [f"n = {c['n']}" for c in present]


def test_recall_bars_of_many_classes_are_the_worst() -> None:
    logits, _, labels = scores(2000, 90)
    found = evaluate(torch.tensor(logits), torch.tensor(labels), list(map(str, range(90))), intervals=False)
    figure = drawn(figures.recall_bars(found.to_dict()["per_class"], "test"))
    assert len(figure.axes[0].patches) == 40
    assert figure.axes[0].get_title() == "test (the worst 40 of 90)"


@pytest.mark.parametrize(("n", "channels"), [(1, 1), (5, 3), (14, 1), (3, 4), (2, 2)])
def test_image_grid_shows_the_pixels(n: int, channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (n, channels, 8, 6), dtype=np.uint8)
    captions = [f"photos/{i}/" + "x" * 40 + "\ntrue $a, predicted b" for i in range(n)]
    figure = drawn(figures.image_grid(images, captions, "worst errors"))
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(shown) == n
    expected = images[:, 0] if channels < 3 else images[:, :3].transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(np.stack(shown), expected)


def test_waveform_grid_keeps_peaks_and_seconds() -> None:
    wave = np.zeros(16_000, dtype=np.int16)
    wave[7_777] = 16_384
    figure = drawn(figures.waveform_grid([wave, wave[:4000], wave[:0]], 8000, ["a.wav", "b.wav", "empty"]))
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(0.5)
    assert band[:, 0].max() == pytest.approx(2.0)
    assert len(band) < 2500
    assert {axes.get_xlim() for axes in figure.axes} == {(0.0, 2.0)}


def test_spectrogram_grid_shares_one_scale() -> None:
    rng = np.random.default_rng(0)
    spectrograms = [rng.normal(size=(40, n)) for n in (98, 60, 30, 98)]
    figure = drawn(figures.spectrogram_grid(spectrograms, list("abcd"), "log-mel"))
    images = [axes.images[0] for axes in figure.axes[:4]]
    limits = {image.get_clim() for image in images}
    assert limits == {(min(s.min() for s in spectrograms), max(s.max() for s in spectrograms))}
    assert all(image.origin == "lower" for image in images)


def test_nothing_to_show_is_an_empty_picture() -> None:
    drawn(figures.image_grid(np.zeros((0, 1, 4, 4), dtype=np.uint8), [], "no errors"))
    drawn(figures.waveform_grid([], 8000, []))
    drawn(figures.spectrogram_grid([], []))
    drawn(figures.recall_bars([]))
    drawn(figures.reliability([], []))


def test_no_pyplot_and_no_global_figures() -> None:
    backend = mpl.rcParams._get("backend")
    figures.confusion_matrix(np.eye(2, dtype=int), ["a", "b"])
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    assert mpl.rcParams._get("backend") is backend
