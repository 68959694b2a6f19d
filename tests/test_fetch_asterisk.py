"""scripts/fetch_asterisk: what it makes of packages of Debian; marked data: of the real ones, where they are there."""

import csv
import gzip
import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
TEXT = """; Core Asterisk Sounds in English

activated: Activated.
ascending-2tone: [ascending tones]
digits/7: seven
letters/dash: dash [-]
silence/1: (1 second of silence)
gone: Not among the recordings.
time: The time: now.
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fetch_asterisk", ROOT / "scripts" / "fetch_asterisk.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_said_is_listed_beside_the_recordings(script: ModuleType, tmp_path: Path) -> None:
    voice = tmp_path / "unpacked/usr/share/asterisk/sounds/en_US_f_Allison"
    for name in ("activated", "ascending-2tone", "digits/7", "letters/dash", "silence/1", "time"):
        (voice / name).parent.mkdir(parents=True, exist_ok=True)
        (voice / f"{name}.wav").touch()
    lines = tmp_path / "unpacked/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
    lines.parent.mkdir(parents=True)
    lines.write_bytes(gzip.compress(TEXT.encode()))
    assert script.write(tmp_path / "unpacked", "en", tmp_path / "out") == 4
    with (tmp_path / "out" / "en.csv").open(encoding="utf-8") as file:
        rows = {row["path"]: row["text"] for row in csv.DictReader(file)}
    assert rows == {
        "en/activated.wav": "Activated.",
        "en/digits/7.wav": "seven",
        "en/letters/dash.wav": "dash",
        "en/time.wav": "The time: now.",
    }
    assert all((tmp_path / "out" / path).exists() for path in rows)


@pytest.mark.data
def test_the_real_prompts_are_those_that_are_known() -> None:
    table = Path(os.environ.get("LEYDEN_DATA", ROOT.parent / "shared" / "data")) / "asterisk" / "en.csv"
    if not table.exists():
        pytest.skip("scripts/fetch_asterisk was not run")
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 500
    assert all((table.parent / row["path"]).exists() for row in rows)
