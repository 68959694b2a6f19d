"""Which process a trial belongs to, by a name in the study, which somebody else may have written."""

from pathlib import Path
from typing import Any

import pytest

from leyden.tuning.process_locks import ProcessLocks


def test_a_process_is_alive_until_it_closes(tmp_path: Path) -> None:
    one, other = ProcessLocks(tmp_path), ProcessLocks(tmp_path)
    assert one.name != other.name
    assert one.alive(one.name)
    one.close()
    other.close()


@pytest.mark.parametrize(
    "name", ["ABSOLUTE", "../precious", "../../precious", ".", "..", "", "1-2/../x", 3, None, ["x"]]
)
def test_a_name_that_is_a_path_deletes_and_opens_nothing(name: Any, tmp_path: Path) -> None:
    study = tmp_path / "study"
    locks = ProcessLocks(study)
    kept = [tmp_path / "precious", study / "precious", study / "owners" / "x"]
    for path in kept:
        path.write_text("precious")
    assert not locks.alive(str(tmp_path / "precious") if name == "ABSOLUTE" else name)
    assert [path.read_text() for path in kept] == ["precious"] * 3
    locks.close()
