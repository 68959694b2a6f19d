"""Retrieval metrics against brute force over every order of equal cosines; intervals against simulation."""

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from leyden.metrics.results import RECALLED_AT, RETRIEVAL_METRICS, stored_metrics
from leyden.metrics.retrieval import evaluate_pairs, independent_parts, rank

Floats = NDArray[np.float64]


def pairs(count: int, directions: int, seed: int) -> Floats:
    """(count, 2, 2) unit vectors of few directions, so that many cosines are equal."""
    angles = np.random.default_rng(seed).integers(0, directions, (count, 2)) * 2 * np.pi / directions
    return np.stack([np.cos(angles), np.sin(angles)], axis=2)


def by_brute_force(queries: Floats, gallery: Floats, classes: NDArray[np.int64]) -> dict[str, Floats]:
    """Means over all orders of the gallery, in each of which equal cosines stay in place."""
    n = len(queries)
    cosines = np.round(queries @ gallery.T, 5)
    orders = [np.array(order) for order in permutations(range(n))]
    own, same, ranks = np.zeros((n, 3)), np.zeros((n, 3)), np.zeros(n)
    for order in orders:
        for i in range(n):
            ranked = order[np.argsort(-cosines[i, order], kind="stable")]
            ranks[i] += 1 + int(np.flatnonzero(ranked == i)[0])
            for place, k in enumerate(RECALLED_AT):
                own[i, place] += i in ranked[:k]
                same[i, place] += bool((classes[ranked[:k]] == classes[i]).any())
    return {"own": own / len(orders), "same_class": same / len(orders), "rank": ranks / len(orders)}


@pytest.mark.parametrize("seed", range(8))
def test_ranking_equals_brute_force_over_every_order_of_ties(seed: int) -> None:
    z = pairs(6, directions=2 + seed % 4, seed=seed)
    classes = np.random.default_rng(seed).integers(0, 3, 6)
    found = rank(z[:, 0], z[:, 1], classes)
    for name, expected in by_brute_force(z[:, 0], z[:, 1], classes).items():
        assert getattr(found, name) == pytest.approx(expected), name


def test_without_ties_a_large_gallery_agrees_with_sorting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leyden.metrics.retrieval._AT_ONCE", 1000)  # several blocks
    rng = np.random.default_rng(0)
    z = rng.normal(size=(150, 2, 16))
    z /= np.linalg.norm(z, axis=2, keepdims=True)
    classes = rng.integers(0, 40, 150)
    found = rank(z[:, 0], z[:, 1], classes)
    order = np.argsort(-(z[:, 0] @ z[:, 1].T), axis=1)
    places = np.argsort(order, axis=1)[np.arange(150), np.arange(150)]
    assert np.array_equal(found.rank, places + 1)
    assert np.array_equal(found.nearest, order[:, 0])
    for place, k in enumerate(RECALLED_AT):
        assert np.array_equal(found.own[:, place], places < k)
        hits = (classes[order[:, :k]] == classes[:, None]).any(1)
        assert np.array_equal(found.same_class[:, place], hits)


def test_embeddings_that_are_all_the_same_find_no_more_than_chance() -> None:
    z = np.zeros((50, 2, 3))
    z[..., 0] = 1
    found = evaluate_pairs(z, np.repeat(np.arange(5), 10), ("image", "audio"))
    assert found.values["recall_at_1"].value == pytest.approx(1 / 50)
    assert found.values["class_recall_at_1"].value == pytest.approx(1 / 5)
    assert found.values["median_rank"].value == pytest.approx(25.5)
    assert found.values["recall_at_1"].low is None  # all rows are one


def test_directions_absent_inputs_and_zero_shot() -> None:
    z = np.zeros((4, 2, 2))
    z[[0, 1, 2], 0] = [[1, 0], [0, 1], [1, 0]]
    z[[0, 1, 3], 1] = [[1, 0], [0, 1], [0, 1]]
    classes = np.array([0, 1, 0, 1])
    found = evaluate_pairs(
        z, classes, ("image", "text"), zero_shot=np.array([[0, 0], [1, 1], [1, -1], [-1, 1]])
    )
    assert found.n == 2
    assert [(way.query, way.gallery) for way in found.retrieval] == [("image", "text"), ("text", "image")]
    assert found.values["recall_at_1"].value == 1
    assert found.retrieval[0].values["zero_shot_accuracy"].value == pytest.approx(2 / 3)  # of three pictures
    assert found.values["zero_shot_accuracy"].value == pytest.approx(5 / 6)
    assert tuple(found.values) == RETRIEVAL_METRICS
    assert stored_metrics(found.to_dict()) == found
    assert evaluate_pairs(z, classes, ("a", "b")).values["zero_shot_accuracy"].value is None
    none = evaluate_pairs(np.zeros((3, 2, 2)), np.arange(3), ("a", "b"))
    assert none.n == 0
    assert none.values["recall_at_1"].value is None


def test_rows_that_share_an_input_or_a_group_are_one() -> None:
    z = np.random.default_rng(0).normal(size=(6, 2, 8))
    z[1, 0] = z[0, 0] + 1e-6
    z[2, 1] = z[1, 1]
    z[5] = 0  # absent inputs are not the same input
    z[4, 0] = 0
    assert len(set(independent_parts(z)[:3].tolist())) == 1
    assert len(set(independent_parts(z).tolist())) == 4
    assert len(set(independent_parts(z, ["a", "b", "c", "a", "d", "d"]).tolist())) == 2


@pytest.mark.slow
def test_intervals_hold_the_truth_where_recordings_repeat() -> None:
    """Each of 60 recordings stands in 5 rows with pictures of their own, and is found or not as a whole."""
    rng, held, wide, runs, truth = np.random.default_rng(0), 0, 0, 400, 0.7
    for _ in range(runs):
        audio = np.repeat(rng.normal(size=(60, 8)), 5, axis=0)
        z = np.stack([rng.normal(size=(300, 8)), audio], axis=1)
        right = np.repeat(rng.random(60) < truth, 5)
        predicted = np.stack([right, right], axis=1).astype(np.int64)
        found = evaluate_pairs(
            z / np.linalg.norm(z, axis=2, keepdims=True),
            np.ones(300, np.int64),
            ("a", "b"),
            zero_shot=predicted,
        ).values["zero_shot_accuracy"]
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
        wide += found.high - found.low > 0.15  # of 300 independent rows it would be .10
    assert 0.91 <= held / runs <= 0.985  # 99.9 % of binomial(400, .95)
    assert wide == runs
