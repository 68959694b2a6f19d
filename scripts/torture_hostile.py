"""Opens what a stranger made with every command: nothing may run, be written outside, be read out, or hang.

    scripts/torture_hostile                     # all cells of the table of kinds and verbs; some minutes
    scripts/torture_hostile --only links        # one kind;  --list prints the table

A cell is a copy of a finished run, an input of one kind planted in or beside it, and a command (or `leyden.load`) in a
process of its own. It fails if the planted code ran, if a file outside the folders that the command may write changed,
if the secret of the environment or of a file outside was printed or written, if a control character was printed, if
there was a traceback, or if it took longer than a minute. In the cells of kind `own` the run has a net of the user's
own and must work without --trust; where it is unpacked by somebody else, or was changed, --trust must be asked for.
Exit status 1 if a cell fails.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import pickle
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

SECONDS = 60  # of a cell
MEMORY = 24 << 30  # bytes of address space
SECRET = "d41f-the-secret-0b2c"
QUICK = ["data=digits", "model=linear", "trainer=cpu", "trainer.max_epochs=1", "threads=1", "logger=none"]
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202ered\r"
HTML = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
FORMULA = '=HYPERLINK("http://x","y")'
OWN = ["--config-dir=../lab/conf", "data=digits", "model=own", *QUICK[2:]]  # a net of the user's own
OWN_MODEL = """name: own
module: {_target_: leyden.modules.classification.Classifier}
frontend: {_target_: leyden.data.transforms.image.Normalize}
net: {_target_: own_net.Net}
"""
OWN_NET = """from math import prod

from torch import nn

open("MARK", "w")


class Net(nn.Module):
    def __init__(self, num_outputs, in_channels, image_size):
        super().__init__()
        self.head = nn.Linear(in_channels * prod(image_size), num_outputs)

    def forward(self, x):
        return self.head(x.flatten(1))
"""
MARKDOWN = "![x](http://x/y.png) | <b>b</b> `c` [l](javascript:a)\n# h"


@dataclass(frozen=True)
class Cell:
    """The folders of one cell."""

    place: Path

    @property
    def work(self) -> Path:
        """The working folder, in which the command may write."""
        return self.place / "work"

    @property
    def run(self) -> Path:
        """The hostile run."""
        return next((self.work / "runs" / "default").glob("digits-*"))

    @property
    def mark(self) -> Path:
        """Made by planted code."""
        return self.place / "EXECUTED"

    @property
    def outside(self) -> Path:
        """A folder that no command may touch, with a secret."""
        return self.place / "outside"

    def result(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the content of result.json."""
        content = json.loads((self.run / "result.json").read_text())
        change(content)
        (self.run / "result.json").write_text(json.dumps(content, indent=1))

    def config(self, path: str, value: Any) -> None:
        """Set a key of the stored configuration."""
        file = self.run / "config.yaml"
        content = node = yaml.safe_load(file.read_text())
        *parents, last = path.split(".")
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = value
        file.write_text(yaml.safe_dump(content))


class Evil:
    """Unpickled, it makes the mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.mark, "w")


# --- what is planted ---


def pickled_checkpoints(cell: Cell) -> None:
    """Checkpoints and weight files that hold a pickled call beside the tensors; the run is to be resumed."""
    import torch

    cell.result(lambda r: r.update(status="running"))  # so that the training is resumed
    for name in ("best", "last", "previous"):
        path = cell.run / "checkpoints" / f"{name}.ckpt"
        content = torch.load(path, weights_only=False) if path.exists() else {}
        path.unlink(missing_ok=True)  # best and last may be one file
        torch.save({**content, "note": Evil(cell.mark)}, path)
    for name in ("stranger.ckpt", "stranger.pt"):
        torch.save(Evil(cell.mark), cell.work / name)


def pickled_snapshot(cell: Cell) -> None:
    """A snapshot of a non-finite step that is a pickled call."""
    import torch

    (cell.run / "bad_step").mkdir()
    torch.save(Evil(cell.mark), cell.run / "bad_step" / "rank0.pt")


def pickled_arrays(cell: Cell) -> None:
    """Arrays of objects in predictions and cache."""
    evil = np.array([Evil(cell.mark)], dtype=object)
    for path in (*(cell.run / "predictions").glob("*.npz"), *(cell.place / "cache").rglob("*.npy")):
        path.unlink()
        if path.suffix == ".npz":
            np.savez(path, rows=evil, probabilities=evil, labels=evil, outputs=evil)
        else:
            np.save(path, evil, allow_pickle=True)


def pickled_data(cell: Cell) -> None:
    """CIFAR-10's batches, which are pickles."""
    folder = cell.work / "data" / "cifar10" / "cifar-10-batches-py"
    for parent in (folder, folder.parent, cell.work / "data", cell.work / "data" / "cifar-10-batches-py"):
        parent.mkdir(parents=True, exist_ok=True)
        for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"):
            (parent / name).write_bytes(pickle.dumps({b"data": Evil(cell.mark), b"labels": []}))


def target(place: str, node: dict[str, Any], cell: Cell) -> None:
    """A node in the stored configuration that names a callable of the standard library."""
    text = json.dumps(node).replace("MARK", str(cell.mark)).replace("OUTSIDE", str(cell.outside))
    cell.config(place, json.loads(text))


def interpolations(cell: Cell) -> None:
    """Interpolations that would read the environment."""
    cell.config("name", "${oc.env:TORTURE_SECRET}")
    cell.config("data_root", "${oc.env:TORTURE_SECRET}")
    cell.config("model.net.${oc.env:TORTURE_SECRET}", "${oc.env:TORTURE_SECRET}")
    cell.result(lambda r: r["config"].update(name="${oc.env:TORTURE_SECRET}"))


def stored_paths(cell: Cell) -> None:
    """Folders outside in the stored configuration."""
    for key in ("cache", "runs"):
        cell.config(key, str(cell.outside / key))


def links(cell: Cell) -> None:
    """Links where a training writes or locks, also under the names of temporary files."""
    cell.result(lambda r: r.update(status="running"))
    for name in (
        ".lock",
        "metrics.csv",
        "error.txt",
        "changes.diff",
        "checkpoints/writing.ckpt",
        "checkpoints/best.safetensors",
    ):
        (cell.run / name).unlink(missing_ok=True)
        (cell.run / name).symlink_to(cell.outside / "precious.txt")
    for number in range(1, 1000):  # the names of temporary files
        (cell.run / f".result.json.{number}").symlink_to(cell.outside / "precious.txt")


def links_of_failed(cell: Cell) -> None:
    """The same in a run that has failed and is begun anew, with a link in the place of its signature."""
    links(cell)
    cell.result(lambda r: r.update(status="failed"))
    (cell.run / "signature").unlink(missing_ok=True)
    (cell.run / "signature").symlink_to(cell.outside / "precious.txt")


def linked_folders(cell: Cell) -> None:
    """Links in the place of folders, and links that form loops or lead to the whole disk."""
    cell.result(lambda r: r.update(status="failed"))
    for name in ("checkpoints", "predictions", "tensorboard"):
        shutil.rmtree(cell.run / name, ignore_errors=True)
        (cell.run / name).symlink_to(cell.outside)
    (cell.run.parent / "up").symlink_to("..")
    (cell.run.parent / "over").symlink_to("../..")
    (cell.run.parent / "root").symlink_to("/")


def linked_secret(name: str, cell: Cell) -> None:
    """A link to a file outside in the place of a file that is read."""
    (cell.run / name).unlink(missing_ok=True)
    (cell.run / name).symlink_to(cell.outside / "secret.txt")


def fifo(name: str, cell: Cell) -> None:
    """A pipe in the place of a file: opening it would wait for ever."""
    (cell.run / name).unlink(missing_ok=True)
    os.mkfifo(cell.run / name)


def false_sizes(cell: Cell) -> None:
    """Weights in the safetensors format whose header, or whose tensor, is said to be of many terabytes."""
    header = json.dumps({"head.weight": {"dtype": "F32", "shape": [1 << 44], "data_offsets": [0, 1 << 46]}})
    (cell.work / "stranger.safetensors").write_bytes(struct.pack("<Q", len(header)) + header.encode())
    (cell.work / "header.safetensors").write_bytes(struct.pack("<Q", 1 << 62) + header.encode())


def fifo_of_weights(cell: Cell) -> None:
    """A pipe in the place of weights in the safetensors format."""
    os.mkfifo(cell.work / "stranger.safetensors")


def archives(cell: Cell) -> None:
    """A tar archive with members outside that unpacks to a gigabyte; idx files whose sizes overflow."""
    with tarfile.open(cell.work / "bomb.tar", "w") as archive:
        for name in ("../../outside/evil.jpg", "/tmp/leyden-evil.jpg", "train/a/1.jpg"):
            entry = tarfile.TarInfo(name)
            entry.size = 300_000_000
            archive.addfile(entry, Zeros())
    with (
        (cell.work / "bomb.tar").open("rb") as plain,
        gzip.open(cell.work / "bomb.tar.gz", "wb", 1) as packed,
    ):
        shutil.copyfileobj(plain, packed, 1 << 20)
    (cell.work / "bomb.tar").unlink()
    names = ("train-images", "train-labels", "t10k-images", "t10k-labels")
    folders = [
        cell.work / "data",
        *(cell.work / "data" / name for name in ("mnist", "mnist/MNIST/raw", "MNIST/raw")),
    ]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            idx = "idx3" if "images" in name else "idx1"
            (folder / f"{name}-{idx}-ubyte").write_bytes(b"\0\0\x08\x04" + struct.pack(">4I", *[1 << 16] * 4))


class Zeros(io.RawIOBase):
    """As many zeros as are asked for."""

    def readable(self) -> bool:
        """It can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """`size` of them."""
        return bytes(size)


def laughs(cell: Cell) -> None:
    """YAML in which a few lines stand for millions of values."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    lines = [f"{b}: &{b} [*{a}, *{a}]" for a, b in pairwise(letters)]
    (cell.run / "config.yaml").write_text("\n".join(["a: &a [x, x]", *lines]))


def yaml_objects(cell: Cell) -> None:
    """YAML that asks for a Python call."""
    with (cell.run / "config.yaml").open("a") as file:
        file.write(f"evil: !!python/object/apply:os.system ['touch {cell.mark}']\n")


def nested(cell: Cell) -> None:
    """YAML and JSON nested too deep for a recursive parser."""
    (cell.run / "config.yaml").write_text("[" * 5000)
    (cell.run / "result.json").write_text("[" * 200_000)


def studies(cell: Cell) -> None:
    """Studies with hostile names, of a wrong shape, and a database that is none."""
    folder = cell.work / "runs" / "default" / "search"
    folder.mkdir()
    trial = {"number": 0, "state": "complete", "params": {HTML: HTML}, "values": [1.0], "curve": {}}
    study = {"schema": 1, "name": HTML + ESCAPES, "storage": "", "sampler": HTML, "pruner": "none", "seed": 1}
    study |= {
        "total": 1,
        "goals": [{"name": HTML, "direction": "maximize"}],
        "params": {HTML: {"log": False}},
    }
    study |= {
        "best": [0],
        "importance": {},
        "trials": [{**trial, "words": ["a; touch EXECUTED"], "folder": None}],
    }
    (folder / "study.json").write_text(json.dumps(study))
    other = cell.work / "runs" / "default" / "broken"
    other.mkdir()
    (other / "study.json").write_text('{"schema": 1, "trials": 5}')
    shutil.copyfile(folder / "study.json", other / "study.db")


def everywhere(text: str, cell: Cell) -> None:
    """The text as every name and message that is printed or exported."""

    def change(result: dict[str, Any]) -> None:
        for node in (result["config"]["data"], result["config"]["model"], result["config"]):
            node["name"] = text
        result["config"]["experiment"] = text
        result["command"] = ["leyden", "train", text]
        finding = {
            "id": text,
            "level": "error",
            "message": text,
            "where": text,
            "advice": [text, "seed=" + text],
        }
        result["doctor"] = [{**finding, "evidence": {}, "step": 1}]
        for split in result["metrics"].values():
            split["scalars"] = {text: 0.5}
            for row in split["per_class"]:
                row["name"] = text

    cell.result(change)
    spec = json.loads((cell.run / "spec.json").read_text())
    spec["target_names"] = [f"{text}{i}" for i in range(10)]
    (cell.run / "spec.json").write_text(json.dumps(spec))
    copy = cell.run.parent / f"{text.replace('/', '')[:60]}-0123456789"
    shutil.copytree(cell.run, copy)


def code_beside(cell: Cell) -> None:
    """A net of the stranger's own beside the run, and a manifest that names the folder."""
    for folder in (cell.run, cell.place / "theirs"):
        folder.mkdir(exist_ok=True)
        (folder / "stranger_net.py").write_text(f"open({str(cell.mark)!r}, 'w')\nclass Net: pass\n")
    cell.config("model.net", {"_target_": "stranger_net.Net"})
    manifest = json.loads((cell.run / "manifest.json").read_text())
    manifest["folder"] = str(cell.place / "theirs")
    manifest["command"] = ["leyden", "train", f"--config-dir={cell.run}/conf", *QUICK]
    (cell.run / "manifest.json").write_text(json.dumps(manifest))


def working_folder(cell: Cell) -> None:
    """Modules that Hydra and libraries look for, and a checkout that names programs."""
    code = f"open({str(cell.mark)!r}, 'w')\nraise ImportError\n"
    plugins = cell.work / "hydra_plugins" / "evil"
    plugins.mkdir(parents=True)
    for path in (plugins / "__init__.py", plugins.parent / "other.py"):
        path.write_text(code)
    for name in (
        "tabulate",
        "gmpy2",
        "pandas",
        "regex",
        "tensorflow",
        "opt_einsum",
        "simplejson",
        "onnx",
        "dill",
    ):
        (cell.work / f"{name}.py").write_text(code)
    git = partial(subprocess.run, cwd=cell.work, check=True, capture_output=True)
    program = cell.work / "evil.sh"
    program.write_text(f"#!/bin/sh\ntouch {cell.mark}\n")
    program.chmod(0o755)
    git(["git", "init", "-q"])
    (cell.work / "f.txt").write_text("x")
    git(["git", "add", "f.txt"])
    git(["git", "-c", "user.email=a@b", "-c", "user.name=a", "commit", "-qm", "x"])
    (cell.work / "f.txt").write_text("y")
    for key in ("core.fsmonitor", "diff.external"):
        git(["git", "config", key, str(program)])


def own_run(cell: Cell) -> None:
    """A run with a net of the user's own in the place of the other; its state is that of an interrupted one."""
    shutil.rmtree(cell.work / "runs")
    options = cell.place / "lab" / "conf" / "model"
    options.mkdir(parents=True)
    (options / "own.yaml").write_text(OWN_MODEL)
    (cell.place / "lab" / "own_net.py").write_text(OWN_NET.replace("MARK", str(cell.mark)))
    status = forked(cell, lambda: command(["train", *OWN]), SECONDS)
    assert status == 0, (cell.place / "out").read_text()
    (cell.place / "out").unlink()


def interrupted_own_run(cell: Cell) -> None:
    """The same, to be resumed."""
    own_run(cell)
    cell.result(lambda r: r.update(status="running"))


def moved_own_run(cell: Cell) -> None:
    """The same, moved."""
    own_run(cell)
    cell.run.rename(cell.run.with_name("digits-moved"))


def unpacked_own_run(cell: Cell) -> None:
    """The same, as a user with another key finds it, beside the code that it names."""
    own_run(cell)
    shutil.rmtree(cell.place / "home")
    (cell.place / "home").mkdir()


def changed_own_run(cell: Cell) -> None:
    """The same with another configuration than was signed."""
    own_run(cell)
    cell.config("model.name", "other")


def changed_own_code(cell: Cell) -> None:
    """The same with other code than was signed."""
    own_run(cell)
    with (cell.place / "lab" / "own_net.py").open("a") as file:
        file.write("print('changed')\n")


# --- the table ---

SHOW = ("runs", "json", "show", "diff", "report", "doctor")
WORK = ("evaluate", "predict", "load", "errors", "explain")  # what a run is loaded for
LOAD = (*WORK, "check-explain")
TOUCH = {"_target_": "pathlib.Path", "_args_": ["MARK"]}
TABLE: dict[str, tuple[Callable[[Cell], object], tuple[str, ...]]] = {
    "pickles-checkpoints": (pickled_checkpoints, (*LOAD, "show", "resume", "init", "init-file", "init-ckpt")),
    "pickles-snapshot": (pickled_snapshot, ("replay", "show", "doctor")),
    "pickles-arrays": (
        pickled_arrays,
        ("show", "report", "evaluate", "data", "train", "errors", "against", "explain"),
    ),
    "pickles-data": (pickled_data, ("data-cifar", "check-cifar")),
    "targets-net": (
        partial(target, "model.net", {"_target_": "os.system", "command": "touch MARK"}),
        (*LOAD, "replay", "show", "doctor"),
    ),
    "targets-split": (
        partial(target, "split", {"_target_": "shutil.copyfile", "src": "/etc/hostname", "dst": "MARK"}),
        LOAD,
    ),
    "targets-source": (
        partial(target, "data.source", {"_target_": "subprocess.run", "args": ["touch", "MARK"]}),
        (*LOAD, "against"),
    ),
    "targets-frontend": (
        partial(target, "model.frontend", {"_target_": "builtins.open", "file": "MARK", "mode": "w"}),
        LOAD,
    ),
    "targets-logger": (
        partial(target, "logger.x", {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "OUTSIDE"}),
        LOAD,
    ),
    "targets-code": (
        partial(target, "loss", {"_target_": "builtins.eval", "source": "open('MARK', 'w')"}),
        LOAD,
    ),
    "interpolations": (interpolations, (*LOAD, "show", "runs", "report")),
    "stored-paths": (stored_paths, (*LOAD, "replay")),
    "links-files": (links, (*SHOW, "evaluate", "errors", "explain", "resume", "rm")),
    "links-failed": (links_of_failed, ("resume",)),
    "links-folders": (linked_folders, (*SHOW, "errors", "explain", "resume", "rm")),
    "links-result": (partial(linked_secret, "result.json"), SHOW),
    "links-config": (partial(linked_secret, "config.yaml"), ("show", "doctor", *LOAD)),
    "links-manifest": (partial(linked_secret, "manifest.json"), ("show", "diff", *LOAD)),
    "links-signature": (partial(linked_secret, "signature"), (*LOAD, "resume")),
    "links-predictions": (partial(linked_secret, "predictions/val.npz"), ("errors", "against", "explain")),
    "links-margins": (partial(linked_secret, "predictions/margins.npz"), ("suspects",)),
    "links-explain-check": (partial(linked_secret, "explain_check.json"), ("errors", "explain")),
    "links-metrics": (partial(linked_secret, "metrics.csv"), ("report", "show")),
    "fifos-result": (partial(fifo, "result.json"), (*SHOW, "rm")),
    "fifos-config": (partial(fifo, "config.yaml"), ("doctor", "show", *LOAD)),
    "fifos-checkpoint": (partial(fifo, "checkpoints/best.ckpt"), (*LOAD, "init")),
    "fifos-predictions": (partial(fifo, "predictions/val.npz"), ("errors", "against", "explain")),
    "fifos-margins": (partial(fifo, "predictions/margins.npz"), ("suspects",)),
    "fifos-explain-check": (partial(fifo, "explain_check.json"), ("errors", "explain")),
    "fifos-lock": (partial(fifo, ".lock"), ("runs", "evaluate", "rm")),
    "fifos-spec": (partial(fifo, "spec.json"), LOAD),
    "fifos-signature": (partial(fifo, "signature"), (*LOAD, "show", "continue")),
    "fifos-manifest": (partial(fifo, "manifest.json"), (*LOAD, "show", "continue")),
    "fifos-weights": (fifo_of_weights, ("init-safetensors",)),
    "sizes-weights": (false_sizes, ("init-safetensors", "init-header")),
    "archives": (archives, ("data-tar", "check-tar", "data-mnist")),
    "yaml-laughs": (laughs, ("show", "doctor", *LOAD)),
    "yaml-objects": (yaml_objects, ("show", "doctor", *LOAD)),
    "yaml-nested": (nested, ("runs", "report", "show", "evaluate", "errors", "explain")),
    "studies": (studies, ("runs", "report")),
    "terminals": (
        partial(everywhere, ESCAPES),
        (*SHOW, *LOAD, "predict-csv", "predict-json", "against", "explain-json"),
    ),
    "html": (partial(everywhere, HTML), ("report", "show", "errors", "explain")),
    "csv": (partial(everywhere, FORMULA), ("report", "predict-csv", "errors")),
    "markdown": (partial(everywhere, MARKDOWN), ("report",)),
    "copied-runs": (code_beside, (*LOAD, "replay", "show", "resume")),
    "working-folders": (working_folder, ("process-runs", "process-list", "process-train")),
    "own-run": (own_run, (*WORK, "predict-csv", "process-evaluate", "continue")),
    "own-interrupted": (interrupted_own_run, ("resume-own",)),
    "own-moved": (moved_own_run, (*WORK, "continue")),
    "unpacked-run": (unpacked_own_run, (*LOAD, "continue")),
    "changed-run": (changed_own_run, (*LOAD, "continue")),
    "changed-code": (changed_own_code, LOAD),
}  # fmt: skip
EXPORTS = ("r.html", "a.csv", "b.csv", "m.md", "e.html", "e.csv", "x.html")
REPORT = ["report", "--html", "r.html", "--csv", "a.csv", "--csv-runs", "b.csv", "--markdown", "m.md"]


def words_of(verb: str, cell: Cell) -> list[str]:
    """The command line of a verb."""
    run = str(cell.run.relative_to(cell.work))
    resume = ["train", *QUICK]
    of_verb = {
        "runs": ["runs"], "json": ["runs", "--json"], "show": ["runs", "show", run], "report": REPORT,
        "diff": ["runs", "diff", run, "runs/default/good-0123456789"], "doctor": ["doctor", run],
        "rm": ["runs", "rm", run, "--yes"], "evaluate": ["evaluate", run, "--split", "val"],
        "predict": ["predict", run, "picture.png"], "replay": ["replay", run], "resume": resume,
        "predict-csv": ["predict", run, "picture.png", "--format", "csv"],
        "predict-json": ["predict", run, "picture.png", "--format", "json"],
        "train": [*resume, "seed=7"], "init": [*resume, "seed=8", f"init.from={run}"],
        "init-file": [*resume, "seed=8", "init.from=stranger.pt"],
        "init-ckpt": [*resume, "seed=8", "init.from=stranger.ckpt"],
        "init-safetensors": [*resume, "seed=8", "init.from=stranger.safetensors"],
        "init-header": [*resume, "seed=8", "init.from=header.safetensors"],
        "data": ["data", "data=digits"],
        "data-cifar": ["data", "data=cifar10", "data.source.download=false"],
        "check-cifar": ["check", "data", "data=cifar10", "data.source.download=false"],
        "data-tar": ["data", "data=cifar10_jpeg", "data.source.path=bomb.tar.gz"],
        "check-tar": ["check", "data", "data=cifar10_jpeg", "data.source.path=bomb.tar.gz"],
        "data-mnist": ["data", "data=mnist", "data.source.download=false"],
        "errors": ["errors", run, "--split=val", "--each=2", "--html=e.html", "--csv=e.csv"],
        "against": ["errors", "runs/default/good-0123456789", "--against", run],
        "suspects": ["errors", run, "--suspects"],
        "explain": ["explain", run, "--rows=3,4", "--html=x.html"],
        "explain-json": ["explain", run, "--rows=3", "--json"],
        "check-explain": ["check", "explain", run, "--rows=4", "--epochs=1"],
        "resume-own": ["train", *OWN], "continue": ["train", f"continue={run}", "trainer.max_epochs=2"],
        "process-evaluate": ["evaluate", run, "--split", "val"],
        "process-runs": ["runs"], "process-list": ["list", "model"], "process-train": [*resume, "seed=9"],
    }  # fmt: skip
    return of_verb[verb]


# --- running a cell ---


def main() -> None:
    """Run the cells, print what failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--only", action="append", default=[], help="kinds that begin so (several: repeat it)"
    )
    parser.add_argument("--list", action="store_true", help="print the table")
    given = parser.parse_args()
    kinds = [kind for kind in TABLE if not given.only or kind.startswith(tuple(given.only))]
    cells = [(kind, verb) for kind in kinds for verb in TABLE[kind][1]]
    if given.list:
        print("\n".join(f"{kind:20} {' '.join(TABLE[kind][1])}" for kind in kinds))
        return
    from leyden.utils.runtime import load_torch

    load_torch()
    with tempfile.TemporaryDirectory() as scratch:
        base = make_base(Path(scratch))
        failed = [line for kind, verb in cells for line in attempt(base, Path(scratch), kind, verb)]
    print(f"{len(cells)} cells, {len(failed)} failures")
    sys.exit(bool(failed))


def make_base(scratch: Path) -> Path:
    """A folder with what every cell is a copy of: a working folder with a finished run, a cache, a folder outside."""
    base = scratch / "base"
    for name in ("work", "cache", "home", "outside"):
        (base / name).mkdir(parents=True)
    status = forked(Cell(base), lambda: command(["train", *QUICK]), SECONDS * 5)
    assert status == 0, (base / "out").read_text()
    (base / "outside" / "precious.txt").write_text("precious")
    (base / "outside" / "secret.txt").write_text(SECRET)
    run = Cell(base).run
    shutil.copytree(run, run.parent / "good-0123456789")
    (base / "out").unlink()
    from PIL import Image

    Image.new("L", (8, 8)).save(base / "work" / "picture.png")
    return base


def attempt(base: Path, scratch: Path, kind: str, verb: str) -> list[str]:
    """Run one cell; returns a line for each thing that is wrong, which is printed at once."""
    cell = Cell(scratch / f"{kind}-{verb}")
    shutil.copytree(base, cell.place, symlinks=True)
    TABLE[kind][0](cell)
    cell.mark.unlink(missing_ok=True)
    words, before = [] if verb == "load" else words_of(verb, cell), fingerprints(cell)
    run = cell.run
    if verb.startswith("process-"):
        status = spawned(cell, words)
    else:
        status = forked(cell, (lambda: load(run)) if verb == "load" else (lambda: command(words)), SECONDS)
    problems = list(wrong(cell, kind, status, before))
    for problem in problems:
        print(f"FAULT {kind} x {verb}: {problem}", flush=True)
    shutil.rmtree(cell.place, ignore_errors=True)
    return problems


def command(words: list[str]) -> int:
    """`leyden`, in this process."""
    from leyden.cli.main import main as leyden

    return leyden(words)


def load(run: Path) -> int:
    """`leyden.load`, in this process."""
    import leyden

    try:
        print(leyden.load(run).predict(np.zeros((1, 8, 8), np.uint8)))
    except leyden.UserError as error:
        print(error.args[0].encode("ascii", "replace"))
        return 2
    return 0


def environment(cell: Cell) -> dict[str, str]:
    """What a command of the cell gets."""
    own = {
        "LEYDEN_CACHE": str(cell.place / "cache"),
        "HOME": str(cell.place / "home"),
        "TORTURE_SECRET": SECRET,
    }
    return {**os.environ, **own, "XDG_STATE_HOME": str(cell.place / "home"), "OMP_NUM_THREADS": "1"}


def forked(cell: Cell, work: Callable[[], int], seconds: float) -> int | None:
    """Do the work in a fork of this process, which has imported torch; its exit status, None if it had to be killed."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os._exit(_in_child(cell, work))
    return waited(child, seconds)


def _in_child(cell: Cell, work: Callable[[], int]) -> int:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.environ.update(environment(cell))
    out = os.open(cell.place / "out", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(out, number)
    os.chdir(cell.work)
    try:
        status = work()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        status = 70
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def spawned(cell: Cell, words: list[str]) -> int | None:
    """The command in a process that has imported nothing yet."""
    with (cell.place / "out").open("wb") as out:
        program = [
            sys.executable,
            "-P",
            "-c",
            "import sys; from leyden.cli.main import command; sys.exit(command())",
        ]
        process = subprocess.Popen(
            [*program, *words],
            cwd=cell.work,
            env=environment(cell),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        return waited(process.pid, 2 * SECONDS)


def waited(child: int, seconds: float) -> int | None:
    """The exit status of a child, None if it had to be killed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


# --- what must hold ---


def fingerprints(cell: Cell) -> dict[str, str]:
    """Of every file that the command may not change: all but the runs, the cache and the reports."""
    may = (cell.work / "runs", cell.place / "cache", cell.place / "home", cell.place / "out", cell.mark)
    found = {}
    for parent, folders, names in os.walk(cell.place):
        folders[:] = [
            name for name in folders if Path(parent, name) not in may and name not in (".git", "__pycache__")
        ]
        for path in (Path(parent, name) for name in names):
            if path not in may and path.is_file() and path.name not in EXPORTS:
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def wrong(cell: Cell, kind: str, status: int | None, before: dict[str, str]) -> Iterator[str]:
    """What is wrong after the command."""
    out = (cell.place / "out").read_text(errors="replace") if (cell.place / "out").exists() else ""
    if kind.startswith("own-"):
        if status != 0 or not cell.mark.exists():
            yield f"the user's own run does not work: status {status}: {out[-300:]}"
    elif cell.mark.exists() or (cell.work / "EXECUTED").exists():
        yield "the planted code ran"
    if kind.startswith(("unpacked-", "changed-")) and (status != 2 or "--trust" not in out):
        yield f"--trust was not asked for: status {status}: {out[-300:]}"
    after = fingerprints(cell)
    if after != before:
        yield f"changed outside: {sorted(set(before.items()) ^ set(after.items()))[:2]}"
    if status is None:
        yield f"not done after {SECONDS} s"
    elif status not in (0, 1, 2):
        yield f"status {status}: {out[-300:]}"
    if "Traceback" in out:
        yield f"a traceback: {out.strip().splitlines()[-1][:200]}"
    exports = "".join(path.read_text(errors="replace") for path in cell.work.glob("?.*") if path.is_file())
    if SECRET in out + exports:
        yield "the secret was read out"
    if any(character in out + exports for character in "\x1b\x07\x9b\u202e\x00"):
        yield "a control character was printed"
    yield from wrong_exports(cell)
    if "markdown" in kind or "html" in kind or kind in ("csv", "studies"):
        good = (cell.work / "b.csv").exists() and "good-0123456789" in (cell.work / "b.csv").read_text()
        if (cell.work / "m.md").exists() and not good:
            yield "the other run is not in the report"


def wrong_exports(cell: Cell) -> Iterator[str]:
    """What is wrong in the files that a command wrote, and in the CSV that was printed."""
    import csv

    written, text = [path for path in cell.work.iterdir() if path.name in EXPORTS], cell.work / "m.md"
    for page in written:
        marks = ("<script>alert", "<img src=x")
        if page.suffix == ".html" and any(mark in page.read_text() for mark in marks):
            yield f"the page {page.name} holds a script"
    if text.exists() and any(
        mark in text.read_text() for mark in ("<script>", "<b>", "![x](", "[l](", "\n# h")
    ):
        yield "the Markdown holds markup"
    printed = cell.place / "out"
    tables = [path for path in written if path.suffix == ".csv"]
    for path in (*tables, *([printed] if printed.exists() else [])):
        for row in csv.reader(io.StringIO(path.read_text(errors="replace"))):
            bad = [cell_ for cell_ in row if cell_.startswith(("=", "@", "+"))]
            if bad and (path != printed or row[0].endswith("picture.png")):
                yield f"a formula in {path.name}: {bad[0][:60]}"


if __name__ == "__main__":
    main()
