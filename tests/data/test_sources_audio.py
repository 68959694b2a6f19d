"""Audio sources: FSDD, Speech Commands, folders and manifests."""

import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from leyden.data.cache import load
from leyden.data.sources import audio
from leyden.data.sources.audio import FSDD, AudioFolder, AudioManifest, SpeechCommands
from leyden.utils.errors import UserError

DATA = Path(os.environ.get("LEYDEN_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


def clip(path: Path, rate: int = 8000, value: int = 5, frames: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(frames, value, dtype=np.int16), rate)


def tiny_fsdd(root: Path) -> None:
    for digit in (0, 1):
        for speaker in ("jackson", "theo"):
            for number in (0, 4, 5, 12):
                clip(root / "recordings" / f"{digit}_{speaker}_{number}.wav", value=digit)


def test_fsdd(tmp_path: Path) -> None:
    tiny_fsdd(tmp_path)
    table = load(FSDD(str(tmp_path)), tmp_path / "cache")
    assert table.facts == {"sample_rate": 8000}
    assert table.index.target_names == ("0", "1")
    assert table.index.group_names == ("jackson", "theo")
    for row, name in enumerate(table.index.names):
        digit, speaker, number = name.removesuffix(".wav").split("_")
        assert table.index.targets[row] == int(digit)
        assert table.index.group_names[table.index.group[row]] == speaker
        assert table.index.split[row] == (2 if int(number) < 5 else 0)
        assert table.inputs.row(row).tolist() == [int(digit)] * 40
    free = FSDD(str(tmp_path), split="none")
    assert free.index().split is None
    assert free.fingerprint(tmp_path / "cache") != table.fingerprint


def test_another_resampling_makes_other_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_fsdd(tmp_path)
    before = FSDD(str(tmp_path)).fingerprint(tmp_path / "cache")
    assert FSDD(str(tmp_path)).fingerprint(tmp_path / "cache") == before
    monkeypatch.setattr(audio, "RESAMPLING", "LQ")
    assert FSDD(str(tmp_path)).fingerprint(tmp_path / "cache") != before


def test_fsdd_with_a_foreign_file(tmp_path: Path) -> None:
    tiny_fsdd(tmp_path)
    clip(tmp_path / "recordings" / "noise.wav")
    with pytest.raises(UserError, match=r"expected DIGIT_SPEAKER_INDEX\.wav, found noise\.wav"):
        FSDD(str(tmp_path)).index()


def test_speech_commands(tmp_path: Path) -> None:
    root = tmp_path / "d"
    for name in ("no/aa_nohash_0", "no/bb_nohash_0", "yes/aa_nohash_1", "yes/cc_nohash_0"):
        clip(root / f"{name}.wav", 16000)
    clip(root / "_background_noise_" / "hum.wav", 16000)
    (root / "validation_list.txt").write_text("no/bb_nohash_0.wav\n")
    (root / "testing_list.txt").write_text("yes/cc_nohash_0.wav\n")
    source = SpeechCommands(str(root))
    table = load(source, tmp_path / "cache")
    assert table.facts == {"sample_rate": 16000}
    assert list(table.index.names) == [
        *("no/aa_nohash_0.wav", "no/bb_nohash_0.wav"),
        *("yes/aa_nohash_1.wav", "yes/cc_nohash_0.wav"),
    ]
    assert table.index.split.tolist() == [0, 1, 0, 2]
    assert table.index.group.tolist() == [0, 1, 0, 2]
    (root / "testing_list.txt").write_text("no/aa_nohash_0.wav\n")
    assert SpeechCommands(str(root)).fingerprint(tmp_path / "cache") != table.fingerprint


@pytest.mark.parametrize("name", ["../evil", "/tmp/../evil", "bed/evil"])
def test_no_member_of_the_archive_lies_outside(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(_: str, target: Path, digest: str) -> None:
        with tarfile.open(target, "w:gz") as archive:
            archive.addfile(tarfile.TarInfo(name))

    (tmp_path / "out").mkdir()
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "bed").symlink_to(tmp_path / "out")
    monkeypatch.setattr(audio, "fetch_file", fetch)
    with pytest.raises((UserError, tarfile.FilterError)):
        SpeechCommands(str(tmp_path / "d")).index()
    assert not list(tmp_path.glob("**/evil")) + list(Path("/").glob("evil"))


def test_the_most_common_rate_is_taken(tmp_path: Path) -> None:
    for name, rate in (("a/1", 8000), ("a/2", 16000), ("b/3", 16000), ("b/4", 44100)):
        clip(tmp_path / "d" / f"{name}.wav", rate, frames=4410)
    (tmp_path / "d" / "b" / "bad.wav").write_bytes(b"bad")
    source = AudioFolder(str(tmp_path / "d"))
    table = load(source, tmp_path / "cache", on_bad="skip")
    assert table.facts == {"sample_rate": 16000}
    assert table.inputs.lengths.tolist() == [8820, 4410, 4410, 1600]
    assert table.skipped.names == ("b/bad.wav",)
    given = load(AudioFolder(str(tmp_path / "d"), 8000, 0.1), tmp_path / "cache", on_bad="skip")
    assert given.facts == {"sample_rate": 8000}
    assert given.inputs.lengths.tolist() == [800] * 4
    assert given.fingerprint != table.fingerprint


def test_no_readable_file(tmp_path: Path) -> None:
    for name in ("a/1.wav", "b/2.wav"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"bad")
    with pytest.raises(UserError, match="no file is readable audio"):
        load(AudioFolder(str(tmp_path)), tmp_path / "cache")


def test_bad_recordings_are_listed(tmp_path: Path) -> None:
    root = tmp_path / "d"
    for name in ("a/1.wav", "b/2.wav"):
        clip(root / name)
    (root / "a/empty.wav").touch()
    soundfile.write(root / "b/nan.wav", np.array([np.nan]), 8000, "FLOAT")
    with pytest.raises(UserError, match=r"2 inputs[^\0]*a/empty.wav: is empty[^\0]*b/nan.wav: has NaN"):
        load(AudioFolder(str(root)), tmp_path / "cache")


def test_manifest(tmp_path: Path) -> None:
    clip(tmp_path / "x/1.wav", value=1)
    clip(tmp_path / "x/2.wav", value=2)
    (tmp_path / "m.jsonl").write_text(
        '{"path": "x/1.wav", "label": "b"}\n{"path": "x/2.wav", "label": "a"}\n'
    )
    table = load(AudioManifest(str(tmp_path / "m.jsonl")), tmp_path / "cache")
    assert table.index.targets.tolist() == [1, 0]
    assert [table.inputs.row(row)[0] for row in (0, 1)] == [1, 2]


def test_sources_pickle(tmp_path: Path) -> None:
    tiny_fsdd(tmp_path)
    source = FSDD(str(tmp_path))
    source.index()
    assert pickle.loads(pickle.dumps(source)).decode(0).tolist() == [0] * 40


@pytest.mark.data
def test_real_fsdd(tmp_path: Path) -> None:
    if not (DATA / "fsdd").is_dir():
        pytest.skip("no FSDD")
    table = load(FSDD(str(DATA / "fsdd")), tmp_path)
    assert np.bincount(table.index.split).tolist() == [2700, 0, 300]
    assert len(table.index.group_names) == 6
    assert np.bincount(table.index.targets).tolist() == [300] * 10
