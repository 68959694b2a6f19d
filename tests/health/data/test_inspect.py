"""Each planted fault gives its finding, clean data gives none, and one fault gives exactly one error."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from leyden.data.datamodule import DataModule, ReadingOptions
from leyden.data.long_tail import KeepAll
from leyden.data.sampling_policies import Instance
from leyden.data.sources.audio import AudioFolder
from leyden.data.sources.image import ImageFolder
from leyden.data.sources.synthetic import PlantedAudio, PlantedImages, PlantedText
from leyden.data.split import Auto, Grouped, KFold, Stratified
from leyden.data.table import Dense
from leyden.data.tokenizers import Word
from leyden.health.data import duplicates
from leyden.health.data.checks import find_problems, quick_checks, run_checks
from leyden.health.findings import CheckResult, Finding
from leyden.utils.errors import UserError
from leyden.utils.text import percent
from near_copies import layer

ROWS = 400
PART = np.repeat([0, 1, 2], [240, 80, 80])
LABELS = np.arange(ROWS) % 4


def images(rows: int = ROWS, channels: int = 1) -> list[np.ndarray]:
    source = PlantedImages(samples=rows, channels=3 if channels == 3 else 1)
    return [source.decode(row) for row in range(rows)]


def clips(rows: int = ROWS) -> list[np.ndarray]:
    source = PlantedAudio(samples=rows)
    return [source.decode(row) for row in range(rows)]


def texts(rows: int = ROWS) -> list[np.ndarray]:
    source = PlantedText(samples=rows, min_words=10)
    return [source.decode(row) for row in range(rows)]


MAKE = {"image": images, "audio": clips, "text": texts}


def levels(found: list[Finding]) -> dict[str, str]:
    return {finding.id: finding.level for finding in found}


def one(found: list[Finding], identity: str) -> Finding:
    (finding,) = [f for f in found if f.id == identity]
    return finding


# -- duplicates


@pytest.mark.parametrize("modality", MAKE)
@pytest.mark.parametrize(("copies", "level"), [(0, None), (1, "warning"), (8, "error")])
def test_duplicates_across_the_split(modality: str, copies: int, level: str | None, tmp_path: Path) -> None:
    inputs = MAKE[modality]()
    for copy in range(copies):
        inputs[240 + copy] = inputs[copy]  # of the same label
    data = layer(modality, inputs, LABELS, PART, tmp_path)
    found = find_problems(data)
    assert levels(found).get("split_leak") == level
    assert levels(quick_checks(data)).get("split_leak") == level
    assert set(levels(found)) <= {"split_leak"}
    if level:
        finding = one(found, "split_leak")
        assert finding.evidence["count"] == copies
        assert finding.where == "val"
        assert ["row 240 (val)", "row 0"] in finding.evidence["pairs"]
        assert finding.advice == ("data.deduplicate=true",)
        cleaned = layer(modality, inputs, LABELS, PART, tmp_path, deduplicate=True)
        assert "split_leak" not in levels(find_problems(cleaned)) | levels(quick_checks(cleaned))


@pytest.mark.parametrize(("more", "same"), [("  ", True), ("!!", False)])
def test_texts_are_compared_in_their_normal_form(more: str, same: bool, tmp_path: Path) -> None:
    inputs = texts()
    inputs[240] = np.frombuffer(bytes(inputs[0]).upper() + more.encode(), dtype=np.uint8)
    found = levels(find_problems(layer("text", inputs, LABELS, PART, tmp_path)))
    assert ("split_leak" in found) == same
    assert ("near_duplicates" in found) == (not same)


@pytest.mark.parametrize("modality", MAKE)
def test_labels_of_identical_inputs(modality: str, tmp_path: Path) -> None:
    inputs = MAKE[modality]()
    inputs[1] = inputs[0]
    data = layer(modality, inputs, LABELS, PART, tmp_path)
    finding = one(find_problems(data), "label_conflict")
    assert (finding.level, finding.evidence["names"]) == ("warning", ["row 0 (class 0)", "row 1 (class 1)"])
    assert levels(quick_checks(data)) == {"label_conflict": "warning"}
    inputs[240] = inputs[0]  # in validation, with the label of row 0
    kept = layer(modality, inputs, LABELS, PART, tmp_path, deduplicate=True)
    assert {1, 240} <= set(kept.kept_rows.tolist())  # with different labels: never dropped
    assert 0 not in kept.kept_rows
    for found in (find_problems(kept), quick_checks(kept)):
        assert levels(found) == {"label_conflict": "warning"}


def test_duplicates_within_train_are_reported(tmp_path: Path) -> None:
    inputs = images()
    inputs[4] = inputs[8] = inputs[0]
    data = layer("image", inputs, LABELS, PART, tmp_path)
    finding = one(find_problems(data), "duplicates")
    assert (finding.level, finding.evidence["count"]) == ("info", 2)
    assert quick_checks(data) == []


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 7), (1, 2, 3), (3, 32, 32)])
def test_quick_keys_agree_with_the_digests(shape: tuple[int, int, int], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    inputs = list(rng.integers(0, 3, (ROWS, *shape), dtype=np.uint8))  # few values: many partly equal
    for row in rng.integers(0, ROWS, 50):
        inputs[row] = inputs[row // 2]
    inputs[7] = inputs[6].copy()
    inputs[7].reshape(-1)[-1] ^= 1  # equal except for the last pixel, which the quick key may ignore
    data = layer("image", inputs, LABELS, PART, tmp_path)
    rows = np.arange(ROWS)
    exact, fast = duplicates.digests(data, rows), duplicates.quick_digests(data, rows)
    assert np.array_equal(exact[:, None] == exact, fast[:, None] == fast)
    plain = np.array([[np.array_equal(a, b) for a in inputs[:40]] for b in inputs[:40]])
    assert np.array_equal((exact[:, None] == exact)[:40, :40], plain)


def test_quick_keys_of_different_inputs_differ(tmp_path: Path) -> None:
    """Otherwise many inputs would need full hashes."""
    data = layer("image", images(), LABELS, PART, tmp_path)
    keys = data.table.inputs.quick_keys(np.arange(ROWS))  # type: ignore[union-attr]
    assert len(np.unique(keys)) == ROWS
    black = np.zeros((64, 1, 8, 8), np.uint8)
    black.reshape(64, 64)[np.arange(64), np.arange(64)] = 128  # one pixel, of one bit
    keys = Dense(black).quick_keys(np.arange(64))
    assert len(np.unique(keys)) == 64


# -- values


@pytest.mark.parametrize("modality", MAKE)
@pytest.mark.parametrize(("empty", "level"), [(1, "warning"), (ROWS, "error")])
def test_constant_inputs(modality: str, empty: int, level: str, tmp_path: Path) -> None:
    inputs = MAKE[modality]()
    for row in range(240, 240 + empty) if empty == 1 else range(ROWS):
        inputs[row] = {
            "image": np.full((1, 28, 28), 200, np.uint8),
            "audio": np.zeros(4000, np.int16),
            "text": np.frombuffer(b"zzzz%d" % row, np.uint8),
        }[modality]
    identity = {"image": "constant_input", "audio": "silent_input", "text": "empty_input"}[modality]
    data = layer(modality, inputs, LABELS, PART, tmp_path)
    if modality == "text" and empty == ROWS:
        return  # then the tokenizer knows them
    found = find_problems(data)
    assert levels(found)[identity] == level
    assert [f.id for f in found if f.level == "error"] == ([identity] if level == "error" else [])
    assert "row 240" in one(found, identity).evidence["names"] or empty > 1
    if modality != "text" and empty > 1:
        assert [f.id for f in quick_checks(data) if f.level == "error"] == [identity]


def test_a_dark_image_and_a_quiet_recording_are_not_constant(tmp_path: Path) -> None:
    pictures = [image // 100 for image in images()]
    assert "constant_input" not in levels(find_problems(layer("image", pictures, LABELS, PART, tmp_path)))
    quiet = [clip // 64 for clip in clips()]
    assert "silent_input" not in levels(find_problems(layer("audio", quiet, LABELS, PART, tmp_path)))


def test_channels(tmp_path: Path) -> None:
    colour = images(channels=3)
    assert levels(find_problems(layer("image", colour, LABELS, PART, tmp_path))) == {}
    flat = [np.concatenate([image[:2], np.full((1, 28, 28), 9, np.uint8)]) for image in colour]
    found = find_problems(layer("image", flat, LABELS, PART, tmp_path))
    assert levels(found) == {"constant_channel": "warning"}
    assert found[0].where == "channel 2"
    grey = [np.repeat(image[:1], 3, 0) for image in colour]
    assert levels(find_problems(layer("image", grey, LABELS, PART, tmp_path))) == {"grayscale_as_rgb": "info"}


@pytest.mark.parametrize(("loud", "found"), [(30, False), (60, True)])
def test_clipping(loud: int, found: bool, tmp_path: Path) -> None:
    inputs = clips()
    for row in range(0, loud):
        inputs[row] = np.clip(inputs[row].astype(np.int32) * 8, -32768, 32767).astype(np.int16)
    assert ("clipped_audio" in levels(find_problems(layer("audio", inputs, LABELS, PART, tmp_path)))) is found


def test_unknown_words(tmp_path: Path) -> None:
    inputs = texts()
    assert "out_of_vocabulary" not in levels(find_problems(layer("text", inputs, LABELS, PART, tmp_path)))
    for row in range(240, ROWS):
        words = [word[::-1] if i % 2 else word for i, word in enumerate(bytes(inputs[row]).decode().split())]
        inputs[row] = np.frombuffer(" ".join(words).encode(), np.uint8)
    finding = one(find_problems(layer("text", inputs, LABELS, PART, tmp_path)), "out_of_vocabulary")
    assert finding.level == "warning"
    assert finding.evidence["share"] > 0.2


@pytest.mark.parametrize(("limit", "found"), [(100, False), (12, True)])
def test_truncated_texts(limit: int, found: bool, tmp_path: Path) -> None:
    data = layer("text", texts(), LABELS, PART, tmp_path, tokenizer=Word(max_length=limit))
    assert ("truncated_inputs" in levels(find_problems(data))) is found


def read(source: AudioFolder | ImageFolder, cache: Path, on_bad: str = "skip") -> DataModule:
    reading = ReadingOptions(on_bad=on_bad)  # type: ignore[arg-type]
    return DataModule(source, Auto(), KeepAll(), Instance(), None, cache, 16, 1, reading)


def recordings(root: Path, rates: tuple[int, ...] = (8000,)) -> Path:
    rng = np.random.default_rng(0)
    for row in range(60):
        path = root / f"{row % 2}" / f"{row}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        rate = rates[row % len(rates)]
        soundfile.write(path, rng.normal(0, 0.1, rate // 2), rate)
    return root


def test_sample_rates(tmp_path: Path) -> None:
    same = AudioFolder(str(recordings(tmp_path / "same")))
    assert "sample_rate" not in levels(find_problems(read(same, tmp_path / "c")))
    mixed = str(recordings(tmp_path / "mixed", (8000, 8000, 4000)))
    finding = one(find_problems(read(AudioFolder(mixed), tmp_path / "c")), "sample_rate")
    assert (finding.level, finding.advice) == ("warning", ("data.source.sample_rate=4000",))
    assert finding.evidence["rates"] == {"4000": 20, "8000": 40}
    assert one(find_problems(read(AudioFolder(mixed, 4000), tmp_path / "c")), "sample_rate").level == "info"
    wrong = find_problems(read(AudioFolder(str(tmp_path / "same"), 16000), tmp_path / "c"))
    assert levels(wrong)["sample_rate"] == "warning"


def test_truncated_recordings(tmp_path: Path) -> None:
    root = str(recordings(tmp_path / "same"))
    assert "truncated_inputs" not in levels(
        find_problems(read(AudioFolder(root, max_seconds=0.6), tmp_path / "c"))
    )
    finding = one(find_problems(read(AudioFolder(root, max_seconds=0.3), tmp_path / "c")), "truncated_inputs")
    assert finding.advice == ("data.source.max_seconds=null",)


def pictures(root: Path, sides: tuple[int, ...] = (24,)) -> Path:
    rng = np.random.default_rng(0)
    for row in range(60):
        path = root / f"{row % 2}" / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        side = sides[row % len(sides)]
        Image.fromarray(rng.integers(0, 256, (side, side), dtype=np.uint8)).save(path)
    return root


def test_upscaled_images(tmp_path: Path) -> None:
    root = str(pictures(tmp_path / "p", (24, 24, 8)))
    assert "upscaled_images" not in levels(find_problems(read(ImageFolder(root, size=16), tmp_path / "c")))
    finding = one(find_problems(read(ImageFolder(root, size=24), tmp_path / "c")), "upscaled_images")
    assert finding.evidence["share"] == pytest.approx(1 / 3)


def test_bad_files_by_name(tmp_path: Path) -> None:
    root = pictures(tmp_path / "p")
    assert "bad_files" not in levels(find_problems(read(ImageFolder(str(root)), tmp_path / "c")))
    (root / "0" / "bad.png").write_bytes(b"no picture")
    data = read(ImageFolder(str(root)), tmp_path / "c")
    assert one(find_problems(data), "bad_files").level == "warning"
    stops = [finding for result in run_checks(data, stops=True) for finding in result.findings]
    finding = one(stops, "bad_files")
    assert (finding.level, finding.advice) == ("error", ("data.on_bad=skip",))
    assert "0/bad.png" in finding.message
    with pytest.raises(UserError, match=r"0/bad\.png"):
        find_problems(read(ImageFolder(str(root)), tmp_path / "c", "stop"))


def test_files_that_are_not_cached(tmp_path: Path) -> None:
    root = pictures(tmp_path / "p")
    data = read(ImageFolder(str(root)), tmp_path / "c")
    copied = ImageFolder(str(root))
    (root / "0" / "copy.png").write_bytes((root / "0" / "0.png").read_bytes())
    data = DataModule(
        copied,
        Stratified(),
        KeepAll(),
        Instance(),
        None,
        tmp_path / "c",
        16,
        1,
        ReadingOptions(limit_gb=1e-9),
    )
    assert type(data.table.inputs).__name__ == "FileColumn"
    assert set(levels(find_problems(data))) & {"split_leak", "duplicates"}
    assert quick_checks(data) == []


# -- classes and groups


def test_classes(tmp_path: Path) -> None:
    labels = LABELS.copy()
    labels[(PART == 2) & (labels == 3)] = 0
    found = quick_checks(layer("image", images(), labels, PART, tmp_path))
    assert levels(found)["class_missing"] == "warning"
    assert one(found, "class_missing").where == "test"
    labels = np.where(LABELS == 3, 0, LABELS)
    labels[[0, 240, 320]] = 3
    assert one(quick_checks(layer("image", images(), labels, PART, tmp_path)), "small_class").evidence[
        "classes"
    ] == ["class 3 (1)"]
    assert quick_checks(layer("image", images(), LABELS, PART, tmp_path)) == []


def test_rare_classes_are_reported(tmp_path: Path) -> None:
    labels = np.where(LABELS == 3, 0, LABELS)
    labels[[*range(6), 240, 320]] = 3
    found = find_problems(layer("image", images(), labels, PART, tmp_path, batch_size=2))
    assert one(found, "rare_class").level == "info"
    assert "rare_class" not in levels(
        find_problems(layer("image", images(), labels, PART, tmp_path, batch_size=8))
    )


@pytest.mark.parametrize(("k", "found"), [(4, False), (8, True)])
def test_folds(k: int, found: bool, tmp_path: Path) -> None:
    labels = np.where(np.arange(ROWS) < 6, 3, np.arange(ROWS) % 3)
    data = layer("image", images(), labels, None, tmp_path, split=KFold(k=k))
    assert ("too_few_per_fold" in levels(quick_checks(data))) is found


def test_class_shares(tmp_path: Path) -> None:
    labels = LABELS.copy()
    labels[320:360] = 0
    finding = one(quick_checks(layer("image", images(), labels, PART, tmp_path)), "label_shift")
    assert finding.where == "val, test"


def test_groups(tmp_path: Path) -> None:
    group = np.arange(ROWS) % 7
    leaking = layer("audio", clips(), LABELS, PART, tmp_path, group=group)
    for found in (find_problems(leaking), quick_checks(leaking)):
        finding = one(found, "group_leak")
        assert (finding.level, finding.where, finding.evidence["shared"]) == ("warning", "test", 7)
        assert finding.advice[0] == "split=grouped"
    assert quick_checks(layer("audio", clips(), LABELS, PART, tmp_path, group=group, split=Grouped())) == []
    only_val = np.where(PART == 2, 7, group)
    data = layer("audio", clips(), LABELS, PART, tmp_path, group=only_val)
    assert quick_checks(data) == []
    assert one(find_problems(data), "group_leak").level == "info"
    folds = layer("audio", clips(), LABELS, PART, tmp_path, group=group, split=KFold())
    assert one(quick_checks(folds), "group_leak").advice == ("split.grouped=true",)


# -- distribution shift


@pytest.mark.parametrize("change", ["inverted", "scaled", "none"])
def test_validation_of_another_range(change: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    inputs = [(image // 8 + rng.integers(0, 9)).astype(np.uint8) for image in images()]
    for row in range(240, 320):
        inputs[row] = {"inverted": 255 - inputs[row], "scaled": inputs[row] // 8, "none": inputs[row]}[change]
    found = find_problems(layer("image", inputs, LABELS, PART, tmp_path))
    assert [(f.id, f.level, f.where) for f in found if f.level == "error"] == (
        [] if change == "none" else [("distribution_shift", "error", "val")]
    )


def test_a_shift_of_both_splits_is_one_finding(tmp_path: Path) -> None:
    inputs = [image // 4 for image in images()]
    for row in range(240, ROWS):
        inputs[row] = 255 - inputs[row]
    finding = one(find_problems(layer("image", inputs, LABELS, PART, tmp_path)), "distribution_shift")
    assert (finding.level, finding.where) == ("error", "val, test")


@pytest.mark.parametrize("modality", MAKE)
def test_a_separable_split(modality: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    inputs = (
        [image + rng.integers(0, 40) for image in images(channels=3)]
        if modality == "image"
        else MAKE[modality]()
    )
    inputs = [np.clip(x, 0, 255).astype(np.uint8) if modality == "image" else x for x in inputs]
    for row in range(320, ROWS):
        if modality == "image":
            inputs[row] = np.clip(inputs[row].astype(int) + 25, 0, 255).astype(np.uint8)  # a little brighter
        elif modality == "audio":
            inputs[row] = np.repeat(inputs[row], 2)[: len(inputs[row])]  # of half the sample rate
        else:
            inputs[row] = np.frombuffer(b"bababa bababa " + bytes(inputs[row]), np.uint8)
    data = layer(modality, inputs, LABELS, PART, tmp_path)
    finding = one(find_problems(data), "distribution_shift")
    assert (finding.level, finding.where) == ("warning", "test")


def test_new_groups_may_differ(tmp_path: Path) -> None:
    inputs = clips()
    for row in range(320, ROWS):
        inputs[row] = np.repeat(inputs[row], 2)[: len(inputs[row])]
    group = np.where(PART == 2, 1, 0)
    assert "distribution_shift" not in levels(
        find_problems(layer("audio", inputs, LABELS, PART, tmp_path, group=group))
    )


def test_percentages_and_status() -> None:
    assert [percent(x) for x in (0.11341, 0.0005, 0.0)] == ["11.3 %", "0.05 %", "0 %"]
    assert CheckResult("x", "y").status == "passed"
    assert CheckResult("x", "y", (Finding("a", "info", ""), Finding("b", "error", ""))).status == "error"
