"""The pictures of README and docs, drawn by headless Chromium offline: a run, its TensorBoard, a sweep's, a report.

scripts/pictures [OUT]            # needs chromium; trains what it shows, in a temporary folder
scripts/pictures OUT hparams      # some alone: run, hparams, report, doctor
"""

import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PORT = 16006
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",  # no other machine can be reached
]


def main() -> None:
    """Draw them."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/pictures")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        chosen = sys.argv[2:] or ["run", "hparams", "report", "doctor"]
        if "run" in chosen:
            terminal(scratch, out / "run.png")
            tensorboard(scratch, out)
        if "hparams" in chosen:
            hparams(scratch, out / "hparams.png")
        if "report" in chosen:
            report(scratch, out)
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


def tensorboard(scratch: str, out: Path) -> None:
    """Photograph the run's scalars and images."""
    with served(scratch, "runs") as address:
        shoot(
            f"{address}/?darkMode=false#scalars&tagFilter=train%7Cval",
            out / "tensorboard-scalars.png",
            (1400, 900),
        )
        shoot(f"{address}/?darkMode=false#images", out / "tensorboard.png", (1400, 1000))


def hparams(scratch: str, out: Path) -> None:
    """Train six runs, and photograph the tab that sets their choices beside their results."""
    leyden = str(Path(sys.executable).with_name("leyden"))
    words = ["model=mlp", "optimizer.lr=0.0003,0.003,0.03", "batch_size=32,128", "trainer.max_epochs=4"]
    command = [leyden, "train", "-m", *words, "trainer=cpu", "threads=1", "runs=searched"]
    subprocess.run(command, cwd=scratch, check=True, capture_output=True)
    with served(scratch, "searched") as address:
        shoot(f"{address}/?darkMode=false#hparams", out, (1800, 560))


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


def shoot(address: str, out: Path, size: tuple[int, int]) -> None:
    """Photograph a page."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or sys.exit("needs chromium")
    with tempfile.TemporaryDirectory() as profile:
        window = f"--window-size={size[0]},{size[1]}"
        command = [
            browser,
            *FLAGS,
            f"--user-data-dir={profile}",
            window,
            "--virtual-time-budget=20000",
        ]
        subprocess.run([*command, f"--screenshot={out.resolve()}", address], check=True, capture_output=True)
    print(out)


if __name__ == "__main__":
    main()
