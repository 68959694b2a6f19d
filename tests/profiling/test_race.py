"""Ways in turns on a clock of the test's own: the median counts, what is slow is given up, and the time is kept."""

from collections.abc import Callable
from itertools import cycle
from types import SimpleNamespace

import pytest

from leyden.profiling import race as module
from leyden.profiling.race import ROUNDS, beats, race


class Clock:
    """Goes on by as much as a call takes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def way(self, name: str, *seconds: float) -> Callable[[], None]:
        """A call that takes these seconds, in turn."""
        each = cycle(seconds)

        def call() -> None:
            self.calls.append(name)
            self.now += next(each)

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: made.now))
    return made


def test_the_seconds_of_one_call_of_each_way_are_measured(clock: Clock) -> None:
    found = race({"a": clock.way("a", 0.002), "b": clock.way("b", 0.003)}, budget=1)
    assert found["a"] == pytest.approx([0.002] * len(found["a"]))
    assert found["b"] == pytest.approx([0.003] * ROUNDS)


def test_what_is_clearly_slower_is_given_up_after_the_rounds_that_all_have(clock: Clock) -> None:
    """Two that are about equal go on until the time is over."""
    ways = {"a": clock.way("a", 0.02), "b": clock.way("b", 0.021), "slow": clock.way("slow", 0.05)}
    race(ways, budget=2)
    assert clock.calls.count("slow") == ROUNDS + 1
    assert clock.calls.count("a") > 2 * ROUNDS
    assert clock.now == pytest.approx(2, abs=0.1)


def test_the_rounds_go_forwards_and_backwards(clock: Clock) -> None:
    """Whoever has a core every other time, it is not always the same."""
    race({"a": clock.way("a", 0.02), "b": clock.way("b", 0.02)}, budget=0.3)
    assert "".join(clock.calls[2:10]) == "abbaabba"


def test_one_clear_winner_ends_it(clock: Clock) -> None:
    race({"a": clock.way("a", 0.02), "b": clock.way("b", 0.04)}, budget=100)
    assert clock.now == pytest.approx((ROUNDS + 1) * 0.06)


def test_rounds_beyond_the_first_have_their_share_of_the_time(clock: Clock) -> None:
    race({"a": clock.way("a", 0.02), "b": clock.way("b", 0.02)}, budget=1, share=0.5)
    assert clock.now == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("budget", [0.0, 0.1])
def test_too_little_time_for_the_rounds_gives_nothing_and_is_not_spent(clock: Clock, budget: float) -> None:
    assert race({"a": clock.way("a", 0.02), "b": clock.way("b", 0.02)}, budget) == {}
    assert clock.now <= 0.1


FAST, SLOW = [1.0] * 5, [1.1] * 5


@pytest.mark.parametrize(
    ("one", "other", "is_faster"),
    [
        (FAST, SLOW, True),
        (SLOW, FAST, False),
        (FAST, [1.04] * 5, False),  # not by so much
        ([1, 1, 1, 1, 9], SLOW, True),  # one turn was interrupted
        ([1, 1, 1, 9, 9], SLOW, False),  # who knows
        ([1, 2, 4, 8, 16], [1.1, 2.2, 4.4, 8.8, 17.6], True),  # the machine became slower, for both
        ([1, 2, 4, 8, 16], [16, 8, 4, 2, 1], False),
        (FAST, [*SLOW, 1.1, 1.1], True),
    ],
)
def test_a_way_must_be_faster_in_its_turns_too(one: list[float], other: list[float], is_faster: bool) -> None:
    assert beats(one, other, share=0.05) is is_faster
