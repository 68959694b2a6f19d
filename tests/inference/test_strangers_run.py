"""A run's folder that somebody else made: it is evaluated, and what its files name is neither run, read nor written."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import leyden
from leyden.cli.main import main
from leyden.config.stored import Stored, check_stored
from leyden.inference.load import config_of
from leyden.runs.run import Run
from leyden.training.job import train
from leyden.utils import own_code
from leyden.utils.errors import UserError
from leyden.utils.trust import trusting

NET = """
from os import mkdir
from pathlib import Path

from torch import nn

import own_layers

Path("MARK").mkdir(exist_ok=True)


class Net(nn.Module):
    def __init__(self, num_outputs: int, in_channels: int, image_size: tuple[int, int], part: object = None) -> None:
        super().__init__()
        self.head = own_layers.linear(in_channels * image_size[0] * image_size[1], num_outputs)

    def forward(self, x):
        return self.head(x.flatten(1))
"""
LAYERS = "from torch import nn\n\n\ndef linear(a: int, b: int) -> nn.Linear:\n    return nn.Linear(a, b)\n"
MODEL = """name: own
module: {_target_: leyden.modules.classification.Classifier}
frontend: {_target_: leyden.data.transforms.image.Normalize}
net: {_target_: own_net.Net}
"""


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No path and no module of another test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(own_code, "_names", set())
    yield
    forget()


def forget() -> None:
    """As in a new process."""
    for name in [n for n in sys.modules if n.startswith("own_")]:
        del sys.modules[name]
    sys.path[:] = [entry for entry in sys.path if "leyden-own-code" not in entry]


@pytest.fixture
def made(tiny: Callable[..., list[str]]) -> Path:
    """A finished run of Leyden's own classes."""
    return train(tiny("trainer.max_epochs=1")).folder.resolve()


@pytest.fixture
def stranger(made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The same as another user finds it, from another working folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    forget()
    return made


def planted(folder: Path, key: str, node: Any) -> Path:
    """The run with something else at a key of its configuration."""
    path = folder / "config.yaml"
    plain = yaml.safe_load(path.read_text())
    at = plain
    *way, last = key.split(".")
    for part in way:
        at = at[part]
    at[last] = node
    path.write_text(yaml.safe_dump(plain))
    return folder


def refused(folder: Path, told: str, *flags: str) -> None:
    """By every way that reads a stored configuration."""
    picture = folder.parent / "a.png"
    picture.touch()
    with pytest.raises(UserError, match=told):
        leyden.load(folder)
    for words in (
        ["evaluate", str(folder)],
        ["errors", str(folder)],
        ["replay", str(folder)],
        ["predict", str(folder), str(picture)],
    ):
        assert main([*words, *flags]) == 2, words


def test_a_strangers_run_of_leydens_classes_is_evaluated(stranger: Path) -> None:
    assert main(["evaluate", str(stranger)]) == 0
    assert leyden.load(stranger).net is not None


MAKE = {"_target_": "os.mkdir", "path": "MARK"}
LIBRARY = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 2}
HOSTILE: dict[str, tuple[str, Any]] = {
    "a function": ("split", MAKE),
    "a net": ("model.net", MAKE),
    "a frontend": ("model.frontend", {"_target_": "shutil.copyfile", "src": "/etc/hostname", "dst": "MARK"}),
    "a nested target": ("model.net.hidden", MAKE),
    "in a list": ("model.net.hidden", [16, MAKE]),
    "deep in a mapping": (
        "decision",
        {"_target_": "leyden.decision.DecisionRule", "cost": {"a": {"b": MAKE}}},
    ),
    "in place of positional arguments": ("model.net", {**LIBRARY, "_args_": [MAKE]}),
    "a partial": ("model.net", {**MAKE, "_partial_": True}),
    "a metric": ("metrics", {"m": {"function": {"_target_": "os.mkdir"}}}),
    "Hydra's own": ("model.net", {"_target_": "hydra.utils.call", "config": MAKE}),
    "Hydra's imports": ("model.net", {"_target_": "hydra.utils.get_object", "path": "own_net.Net"}),
    "a writer of Leyden's": (
        "model.net.hidden",
        {"_target_": "leyden.utils.files.write_text", "path": "MARK", "text": "x"},
    ),
    "a class of Leyden's that writes": (
        "split",
        {"_target_": "leyden.data.array_files.ArrayWriter", "folder": "MARK", "name": "x", "dtype": "i1"},
    ),
    "torch's loader": ("model.net", {"_target_": "torch.load", "f": "evil.pt", "weights_only": False}),
    "torch's hub": ("model.net", {"_target_": "torch.hub.load", "repo_or_dir": ".", "model": "x"}),
    "through a library": ("model.net", {"_target_": "torch.nn.modules.module.OrderedDict"}),
    "a function of a library": ("model.net", {"_target_": "torchvision.models.resnet18"}),
    "a class of another place": ("split", {"_target_": "leyden.nets.image.MLP"}),
    "a nested class of another kind": ("model.net.hidden", {"_target_": "torchvision.datasets.FakeData"}),
    "a module of the working folder": ("model.net", {"_target_": "own_here.Net"}),
    "a compiled function": ("health", {"_target_": "builtins.exec", "source": "open('MARK', 'w')"}),
    "a data source": ("data.source", {"_target_": "builtins.eval", "source": "open('MARK', 'w')"}),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_target_that_it_may_not_name_is_refused(kind: str, stranger: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    Path("own_here.py").write_text(f"open({str(mark)!r}, 'w')\nclass Net: pass\n")
    key, node = HOSTILE[kind]
    node = json.loads(json.dumps(node).replace("MARK", str(mark)))
    refused(planted(stranger, key, node), r"_target_=\S+: .* was not made by you|has no effect|expected")
    assert not mark.exists()


def test_it_may_not_name_its_own_callbacks_and_they_are_not_needed(stranger: Path) -> None:
    planted(stranger, "callbacks", {"evil": MAKE})
    planted(stranger, "logger", {"evil": MAKE})
    planted(stranger, "trial", "sqlite:///evil.db#a#1")
    planted(stranger, "init.from", "/etc/hostname")
    planted(stranger, "cache", "/etc/cache")
    assert main(["evaluate", str(stranger)]) == 0
    config = config_of(stranger)
    assert (config.callbacks, config.logger, config.trial, config.init.source) == ({}, {}, None, None)
    assert "/etc" not in config.cache


@pytest.mark.parametrize("value", ["${oc.env:HOME}", "${oc.decode:1}", "${runs}", "${hydra:job.name}"])
def test_nothing_in_it_is_resolved(value: str, stranger: Path) -> None:
    planted(stranger, "data.name", value)
    assert config_of(stranger).data.name == value
    assert config_of(stranger, overrides=["split.seed=3"]).data.name == value


def test_what_is_typed_now_is_resolved(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "typed")
    assert config_of(stranger, overrides=["data.name=${oc.env:MINE}"]).data.name == "typed"
    with pytest.raises(UserError, match=r"data\.name=\$\{nothing\}"):
        config_of(stranger, overrides=["data.name=${nothing}"])


FOLDER = {"_target_": "leyden.data.sources.image.ImageFolder", "root": "/etc", "size": 12}


def test_its_paths_are_not_followed_unless_they_are_typed(stranger: Path, tmp_path: Path) -> None:
    planted(stranger, "data.source", FOLDER)
    with pytest.raises(
        UserError, match=r"data\.source\.root=/etc: .*add data\.source\.root=\.\.\., or --trust"
    ):
        config_of(stranger)
    assert leyden.load(stranger).class_names, "no data are read for predictions"
    assert config_of(stranger, overrides=[f"data.source.root={tmp_path}"]).data.source["root"] == str(
        tmp_path
    )
    with trusting(True):
        assert config_of(stranger).data.source["root"] == "/etc"


@pytest.mark.parametrize(
    ("key", "node"),
    [
        ("data.tokenizer", {"_target_": "leyden.data.tokenizers.Word", "folder": "x"}),
        ("trainer.profiler", {"_target_": "lightning.pytorch.profilers.SimpleProfiler", "dirpath": "/x"}),
        ("trainer.barebones", "../x"),
        ("model.net.activation", "~/x"),
        ("model.net.hidden", [1, "file:///x"]),
        ("model.net.weights_path", 3),
        ("model.net.hidden", [{"deep": "C:\\x"}]),
        ("split.seed", "/x"),
    ],
)
def test_what_looks_like_a_path_is_refused(key: str, node: Any, stranger: Path) -> None:
    refused(planted(stranger, key, node), r"were? not (made by you|followed)|was not made by you")


def test_a_module_beside_it_or_in_the_folder_that_it_names_is_not_found(
    stranger: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "executed"
    (stranger / "own_net.py").write_text(f"open({str(mark)!r}, 'w')\nclass Net: pass\n")
    planted(stranger, "model.net", {"_target_": "own_net.Net"})
    manifest = json.loads((stranger / "manifest.json").read_text())
    code = [{"module": "own_net", "folders": [str(stranger)], "digest": ""}]
    command = ["leyden", "train", f"--config-dir={stranger}/conf"]
    (stranger / "conf").mkdir()
    (stranger / "manifest.json").write_text(
        json.dumps({**manifest, "folder": str(stranger), "code": code, "command": command})
    )
    refused(stranger, r"model\.net\._target_=own_net\.Net: ")
    assert not mark.exists()


# --- a run with a net of one's own ---


@pytest.fixture
def lab(tmp_path: Path, tiny: Callable[..., list[str]]) -> Path:
    """A folder of own code with its options."""
    folder = tmp_path / "lab"
    (folder / "conf" / "model").mkdir(parents=True)
    (folder / "conf" / "model" / "own.yaml").write_text(MODEL)
    (folder / "own_net.py").write_text(NET.replace("MARK", str(tmp_path / "executed")))
    (folder / "own_layers.py").write_text(LAYERS)
    return folder


@pytest.fixture
def own(lab: Path, tiny: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run with a net of one's own, seen from another folder by another process."""
    words = [word for word in tiny("trainer.max_epochs=1", "model=own")]
    folder = train(words, [str(lab / "conf")]).folder.resolve()
    (tmp_path / "executed").rmdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    forget()
    return folder


def as_another_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))


def test_ones_own_run_finds_its_code_without_a_flag(own: Path, tmp_path: Path) -> None:
    moved = shutil.move(own, tmp_path / "moved")
    assert main(["evaluate", str(moved)]) == 0
    assert type(leyden.load(moved).net).__name__ == "Net"
    assert not Path("own_net.py").exists()


def test_elsewhere_it_asks(own: Path, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_another_user(monkeypatch, tmp_path)
    refused(own, r"own_net\.Net: .* was not made by you.*--config-dir FOLDER.*--trust")
    assert main(["evaluate", str(own), "--trust"]) == 2, "trust alone finds no code"
    assert not (tmp_path / "executed").exists()
    assert main(["evaluate", str(own), "--config-dir", str(lab / "conf")]) == 0
    forget()
    assert type(leyden.load(own, config_dirs=[str(lab / "conf")]).net).__name__ == "Net"
    forget()
    for name in ("own_net.py", "own_layers.py"):
        shutil.copy(lab / name, name)
    assert main(["evaluate", str(own), "--trust"]) == 0, "with trust code is found where typed targets are"
    forget()
    assert leyden.load(own, trust=True).net is not None


@pytest.mark.parametrize("file", ["own_net.py", "own_layers.py"])
def test_code_that_has_changed_is_told(file: str, own: Path, lab: Path, tmp_path: Path) -> None:
    (lab / file).write_text((lab / file).read_text() + "\n# edited\n")
    refused(own, r"own_net\.Net: .*it is yours, but the code that it names has changed")
    assert not (tmp_path / "executed").exists()
    assert main(["evaluate", str(own), "--config-dir", str(lab / "conf")]) == 0


@pytest.mark.parametrize("file", ["config.yaml", "manifest.json", "signature"])
def test_what_was_signed_has_not_changed(file: str, own: Path) -> None:
    text = (own / file).read_text()
    (own / file).write_text(
        text + "\n" if file != "signature" else text.replace(text[0], "0" if text[0] != "0" else "1")
    )
    refused(own, "was not made by you")


def test_a_module_of_the_working_folder_does_not_take_its_place(own: Path, tmp_path: Path) -> None:
    mark = tmp_path / "stray"
    for name in ("own_net.py", "own_layers.py"):
        Path(name).write_text(f"open({str(mark)!r}, 'w')\n")
    own_code.add([Path.cwd()])
    assert main(["evaluate", str(own), "--decision", "none"]) == 0
    assert not mark.exists()


@pytest.mark.parametrize("target", ["own_net.mkdir", "own_net.Path", "own_net.nn"])
def test_given_code_is_what_is_defined_there(
    target: str, own: Path, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_another_user(monkeypatch, tmp_path)
    node = {"_target_": target, "mode": 1}
    stored = Stored(own, (lab,))
    own_code.add([lab], first=True)
    plain = yaml.safe_load(planted(own, "model.net.part", node).joinpath("config.yaml").read_text())
    with pytest.raises(UserError, match=rf"model\.net\.part\._target_={target}: "):
        check_stored({**plain, "callbacks": {}, "logger": {}}, stored)


@pytest.mark.slow
def test_ones_own_run_killed_by_sigkill_resumes_without_a_flag(
    tiny: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a net of the working folder, at the command; the same folder with another home asks."""
    Path("own_net.py").write_text(NET.replace("MARK", str(tmp_path / "executed")))
    Path("own_layers.py").write_text(LAYERS)
    words = tiny("model.net._target_=own_net.Net", "trainer.max_epochs=200")
    command = [sys.executable, "-m", "leyden"]
    with subprocess.Popen([*command, "train", *words]) as process:
        while process.poll() is None and not list(Path("runs").rglob("previous.ckpt")):
            time.sleep(0.05)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    (last,) = Path("runs").rglob("last.ckpt")
    shutil.copytree("runs", "unpacked")
    done = subprocess.run([*command, "train", *words], check=True, capture_output=True, text=True)
    assert "epoch 1/" not in done.stdout, "it goes on"
    assert Run(last.parents[1]).state() == "complete"
    subprocess.run([*command, "evaluate", str(last.parents[1])], check=True)
    as_another_user(monkeypatch, tmp_path)
    (tmp_path / "executed").rmdir()
    copy = Path("unpacked", *last.parts[1:-2])
    for verb in (["evaluate", str(copy)], ["train", f"continue={copy}"]):
        assert main(verb) == 2, verb
    assert not (tmp_path / "executed").exists()
