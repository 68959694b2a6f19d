import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyden.data.index import TEST, TRAIN, VAL
from leyden.data.split import (
    Auto,
    Given,
    Grouped,
    KFold,
    LeaveOneGroupOut,
    Split,
    Splits,
    Stratified,
    deduplicate,
    verify_trained,
)
from leyden.utils.errors import UserError

NAMES = tuple(f"speaker{i}" for i in range(6))


def table(seed: int = 0, n: int = 600, classes: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, a given split without validation, and groups."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return (
        labels,
        np.where(np.arange(n) % 6 == 0, TEST, TRAIN).astype(np.int8),
        rng.integers(0, 6, n, np.int32),
    )


def assert_partition(splits: Splits, n: int) -> None:
    for rows in splits:
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(np.sort(np.concatenate(splits)), np.arange(n))


ALL = [
    Given(),
    Stratified(),
    Auto(),
    Grouped(),
    LeaveOneGroupOut("speaker3"),
    LeaveOneGroupOut("speaker3", val_group="speaker0"),
    KFold(fold=2),
    KFold(k=3, grouped=True),
]


@pytest.mark.parametrize("split", ALL, ids=repr)
def test_parts_are_disjoint_whole_sorted_and_repeatable(split: Split) -> None:
    labels, own, group = table()
    splits = split(labels, own, group, NAMES)
    assert_partition(splits, 600)
    for once, again in zip(splits, split(labels, own, group, NAMES), strict=True):
        np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize("kind", [Stratified, Grouped, KFold, Auto])
def test_the_seed_changes_the_rows(kind: type[Stratified]) -> None:
    labels, _, group = table()
    first, other = (kind(seed=seed)(labels, None, group, NAMES) for seed in (0, 1))
    assert not np.array_equal(first.test, other.test)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=12),
    val=st.floats(0.05, 0.4),
    test=st.floats(0.05, 0.4),
    seed=st.integers(0, 9),
)
def test_stratified_keeps_shares_of_every_class(
    counts: list[int], val: float, test: float, seed: int
) -> None:
    counts = [*counts, 100]  # so that no part is empty
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    splits = Stratified(val, test, seed)(labels, None, None, ())
    assert_partition(splits, len(labels))
    per_class = np.array([np.bincount(labels[rows], minlength=len(counts)) for rows in splits])
    assert (per_class[0] >= 1).all()
    small = np.array(counts) * (1 - val - test) < 3  # there a row kept for training may outweigh the shares
    assert (np.abs(per_class[1] - val * np.array(counts))[~small] <= 1).all()
    assert (np.abs(per_class[2] - test * np.array(counts))[~small] <= 1).all()


def test_shares_hold_in_total_for_many_small_classes() -> None:
    labels = np.repeat(np.arange(1000), 3)
    splits = Stratified(val=0.1, test=0.1)(labels, None, None, ())
    assert [len(rows) for rows in splits] == [2400, 300, 300]


def test_a_class_of_one_sample_is_trained_on() -> None:
    labels = np.concatenate([np.zeros(100, int), np.arange(1, 31)])
    for split in (Stratified(0.3, 0.3), KFold(k=2, val=0.4), KFold(k=2, fold=1, val=0.4), Auto()):
        assert set(range(100, 130)) <= set(split(labels, None, None, ()).train.tolist())


def test_given_keeps_what_is_given() -> None:
    labels, own, group = table()
    splits = Given(val=0.2)(labels, own, group, NAMES)
    np.testing.assert_array_equal(splits.test, np.flatnonzero(own == TEST))
    assert len(splits.val) == 100
    own[5] = VAL
    np.testing.assert_array_equal(Given()(labels, own, group, NAMES).val, [5])


def test_given_without_one_says_what_to_type() -> None:
    labels, own, group = table()
    with pytest.raises(UserError, match=r"no split of its own; type split=stratified"):
        Given()(labels, None, group, NAMES)
    with pytest.raises(UserError, match=r"no test rows.*split=stratified"):
        Given()(labels, np.zeros_like(own), group, NAMES)


def test_auto_takes_the_given_split_and_else_a_stratified_one() -> None:
    labels, own, group = table()
    for mine, want in (
        (Auto(seed=3)(labels, own, group, NAMES), Given(seed=3)(labels, own, group, NAMES)),
        (Auto(seed=3)(labels, None, group, NAMES), Stratified(seed=3)(labels, None, group, NAMES)),
    ):
        for a, b in zip(mine, want, strict=True):
            np.testing.assert_array_equal(a, b)


def groups_of(splits: Splits, group: np.ndarray) -> list[set[int]]:
    return [set(group[rows].tolist()) for rows in splits]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), groups=st.integers(3, 40))
def test_grouped_keeps_groups_whole(seed: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    group = np.concatenate([np.arange(groups), rng.integers(0, groups, 2000)]).astype(np.int32)
    labels = rng.integers(0, 2, len(group))
    splits = Grouped(0.1, 0.2, seed)(labels, None, group, ())
    assert_partition(splits, len(group))
    train, val, test = groups_of(splits, group)
    assert not train & val | train & test | val & test
    if groups >= 20:
        assert 0.1 < len(splits.test) / len(group) < 0.3


def test_grouped_balances_classes_of_patients_with_one_class() -> None:
    group = np.repeat(np.arange(100, dtype=np.int32), 10)
    labels = np.where(group < 10, 1, 0)  # one patient in ten is ill
    for seed in range(10):
        splits = Grouped(0.2, 0.2, seed)(labels, None, group, ())
        assert [int(labels[rows].sum()) for rows in splits] == [60, 20, 20]


def test_leave_one_group_out() -> None:
    labels, _, group = table()
    train, val, test = groups_of(
        LeaveOneGroupOut("speaker2", val_group="speaker4")(labels, None, group, NAMES), group
    )
    assert (train, val, test) == ({0, 1, 3, 5}, {4}, {2})
    splits = LeaveOneGroupOut("speaker2", val=0.2)(labels, None, group, NAMES)
    shares = np.bincount(group[splits.val], minlength=6) / np.bincount(group)
    assert shares[2] == 0
    np.testing.assert_allclose(np.delete(shares, 2), 0.2, atol=0.03)


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("grouped", [False, True])
def test_folds_test_every_row_once(k: int, grouped: bool) -> None:
    labels, _, group = table()
    folds = [KFold(k, fold, grouped=grouped)(labels, None, group, NAMES) for fold in range(k)]
    np.testing.assert_array_equal(np.sort(np.concatenate([f.test for f in folds])), np.arange(600))
    for splits in folds:
        assert_partition(splits, 600)
        if grouped:
            train, val, test = groups_of(splits, group)
            assert not train & val | train & test | val & test
        else:
            per_class = np.bincount(labels[splits.test]) - np.bincount(labels) / k
            assert np.abs(per_class).max() < 1


MISTAKES = [
    (lambda: KFold(5, 7), r"fold 7 of 5: choose 0\.\.4"),
    (lambda: KFold(1, 0), "k=1 folds: choose 2 or more"),
    (lambda: Stratified(0.5, 0.5), r"val=0\.5 and test=0\.5 leave nothing to train on"),
    (lambda: Stratified(0.0, 0.5), r"val=0\.0 is no share"),
    (lambda: Given(1.5), r"val=1\.5 is no share"),
    (lambda: LeaveOneGroupOut("a", val_group="a"), "both 'a'"),
]


@pytest.mark.parametrize(("make", "message"), MISTAKES)
def test_impossible_settings_are_refused(make: type, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_misspelt_and_missing_groups_are_named() -> None:
    labels, _, group = table()
    with pytest.raises(UserError, match=r"test_group='speakr2' is no group: did you mean 'speaker"):
        LeaveOneGroupOut("speakr2")(labels, None, group, NAMES)
    for split in (Grouped(), LeaveOneGroupOut("speaker2"), KFold(grouped=True)):
        with pytest.raises(UserError, match="has no groups"):
            split(labels, None, None, ())
    with pytest.raises(UserError, match="2 groups cannot make 3 parts"):
        Grouped()(labels, None, group % 2, NAMES)


def test_a_class_that_is_only_tested_is_refused() -> None:
    labels, own, group = table()
    labels[own == TEST] = 7
    with pytest.raises(UserError, match="no training row has seven"):
        verify_trained(labels, Given()(labels, own, group, NAMES), [*"0123456", "seven"])


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(UserError, match="no row of 4 is left for val"):
        Stratified(0.1, 0.3)(np.array([0, 0, 1, 1]), None, None, ())


KEYS = [b"a", b"b", b"a", b"a\0", b"b", b"c"]


@pytest.mark.parametrize("as_array", [False, True])
def test_one_copy_is_kept_the_tested_one_first(as_array: bool) -> None:
    keys = np.array([1, 2, 1, 9, 2, 3], dtype=np.uint64) if as_array else KEYS
    rows, removed = deduplicate(keys, None)
    assert (rows.tolist(), removed) == ([0, 1, 3, 5], 2)
    own = np.array([TRAIN, VAL, TEST, TRAIN, TRAIN, TEST], dtype=np.int8)
    rows, removed = deduplicate(keys, own)
    assert (rows.tolist(), removed) == ([1, 2, 3, 5], 2)
    assert rows.dtype == np.int64


@settings(max_examples=30, deadline=None)
@given(keys=st.lists(st.integers(0, 20), min_size=1, max_size=80), seed=st.integers(0, 9))
def test_deduplicate_leaves_no_copy_across_parts(keys: list[int], seed: int) -> None:
    array = np.array(keys)
    own = np.random.default_rng(seed).integers(0, 3, len(keys), np.int8)
    rows, removed = deduplicate(array, own)
    assert sorted(array[rows]) == sorted(set(keys))
    assert removed == len(keys) - len(set(keys))
    for row in rows:
        assert own[row] == own[array == array[row]].max()
    again, _ = deduplicate([bytes([k]) for k in keys], own)
    np.testing.assert_array_equal(rows, again)
