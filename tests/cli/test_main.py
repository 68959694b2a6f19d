"""The command: start-up time, output, and exit status."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leyden import __version__
from leyden.cli.main import COMMANDS, main
from leyden.modules.classification import Classifier
from run_folders import write

Tiny = Callable[..., list[str]]


@pytest.mark.parametrize("words", [["--help"], [], ["--version"], ["no_such_verb"]])
def test_the_first_answer_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys; from leyden.cli.main import main; main(sys.argv[1:]);"
        "sys.exit(any(m in sys.modules for m in ('torch', 'lightning', 'hydra', 'numpy', 'rich')))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code, *words], check=False, capture_output=True).returncode == 0
    )


FIRST = """
import gc, os, sys
class Hook:
    def find_spec(self, name, path=None, target=None):
        if name == "torch" and name not in seen:
            seen[name] = os.environ.get("GOMP_SPINCOUNT"), gc.isenabled()
seen = {}
sys.meta_path.insert(0, Hook())
from leyden.cli.main import main
main(sys.argv[1:])
print(seen.get("torch"), gc.isenabled(), gc.get_freeze_count() > 100_000)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["train", "trainer.no_such_argument=1"],
        ["train", "-m", "trainer.no_such_argument=1", "seed=1,2"],
        ["evaluate", "last"],
        ["predict", "last", "a.png"],
        ["replay", "last"],
        ["data"],
        ["check", "data"],
        ["check", "model", "model=no_such_model"],
        ["check", "resume", "model=no_such_model"],
        ["profile", "model=no_such_model"],
        ["find", "lr", "model=no_such_model"],
    ],
)
def test_the_process_is_tuned_before_torch_is_imported(words: list[str], tmp_path: Path) -> None:
    """OpenMP reads its variables once, at the import; the garbage collector is off for its time, and on again."""
    write(tmp_path / "runs")
    done = subprocess.run(
        [sys.executable, "-c", FIRST, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "('2000', False) True True", done.stdout + done.stderr


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, (_, line) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(line)}$", shown, re.MULTILINE), name
    assert "leyden train " in shown
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["list"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_left_is_no_error(words: list[str], unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    found = subprocess.run(
        [sys.executable, "-m", "leyden.cli.main", *words],
        check=False,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    os.close(writer)
    assert (found.returncode, found.stderr) == (0, "")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"leyden {__version__}\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], "did you mean 'train'"),
        (["train", "modle=cnn"], "did you mean 'model=cnn'"),
        (["train", "model=cnm"], "did you mean 'cnn'"),
        (["train", "model.net.widht=3"], "did you mean 'model.net.widths=3'"),
        (["train", "seed"], "'seed' is not of the form key=value"),
        (["train", "seed=one"], "seed=one: "),
        (["train", "data=image_folder"], "data.source.root must be given"),
        (["train", "data=sms_spam"], "is text, but model=cnn is for image"),
        (["list", "modle"], "did you mean 'model'"),
        (["evaluate", "nowhere"], "nowhere: there is no folder runs"),
        (["predict", "nowhere", "a.png"], "nowhere: there is no folder runs"),
    ],
)
def test_a_mistake_is_one_message_and_status_2(
    words: list[str], expected: str, tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny()
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.err.startswith("leyden: ")
    assert expected in said.err
    assert "Traceback" not in said.err
    assert not list(Path().iterdir()), "a refused command leaves nothing behind"


def test_train_help_shows_groups_and_keys_and_starts_nothing(
    tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny()
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["train", "--help"])
    shown = capsys.readouterr().out
    for word in ("model: ", "keras_cnn", "monitor: val/accuracy", "-m model=cnn,mlp", "leyden list"):
        assert word in shown, word
    assert not list(Path().iterdir())


def test_cfg_job_shows_what_would_run(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    tiny()
    assert main(["train", "model=mlp", "model.net.hidden=[8]", "--cfg", "job"]) == 0
    shown = capsys.readouterr().out
    assert "_target_: leyden.nets.image.MLP" in shown
    assert "hidden:" in shown
    assert not list(Path().iterdir())


@pytest.fixture
def root_log() -> Iterator[None]:
    """Hydra's --info logs to the stream of its test, at level DEBUG, for as long as the process lives."""
    level = logging.root.level
    yield
    logging.root.setLevel(level)
    for handler in [h for h in logging.root.handlers if type(h) is logging.StreamHandler]:
        logging.root.removeHandler(handler)


@pytest.mark.parametrize("topic", ["searchpath", "defaults", "config"])
def test_info_prints_the_sources_of_the_configuration(
    topic: str, tiny: Tiny, root_log: None, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny()
    assert main(["train", "--info", topic]) == 0
    shown = capsys.readouterr().out
    assert {"searchpath": "conf", "defaults": "model/cnn", "config": "val/accuracy"}[topic] in shown
    assert not list(Path().iterdir())


# --- sweeps ---


def test_a_sweep_prints_its_table_and_a_second_launch_repeats_nothing(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "-m", *tiny("trainer.max_epochs=1", "seed=1,2", "optimizer.lr=0.01,0.001")]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "4 jobs: 4 complete" in shown
    for pair in ("seed=1", "seed=2", "optimizer.lr=0.01", "optimizer.lr=0.001"):
        assert pair in shown
    folders = {p.parent for p in Path("runs").rglob("result.json")}
    assert len(folders) == 4
    assert sorted(p.name for p in Path("runs").iterdir()) == ["default"], "nothing of Hydra's is written"

    monkeypatch.setattr(Classifier, "training_step", None)  # whoever trains now fails
    assert main(words) == 0
    assert "4 of 4 jobs complete" in capsys.readouterr().out
    assert {p.parent for p in Path("runs").rglob("result.json")} == folders


def test_an_added_seed_costs_only_that_seed(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    options = tiny("trainer.max_epochs=1")
    assert main(["train", "-m", *options, "seed=1,2"]) == 0
    fits: list[int] = []
    monkeypatch.setattr(Classifier, "on_fit_start", lambda self: fits.append(self.seed))
    assert main(["train", "-m", *options, "seed=1,2,3"]) == 0
    assert fits == [3]


def test_a_failing_job_does_not_stop_the_others(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = Classifier.training_step

    def failing(self: Any, batch: Any, batch_idx: int) -> Any:
        if self.seed == 2:
            raise RuntimeError("as it happens")
        return original(self, batch, batch_idx)

    words = ["train", "-m", *tiny("trainer.max_epochs=1", "seed=1,2,3")]
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "training_step", failing)
        assert main(words) == 1
    said = capsys.readouterr()
    assert "3 jobs: 2 complete, 1 failed" in said.out
    rules = [line for line in said.out.splitlines() if line.startswith("job ")]
    assert rules[0].startswith("job 1 (0 of 3 done): seed=1")
    assert "job 2 (1 of 3 done, about " in rules[1]
    assert "job 3 (2 of 3 done, 1 failed, about " in rules[2]
    assert "as it happens" in said.err
    statuses = sorted(json.loads(p.read_text())["status"] for p in Path("runs").rglob("result.json"))
    assert statuses == ["complete", "complete", "failed"]
    assert main(words) == 0, "the same command tries the failed one again"


def test_a_sweep_with_a_mistake_in_it_trains_nothing(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", *tiny("trainer.max_epochs=1", "model=mlp,lstm"), "-m"]  # -m may stand anywhere
    assert main(words) == 2
    said = capsys.readouterr()
    assert "leyden: 1 of 2 jobs is invalid, so none was started:\n  job 2 (" in said.err
    assert "is for text" in said.err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "head", "first"),
    [
        (
            ["seed=1,2,3,4,5,6,7", "model.net.widht=3", "optimizer.lr=0.1,0.2"],
            "leyden: 14 of 14 jobs are invalid, so none was started:",
            ["  jobs 1, 2, 3, 4, 5 and 9 more"],
        ),
        (
            ["seed=1,2,3,4,5,6,7", "optimizer.lr=0.1,a"],
            "leyden: 7 of 14 jobs are invalid, so none was started:",
            ["  jobs 2, 4, 6, 8, 10 and 2 more"],
        ),
        (
            ["optimizer.lr=a,b,c,d,e,f,0.1"],
            "leyden: 6 of 7 jobs are invalid, so none was started:",
            [*(f"  job {i} (optimizer.lr={c})" for i, c in enumerate("abcde", 1)), "  and 1 more error"],
        ),
    ],
)
def test_an_error_of_many_jobs_is_printed_once(
    words: list[str], head: str, first: list[str], tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "-m", *tiny(*words)]) == 2
    message = capsys.readouterr().err
    lines = message[message.index("leyden: ") :].splitlines()
    assert lines[0] == head
    assert [line.partition(": ")[0] for line in lines[1:]] == first
