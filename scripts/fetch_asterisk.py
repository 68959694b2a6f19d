"""Fetch Asterisk's recorded prompts and their transcripts from Debian, without root, for experiment=asterisk_ctc.

    scripts/fetch_asterisk data            # writes data/asterisk/en.csv and data/asterisk/en/*.wav, 51 MB
    scripts/fetch_asterisk data --language fr

It needs apt-get with Debian's package lists, and dpkg-deb. The recordings are by one speaker, 8 kHz, CC BY-SA 3.0.
"""

import argparse
import csv
import gzip
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

LANGUAGES = ("en", "es", "fr", "it", "ru")
_ASIDE = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>")  # "dash [-]", "(2 seconds of silence)"
_LINE = re.compile(r"([^\s:;]+): *(.*)")


def prompts(text: str) -> Iterator[tuple[str, str]]:
    """(name, what is said) of each line "name: text"; tones and silences, of which nothing is said, are left out."""
    for line in text.splitlines():
        found = _LINE.fullmatch(line.strip())
        said = " ".join(_ASIDE.sub(" ", found[2]).split()) if found else ""
        if found and said:
            yield found[1], said


def unpack(language: str, into: Path) -> None:
    """Download the packages of a language and unpack them."""
    names = [f"asterisk-core-sounds-{language}", f"asterisk-core-sounds-{language}-wav"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", *names], cwd=folder, check=True)
        for package in sorted(Path(folder).glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, into], check=True)


def write(unpacked: Path, language: str, out: Path) -> int:
    """Move the recordings to out/LANGUAGE and list them in out/LANGUAGE.csv; returns how many there are."""
    (lines,) = unpacked.glob(f"usr/share/doc/*/core-sounds-{language}.txt.gz")
    (voice,) = unpacked.glob("usr/share/asterisk/sounds/*")
    said = prompts(gzip.decompress(lines.read_bytes()).decode("utf-8"))
    there = [(f"{language}/{name}.wav", text) for name, text in said if (voice / f"{name}.wav").exists()]
    out.mkdir(parents=True, exist_ok=True)
    voice.rename(out / language)
    with (out / f"{language}.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "text"), *there])
    return len(there)


def main() -> None:
    """Fetch one language."""
    parser = argparse.ArgumentParser(prog="scripts/fetch_asterisk", description=__doc__)
    parser.add_argument("folder", type=Path, help="where data lie: data_root")
    parser.add_argument("--language", choices=LANGUAGES, default="en")
    given = parser.parse_args()
    out = given.folder / "asterisk"
    if (out / given.language).exists():
        parser.error(f"{out / given.language} is there already")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as unpacked:
        unpack(given.language, Path(unpacked))
        count = write(Path(unpacked), given.language, out)
    print(f"{out / given.language}.csv: {count} recordings with transcripts")


if __name__ == "__main__":
    main()
