"""How often the report's tests err and what they find, by the simulations of scripts/audits."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

SCRIPTS = Path(__file__).parents[2] / "scripts" / "audits"
FAMILIES = 400
WANTED, SINGLE = 0.06, 0.05


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"audits.{name}", SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[f"audits.{name}"] = module  # its dataclasses look up their module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    return script("tests")


@pytest.fixture(scope="module")
def of_effects() -> ModuleType:
    return script("effects")


def most(rate: float, n: int) -> float:
    """The share of n that a true rate exceeds once in a thousand times."""
    return float(stats.binom.ppf(0.999, n, rate)) / n


@pytest.mark.parametrize(
    ("base", "others", "common"),
    [
        (2, 2, 2),
        (3, 3, 3),
        (10, 10, 10),
        (2, 2, 0),
        (3, 3, 0),
        (10, 2, 0),
        (10, 3, 0),
        (2, 10, 0),
        (10, 10, 5),
    ],
)
def test_few_families_without_a_difference_have_a_claim(
    audit: ModuleType, base: int, others: int, common: int
) -> None:
    """By Satterthwaite's degrees of freedom alone, two seeds against a baseline of ten would err in .27."""
    for spread in audit.SPREADS[:: 1 if common < base else 3]:
        erred = audit.seeds(FAMILIES, base, others, common, spread).type_one()
        assert erred <= most(WANTED, FAMILIES)


@pytest.mark.parametrize("common", [2, 5])
def test_some_common_seeds_leave_the_power_of_all_runs(audit: ModuleType, common: int) -> None:
    """A test of the pairs alone finds .03 and .28."""
    assert audit.seeds(2 * FAMILIES, 10, 10, common, 1.0).power() > 0.45


@pytest.mark.parametrize("n", [3, 5, 10])
def test_tests_and_intervals_over_random_splits_keep_their_level(audit: ModuleType, n: int) -> None:
    """Without the correction .08, .14 and .25 of tests err, and .92, .87 and .76 of intervals hold the mean."""
    tested, validated = audit.random_splits(n)
    design = audit.splits((tested, validated), audit.learners(2 * FAMILIES, tested, validated), n, n)
    assert design.shared == pytest.approx(80 / 280)
    single = np.mean(
        [test.p is not None and test.p < 0.05 for f in design.values for test in [design.tests(f)[0]]]
    )
    assert single <= most(SINGLE, 2 * FAMILIES)
    assert design.type_one() <= most(WANTED, 2 * FAMILIES)
    assert audit.coverage(design) >= 0.93
    assert design.power() > 0.08


def test_tests_over_folds_keep_their_level(audit: ModuleType) -> None:
    tested, validated = audit.folds(5)
    assert (tested.sum(0) == 1).all()
    assert not (tested & validated).any()
    design = audit.splits((tested, validated), audit.learners(FAMILIES, tested, validated), 5, 5)
    assert design.type_one() <= most(WANTED, FAMILIES)
    assert audit.coverage(design) >= 0.93


@pytest.mark.slow
def test_every_design_of_the_audit_keeps_its_level(audit: ModuleType) -> None:
    designs = [(name, design) for name, several in audit.of_seeds(2000) for design in several]
    designs += audit.of_splits(2000)
    erred = {name: rate for name, design in designs if (rate := design.type_one()) > most(WANTED, 2000)}
    assert not erred


@pytest.mark.parametrize(
    ("kind", "values", "n"),
    [
        ("common seeds", 5, 2),
        ("common seeds", 5, 3),
        ("common seeds", 4, 5),
        ("other seeds", 5, 1),
        ("other seeds", 3, 3),
    ],
)
def test_effects_of_unequally_varying_values_are_rarely_claimed(
    of_effects: ModuleType, kind: str, values: int, n: int
) -> None:
    """One of the values has five times the spread of the others: a plain F test of the key alone errs in .11 to .14."""
    erred, covered = of_effects.Design(kind, values, n, 5.0).errors(FAMILIES)
    assert erred <= most(WANTED, FAMILIES)
    assert covered >= 0.93


def test_effects_are_found_with_the_power_that_the_page_states(of_effects: ModuleType) -> None:
    assert of_effects.Design("common seeds", 3, 10, 1.0).power(FAMILIES) > 0.45
    assert of_effects.Design("other seeds", 3, 5, 1.0).power(FAMILIES) > 0.3


@pytest.mark.slow
def test_every_design_of_the_audit_of_effects_keeps_its_level(of_effects: ModuleType) -> None:
    rates = {(kind, n): max(erred) for kind, n, erred, *_ in of_effects.rows(2000)}
    assert not {place: rate for place, rate in rates.items() if rate > most(WANTED, 2000)}
