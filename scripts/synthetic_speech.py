"""Speech of espeak-ng's voices beside real recordings, for experiment=digits_ctc_speakers and experiment=asterisk_ctc.

    scripts/synthetic_speech digits data/fsdd data/fsdd_espeak    # FSDD with 24 more voices, in its own layout
    scripts/synthetic_speech asterisk data/asterisk/en.csv        # en_real_0.csv and en_espeak_0.csv, ... of five folds

    leyden train experiment=digits_ctc_speakers data.source.root=data/fsdd_espeak split.test_group=george
    leyden train experiment=asterisk_ctc split=given data.source.split_column=split \
        data.source.csv=data/asterisk/en_espeak_0.csv

Only training rows are synthetic: of FSDD the voices are speakers of their own, of the prompts they read the texts of
the fold's training recordings. espeak-ng is taken from the path; where it is not installed, its packages of Debian are
downloaded and unpacked into a temporary folder (apt-get and dpkg-deb, no root).
"""

import argparse
import csv
import io
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

PACKAGES = (
    "espeak-ng",
    "espeak-ng-data",
    "libespeak-ng1",
    "libpcaudio0",
    "libsonic0",
    "libpulse0",
    "libasound2",
)
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbcwmd", "en-029")
TIMBRES = ("m1", "f1", "m3", "f2", "m4", "f4", "m7", "f5", "m8", "f3", "m2", "m5")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RATE = 8000
FOLDS = 5
_QUIET = 0.01  # of the peak: what is quieter before the first and after the last word is cut off


@dataclass(frozen=True)
class Voice:
    """One of espeak-ng's, its pitch (0 to 99), and words a minute."""

    name: str
    pitch: int
    speed: int

    @property
    def speaker(self) -> str:
        """A name for files."""
        return "espeak-" + self.name.replace("+", "-")


class Job(NamedTuple):
    """One recording to be made. seed: of how pitch and speed differ from the voice's own; of a prompt, its number."""

    path: Path
    text: str
    voice: Voice
    seed: tuple[int, ...]


def voices(count: int, seed: int = 0) -> list[Voice]:
    """`count` voices, each an accent, a timbre, a pitch and a speed."""
    rng = np.random.default_rng(seed)
    every = [f"{accent}+{timbre}" for timbre, accent in itertools.product(TIMBRES, ACCENTS)]
    chosen = rng.choice(len(every), count, replace=False)
    return [Voice(every[k], int(rng.integers(25, 75)), int(rng.integers(120, 200))) for k in chosen]


@contextmanager
def synthesiser() -> Iterator[dict[str, str]]:
    """The environment in which `espeak-ng` is found."""
    if shutil.which("espeak-ng"):
        yield dict(os.environ)
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        for package in sorted(Path(folder).glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        (data,) = Path(folder).glob("usr/lib/*/espeak-ng-data")
        path = f"{folder}/usr/bin:{os.environ['PATH']}"
        yield {**os.environ, "PATH": path, "LD_LIBRARY_PATH": str(data.parent), "ESPEAK_DATA_PATH": str(data)}


def speak(
    text: str, voice: Voice, environment: dict[str, str], rng: np.random.Generator
) -> NDArray[np.int16]:
    """int16 (n,) at 8 kHz: the text, its pitch and speed a little other each time, without silence at its ends."""
    pitch, speed = voice.pitch + int(rng.integers(-8, 9)), int(voice.speed * rng.uniform(0.9, 1.1))
    espeak = shutil.which("espeak-ng", path=environment["PATH"]) or "espeak-ng"
    words = [espeak, "-v", voice.name, "-p", str(pitch), "-s", str(speed), "--stdout", "--", text]
    said = subprocess.run(words, env=environment, check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(said)) as file:
        rate = file.getframerate()
        samples = np.frombuffer(said[44:], dtype=np.int16)  # the header's length is not known to a stream
    sound = np.flatnonzero(np.abs(samples) > _QUIET * np.abs(samples).max())
    samples = samples[sound[0] : sound[-1] + 1]
    heard = resample_poly(samples.astype(np.float64), RATE, rate)
    return np.clip(np.rint(heard), -32768, 32767).astype(np.int16)


def write(path: Path, samples: NDArray[np.int16]) -> None:
    """A WAV file of one channel."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())


def record(jobs: Sequence[Job]) -> None:
    """Speak and write them, by as many threads as there are cores."""
    with synthesiser() as environment, ThreadPoolExecutor(os.cpu_count()) as pool:

        def one(job: Job) -> None:
            rng = np.random.default_rng([*job.seed, job.voice.pitch, job.voice.speed])
            write(job.path, speak(job.text, job.voice, environment, rng))

        list(pool.map(one, jobs))


def digits(fsdd: Path, out: Path, count: int, takes: int) -> int:
    """FSDD's recordings, and each digit `takes` times by each voice; returns how many are new."""
    recordings = out / "recordings"
    recordings.mkdir(parents=True)
    for file in sorted((fsdd / "recordings").glob("*.wav")):
        shutil.copy(file, recordings / file.name)
    jobs = [
        # FSDD's names: below 5 is its official test set
        Job(recordings / f"{digit}_{voice.speaker}_{take + 5}.wav", word, voice, (digit, take))
        for voice in voices(count)
        for digit, word in enumerate(WORDS)
        for take in range(takes)
    ]
    record(jobs)
    return len(jobs)


def folds(rows: int, seed: int = 0) -> Iterator[list[str]]:
    """The split of each row in each fold: a fifth is for testing, a tenth of the rest for validation."""
    order = np.random.default_rng(seed).permutation(rows)
    for fold in range(FOLDS):
        split = np.full(rows, "train", dtype=object)
        tested = order[fold::FOLDS]
        rest = np.setdiff1d(order, tested, assume_unique=True)
        split[tested] = "test"
        split[np.random.default_rng([seed, fold]).permutation(rest)[: len(rest) // 10]] = "val"
        yield split.tolist()


def asterisk(table: Path, count: int) -> int:
    """Every text by each voice, and a table for each fold, whose training rows have them; returns how many are new."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = [(row["path"], row["text"]) for row in csv.DictReader(file)]
    out = table.parent / f"{table.stem}_espeak"
    out.mkdir()
    jobs = [
        Job(out / f"{k}_{voice.speaker}.wav", text, voice, (k,))
        for k, (_, text) in enumerate(rows)
        for voice in voices(count)
    ]
    record(jobs)
    for fold, split in enumerate(folds(len(rows))):
        real = [(*row, part) for row, part in zip(rows, split, strict=True)]
        spoken = [
            (f"{out.name}/{job.path.name}", job.text, "train")
            for job in jobs
            if split[job.seed[0]] == "train"
        ]
        for name, lines in (("espeak", [*real, *spoken]), ("real", real)):
            with (table.parent / f"{table.stem}_{name}_{fold}.csv").open(
                "w", newline="", encoding="utf-8"
            ) as file:
                csv.writer(file).writerows([("path", "text", "split"), *lines])
    return len(jobs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make one of the two sets."""
    parser = argparse.ArgumentParser(
        prog="scripts/synthetic_speech",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    spoken = kinds.add_parser("digits", help="FSDD with more voices")
    spoken.add_argument("fsdd", type=Path, help="FSDD's folder, which has recordings/")
    spoken.add_argument("out", type=Path, help="the new folder")
    spoken.add_argument("--takes", type=int, default=8, help="recordings of a digit by a voice (default: 8)")
    prompts = kinds.add_parser("asterisk", help="the prompts' texts by more voices")
    prompts.add_argument("table", type=Path, help="what scripts/fetch_asterisk wrote: asterisk/en.csv")
    for kind, count in ((spoken, 24), (prompts, 4)):
        kind.add_argument("--voices", type=int, default=count, help=f"how many (default: {count})")
    given = parser.parse_args(arguments)
    most = len(ACCENTS) * len(TIMBRES)
    if not 1 <= given.voices <= most:
        parser.error(f"--voices {given.voices}: there are 1 to {most}")
    new = given.out if given.kind == "digits" else given.table.parent / f"{given.table.stem}_espeak"
    if new.exists():
        parser.error(f"{new} is there already")
    needed = given.fsdd / "recordings" if given.kind == "digits" else given.table
    if not needed.exists():
        parser.error(f"{needed} is not there")
    made = (
        digits(given.fsdd, given.out, given.voices, given.takes)
        if given.kind == "digits"
        else asterisk(given.table, given.voices)
    )
    print(f"{new}: {made} recordings by {given.voices} voices of espeak-ng")
    return 0


if __name__ == "__main__":
    sys.exit(main())
