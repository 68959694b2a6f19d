"""Names and shares in a sentence."""

import doctest

import pytest

from leyden.reporting import format as words
from leyden.utils import text
from leyden.utils.text import MOST_LINES, and_more, indented_lines, percent


@pytest.mark.parametrize("module", [text, words], ids=lambda module: module.__name__)
def test_the_examples_hold(module: object) -> None:
    done = doctest.testmod(module)
    assert done.attempted >= 2
    assert done.failed == 0


def test_what_is_not_shown_is_counted_once() -> None:
    for n in range(6):
        names = [f"n{i}" for i in range(n)]
        shown = and_more(names, 3)
        assert shown.split(" and ")[0] == ", ".join(names[:3])
        assert (" and " in shown) == (n > 3)
    assert and_more([], 3) == ""
    assert and_more(["a", "b", "c"], 2, count=2) == "a, b"


def test_lines_are_indented_and_no_more_than_twenty() -> None:
    lines = [f"line {i}" for i in range(MOST_LINES + 2)]
    assert indented_lines(lines[:2]) == "\n  line 0\n  line 1"
    found = indented_lines(lines).splitlines()
    assert found[0] == ""
    assert found[-1] == "  ... and 2 more"
    assert len(found) == MOST_LINES + 2


@pytest.mark.parametrize("digits", [1, 2, 3])
def test_a_share_is_never_written_with_a_power_of_ten_above_one(digits: int) -> None:
    for share in (1.0, 0.9999, 0.5, 0.123456):
        assert "e" not in percent(share, digits)
        assert abs(float(percent(share, digits).removesuffix(" %")) - 100 * share) <= 10.0 ** (2 - digits)
