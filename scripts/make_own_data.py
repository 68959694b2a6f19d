"""Write tiny picture, text and audio data of your "own", as folders and as manifests, to try Leyden on.

    scripts/make_own_data OUT

    OUT/images/{circle,cross,square}/NN.png   24x24 colour    OUT/images.csv  path,label,width,author,split
    OUT/texts/{train,test}.csv                text,label      OUT/texts.csv   text,label,tags,author,split
    OUT/new.txt                               a text a line, without labels
    OUT/audio/{falling,rising}/NN.wav         8 kHz, mono     OUT/audio.csv   path,label,author,split
    OUT/people.csv                            photo,note,voice,age,site,state: several inputs a row, some cells empty

width is the shape's in pixels, a number to predict; tags are the labels of a text, several in a cell: "bad;lamp".

Only ordinary tools are used: this is what a user's own script might look like.
"""

import argparse
import csv
import math
import random
import struct
import wave
from pathlib import Path

from PIL import Image, ImageDraw

AUTHORS = ["ada", "ben", "cyd", "dov"]
PICTURES = ["circle", "cross", "square"]
SOUNDS = ["falling", "rising"]
SIDE = 24  # pixels
RATE = 8000  # Hz

OPENINGS = ["Honestly,", "Well,", "I must say,", "To be fair,", "For once,"]
THINGS = ["the lamp", "this kettle", "the jacket", "that radio", "the chair", "my new desk"]
VERDICTS = {
    "bad": ["broke at once", "is a waste of money", "is useless", "was a disappointment"],
    "good": ["works like a charm", "is worth every penny", "is splendid", "was a lovely surprise"],
}


def picture(kind: str, rng: random.Random) -> tuple[Image.Image, int]:
    """A bright shape at a random place on a dark ground, and its width in pixels."""
    image = Image.new("RGB", (SIDE, SIDE), tuple(rng.randrange(60) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    size, left, top = rng.randrange(9, 13), rng.randrange(1, 10), rng.randrange(1, 10)
    box, ink = (left, top, left + size, top + size), tuple(rng.randrange(150, 256) for _ in range(3))
    if kind == "circle":
        draw.ellipse(box, fill=ink)
    elif kind == "square":
        draw.rectangle(box, fill=ink)
    else:
        draw.line((left, top, left + size, top + size), fill=ink, width=3)
        draw.line((left, top + size, left + size, top), fill=ink, width=3)
    return image, size


def sound(kind: str, rng: random.Random) -> list[int]:
    """A tone of a third to half a second whose pitch falls or rises."""
    count = rng.randrange(RATE // 3, RATE // 2)
    ends = rng.uniform(300, 500), rng.uniform(1200, 1800)
    first, last = ends if kind == "rising" else ends[::-1]
    phase, samples = 0.0, []
    for i in range(count):
        phase += 2 * math.pi * (first + (last - first) * i / count) / RATE
        samples.append(round(9000 * math.sin(phase) + rng.gauss(0, 300)))
    return samples


def write_wave(path: Path, samples: list[int]) -> None:
    """A 16-bit mono WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    """Rows with a header line of their keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def rest(number: int, count: int) -> dict[str, str]:
    """Who made sample `number` of `count`, and its split: the last fifth is the test set."""
    return {
        "author": AUTHORS[number % len(AUTHORS)],
        "split": "test" if number >= count * 4 // 5 else "train",
    }


def write_files(
    out: Path, folder: str, kinds: list[str], ending: str, count: int, rng: random.Random
) -> None:
    """One folder per class, and the manifest beside it."""
    rows = []
    for kind in kinds:
        (out / folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            path = out / folder / kind / f"{number:02}{ending}"
            row = {"path": path.relative_to(out).as_posix(), "label": kind}
            if ending == ".png":
                image, width = picture(kind, rng)
                image.save(path)
                row["width"] = str(width)
            else:
                write_wave(path, sound(kind, rng))
            rows.append({**row, **rest(number, count)})
    write_csv(out / f"{folder}.csv", rows)


def write_texts(out: Path, count: int, rng: random.Random) -> None:
    """One table with every column, and a file for each split with text and label alone."""
    rows = []
    for label, verdicts in VERDICTS.items():
        every = [(f"{o} {t} {v}.", t.split()[-1]) for o in OPENINGS for t in THINGS for v in verdicts]
        for number, (text, thing) in enumerate(rng.sample(every, count)):
            rows.append({"text": text, "label": label, "tags": f"{label};{thing}", **rest(number, count)})
    write_csv(out / "texts.csv", rows)
    for split in ("train", "test"):
        chosen = [{"text": r["text"], "label": r["label"]} for r in rows if r["split"] == split]
        write_csv(out / "texts" / f"{split}.csv", chosen)
    (out / "new.txt").write_text("The kettle works.\nThat lamp is a waste.\n", encoding="utf-8")


def write_people(out: Path, count: int, rng: random.Random) -> None:
    """A table of several inputs, a fifth of its cells empty: picture, text, recording, a number, a category."""
    meant = {"well": ("circle", "good", "rising"), "ill": ("cross", "bad", "falling")}
    rows = []
    for state, (shape, verdict, tone) in meant.items():
        for number in range(count):
            row = {
                "photo": f"images/{shape}/{number:02}.png",
                "note": f"{rng.choice(OPENINGS)} {rng.choice(THINGS)} {rng.choice(VERDICTS[verdict])}.",
                "voice": f"audio/{tone}/{number:02}.wav",
                "age": f"{rng.gauss(60 if state == 'ill' else 45, 10):.1f}",
                "site": rng.choice(["north", "south"]),
            }
            rows.append(
                {k: "" if rng.random() < 0.2 and k != "site" else v for k, v in row.items()}
                | {"state": state}
            )
    write_csv(out / "people.csv", rows)


def main(arguments: list[str] | None = None) -> None:
    """Write everything below OUT."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=30, help="samples of each class (30; 2 to 100)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if not 2 <= options.count <= 100:  # one for training, one for the test
        parser.error("--count: expected 2 to 100")
    rng = random.Random(options.seed)
    write_files(options.out, "images", PICTURES, ".png", options.count, rng)
    write_files(options.out, "audio", SOUNDS, ".wav", options.count, rng)
    write_texts(options.out, options.count, rng)
    write_people(options.out, options.count, rng)
    print(
        f"{options.out}: images, texts, audio and a manifest of each, {options.count} samples of each class"
    )


if __name__ == "__main__":
    main()
