"""Data checks of the real data sets: no false errors, and the known leak of SMS Spam is found."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from leyden.cli.check_data import main
from leyden.config.compose import compose
from leyden.config.validate import check_data
from leyden.data.datamodule import DataModule
from leyden.health.data.checks import find_problems, quick_checks
from leyden.training import build

ROOT = Path(os.environ.get("LEYDEN_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))

pytestmark = pytest.mark.data


def read(needed: str, *overrides: str) -> DataModule:
    if not (ROOT / needed).exists():
        pytest.skip(f"{ROOT / needed} is not here")
    data = build.experiment(check_data(compose([*overrides, f"data_root={ROOT}"], []))).data
    assert data.spec
    return data


@pytest.mark.slow
@pytest.mark.parametrize(
    ("needed", "overrides", "warnings"),
    [
        ("MNIST", ["experiment=mnist_keras"], []),
        ("MNIST", ["experiment=mnist_cnn"], []),
        ("fsdd", ["experiment=fsdd"], ["group_leak"]),
        ("fsdd", ["experiment=fsdd_speakers"], []),
        ("fsdd", ["experiment=fsdd_speakers", "split.test_group=theo"], []),
        ("sms-spam", ["experiment=sms_spam"], ["near_duplicates"]),  # templates of spam
        ("sms-spam", ["experiment=sms_spam", "seed=2"], ["near_duplicates"]),
        (
            "cifar10-jpg.tar.gz",
            ["data=cifar10_jpeg"],
            ["near_duplicates"],
        ),  # the set's own: Barz, Denzler 2020
        (".", ["data=digits"], []),
    ],
)
def test_real_sets_have_no_error_and_at_most_one_warning(
    needed: str, overrides: list[str], warnings: list[str]
) -> None:
    data = read(needed, *overrides)
    found = find_problems(data)
    assert [finding.id for finding in found if finding.level == "error"] == []
    assert [finding.id for finding in found if finding.level == "warning"] == warnings
    assert {finding.id for finding in quick_checks(data)} <= set(warnings)


def test_mnist_has_few_near_duplicates() -> None:
    found = [
        finding for finding in find_problems(read("MNIST", "data=mnist")) if finding.id == "near_duplicates"
    ]
    assert all(finding.evidence["share"] < 0.001 for finding in found)


def test_the_leak_of_sms_spam(capsys: pytest.CaptureFixture[str]) -> None:
    data = read("sms-spam", "experiment=sms_spam", "data.deduplicate=false")
    for found in (find_problems(data), quick_checks(data)):
        (finding,) = [f for f in found if f.level == "error"]
        assert (finding.id, finding.advice) == ("split_leak", ("data.deduplicate=true",))
        assert 0.08 < finding.evidence["share"] < 0.14
    arguments = ["experiment=sms_spam", "data.deduplicate=false", f"data_root={ROOT}", "--json"]
    assert main(arguments) == 1
    assert json.loads(capsys.readouterr().out)[0]["id"] == "split_leak"


def test_quick_checks_are_fast() -> None:
    data = read("MNIST", "data=mnist")
    seconds = []
    for _ in range(3):
        begun = time.process_time()
        assert quick_checks(data) == []
        seconds.append(time.process_time() - begun)
    assert np.median(seconds) < 0.35 * len(data.table) / 60_000  # .1 s on an idle core
