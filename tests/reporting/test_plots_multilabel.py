"""Figures of a multi-label evaluation: what they show, read back from their sheets."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from leyden.metrics.multilabel import evaluate_multilabel
from leyden.reporting.plots.fast_figure import Lines
from leyden.reporting.plots.multilabel import average_precision_bars, error_matrix, error_pairs
from leyden.reporting.plots.style import BLACK, BLUE
from sheets import heights, render, sheet_of, texts_of


def sample(n: int, labels: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(0)
    targets = rng.random((n, labels)) < np.linspace(0.05, 0.5, labels)
    return 2.0 * targets - 1 + rng.normal(size=(n, labels)), targets, [f"l{i}" for i in range(labels)]


def strokes(figure: Figure, colour: str, count: int) -> list[np.ndarray]:
    """The x of so many segments of one colour."""
    lines = [m for m in sheet_of(figure).marks if isinstance(m, Lines) and m.colour == colour]
    (found,) = [[s[:, 0] for s in m.strokes] for m in lines if len(m.strokes) == count and m.width == 1.4]
    return found


def test_bars_are_average_precision_with_interval_and_chance_the_worst_on_top() -> None:
    z, y, names = sample(300, 6)
    y[:, 2] = False  # no average precision, no bar
    found = evaluate_multilabel(z, y, names).to_dict()["per_label"]
    figure = render(average_precision_bars(found, 300, "test"))
    present = sorted(
        (f for i, f in enumerate(found) if i != 2), key=lambda f: f["average_precision"]["value"]
    )
    np.testing.assert_allclose(heights(figure, axis=0)[0], [f["average_precision"]["value"] for f in present])
    chance = [x[0] for x in strokes(figure, BLACK, 5)]
    np.testing.assert_allclose(chance, [f["n"] / 300 for f in present])
    ends = [[f["average_precision"][end] for end in ("low", "high")] for f in present]
    np.testing.assert_allclose(strokes(figure, BLUE, 5), ends)
    named = [w.text for w in texts_of(figure) if w.ha == "right"]
    assert named == [f["name"] for f in present]


def test_bars_without_intervals_and_without_labels() -> None:
    z, y, names = sample(100, 3)
    found = evaluate_multilabel(z, y, names, intervals=False).to_dict()["per_label"]
    assert len(heights(render(average_precision_bars(found, 100)), axis=0)[0]) == 3
    render(average_precision_bars([], 0))


def test_error_pairs_by_hand() -> None:
    targets = [[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    answers = [[0, 1, 1], [0, 1, 1], [0, 0, 0], [1, 0, 1], [1, 0, 0]]
    expected = [[0, 1, 2, 0], [0, 0, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert error_pairs(answers, targets).tolist() == expected


def test_the_diagonal_is_empty_and_the_sums_are_those_of_the_errors() -> None:
    z, y, _ = sample(500, 5)
    pairs = error_pairs(z > 0, y)
    assert not np.diag(pairs).any()
    only_missed = (y & ~(z > 0)) & ~(~y & (z > 0)).any(1, keepdims=True)
    np.testing.assert_array_equal(pairs[:-1, -1], only_missed.sum(0))


@pytest.mark.parametrize("labels", [3, 40])
def test_error_matrix_prints_its_counts(labels: int) -> None:
    z, y, names = sample(400, labels)
    figure = render(error_matrix(z > 0, y, names, "test"))
    wrong = ((z > 0) != y).sum(0)
    kept = np.sort(np.argsort(-wrong, kind="stable")[:19])
    counts = error_pairs(z > 0, y)[np.ix_([*kept, labels], [*kept, labels])]
    printed = {(w.y, w.x): w.text for w in texts_of(figure) if w.offset == (0, 0)}
    assert printed == {(r, c): str(counts[r, c]) for r, c in np.argwhere(counts)}
    named = [w.text for w in texts_of(figure) if w.ha == "right" and not w.rotated]
    assert named == [*(names[k] for k in kept), "none"]
    assert texts_of(figure)[0].text == ("test" if labels == 3 else "test (the worst 19 of 40)")


def test_an_error_matrix_without_errors() -> None:
    _, y, names = sample(20, 3)
    figure = render(error_matrix(y, y, names))
    assert not [w for w in texts_of(figure) if w.offset == (0, 0)]
