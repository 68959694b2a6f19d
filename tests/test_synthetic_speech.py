"""scripts/synthetic_speech: what it writes beside real recordings, with a program in the place of espeak-ng."""

import csv
import importlib.util
import os
import shutil
import sys
import wave
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from leyden.data.sources.audio import FSDD

ROOT = Path(__file__).parents[1]
ESPEAK = """#!{python}
import io, sys, wave, numpy as np
tone = (9000 * np.sin(np.arange(2205))).astype(np.int16)  # .1 s, between .2 s of silence
out = io.BytesIO()
with wave.open(out, "wb") as file:
    file.setparams((1, 2, 22050, 0, "NONE", ""))
    file.writeframes(np.concatenate([np.zeros(4410, np.int16), tone, np.zeros(4410, np.int16)]).tobytes())
sys.stdout.buffer.write(out.getvalue())
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    place = ROOT / "scripts" / "synthetic_speech.py"
    spec = importlib.util.spec_from_file_location("synthetic_speech", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "synthetic_speech", module)
    spec.loader.exec_module(module)
    program = tmp_path / "bin" / "espeak-ng"
    program.parent.mkdir()
    program.write_text(ESPEAK.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return module


def record(path: Path, samples: int = 400) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.ones(samples, dtype=np.int16).tobytes())


def test_voices_are_speakers_beside_those_of_fsdd(script: ModuleType, tmp_path: Path) -> None:
    """Resampled to 8 kHz, without silence at the ends; none is in the official test set; no file is overwritten."""
    for digit in range(10):
        record(tmp_path / "fsdd" / "recordings" / f"{digit}_ann_0.wav")
    words = ["digits", str(tmp_path / "fsdd"), str(tmp_path / "more"), "--voices", "2", "--takes", "1"]
    assert script.main(words) == 0
    source = FSDD(str(tmp_path / "more"))
    index = source.index()
    assert len(index) == 30
    spoken = [name for name in index.group_names if name.startswith("espeak-")]
    assert len(spoken) == 2
    assert index.split is not None
    tested = index.split == index.split[[name.endswith("ann_0.wav") for name in index.names]][0]
    assert tested.sum() == 10
    made = next(row for row, name in enumerate(index.names) if "espeak" in name)
    assert len(source.decode(made)) == pytest.approx(800, abs=10)
    with pytest.raises(SystemExit) as caught:
        script.main(words)
    assert caught.value.code == 2


def test_voices_read_no_text_of_a_fold_s_test_and_validation(script: ModuleType, tmp_path: Path) -> None:
    lines = [f"en/{k}.wav,text {k}" for k in range(50)]
    (tmp_path / "en.csv").write_text("\n".join(["path,text", *lines]))
    assert script.main(["asterisk", str(tmp_path / "en.csv"), "--voices", "2"]) == 0
    tested = []
    for fold in range(5):
        with (tmp_path / f"en_espeak_{fold}.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        with (tmp_path / f"en_real_{fold}.csv").open(encoding="utf-8") as file:
            assert [row for row in rows if not row["path"].startswith("en_espeak/")] == list(
                csv.DictReader(file)
            )
        spoken = [row for row in rows if row["path"].startswith("en_espeak/")]
        assert len(spoken) == 2 * 36
        assert all((tmp_path / row["path"]).exists() for row in spoken)
        assert {row["split"] for row in spoken} == {"train"}
        kept = {row["text"] for row in rows if row["split"] != "train"}
        assert not kept & {row["text"] for row in spoken}
        tested += [row["text"] for row in rows if row["split"] == "test"]
    assert sorted(tested) == sorted(f"text {k}" for k in range(50))  # each once


@pytest.mark.data
def test_the_real_program_says_the_words(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"].partition(":")[2])
    if not (shutil.which("espeak-ng") or shutil.which("apt-get")):
        pytest.skip("neither espeak-ng nor apt-get is there")
    with script.synthesiser() as environment:
        for voice in script.voices(3):
            said = script.speak("seven", voice, environment, np.random.default_rng(0))
            assert 0.2 < len(said) / script.RATE < 1.2
