"""Tab completion as requested by bash; it never imports torch."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from leyden.cli import completion
from leyden.cli.main import COMMANDS, main

LINES = {
    "leyden tr": {"train"},
    "leyden ": {"train", "data", "evaluate", "predict", "list"},
    "leyden train mod": {"model="},
    "leyden train model=c": {"model=cnn", "model=crnn"},
    "leyden train model=mlp experiment=mnist": {
        *(
            "experiment=mnist_angle",
            "experiment=mnist_cnn",
            "experiment=mnist_keras",
            "experiment=mnist_pairs",
        ),
    },
    "leyden train ta": {"task="},
    "leyden train task=m": {"task=multilabel"},
    "leyden train task=multilabel task.target.": {"task.target.separator="},
    "leyden train task=regression model.module.l": {"model.module.l1="},
    "leyden train data/tok": {"data/tokenizer="},
    "leyden train optimizer.l": {"optimizer.lr="},
    "leyden train trainer.max": {"trainer.max_epochs="},
    "leyden data data=planted_i": {"data=planted_images"},
    "leyden list los": {"loss"},
    "leyden list loss foc": {"focal", "focal_sigmoid"},
    "leyden list data/tokenizer word": {"word", "word_shapes"},
    "leyden list loss focal ": set(),
    "leyden list --config-dir my_lab/conf model my": {"my_net"},
    "leyden list --config-dir nowhere lo": set(),
    "leyden train loss=focal loss.": {"loss.gamma="},
    "leyden train loss=class_balanced_focal loss.loss.": {"loss.loss.gamma="},
    "leyden train loss=focal loss.gamma=2 model.net.w": {"model.net.widths="},
    "leyden train -m model=lstm,mlp +model.net.bi": {"+model.net.bidirectional="},
    "leyden train experiment=sms_spam model.net.bi": {"model.net.bidirectional="},
    "leyden train trainer.max_s": {"trainer.max_steps="},
    "leyden train --config-dir my_lab/conf model=my_net model.net.w": {"model.net.width="},
    "leyden train model.net.num": set(),
    "leyden data data=image_folder data.source.r": {"data.source.root="},
    "leyden train --config-dir my_lab/conf model=my": {"model=my_net"},
    "leyden train --config-dir nowhere model=my": set(),
    "leyden train model=nonsense=x opti": set(),
    "leyden eval": {"evaluate"},
    "leyden check m": {"model"},
    "leyden check model model=c": {"model=cnn", "model=crnn"},
    "leyden find b": {"batch_size"},
    "leyden find lr optimizer.l": {"optimizer.lr="},
    "leyden profile model=c": {"model=cnn", "model=crnn"},
    "leyden evaluate las": {"last"},
    "leyden evaluate last data.source.r": set(),
    "leyden doctor digits-c": {"digits-cnn-seed1-1234567890"},
    "leyden runs s": {"show"},
    "leyden runs show digits-c": {"digits-cnn-seed1-1234567890"},
    "leyden cache r": {"rm"},
    "leyden completion f": {"fish"},
    "leyden nonsense x": set(),
}

FLAGS = {
    "leyden report --mark": {"--markdown"},
    "leyden runs rm --y": {"--yes"},
    "leyden train --multi": {"--multirun"},
    "leyden check resume --ki": {"--kills"},
}

# For every line: what bash does at a TAB, then the answers, one a line, and an empty line.
ASK = """
source <(leyden completion bash)
while IFS= read -r COMP_LINE; do
  COMP_POINT=${#COMP_LINE}; read -ra COMP_WORDS <<< "$COMP_LINE"
  case "$COMP_LINE" in *" ") COMP_CWORD=${#COMP_WORDS[@]} ;; *) COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) ;; esac
  COMPREPLY=()
  _leyden leyden "${COMP_WORDS[COMP_CWORD]}"
  printf '%s\\n' "${COMPREPLY[@]}" ''
done
"""


@pytest.fixture(autouse=True)
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    option = Path("my_lab/conf/model/my_net.yaml")
    option.parent.mkdir(parents=True)
    option.write_text("# Mine.\nname: my_net\nnet: {_target_: own_net.Net}\n")
    Path("runs/default/digits-cnn-seed1-1234567890").mkdir(parents=True)
    Path("runs/default/digits-cnn-seed1-1234567890/result.json").write_text("{}")
    Path("my_lab/own_net.py").write_text("import torch\n\ndef Net(num_outputs, width=8): ...\n")


def test_bash_completes_commands_groups_options_and_keys() -> None:
    chosen = ["leyden tr", "leyden train mod", "leyden train model=c", "leyden train optimizer.l"]
    done = subprocess.run(
        ["bash", "-c", ASK],
        input="\n".join(chosen) + "\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    answers = [set(block.split()) for block in done.stdout.split("\n\n")]
    for line, found in zip(chosen, answers, strict=False):
        assert LINES[line] <= found, (line, found, done.stderr)
        word = shlex.split(line)[-1]
        assert all(answer.startswith(word) for answer in found), (line, found)


def test_completion_imports_no_torch_and_prints_nothing_else() -> None:
    """All lines in one process, which is asked at its end what it has imported."""
    code = """
import contextlib, io, json, os, sys
sys.argv = ["leyden", "-sc", "query=bash"]
from leyden.cli.main import main
answers = {}
for line in json.load(sys.stdin):
    os.environ["COMP_LINE"] = line
    sys.argv = ["leyden", "-sc", "query=bash"]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main() == 0
    answers[line] = out.getvalue().split()
heavy = [name for name in ("torch", "lightning", "numpy", "torchmetrics") if name in sys.modules]
print(json.dumps([answers, heavy]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(list(LINES)),
        capture_output=True,
        text=True,
        check=True,
    )
    answers, heavy = json.loads(done.stdout)
    assert heavy == []
    assert done.stderr == ""
    for line, expected in LINES.items():
        found = set(answers[line])
        assert expected <= found if expected else not found, (line, found)
        assert len(found) < 20, (line, found)


def test_every_command_completes_its_flags(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["leyden", *completion.QUERY])
    for name in COMMANDS:
        monkeypatch.setenv("COMP_LINE", f"leyden {name} --")
        assert main() == 0
        found = capsys.readouterr().out.split()
        assert all(flag.startswith("--") for flag in found), name
        assert found or name in ("check", "find"), name
    for line, expected in FLAGS.items():
        monkeypatch.setenv("COMP_LINE", line)
        assert main() == 0
        assert set(capsys.readouterr().out.split()) == expected, line


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_is_one_that_it_reads(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "leyden -sc query=bash" in script
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    assert main(["completion", "tcsh"]) == 2
    assert "tcsh" in capsys.readouterr().err
