"""`leyden evaluate`: where it runs, and whose weights it measures."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from leyden.cli.main import main
from leyden.training.job import train

Tiny = Callable[..., list[str]]
Said = pytest.CaptureFixture[str]


def test_it_takes_the_option_of_a_trainer_and_keeps_the_precision(tiny: Tiny, capsys: Said) -> None:
    outcome = train(tiny("trainer.max_epochs=1", "trainer.precision=bf16-mixed"))
    capsys.readouterr()
    assert main(["evaluate", str(outcome.folder), "trainer=cpu", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == outcome.result["metrics"]
    assert said.err == ""
    assert main(["evaluate", str(outcome.folder), "trainer=cpuu"]) == 2
    assert "did you mean 'cpu'" in capsys.readouterr().err
    assert main(["evaluate", str(outcome.folder), "data=mnist"]) == 2, "other options are the run's"


@pytest.mark.parametrize(
    ("status", "expected"),
    [("failed", "is failed (ValueError: it broke): "), ("interrupted", "is interrupted: ")],
)
def test_it_says_whose_weights_are_those_of_no_finished_run(
    tiny: Tiny, status: str, expected: str, capsys: Said
) -> None:
    folder = train(tiny("trainer.max_epochs=1")).folder
    path = Path(folder) / "result.json"
    error = {"type": "ValueError", "message": "it broke\nat night", "where": "a.py:1"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": status, "error": error}))
    capsys.readouterr()
    assert main(["evaluate", str(folder), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)
    assert said.err == f"{folder} {expected}what follows is of its best weights so far\n"
