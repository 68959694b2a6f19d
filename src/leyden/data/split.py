"""Which rows train, which choose the model, which test: deterministic, disjoint, every class trained on.

A split is a callable configured from YAML. It has a seed of its own, not the run's, so that runs with
other seeds are measured on the same samples. De-duplication (`deduplicate`) comes before it.
scikit-learn's splitters refuse or warn of classes smaller than the number of parts; here a class of one
sample is trained on, and nothing else is said of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Protocol

import numpy as np
from annotated_types import Ge, Interval
from numpy.typing import NDArray

from leyden.data.index import SHOWN, TEST, TRAIN, VAL
from leyden.data.iterative_split import iterative_folds
from leyden.utils.errors import UserError, nearest
from leyden.utils.text import and_more

Rows = NDArray[np.int64]
Labels = NDArray[Any]  # (N,) classes or other strata; (N, L) of 0 and 1, whether a row has each label
Codes = NDArray[np.int8]
Groups = NDArray[np.int32]
Share = Annotated[float, Interval(gt=0, lt=1)]
Seed = Annotated[int, Ge(0)]


class Splits(NamedTuple):
    """Disjoint rows of the table, each int64 and sorted."""

    train: Rows
    val: Rows
    test: Rows


class Split(Protocol):
    """A way to split. A user's own is any callable like this one."""

    def __call__(
        self, labels: Labels, given: Codes | None, group: Groups | None, group_names: tuple[str, ...]
    ) -> Splits:
        """labels (N,) or (N, L); given (N,) 0 train, 1 val, 2 test; group (N,) places in group_names.

        Raises UserError if a part would be empty, or a class tested and not trained on.
        """


@dataclass(frozen=True)
class Given:
    """The data set's own split; `val` of its training rows, by class, where it names none for validation."""

    val: Share = 0.1
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Raises UserError for a share that is none."""
        _check_shares({"val": self.val})

    def __call__(
        self, labels: Labels, given: Codes | None, group: Groups | None, group_names: tuple[str, ...]
    ) -> Splits:
        """The rows; UserError if the data set has no split, or none for testing."""
        if given is None or not (given == TEST).any():
            lacks = "no split of its own" if given is None else "a split of its own, but no test rows in it"
            raise UserError(f"split: this data set has {lacks}; type split=stratified to make one")
        train, val, test = (np.flatnonzero(given == code) for code in (TRAIN, VAL, TEST))
        if not len(val):
            train, val = _carve(train, labels[train], [self.val], self.seed)
        return _checked(labels, train, val, test)


@dataclass(frozen=True)
class _Shares:
    """Which shares of the rows go to validation and test, and the seed of the draw."""

    val: Share = 0.1
    test: Share = 0.2
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Raises UserError for shares that leave nothing to train on."""
        _check_shares({"val": self.val, "test": self.test})


@dataclass(frozen=True)
class Stratified(_Shares):
    """Random rows, the same shares of every class; a split that the data set has is not looked at."""

    def __call__(
        self, labels: Labels, given: Codes | None, group: Groups | None, group_names: tuple[str, ...]
    ) -> Splits:
        """The rows."""
        train, test, val = _carve(np.arange(len(labels)), labels, [self.test, self.val], self.seed)
        return _checked(labels, train, val, test)


@dataclass(frozen=True)
class Auto(Stratified):
    """The data set's own split where it has one, else a stratified one."""

    def __call__(
        self, labels: Labels, given: Codes | None, group: Groups | None, group_names: tuple[str, ...]
    ) -> Splits:
        """The rows."""
        split: Split = Stratified(self.val, self.test, self.seed)
        if given is not None:
            split = Given(self.val, self.seed)
        return split(labels, given, group, group_names)


@dataclass(frozen=True)
class Grouped(_Shares):
    """Whole groups (speaker, patient, author) to one side; shares and classes as near as the groups allow."""

    def __call__(
        self, labels: Labels, given: Codes | None, group: Groups | None, group_names: tuple[str, ...]
    ) -> Splits:
        """The rows; UserError if there are fewer than three groups."""
        part = _deal(labels, _existing(group), [1 - self.val - self.test, self.val, self.test], self.seed)
        return _checked(labels, *(np.flatnonzero(part == p) for p in range(3)))


@dataclass(frozen=True)
class LeaveOneGroupOut:
    """Test on one group; validate on another, or, without `val_group`, on a share of each of the rest."""

    test_group: str
    val: Share = 0.1
    val_group: str = ""
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Raises UserError for a share that is none, or one group for two purposes."""
        _check_shares({"val": self.val})
        if self.test_group == self.val_group:
            raise UserError(f"split: test_group and val_group are both {self.val_group!r}; name two groups")

    def __call__(
        self, labels: Labels, given: Codes | None, group: Groups | None, group_names: tuple[str, ...]
    ) -> Splits:
        """The rows; UserError if there is no such group."""
        group = _existing(group)
        test = group == _place("test_group", self.test_group, group_names)
        if self.val_group:
            val = group == _place("val_group", self.val_group, group_names)
            return _checked(labels, *map(np.flatnonzero, (~test & ~val, val, test)))
        rest = np.flatnonzero(~test)
        train, carved = _carve(rest, _by_group(labels[rest], group[rest]), [self.val], self.seed)
        return _checked(labels, train, carved, np.flatnonzero(test))


@dataclass(frozen=True)
class KFold:
    """Test on part `fold` of `k` equal parts, the same share of every class (or, `grouped`, whole groups).

    Over the k folds each row is tested once, save those of a class of one sample, which always train.
    """

    k: Annotated[int, Ge(2)] = 5
    fold: Annotated[int, Ge(0)] = 0
    val: Share = 0.1
    seed: Seed = 0
    grouped: bool = False

    def __post_init__(self) -> None:
        """Raises UserError for a fold that does not exist."""
        _check_shares({"val": self.val})
        if self.k < 2:
            raise UserError(f"split: k={self.k} folds: choose 2 or more")
        if not 0 <= self.fold < self.k:
            raise UserError(f"split: fold {self.fold} of {self.k}: choose 0..{self.k - 1}")

    def __call__(
        self, labels: Labels, given: Codes | None, group: Groups | None, group_names: tuple[str, ...]
    ) -> Splits:
        """The rows; UserError if `grouped` and there are fewer groups than folds."""
        if self.grouped:
            group = _existing(group)
            tested = _deal(labels, group, [1 / self.k] * self.k, self.seed) == self.fold
            rest = np.flatnonzero(~tested)
            part = _deal(labels[rest], group[rest], [1 - self.val, self.val], self.seed)
            train, val = rest[part == 0], rest[part == 1]
        else:
            tested = _folds(labels, self.k, self.seed) == self.fold
            rest = np.flatnonzero(~tested)
            train, val = _carve(rest, labels[rest], [self.val], self.seed)
        return _checked(labels, train, val, np.flatnonzero(tested))


def deduplicate(keys: Sequence[bytes] | NDArray[Any], given: Codes | None) -> tuple[Rows, int]:
    """The rows (sorted) that keep one copy of each row, and how many were removed.

    keys: one per row, equal for identical rows: bytes, or an array (N,) of hashes. With a given split the
    copy in test is kept, then that in val, then that in train; among equals the first.
    """
    rank = np.zeros(len(keys), np.int8) if given is None else TEST - given
    order = np.argsort(rank, kind="stable")
    if isinstance(keys, np.ndarray):
        _, first = np.unique(keys[order], return_index=True)
        kept = np.sort(order[first])
    else:  # not as an array: NumPy's bytes lose their trailing zeros
        copies: dict[bytes, int] = {}
        for row in order.tolist():
            copies.setdefault(keys[row], row)
        kept = np.sort(np.fromiter(copies.values(), dtype=np.int64, count=len(copies)))
    return kept, len(keys) - len(kept)


def _check_shares(shares: Mapping[str, float]) -> None:
    for name, share in shares.items():
        if not 0 < share < 1:
            raise UserError(
                f"split: {name}={share} is no share: choose a number between 0 and 1, such as 0.1"
            )
    if sum(shares.values()) >= 1:
        listed = " and ".join(f"{name}={share}" for name, share in shares.items())
        raise UserError(f"split: {listed} leave nothing to train on: their sum must be below 1")


def _by_group(labels: Labels, group: Groups) -> NDArray[Any]:
    """Strata (n,) of groups and classes together; of labels (n, L) another column for each group."""
    if labels.ndim == 2:
        return np.column_stack([labels, group[:, None] == np.unique(group)])
    return group.astype(np.int64) * (labels.max(initial=0) + 1) + labels


def _carve(rows: Rows, keys: NDArray[Any], shares: Sequence[float], seed: int) -> list[Rows]:
    """The rest of `rows` (n,), then a part for each share, each sorted as `rows` are.

    Keys (n, L) are labels, which are split by iterative stratification. Every key (n,) gives each part its share of
    its rows, rounded so that the sums over the keys are right too; but one row of each key stays in the rest.
    """
    if keys.ndim == 2:
        dealt = iterative_folds(keys, [1 - sum(shares), *shares], seed)
        return [rows[dealt == number] for number in range(len(shares) + 1)]
    _, key, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    drawn = np.lexsort((np.random.default_rng(seed).random(len(rows)), key))  # by key, at random within
    place = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # of a drawn row in its key
    part = np.zeros(len(rows), dtype=np.int64)
    taken = np.zeros_like(sizes)
    for number, share in enumerate(shares, 1):
        wanted = np.diff(np.floor(np.cumsum(sizes) * share + 0.5).astype(np.int64), prepend=0)
        upto = np.minimum(taken + wanted, np.maximum(sizes - 1, 0))
        part[drawn[(place >= np.repeat(taken, sizes)) & (place < np.repeat(upto, sizes))]] = number
        taken = upto
    return [rows[part == number] for number in range(len(shares) + 1)]


def _folds(labels: Labels, k: int, seed: int) -> NDArray[np.int64]:
    """The fold (N,) of each row; -1 for a class of one sample."""
    if labels.ndim == 2:
        return iterative_folds(labels, [1 / k] * k, seed)
    drawn = np.lexsort((np.random.default_rng(seed).random(len(labels)), labels))
    several = drawn[np.bincount(labels)[labels[drawn]] > 1]
    fold = np.full(len(labels), -1)
    fold[several] = np.arange(len(several)) % k
    return fold


def _deal(labels: Labels, group: Groups, shares: Sequence[float], seed: int) -> NDArray[np.int64]:
    """The part (N,) of each row, whole groups together and no part empty.

    The groups come in random order, and each goes to the part that misses the classes of its rows most.
    """
    groups, member = np.unique(group, return_inverse=True)
    if len(groups) < len(shares):
        raise UserError(f"split: {len(groups)} groups cannot make {len(shares)} parts; type split=stratified")
    by_group = np.split(np.argsort(member, kind="stable"), np.cumsum(np.bincount(member))[:-1])
    counts = _one_hot_sums(labels)
    totals = counts(np.arange(len(labels)))
    missing = np.outer(shares, totals).astype(np.float64)  # (parts, classes): rows still to come
    filled = np.zeros(len(shares), dtype=bool)
    part = np.empty(len(groups), dtype=np.int64)
    for dealt, g in enumerate(np.random.default_rng(seed).permutation(len(groups))):
        brings = counts(by_group[g])
        gain = missing @ (brings / np.maximum(totals, 1))
        if np.count_nonzero(~filled) == len(groups) - dealt:  # as many groups left as parts still empty
            gain[filled] = -np.inf
        best = int(np.argmax(gain))
        missing[best] -= brings
        filled[best], part[g] = True, best
    return part[member]


def _one_hot_sums(labels: Labels) -> Callable[[Rows], NDArray[np.int64]]:
    """Rows (n,) -> how many of them have each class or label (C,)."""
    if labels.ndim == 2:
        return lambda rows: labels[rows].sum(axis=0, dtype=np.int64)
    classes = int(labels.max(initial=0)) + 1
    return lambda rows: np.bincount(labels[rows], minlength=classes)


def _existing(group: Groups | None) -> Groups:
    if group is None:
        raise UserError(
            "split: this data set has no groups (speaker, patient, author); name their column in `data`,"
            " or type split=stratified"
        )
    return group


def _place(field: str, name: str, group_names: tuple[str, ...]) -> int:
    if name not in group_names:
        raise UserError(f"split: {field}={name!r} is no group: {nearest(name, group_names)}")
    return group_names.index(name)


def _checked(labels: Labels, train: Rows, val: Rows, test: Rows) -> Splits:
    """The parts, none of them empty; else UserError."""
    splits = Splits(train, val, test)
    for name, rows in splits._asdict().items():
        if not len(rows):
            raise UserError(
                f"split: no row of {len(labels)} is left for {name}; choose other shares in `split`,"
                " or add data"
            )
    return splits


def verify_trained(labels: Labels, splits: Splits, names: Sequence[str]) -> None:
    """Refuse a split whose test rows have a class or label that no training row has.

    Args:
        labels: classes (N,), or labels (N, L).
        splits: of these rows.
        names: of the classes or labels.
    """
    counts = _one_hot_sums(labels)
    unseen = np.flatnonzero((counts(splits.test) > 0) & (counts(splits.train) == 0)).tolist()
    if unseen:
        raise UserError(
            f"split: no training row has {and_more([names[c] for c in unseen], SHOWN)}, which the test split "
            "has; choose another split.seed, smaller shares, or leave these classes out"
        )
