"""task=contrastive: embeddings to metrics, stored predictions, errors, answers and their columns."""

import numpy as np
import pytest

from leyden.data.spec import DataSpec
from leyden.data.targets import WITHOUT_CLASS
from leyden.decision.prototypes import Prototypes
from leyden.tasks.contrastive import Contrastive, class_similarity
from leyden.tasks.figures import ClassSimilarity
from leyden.utils.errors import UserError

PARTS = {"image": DataSpec("image", ("a", "b")), "audio": DataSpec("audio", ("a", "b"))}
SPEC = DataSpec("several", ("a", "b"), sizes=(4, 4, 4), parts=PARTS)
A, B, NONE = [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]
OUTPUTS = np.array([[A, A], [B, B], [A, [0.6, 0.8]], [B, NONE]])
TARGETS = np.array([0, 1, 1, 1])
TASK = Contrastive()


def known() -> Prototypes:
    return TASK.without_rule(SPEC, lambda split: (OUTPUTS[:2], TARGETS[:2]) if split == "train" else None)


def test_prototypes_are_those_of_the_training_rows() -> None:
    assert known().means.tolist() == [[A, B], [A, B]]
    assert not TASK.without_rule(SPEC, lambda split: None).is_known
    found = TASK.evaluate(OUTPUTS, TARGETS, SPEC, known(), intervals=False)
    assert found.n == 3
    assert found.values["zero_shot_accuracy"].value == pytest.approx(6 / 7)
    assert (
        TASK.evaluate(OUTPUTS, TARGETS, SPEC, TASK.neutral(SPEC), False).values["zero_shot_accuracy"].value
        is None
    )


def test_groups_count_once() -> None:
    z = np.random.default_rng(0).normal(size=(8, 2, 2))
    z /= np.linalg.norm(z, axis=2, keepdims=True)
    found = TASK.evaluate_groups(z, np.arange(8) % 2, SPEC, known(), list("xxxyyyzz"))
    assert "3 independent rows" in found.values["class_recall_at_1"].method


def test_stored_predictions_and_errors() -> None:
    stored = {"rows": np.arange(4), **TASK.predictions(OUTPUTS, TARGETS, known())}
    assert stored["retrieved"].tolist() == [[0, 0], [1, 1], [0, 1], [-1, -1]]
    assert stored["zero_shot"].tolist() == [[0, 0], [1, 1], [0, 1], [1, -1]]
    assert TASK.wrong(stored).tolist() == [False, False, True, False]
    (group,) = TASK.errors(stored, SPEC, 5)
    assert (group.name, group.total, group.places.tolist()) == ("b", 1, [2])
    assert group.mistakes[0].said == "image: a (0.60)"
    assert TASK.sample_columns(stored, SPEC)["found by image"] == ["a", "b", "a", ""]
    ((name, figure),) = TASK.figures({}, stored, SPEC, "test")
    assert (name, isinstance(figure, ClassSimilarity)) == ("similarity", True)


def test_answers_of_each_input_and_of_the_pair() -> None:
    both, single = list(TASK.answers(OUTPUTS[2:], SPEC, known(), top=2))
    assert both["similarity"] == pytest.approx(0.6)
    assert both["inputs"]["image"]["classes"] == ["a", "b"]
    assert sum(both["inputs"]["audio"]["probabilities"]) == pytest.approx(1)
    assert single["inputs"]["audio"] is None
    assert single["similarity"] is None
    columns = [TASK.columns(answer) for answer in (both, single)]
    assert columns[0].keys() == columns[1].keys()
    assert (columns[1]["image_class_1"], columns[1]["audio_class_1"], columns[1]["similarity"]) == (
        "b",
        "",
        "",
    )
    (plain,) = TASK.answers(OUTPUTS[:1], SPEC, TASK.neutral(SPEC), 1)
    assert TASK.columns(plain) == {"similarity": 1.0}


def test_the_figure_has_mean_cosines_by_class() -> None:
    found = class_similarity(OUTPUTS[:3], TARGETS[:3], SPEC, "val")
    assert np.array(found.cosines) == pytest.approx(np.array([[1, 0.3], [0.5, 0.6]]))
    assert found.inputs == ("image", "audio")


def test_pairs_without_classes_are_right_where_their_partner_is_found() -> None:
    spec = DataSpec("several", (WITHOUT_CLASS,), sizes=(4, 4, 4), parts=PARTS)
    targets = np.zeros(4, dtype=np.int64)
    point = TASK.without_rule(spec, lambda split: (OUTPUTS, targets))
    assert (point.is_known, Prototypes.from_dict(point.to_dict()).means.shape) == (False, (2, 0, 2))
    assert TASK.any_outputs(3, spec, point).shape == (3, 2, 2)
    found = TASK.evaluate(OUTPUTS, targets, spec, point, intervals=False).values
    assert found["class_recall_at_1"].value is None
    assert found["zero_shot_accuracy"].value is None
    assert found["recall_at_1"].value == pytest.approx(
        3.5 / 6
    )  # the third is not found, the first by its sound as likely as not
    stored = {"rows": np.array([7, 5, 3, 1]), **TASK.predictions(OUTPUTS, targets, point)}
    assert TASK.wrong(stored).tolist() == [False, False, True, False]
    (group,) = TASK.errors(stored, spec, 5)
    assert (group.total, group.places.tolist()) == (1, [2])
    assert group.mistakes[0].kind == "row 3, found by image: row 7 and audio: row 5"
    assert TASK.sample_columns(stored, spec)["found by image"] == ["row 7", "row 5", "row 7", ""]
    assert not list(TASK.figures({}, stored, spec, "test"))


def test_the_nearest_of_a_gallery_are_found_by_each_input() -> None:
    """As a search over all rows of the other input finds them; rows that lack it are no candidates."""
    rng = np.random.default_rng(1)
    gallery = rng.normal(size=(30, 2, 4))
    gallery /= np.linalg.norm(gallery, axis=2, keepdims=True)
    gallery[3, 0] = gallery[4, 1] = 0  # absent
    samples = gallery[[5, 6]].copy()
    samples[1, 1] = 0
    names = [f"g{row}" for row in range(30)]
    both, single = TASK.nearest(samples, gallery, SPEC, names, 3)
    assert [(said["by"], said["rank"]) for said in both] == [
        *(("image", rank) for rank in (1, 2, 3)),
        *(("audio", rank) for rank in (1, 2, 3)),
    ]
    cosines = {row: float(gallery[row, 1] @ samples[1, 0]) for row in range(30) if row != 4}
    best = sorted(cosines, key=lambda row: -cosines[row])[:3]
    assert [said["found"] for said in single] == [names[row] for row in best]
    assert [said["similarity"] for said in single] == pytest.approx([cosines[row] for row in best])
    with pytest.raises(UserError, match="none of its 30 samples has audio"):
        list(TASK.nearest(samples[1:], gallery * [[[1], [0]]], SPEC, names, 3))
