"""Sources of transcripts: planted tones, connected words, manifests."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from leyden.data.decode import BadInput
from leyden.data.index import TEST, TRAIN, VAL
from leyden.data.sources.connected import ConnectedDigits, ConnectedWords
from leyden.data.sources.planted_speech import PlantedSpeech
from leyden.data.sources.speech import LibriSpeech, SpeechManifest
from leyden.data.targets import describe_target
from leyden.data.transcripts import TranscriptReader
from leyden.utils.errors import UserError
from tiny_data import fsdd


def said(source: object) -> list[str]:
    index = source.index()  # type: ignore[attr-defined]
    return [describe_target(row, index.target_names) for row in index.targets]


# --- planted


def test_words_follow_the_known_grammar() -> None:
    source = PlantedSpeech(words=8, samples=3000, max_words=6)
    assert np.allclose(source.transitions.sum(axis=1), 1)
    counts = np.zeros((8, 8))
    place = {word: k for k, word in enumerate(source.vocabulary)}
    for text in said(source):
        words = [place[word] for word in text.split()]
        np.add.at(counts, (words[:-1], words[1:]), 1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    assert np.abs(shares - source.transitions).max() < 0.08


def test_tones_are_where_the_truth_says() -> None:
    source = PlantedSpeech(samples=20, snr_db=30.0)
    index = source.index()
    for row in range(20):
        wave = source.decode(row).astype(float)
        spans = index.truth[row].reshape(-1, 2)
        spans = spans[spans[:, 0] >= 0]
        assert len(spans) == len(said(source)[row].split())
        inside = np.zeros(len(wave), bool)
        for first, end in spans:
            inside[first:end] = True
        assert wave[inside].std() > 5 * wave[~inside].std()


def test_the_seed_chooses_sentences_and_not_the_words() -> None:
    one, other = PlantedSpeech(samples=50), PlantedSpeech(samples=50, seed=1)
    assert one.vocabulary == other.vocabulary
    assert said(one) != said(other)
    assert one.fingerprint(Path()) != other.fingerprint(Path())
    assert one.fingerprint(Path()) == PlantedSpeech(samples=50).fingerprint(Path())
    by_words = PlantedSpeech(samples=50, reader=TranscriptReader("words"))
    assert by_words.fingerprint(Path()) != one.fingerprint(Path())
    with pytest.raises(UserError, match="max_words: 2 is below min_words=3"):
        PlantedSpeech(min_words=3, max_words=2)


# --- connected words


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("clips")
    fsdd(found)
    return found / "fsdd"


def digits(root: Path, **more: object) -> ConnectedDigits:
    return ConnectedDigits(str(root), strings=60, test_strings=40, reader=TranscriptReader("words"), **more)  # type: ignore[arg-type]


def test_strings_are_made_of_the_clips_at_the_places_that_the_truth_says(root: Path) -> None:
    source = digits(root)
    index = source.index()
    texts = said(source)
    for row in (0, 30, 70, 99):
        wave, spans = source.decode(row), index.truth[row].reshape(-1, 2)
        spans = spans[spans[:, 0] >= 0]
        files = index.names[row].split(" + ")
        assert texts[row] == " ".join(file[0] for file in files)
        silent = np.ones(len(wave), bool)
        for file, (first, end) in zip(files, spans, strict=True):
            clip, _ = soundfile.read(root / "recordings" / file, dtype="int16")
            assert np.array_equal(wave[first:end], clip)
            silent[first:end] = False
        assert not wave[silent].any()
        gaps = np.diff([0, *spans.reshape(-1), len(wave)])[::2] / 8000
        assert (gaps >= 0.05 - 1e-3).all()
        assert (gaps <= 0.3 + 1e-3).all()


def test_no_recording_is_in_two_parts_and_a_string_has_one_speaker(root: Path) -> None:
    index = digits(root).index()
    assert index.split is not None
    files = {code: set() for code in (TRAIN, VAL, TEST)}
    for name, code, group in zip(index.names, index.split, index.group, strict=True):
        parts = name.split(" + ")
        files[int(code)] |= set(parts)
        assert {part.split("_")[1] for part in parts} == {index.group_names[group]}
    assert not files[TRAIN] & files[TEST]
    assert not files[TRAIN] & files[VAL]
    assert all(name.endswith("_0.wav") for name in files[TEST])
    assert digits(root, split="none").index().split is None


def test_any_folders_of_recordings_can_be_connected(root: Path, tmp_path: Path) -> None:
    for word in ("left", "right"):
        (tmp_path / word).mkdir()
        for k in range(20):
            wave = np.random.default_rng(k).integers(-999, 999, 800).astype(np.int16)
            soundfile.write(tmp_path / word / f"{k}.wav", wave, 8000)
    source = ConnectedWords(str(tmp_path), strings=20, test_strings=10, min_words=0, max_words=3)
    texts = said(source)
    assert {word for text in texts for word in text.split()} == {"left", "right"}
    assert "" in texts
    assert all(len(source.decode(row)) > 0 for row in range(len(texts)))
    assert source.fingerprint(tmp_path) != ConnectedWords(
        str(tmp_path), strings=20, test_strings=10
    ).fingerprint(tmp_path)
    with pytest.raises(UserError, match=r"gap: 0.3 to 0.1 is no range"):
        ConnectedWords(str(tmp_path), gap=(0.3, 0.1))


# --- manifests


def manifest(folder: Path, lines: list[str]) -> str:
    soundfile.write(folder / "a.wav", np.arange(8000, dtype=np.int16), 8000)
    path = folder / "list.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_a_manifest_may_name_stretches(tmp_path: Path) -> None:
    lines = ["path,text,start,end,who", "a.wav,Yes No,,,x", "a.wav,no,0.25,0.5,y", "a.wav,,0.5,,y"]
    source = SpeechManifest(
        manifest(tmp_path, lines),
        start_column="start",
        end_column="end",
        speaker_column="who",
        sample_rate=8000,
    )
    assert said(source) == ["yes no", "no", ""]
    assert source.index().group_names == ("x", "y")
    assert [len(source.decode(row)) for row in range(3)] == [8000, 2000, 4000]
    assert np.array_equal(source.decode(1), np.arange(2000, 4000))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a.wav,x,a,1", "list.csv:2: column 'start' holds 'a'"),
        ("a.wav,x,0.5,0.25", "ends at 0.25 s, and begins"),
    ],
)
def test_a_stretch_that_is_none_is_refused(tmp_path: Path, line: str, words: str) -> None:
    source = SpeechManifest(
        manifest(tmp_path, ["path,text,start,end", line]),
        start_column="start",
        end_column="end",
        sample_rate=8000,
    )
    with pytest.raises(UserError, match=words):
        source.index()


def test_a_stretch_beyond_the_end_is_a_bad_input(tmp_path: Path) -> None:
    lines = ["path,text,start,end", "a.wav,x,0.5,1.5"]
    source = SpeechManifest(
        manifest(tmp_path, lines), start_column="start", end_column="end", sample_rate=8000
    )
    with pytest.raises(BadInput, match=r"has 1.00 s, the row asks for 0.5 to 1.5 s"):
        source.decode(0)


def test_a_missing_text_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.source\.text_column: .* has no column 'words'.*text"):
        SpeechManifest(manifest(tmp_path, ["path,text", "a.wav,x"]), text_column="words").index()


# --- LibriSpeech's layout


def library(root: Path, subsets: tuple[str, ...] = ("train-clean-100", "dev-clean", "test-other")) -> Path:
    """Two speakers of a chapter with two recordings in each subset."""
    for place, subset in enumerate(subsets):
        for speaker in (10 * place + 1, 10 * place + 2):
            folder = root / subset / str(speaker) / "7"
            folder.mkdir(parents=True)
            names = [f"{speaker}-7-{number:04}" for number in range(2)]
            for name in names:
                soundfile.write(folder / f"{name}.flac", np.full(800, 0.1), 16000)
            lines = [f"{name} {text}" for name, text in zip(names, ("NO ON", "ON"), strict=True)]
            (folder / f"{speaker}-7.trans.txt").write_text("\n".join(lines) + "\n")
    return root


def test_librispeech_is_read_with_subsets_and_speakers(tmp_path: Path) -> None:
    source = LibriSpeech(str(library(tmp_path)))
    index = source.index()
    assert said(source) == ["no on", "on"] * 6
    assert index.split is not None
    names = [str(name) for name in index.names]
    assert index.split.tolist() == [
        {"train": TRAIN, "dev": VAL, "test": TEST}[name.partition("-")[0]] for name in names
    ]
    assert [index.group_names[g] for g in index.group.tolist()] == [name.split("/")[1] for name in names]  # type: ignore[union-attr]
    assert (len(source.decode(0)), source.facts()) == (800, {"sample_rate": 16000})
    few = LibriSpeech(str(tmp_path), ["dev-clean"])
    assert len(few.index()) == 4
    one = source.fingerprint(tmp_path / "cache")
    assert few.fingerprint(tmp_path / "cache") != one
    path = tmp_path / "dev-clean" / "11" / "7" / "11-7.trans.txt"
    path.write_text(path.read_text().replace("NO", "NOW"))
    assert LibriSpeech(str(tmp_path)).fingerprint(tmp_path / "cache") != one


def test_speakers_alone_are_no_split(tmp_path: Path) -> None:
    source = LibriSpeech(str(library(tmp_path) / "dev-clean"))
    assert source.index().split is None
    assert source.index().group_names == ("11", "12")


def test_what_is_no_librispeech_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no SUBSET/SPEAKER/CHAPTER/\*\.trans\.txt"):
        LibriSpeech(str(tmp_path)).index()
    root = library(tmp_path / "a")
    with pytest.raises(
        UserError, match="has no train-other; there are dev-clean, test-other, train-clean-100"
    ):
        LibriSpeech(str(root), ["train-other"]).index()
    (root / "dev-clean" / "11" / "7" / "11-7-0001.flac").unlink()
    with pytest.raises(UserError, match=r"11-7\.trans\.txt:2: '11-7-0001'"):
        LibriSpeech(str(root)).index()
    with pytest.raises(UserError, match="begin with train, dev, test"):
        LibriSpeech(str(library(tmp_path / "b", ("mine",)))).index()
