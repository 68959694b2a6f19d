"""explain_check.json: written and read as it was, gone with the weights that it is of, damaged in one message."""

from pathlib import Path

import pytest

from helpers.run_folders import write as write_run
from leyden.runs.explain_check import ExplainCheck, MethodCheck, Share, read_check
from leyden.runs.run import EXPLAIN_CHECK, Run
from leyden.utils.errors import UserError

GOOD, BAD = (
    MethodCheck(
        pointing=Share(value=value, low=value - 0.05, high=value),
        mass=0.7,
        untrained_pointing=Share(value=0.3),
        untrained_mass=0.1,
        is_trusted=not why,
        why=why,
    )
    for value, why in ((0.99, ""), (0.6, "it points at nothing"))
)
CHECK = ExplainCheck(
    data="planted_images", rows=300, accuracy=1.0, methods={"integrated_gradients": GOOD, "grad_cam": BAD}
)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_check(tmp_path) is None
    CHECK.write(tmp_path)
    assert read_check(tmp_path) == CHECK
    assert {name: CHECK.remark(name) for name in CHECK.methods} == {
        "integrated_gradients": "integrated_gradients found the planted signal in 0.99 of 300 rows of planted_images",
        "grad_cam": "grad_cam is not to be trusted for this net: it points at nothing",
    }
    assert CHECK.remark("rise") == CHECK.distrust("rise") == CHECK.distrust("integrated_gradients") == ""
    assert CHECK.distrust("grad_cam") == CHECK.remark("grad_cam")


def test_fields_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    CHECK.write(tmp_path)
    path = tmp_path / EXPLAIN_CHECK
    path.write_text(path.read_text().replace('"rows"', '"more": 1,\n "rows"'))
    assert read_check(tmp_path) == CHECK


@pytest.mark.parametrize("content", ["", "[]", '{"rows": "many"}', "{}"])
def test_a_damaged_one_says_what_to_type(content: str, tmp_path: Path) -> None:
    (tmp_path / EXPLAIN_CHECK).write_text(content)
    with pytest.raises(
        UserError, match=r"explain_check.json is damaged .*; `leyden check explain RUN` writes it anew"
    ):
        read_check(tmp_path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    CHECK.write(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / EXPLAIN_CHECK).symlink_to(tmp_path / EXPLAIN_CHECK)
    with pytest.raises(UserError, match="symbolic link"):
        read_check(other)


def test_it_goes_with_the_weights(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    CHECK.write(folder)
    Run(folder).clear()
    assert read_check(folder) is None
