"""The first Keras lesson as a whole command: `leyden train experiment=mnist_keras` beside the same in Keras.

Keras is installed once, with each backend, into an environment of its own (~/.cache/leyden-bench, or LEYDEN_BENCH).
Both read MNIST from files, train ten epochs on 54,000 pictures, validate on 6,000 after each, and test at the end.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benches.measure import Case, Given, leyden, process

BACKENDS = {"jax": "jax", "tensorflow": "tensorflow-cpu"}
LESSON = """
import sys
import numpy as np
import keras

def read(name, start, *shape):
    found = np.fromfile(f"{sys.argv[1]}/MNIST/raw/{name}-ubyte", np.uint8)[start:]
    return found.reshape(-1, *shape)

x, y = read("train-images-idx3", 16, 28, 28, 1) / np.float32(255), read("train-labels-idx1", 8)
x_test, y_test = read("t10k-images-idx3", 16, 28, 28, 1) / np.float32(255), read("t10k-labels-idx1", 8)
model = keras.Sequential([
    keras.Input((28, 28, 1)),
    keras.layers.Conv2D(32, 3, activation="relu"),
    keras.layers.Flatten(),
    keras.layers.Dense(10, activation="softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, y, batch_size=32, epochs=int(sys.argv[2]), validation_split=0.1, verbose=2)
print(model.evaluate(x_test, y_test, verbose=0))
"""
EPOCHS = 10


def cases(given: Given) -> Iterator[Case]:
    """One, with the backends that can be installed here."""
    words = ["train", "experiment=mnist_keras", f"trainer.max_epochs={EPOCHS}", "trainer=cpu", "force=true"]
    command = [*words, f"data_root={given.data_root}", *given.overrides]
    ways: dict[str, Callable[[], float]] = {"leyden": lambda: leyden(command, given.scratch).seconds}
    leyden([*command, "trainer.max_epochs=1"], given.scratch)  # decodes the set, once
    for backend, package in BACKENDS.items():
        if (python := environment(backend, package)) is not None:
            lesson = partial(
                seconds, [python, "-c", LESSON, given.data_root, str(EPOCHS)], given.scratch, backend
            )
            ways[f"keras on {backend}"] = lesson
    yield Case(f"the lesson, {EPOCHS} epochs", ways, best=min if len(ways) > 2 else None)


def seconds(command: list[str | Path], cwd: Path, backend: str) -> float:
    """Wall seconds of the lesson in Keras."""
    return process(list(map(str, command)), cwd, KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="2").seconds


def environment(backend: str, package: str) -> Path | None:
    """The Python of an environment with Keras and this backend, made if need be; None where pip cannot."""
    folder = Path(os.environ.get("LEYDEN_BENCH", "~/.cache/leyden-bench")).expanduser() / f"keras-{backend}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"  installing Keras on {backend} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "keras", package]
        if subprocess.run(pip, check=False).returncode:
            print(f"  Keras on {backend} is left out: pip could not install it", file=sys.stderr)
            return None
        (folder / "ready").touch()
    return python
