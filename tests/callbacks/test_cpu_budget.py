"""The share of the CPU time that pictures take, by a clock that does not run by itself."""

import pytest

from leyden.callbacks.cpu_budget import SECONDS, SHARE, SHORT, CpuBudget


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def run(
    epoch: float, view: float, epochs: int, keep: float = 0.0, is_limited: bool = True
) -> tuple[Clock, CpuBudget, int]:
    """A training of so many epochs of `epoch` CPU seconds, after each of which a view of `view` seconds is due."""
    clock, drawn = Clock(), 0
    budget = CpuBudget(is_limited, clock)
    for _ in range(epochs):
        clock.now += epoch
        if budget.allows("view", keep):
            with budget.spending("view"):
                clock.now += view
            drawn += 1
    return clock, budget, drawn


@pytest.mark.parametrize("keep", [0.0, 0.5])
@pytest.mark.parametrize("view", [0.01, 0.1, 0.5, 1.5])
@pytest.mark.parametrize("epoch", [0.1, 1.0, 30.0, 600.0])
def test_runs_of_a_minute_spend_at_most_three_per_cent(epoch: float, view: float, keep: float) -> None:
    clock, budget, drawn = run(epoch, view, 1 + int(max(SHORT, 10 * epoch) / epoch), keep)
    assert clock.now >= SHORT
    assert 0 < budget.spent <= SHARE * clock.now
    assert drawn > 1 or 2 * view > (1 - keep) * SECONDS


@pytest.mark.parametrize("view", [0.02, 0.1])
def test_shorter_runs_spend_six_tenths_of_a_second(view: float) -> None:
    _, budget, drawn = run(1.0, view, 50)
    assert SECONDS - view < budget.spent <= SECONDS + 1e-9
    assert drawn == round(budget.spent / view)


def test_a_view_of_unknown_cost_exceeds_it_once() -> None:
    _, budget, drawn = run(1.0, 5.0, 40)
    assert (drawn, budget.spent) == (1, 5.0)


def test_a_part_is_kept_for_the_end() -> None:
    _, budget, _ = run(1.0, 0.05, 40, keep=0.5)
    assert budget.spent <= SECONDS / 2
    assert budget.allows("figures at the end")


def test_without_a_limit_everything_is_allowed() -> None:
    assert run(0.1, 5.0, 20, is_limited=False)[2] == 20
