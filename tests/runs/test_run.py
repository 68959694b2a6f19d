"""A run's fingerprint: what changes it and what does not."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from leyden.config.compose import compose
from leyden.config.validate import check
from leyden.runs.fingerprint import identity
from leyden.runs.run import SCHEMA, Run
from leyden.training import build
from leyden.utils.errors import UserError

Tiny = Callable[..., list[str]]


def of(overrides: list[str]) -> str:
    config = check(compose(overrides))
    return identity(config, build.experiment(config).data.fingerprint)


def test_cosmetic_keys_and_written_out_defaults_are_the_same_run(tiny: Tiny) -> None:
    base = of(tiny())
    for same in (
        ["name=other"],
        ["runs=elsewhere"],
        ["logger=tensorboard"],
        ["force=true"],
        ["checkpoint_minutes=1"],
        ["loss.label_smoothing=0.0"],
        ["trainer.log_every_n_steps=7"],
        ["health=none"],
        ["health.dead=0.5"],
    ):
        assert of(tiny(*same)) == base, same


def test_initial_weights_that_are_a_pipe_are_not_waited_for(tiny: Tiny, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "weights.safetensors")
    config = check(compose(tiny(f"init.from={tmp_path}/weights.safetensors")))
    assert identity(config, "data") != identity(check(compose(tiny())), "data")


def test_the_last_value_of_a_repeated_key_wins(tiny: Tiny) -> None:
    assert of([*tiny("seed=1"), "seed=2"]) == of(tiny("seed=2"))


def test_whatever_can_change_the_result_is_another_run(tiny: Tiny) -> None:
    variants = [
        [],
        ["seed=2"],
        ["batch_size=8"],
        ["optimizer.lr=0.01"],
        ["loss.label_smoothing=0.1"],
        ["trainer.max_epochs=3"],
        ["trainer.precision=bf16-mixed"],
        ["threads=2"],
        ["data.source.seed=5"],
        ["split.seed=1"],
        ["augment=crop_flip"],
        ["health=guard"],
        ["health.adaptive_clip=2.5"],
    ]
    found = [of(tiny(*v)) for v in variants]
    assert len(set(found)) == len(variants)


def test_the_same_data_elsewhere_is_the_same_run(tiny: Tiny, tmp_path: Path) -> None:
    def written(folder: str, text: str) -> list[str]:
        path = tmp_path / folder / "table.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("text,label\n" + "".join(f"{text} {i},{i % 2}\n" for i in range(40)))
        return ["data=text_table", f"data.source.path={path}", "model=lstm", "logger=none", "threads=1"]

    assert of(written("a", "word")) == of(written("b", "word"))
    assert of(written("a", "word")) != of(written("c", "sword"))


def test_states_follow_the_files(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    assert run.state() == "new"
    with run.lock(waiting=lambda: None):
        run.begin({"seed": 1}, {"packages": {"leyden": "0"}, "command": ["leyden"], "data": "abc"}, {})
        assert run.state_file() == "interrupted"
        run.finish({"status": "complete"})
    assert run.state() == "complete"
    assert run.result() == {
        **{"schema": SCHEMA, "status": "complete", "folder": str(run.folder)},
        **{"command": ["leyden"], "started": None, "data": "abc", "config": {"seed": 1}},
        "made_with": {"leyden": "0", "torch": None},
    }


def test_a_refused_run_leaves_no_folder(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with pytest.raises(UserError), run.lock(waiting=lambda: None):
        raise UserError("no")
    assert not run.folder.exists()


def test_version_changes_of_a_stale_run_are_listed(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with run.lock(waiting=lambda: None):
        run.begin({}, {"packages": {"leyden": "0.0.1", "torch": "2.0"}}, {})
    assert [line.split()[0] for line in run.version_changes()] == ["leyden", "torch"]
