"""Tiny data sets in the layouts of the real ones, so that every shipped experiment can train a batch anywhere."""

import csv
import io
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

RNG = np.random.default_rng(0)
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


def _idx(path: Path, values: np.ndarray) -> None:
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def mnist(root: Path, name: str = "MNIST") -> None:
    """200 + 40 images of noise, all ten digits."""
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for part, n in (("train", 200), ("t10k", 40)):
        _idx(raw / f"{part}-images-idx3-ubyte", RNG.integers(0, 256, (n, 28, 28)))
        _idx(raw / f"{part}-labels-idx1-ubyte", np.arange(n) % 10)


def cifar10(root: Path) -> None:
    """Five batches of 40 and a test batch."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        values = RNG.integers(0, 256, (40, 3072)).astype(np.uint8)
        labels = [int(i) for i in np.arange(40) % 10]
        (folder / name).write_bytes(pickle.dumps({b"data": values, b"labels": labels}, protocol=2))


def cifar10_jpeg(root: Path) -> None:
    """20 + 4 of each class, as files of one archive."""
    with tarfile.open(root / "cifar10-jpg.tar.gz", "w:gz") as archive:
        for part, n in (("train", 200), ("test", 40)):
            for i in range(n):
                content = io.BytesIO()
                Image.fromarray(RNG.integers(0, 256, (32, 32, 3)).astype(np.uint8)).save(content, "jpeg")
                member = tarfile.TarInfo(f"{part}/class{i % 10}/{i:03}.jpg")
                member.size = content.tell()
                content.seek(0)
                archive.addfile(member, content)


def sms_spam(root: Path) -> None:
    """200 messages, a fifth spam."""
    folder = root / "sms-spam"
    folder.mkdir()
    lines = [f"{'spam' if i % 5 == 0 else 'ham'}\tmessage number {i} of many words" for i in range(200)]
    (folder / "SMSSpamCollection").write_text("\n".join(lines) + "\n", encoding="utf-8")


def ag_news(root: Path) -> None:
    """200 + 40 articles of four classes."""
    folder = root / "ag_news"
    folder.mkdir()
    for part, n in (("train", 200), ("test", 40)):
        with (folder / f"{part}.csv").open("w", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL)
            writer.writerows([i % 4 + 1, f"title {i} {part}", f"some words {i}"] for i in range(n))


def _clip(path: Path, rate: int, seconds: float = 0.2) -> None:
    """Noise of so many seconds, or up to two thirds more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shortest = int(rate * seconds)
    values = RNG.integers(-999, 999, RNG.integers(shortest, shortest * 5 // 3)).astype(np.int16)
    soundfile.write(path, values, rate)


def fsdd(root: Path) -> None:
    """Every digit by every speaker, five times: indices 0 (test), 5 to 7 and 12."""
    for digit in range(10):
        for speaker in SPEAKERS:
            for index in (0, 5, 6, 7, 12):
                _clip(root / "fsdd" / "recordings" / f"{digit}_{speaker}_{index}.wav", 8000)


def speech_commands(root: Path) -> None:
    """Three words by 40 voices, with the official lists."""
    folder = root / "speech_commands_v0.02"
    names = [f"{word}/{voice:08x}_nohash_0.wav" for word in ("down", "up", "yes") for voice in range(40)]
    for name in names:
        _clip(folder / name, 16000)
    (folder / "validation_list.txt").write_text("\n".join(names[30:120:40]) + "\n")
    (folder / "testing_list.txt").write_text("\n".join(names[31:120:40]) + "\n")


def asterisk(root: Path) -> None:
    """40 recordings with a few words each, and a fold of them as scripts/synthetic_speech writes it."""
    folder = root / "asterisk"
    lines, split = ["path,text"], ["path,text,split"]
    for i in range(40):
        _clip(folder / "en" / f"{i}.wav", 8000, 0.8)
        lines.append(f"en/{i}.wav,Press {i % 3}.")
        split.append(f"{lines[-1]},{'test' if i % 5 == 0 else 'val' if i % 5 == 1 else 'train'}")
    (folder / "en.csv").write_text("\n".join(lines) + "\n")
    for name in ("real", "espeak"):
        (folder / f"en_{name}_0.csv").write_text("\n".join(split) + "\n")


# By the name of the data option; the generated sets and digits need no file.
WRITERS: dict[str, Callable[[Path], None]] = {
    "mnist": mnist,
    "cifar10": cifar10,
    "cifar10_jpeg": cifar10_jpeg,
    "sms_spam": sms_spam,
    "ag_news": ag_news,
    "fsdd": fsdd,
    "speech_commands": speech_commands,
    "asterisk": asterisk,
}
