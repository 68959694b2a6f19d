"""The groups of options and their order."""

import shutil
from pathlib import Path

import yaml

from leyden.config.compose import conf_dir
from leyden.config.options import GROUPS, ordered_groups


def test_the_groups_are_the_folders_in_the_order_of_composing() -> None:
    folders = {f.parent.relative_to(conf_dir()).as_posix() for f in conf_dir().rglob("*/*.yaml")}
    assert set(GROUPS) == folders - {"hydra"}
    assert len(set(GROUPS)) == len(GROUPS)
    assert GROUPS[:4] == ("experiment", "task", "data", "data/tokenizer")
    named = [
        k for entry in yaml.safe_load((conf_dir() / "config.yaml").read_text())["defaults"] for k in entry
    ]
    listed = [group for group in GROUPS if group in named and group != "experiment"]
    assert listed == [key for key in named if key in listed]


def test_a_new_group_needs_no_edit(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(conf_dir(), conf)
    for option in ("loss/inner/a.yaml", "zoo/b.yaml", "hydra/launcher/c.yaml"):
        (conf / option).parent.mkdir(parents=True)
        (conf / option).write_text("x: 1\n")
    added = ordered_groups(conf)
    assert added[added.index("loss") + 1] == "loss/inner"
    assert added[-1] == "zoo"
    assert [group for group in added if group not in ("loss/inner", "zoo")] == list(GROUPS)
