"""What is shown of transcripts after an epoch: edits, and words where they are heard."""

import numpy as np

from leyden.data.spec import DataSpec
from leyden.data.transcripts import BLANK, padded
from leyden.reporting.plots.samples import spectrogram_grid
from leyden.tasks import epoch_views
from leyden.tasks.ctc import CTC

SPEC = DataSpec("audio", (BLANK, "▁no", "▁on"), sizes=(1, 1, 1))


def outputs() -> np.ndarray:
    """Ten frames, "no" in the third and "on" in the last two; the second row has half of them."""
    found = np.zeros((2, 10, 3))
    found[:, :, 0] = 5
    found[:, 2, 1] = found[0, 8:, 2] = 9
    found[1, 5:] = np.nan
    return found


def test_captions_mark_the_edits() -> None:
    said = epoch_views.answers(outputs(), CTC("words"), SPEC)
    true = epoch_views.truths(padded([[1, 1, 2], [2]]), "sequences", SPEC.target_names)
    captions = [epoch_views.caption(*each, "sequences") for each in zip(said, true, strict=True)]
    assert captions == ["[-no-] no on", "[-on-]{+no+}"]
    assert epoch_views.caption("cat 0.9", "dog", "classes") == "cat 0.9\ntrue: dog"


def test_words_stand_where_they_are_heard() -> None:
    places = epoch_views.places(outputs(), CTC("words"), SPEC, [2.0, 1.0])
    assert places == [[(0.4, "no"), (1.6, "on")], [(0.4, "no")]]


def test_a_spectrogram_has_a_line_and_a_word_at_each_place() -> None:
    mels = [np.zeros((4, 10), np.float32), np.full((4, 5), -100, np.float32)]
    words = [[(0.4, "no"), (1.6, "on")], [(0.2, "no"), (2.5, "late")]]
    (sheet,) = spectrogram_grid(mels, 2.0, ["a", "b"], words=words).findobj(
        lambda artist: hasattr(artist, "marks")
    )
    first, second = (mark.strokes for mark in sheet.marks if hasattr(mark, "strokes"))
    left, right = (stroke[0, 0] for stroke in first)
    assert second[0][0, 0] - left > right - left, "the second picture is at the right"
    width = (right - left) / (1.6 - 0.4) * 2.0
    boxes = [mark for mark in sheet.marks if hasattr(mark, "pixels")]
    assert np.isclose(width, boxes[0].upper_right[0] - boxes[0].lower_left[0])
    texts = [mark.text for mark in sheet.marks if hasattr(mark, "text")]
    assert [text for text in texts if text in ("no", "on", "late")] == ["no", "on", "no"]
