"""The pictures of README and docs, drawn by headless Chromium offline: runs, their TensorBoard, a sweep's, a report.

scripts/pictures [OUT]            # needs chromium; trains what it shows, in a temporary folder
scripts/pictures OUT audio        # some alone: run, image, audio, text, hparams, report, errors, doctor

The sounds and texts are those of FSDD and SMS Spam in LEYDEN_DATA, by default ../shared/data.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PORT = 16006
ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("LEYDEN_DATA", ROOT.parent / "shared" / "data")).resolve()
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",  # no other machine can be reached
]
NO_GPU = ["--disable-gpu"]
DRAWN_3D = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # for the projector
COLOURS = 128  # of a picture's palette, so that it stays small

# Of each run of TensorBoard's pictures: what is trained, and (picture, tab, size) of what is shown of it. A third
# number of the size: pixels that are cut off above (the tab Audio does not filter by the address).
ONE_CPU = ["trainer=cpu", "threads=1"]
AUDIO, TEXT = ([f"experiment={name}", f"data_root={DATA}"] for name in ("fsdd", "sms_spam"))
LONG = "trainer.max_epochs=10"
SHOWN: dict[str, tuple[list[str], list[tuple[str, str, tuple[int, ...]]]]] = {
    "image": (
        [LONG],
        [
            ("tensorboard", "images&tagFilter=confusion%7Crecall%7Ctest%2Ferrors", (1120, 1000)),
            ("tensorboard-scalars", "scalars&tagFilter=%5E%5B12%5D", (1120, 900)),
            ("tensorboard-charts", "custom_scalars", (1120, 900)),
            ("tensorboard-histograms", "histograms", (1120, 760)),
            ("tensorboard-curves", "pr_curves", (1120, 760)),
            ("tensorboard-batch", "images&tagFilter=first", (1120, 760)),
            ("tensorboard-epochs", "images&tagFilter=by%20epoch", (1120, 760)),
            ("tensorboard-projector", "projector", (1240, 760)),
        ],
    ),
    "audio": (
        [*AUDIO, LONG],
        [
            ("tensorboard-batch-audio", "images&tagFilter=first", (1120, 760)),
            ("tensorboard-errors", "images&tagFilter=test%2Ferrors", (1120, 820)),
            ("tensorboard-audio", "audio", (1120, 640, 1180)),
        ],
    ),
    "text": (
        [*TEXT, LONG],
        [
            ("tensorboard-batch-text", "text&tagFilter=first", (1120, 760)),
            ("tensorboard-text", "text&tagFilter=test%2Ferrors", (1120, 760)),
        ],
    ),
}


def main() -> None:
    """Draw them."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/pictures")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        chosen = sys.argv[2:] or ["run", *SHOWN, "hparams", "report", "errors", "doctor"]
        if "run" in chosen:
            terminal(scratch, out / "run.png")
        for kind, (words, shown) in SHOWN.items():
            if kind in chosen:
                tensorboard(scratch, out, kind, words, shown)
        if "hparams" in chosen:
            hparams(scratch, out / "hparams.png")
        if "report" in chosen:
            report(scratch, out)
        if "errors" in chosen:
            errors(scratch, out)
        if "doctor" in chosen:
            doctor(scratch, out)


def report(scratch: str, out: Path) -> None:
    """Train a sweep and the trivial models, and photograph the page that compares them."""
    leyden = str(Path(sys.executable).with_name("leyden"))
    shared = [
        "seed=1,2,3",
        "trainer=cpu",
        "threads=1",
        "trainer.max_epochs=6",
        "logger=none",
        "runs=compared",
    ]
    for words in (["model=mlp,cnn", "optimizer.lr=0.001,0.01"], ["model=majority,linear"]):
        subprocess.run([leyden, "train", "-m", *words, *shared], cwd=scratch, check=True, capture_output=True)
    command = [
        leyden,
        "report",
        "compared",
        "--baseline",
        "model=mlp",
        "optimizer.lr=0.001",
        "--html",
        "report.html",
    ]
    subprocess.run(command, cwd=scratch, check=True, capture_output=True)
    page = (Path(scratch) / "report.html").as_uri()
    shoot(page, out / "report.png", (1360, 1760))


def errors(scratch: str, out: Path) -> None:
    """Train what is not good yet, and photograph the pages of its errors, one of them dark."""
    leyden = str(Path(sys.executable).with_name("leyden"))
    for kind, words in {
        "audio": [*AUDIO, "trainer.max_epochs=3"],
        "text": [*TEXT, "trainer.max_epochs=2"],
    }.items():
        command = [leyden, "train", *words, *ONE_CPU, "logger=none", f"runs=wrong-{kind}"]
        subprocess.run(command, cwd=scratch, check=True, capture_output=True)
        command = [leyden, "errors", "last", f"--runs=wrong-{kind}", "--split=test", f"--html={kind}.html"]
        subprocess.run(command, cwd=scratch, check=True, capture_output=True)
    audio, text = ((Path(scratch) / f"{kind}.html").as_uri() for kind in ("audio", "text"))
    dark = ["--blink-settings=preferredColorScheme=0"]
    shoot(audio, out / "errors.png", (1300, 1400, 595))
    shoot(text, out / "errors-text.png", (1300, 900, 620), dark)


def terminal(scratch: str, out: Path) -> None:
    """Train the default and draw what it printed."""
    leyden = str(Path(sys.executable).with_name("leyden"))
    done = subprocess.run([leyden, "train"], cwd=scratch, capture_output=True, text=True, check=True)
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=84, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    lines = done.stdout.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("epoch 18"))
    console.print(Text("$ leyden train", style="bold"))
    console.print(Text("\n".join(lines[first:])))
    page = Path(scratch) / "run.html"
    page.write_text(console.export_html(inline_styles=True), encoding="utf-8")
    shoot(page.as_uri(), out, (830, 19 * (len(lines) - first) + 80))


def tensorboard(
    scratch: str, out: Path, kind: str, words: list[str], shown: list[tuple[str, str, tuple[int, ...]]]
) -> None:
    """Train a run, and photograph its tabs."""
    leyden = str(Path(sys.executable).with_name("leyden"))
    command = [leyden, "train", *words, *ONE_CPU, f"runs={kind}"]
    subprocess.run(command, cwd=scratch, check=True, capture_output=True)
    with served(scratch, kind) as address:
        for name, tab, size in shown:
            shoot(f"{address}/?darkMode=false#{tab}", out / f"{name}.png", size)


def hparams(scratch: str, out: Path) -> None:
    """Train four runs, and photograph the tab that sets their choices beside their results."""
    leyden = str(Path(sys.executable).with_name("leyden"))
    words = ["model=mlp", "optimizer.lr=0.001,0.01", "batch_size=32,128", "trainer.max_epochs=4"]
    command = [leyden, "train", "-m", *words, "trainer=cpu", "threads=1", "runs=searched"]
    subprocess.run(command, cwd=scratch, check=True, capture_output=True)
    with served(scratch, "searched") as address:
        shoot(f"{address}/?darkMode=false#hparams", out, (1700, 480))


def doctor(scratch: str, out: Path) -> None:
    """Train one that explodes and one that is not well, and photograph what the doctor says of them."""
    leyden = str(Path(sys.executable).with_name("leyden"))
    deep = [
        "model=mlp",
        "model.net.hidden=[256,256,256,256]",
        "model.net.dropout=0",
        "optimizer=sgd",
        "runs=ill",
    ]
    for rate in ("0.3", "3"):
        command = [
            leyden,
            "train",
            *deep,
            f"optimizer.lr={rate}",
            "trainer=cpu",
            "threads=1",
            "trainer.max_epochs=6",
        ]
        subprocess.run(command, cwd=scratch, check=False, capture_output=True)
    with served(scratch, "ill") as address:
        shoot(f"{address}/?darkMode=false#text", out / "doctor.png", (1400, 900))


@contextmanager
def served(scratch: str, folder: str) -> Iterator[str]:
    """The address of a TensorBoard of the runs in a folder of `scratch`, which the page names."""
    program = str(Path(sys.executable).with_name("tensorboard"))
    command = [program, "--logdir", folder, "--port", str(PORT)]
    server = subprocess.Popen(command, cwd=scratch, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait(f"http://localhost:{PORT}/data/plugins_listing")
        yield f"http://localhost:{PORT}"
    finally:
        server.terminate()
        server.wait()


def wait(address: str) -> None:
    """Until an address answers."""
    for _ in range(120):
        try:
            urllib.request.urlopen(address, timeout=1)
            return
        except OSError:
            time.sleep(0.5)
    sys.exit(f"TensorBoard does not answer at {address}")


def shoot(address: str, out: Path, size: tuple[int, ...], flags: Sequence[str] = ()) -> None:
    """Photograph a page."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or sys.exit("needs chromium")
    cut = size[2] if len(size) > 2 else 0
    with tempfile.TemporaryDirectory() as profile:
        window = f"--window-size={size[0]},{size[1] + cut}"
        command = [
            browser,
            *FLAGS,
            *flags,
            *(DRAWN_3D if address.endswith("#projector") else NO_GPU),
            f"--user-data-dir={profile}",
            window,
            "--virtual-time-budget=20000",
        ]
        subprocess.run([*command, f"--screenshot={out.resolve()}", address], check=True, capture_output=True)
    from PIL import Image

    taken = Image.open(out).convert("RGB").crop((0, cut, size[0], size[1] + cut))
    taken.quantize(COLOURS, dither=Image.Dither.NONE).save(out, optimize=True)
    print(out)


if __name__ == "__main__":
    main()
