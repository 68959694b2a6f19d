"""Slices: what was planted is named; where nothing was planted, nothing is found more often than announced."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from leyden.interpretation.slices import EFFECT, FEWEST, LEVEL, slices


def facts(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    """Of each kind, two of them dependent."""
    brightness = rng.normal(size=rows)
    return {
        "mark": rng.choice(["yes", "no"], rows),
        "site": rng.choice(list("abcd"), rows),
        "length": rng.integers(5, 30, rows),
        "brightness": brightness,
        "contrast": brightness + rng.normal(size=rows),
    }


def test_a_planted_slice_is_found_alone_and_counted() -> None:
    rng = np.random.default_rng(0)
    known = facts(rng, 600)
    wrong = rng.random(600) < np.where(known["mark"] == "yes", 0.3, 0.03)
    (found,) = slices(known, wrong)
    inside = known["mark"] == "yes"
    assert found.terms == ("mark = yes",)
    assert found.places.tolist() == np.flatnonzero(inside).tolist()
    assert (found.n, found.errors) == (inside.sum(), wrong[inside].sum())
    assert found.rate == wrong[inside].mean()
    assert found.rest_rate == wrong[~inside].mean()
    assert found.p <= LEVEL
    assert str(found).startswith("mark = yes: ")


def test_a_slice_of_two_facts() -> None:
    rng = np.random.default_rng(1)
    known = facts(rng, 1000)
    planted = (known["site"] == "b") & (known["length"] > 19)
    wrong = rng.random(1000) < np.where(planted, 0.5, 0.05)
    first = slices(known, wrong)[0]
    assert "site = b" in first.terms
    assert any(term.startswith("length > 19") for term in first.terms)


def test_two_slices_one_after_the_other() -> None:
    rng = np.random.default_rng(2)
    known = facts(rng, 2000)
    wrong = rng.random(2000) < 0.03 + 0.4 * (known["site"] == "a") + 0.2 * (known["mark"] == "yes")
    assert {found.terms for found in slices(known, wrong)} == {("site = a",), ("mark = yes",)}


def test_a_hard_class_is_no_slice() -> None:
    rng = np.random.default_rng(3)
    classes = rng.integers(0, 3, 900)
    wrong = rng.random(900) < np.array([0.02, 0.02, 0.4])[classes]
    known = {**facts(rng, 900), "folder": classes.astype(str)}
    assert slices(known, wrong)[0].terms == ("folder = 2",)
    assert slices(known, wrong, strata=classes) == []


def test_small_slices_and_small_effects_are_none() -> None:
    rng = np.random.default_rng(4)
    small = np.arange(4000) < FEWEST - 1
    assert slices({"site": np.where(small, "a", "b")}, small) == []
    half = np.arange(4000) < 2000
    rate = np.where(half, 0.02 + EFFECT - 0.02, 0.02)
    assert slices({"half": half}, rng.random(4000) < rate) == []


def test_a_difference_that_may_be_smaller_than_the_effect_is_no_slice() -> None:
    """4,000 rows show 5.9 points of difference: surely one, but of 5 points or more only perhaps."""
    half, errors = np.arange(4000) < 2000, np.tile(np.arange(2000), 2)
    assert slices({"half": half.astype(str)}, errors < np.where(half, 319, 201)) == []
    (found,) = slices({"half": half.astype(str)}, errors < np.where(half, 401, 201))
    assert found.terms == ("half = True",)


def test_what_is_unknown_is_a_fact_and_nothing_is_no_slice() -> None:
    rng = np.random.default_rng(5)
    missing = rng.random(500) < 0.3
    known = {"weight": np.where(missing, np.nan, 1.5), "site": np.where(missing, "", "a")}
    (found,) = slices(known, missing & (rng.random(500) < 0.8))
    assert found.terms in (("weight is empty",), ("site is empty",))
    assert slices({}, missing) == []
    assert slices(known, np.zeros(500, bool)) == []
    assert slices(known, np.ones(500, bool)) == []


def null_runs(runs: int, seed: int, effect: float = 0.0) -> int:
    """Of so many sets those with a slice; error rates differ by `effect` with the mark and the site, else by class."""
    found = 0
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        classes, known = rng.integers(0, 4, 600), facts(rng, 600)
        rates = np.array([0.02, 0.05, 0.1, 0.2])[classes]
        rates += effect * (known["mark"] == "yes") + effect * (known["site"] == "a")
        found += bool(slices(known, rng.random(600) < rates, strata=classes, seed=run))
    return found


def test_clean_sets_have_no_slice() -> None:
    assert null_runs(40, seed=0) <= binom.ppf(0.999, 40, LEVEL)


@pytest.mark.slow
@pytest.mark.parametrize("effect", [0.0, EFFECT])
def test_a_slice_is_found_in_one_of_twenty_sets_at_most(effect: float) -> None:
    """600 sets each: without any dependence, and with two as large as may be."""
    assert null_runs(600, seed=1, effect=effect) <= binom.ppf(0.999, 600, LEVEL)
