"""The only LightningDataModule: source -> columns -> split -> (tokens) -> loaders, and the facts for the net."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch import LightningDataModule

from leyden.data import token_ids
from leyden.data.batch import Batch, Input
from leyden.data.cache import load
from leyden.data.distinct_rows import rows_of
from leyden.data.flipped_labels import with_flips
from leyden.data.joined import Joined, PartColumn, load_joined
from leyden.data.loader import Column, Loader
from leyden.data.long_tail import TrainSubsampler
from leyden.data.modalities import Modality, modality_of
from leyden.data.pieces import in_pieces, learn_pieces
from leyden.data.placement import Placement
from leyden.data.reading import ReadingOptions
from leyden.data.remarks import Remarks
from leyden.data.sampler import BucketedOrder, EpochSampler, Order, Sequential
from leyden.data.sampling_policies import SamplingPolicy, sampled_groups
from leyden.data.spec import DataSpec
from leyden.data.split import Split, Splits, verify_trained
from leyden.data.table import Dense, Ragged, Source, Table
from leyden.data.targets import (
    HAS_CLASS_PRIOR,
    WORDS,
    Kind,
    kind_of,
    strata,
    target_facts,
)
from leyden.data.tokenizers import Tokenizer
from leyden.utils.arrays import evenly
from leyden.utils.errors import UserError

SPLITS = ("train", "val", "test")
FIT_SAMPLES = 10_000  # a frontend is fitted on so many training samples, evenly spaced over the training rows
_FIT_BATCH = 500


class DataModule(Remarks, LightningDataModule):
    """The shared data layer.

    Args:
        source: where the inputs come from.
        split: makes train, val and test of its rows.
        long_tail: chooses which training rows are kept.
        policy: how training samples are drawn.
        tokenizer: for text; fitted on the training rows unless it is ready.
        cache: folder of the columns.
        batch_size: the global one, of training.
        seed: of the order of samples.
        reading: how the data are read.
        kind: of targets that the task predicts.
        pieces: how many pieces of words transcripts are cut into, learned on the training rows; 0: as they are read.
    """

    _trains: ClassVar[bool] = True  # whether data that nothing can be learned of are refused

    def __init__(
        self,
        source: Source,
        split: Split,
        long_tail: TrainSubsampler,
        policy: SamplingPolicy,
        tokenizer: Tokenizer | None,
        cache: Path,
        batch_size: int,
        seed: int,
        reading: ReadingOptions,
        kind: Kind = "classes",
        pieces: int = 0,
    ) -> None:
        super().__init__()
        self.source, self.split, self.long_tail = source, split, long_tail
        self.policy, self._tokenizer = policy, tokenizer
        self.cache, self.batch_size, self.seed, self.reading = cache.expanduser(), batch_size, seed, reading
        self.kind, self.pieces, self._placement = kind, pieces, Placement(reading.placement)
        self._plan: EpochSampler | None = None
        self._left_out: list[str] = []

    @cached_property
    def modality(self) -> Modality:
        """What kind of input the source has."""
        return modality_of(self.source)

    @cached_property
    def fingerprint(self) -> str:
        """Of the content: the same data elsewhere have the same."""
        return self.source.fingerprint(self.cache)

    @cached_property
    def table(self) -> Table:
        """Every row of the source, decoded (texts still as bytes); with the wrong labels of data.flipped_labels.

        Transcripts are in pieces of words where these are asked for.

        Raises:
            UserError: whatever is wrong with the data.
        """
        found, reading = self._source_table, self.reading
        if not reading.flipped_labels and not self.pieces:
            return found
        index, train = found.index, self.splits.train
        if self.pieces:
            return replace(found, index=in_pieces(index, learn_pieces(index, train, self.pieces)))
        flips = (reading.flipped_labels, reading.flips, reading.flip_seed)
        targets = with_flips(index.targets, train, len(index.target_names), *flips)
        return replace(found, index=replace(index, targets=targets))

    @cached_property
    def _source_table(self) -> Table:
        """As `table`, with the targets that the source has: splits are made of these, so that flips move no row."""
        read: Any = load_joined if hasattr(self.source, "parts") else load
        found: Table = read(self.source, self.cache, self.reading.on_bad, self.reading.limit_gb, self._trains)
        self.verify_kind(found)
        return found

    @cached_property
    def parts(self) -> dict[str, "DataModule"]:
        """Of rows with several inputs: each part's own rows as a data module, by name; else none.

        Raises:
            UserError: two inputs are texts, or one is and there is no tokenizer.
        """
        joined = self.table.inputs
        made = (
            {name: self._part(name, joined) for name in joined.tables} if isinstance(joined, Joined) else {}
        )
        texts = [name for name, part in made.items() if part.modality.needs_tokenizer]
        if len(texts) > 1:
            raise UserError(
                f"data.source: {', '.join(texts)} are texts; one input of texts can be read: join them"
            )
        if texts and self._tokenizer is None:
            raise UserError(
                f"data.tokenizer: the input {texts[0]} needs a tokenizer: add +data/tokenizer=word"
            )
        return made

    def _part(self, name: str, joined: Joined) -> "DataModule":
        source: Any = self.source
        tokenizer = self._tokenizer if modality_of(source.parts[name]).needs_tokenizer else None
        made = DataModule(
            *(source.parts[name], self.split, self.long_tail, self.policy, tokenizer),
            *(self.cache, self.batch_size, self.seed, self.reading, self.kind),
        )
        table, places = joined.part_table(name, self.table.index), joined.places[name]

        def own(rows: np.ndarray) -> np.ndarray:
            return np.unique(places[rows][places[rows] >= 0])

        splits = Splits(*map(own, self.splits))
        vars(made).update(table=table, _source_table=table, kept_rows=own(self.kept_rows), splits=splits)
        return made

    @property
    def source_targets(self) -> np.ndarray:
        """Targets (N, ...) of every row before data.flipped_labels."""
        return self._source_table.index.targets

    def verify_kind(self, table: Table) -> None:
        """Refuse targets of another kind than the task predicts."""
        there = kind_of(table.index.targets)
        if there != ("classes" if self.kind == "pairs" else self.kind):
            raise UserError(
                f"the task predicts {WORDS[self.kind]}, the data have {WORDS[there]}: "
                "choose another task=... or data=..."
            )

    @cached_property
    def kept_rows(self) -> np.ndarray:
        """int64 rows that are no copy of another row with the same target."""
        return rows_of(self._source_table, self.modality, self.reading.deduplicate)

    @property
    def duplicates_removed(self) -> int:
        """How many identical inputs were left out."""
        return len(self.table) - len(self.kept_rows)

    @cached_property
    def splits(self) -> Splits:
        """Rows of the table in train, val and test."""
        found, index = self._parts(self.kept_rows), self._source_table.index
        if kind_of(index.targets) in HAS_CLASS_PRIOR:
            verify_trained(index.targets, found, index.target_names)
        return self._thinned(found)

    def leave_out(self, rows: np.ndarray, remark: str) -> None:
        """Take rows (n,) of the table that the net cannot learn out of every split, before anything is made of them."""
        self.splits = Splits(*(part[~np.isin(part, rows)] for part in self.splits))
        vars(self).pop("spec", None)
        self._plan = None
        self._left_out.append(remark)

    def divided(self, rows: np.ndarray) -> Splits:
        """Rows (n,) of the table in train, val and test; of classes, train is thinned to the long tail."""
        return self._thinned(self._parts(rows))

    def _parts(self, rows: np.ndarray) -> Splits:
        index = self._source_table.index
        given = None if index.split is None else index.split[rows]
        group = None if index.group is None else index.group[rows]
        found = self.split(strata(index.targets[rows]), given, group, index.group_names)
        return Splits(*(rows[part] for part in found))

    def _thinned(self, found: Splits) -> Splits:
        index = self._source_table.index
        if kind_of(index.targets) != "classes":
            return found
        return found._replace(
            train=found.train[self.long_tail(index.targets[found.train], index.target_names)]
        )

    @cached_property
    def _encoded(self) -> tuple[Tokenizer, Ragged]:
        assert self._tokenizer is not None
        return token_ids.encode(self.table, self._tokenizer, self.splits.train, self.cache)

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The fitted tokenizer, of the texts; None where no input is."""
        if self.parts:
            return next((part.tokenizer for part in self.parts.values() if part._tokenizer is not None), None)
        return None if self._tokenizer is None else self._encoded[0]

    @property
    def inputs(self) -> Any:
        """What batches are gathered from: Dense, Ragged (clips, token ids) or FileColumn; Joined of several."""
        return self.table.inputs if self._tokenizer is None or self.parts else self._encoded[1]

    @property
    def columns(self) -> dict[str, Column]:
        """The inputs by name: one, named after its modality, or those of all parts."""
        if isinstance(joined := self.table.inputs, Joined):
            return {name: PartColumn(part.inputs, joined.places[name]) for name, part in self.parts.items()}
        return {self.modality.name: self.inputs}

    @cached_property
    def spec(self) -> DataSpec:
        """The facts that a net, a loss or a frontend may ask for."""
        index, train = self.table.index, self.splits.train
        lengths = self.lengths
        return DataSpec(
            modality=self.modality.name,
            target_names=index.target_names,
            **target_facts(index.targets[train], index.target_names),
            **self.input_facts(),
            vocab_size=0 if self.parts or self.tokenizer is None else self.tokenizer.vocab_size,
            max_length=0 if lengths is None else int(lengths[train].max()),
            sizes=tuple(len(rows) for rows in self.splits),  # type: ignore[arg-type]
            parts={name: part.spec for name, part in self.parts.items()},
        )

    def input_facts(self) -> dict[str, Any]:
        """The fields of a DataSpec that follow from the inputs alone: channels, size, sample rate."""
        if self.parts:
            return {}
        inputs = self.inputs
        shape = () if isinstance(inputs, Ragged) else inputs.shape
        given = self.table.facts
        columns: dict[str, Any] = {}
        if "numbers" in given:
            values = {name: tuple(of) for name, of in given["categories"].items()}
            columns = {"numbers": tuple(given["numbers"]), "categories": values}
        return {**self.modality.facts(shape), "sample_rate": int(given.get("sample_rate", 0)), **columns}

    @property
    def lengths(self) -> np.ndarray | None:
        """Length of every row's input (N,); None where all have one shape."""
        inputs = self.inputs
        found: np.ndarray | None = (
            inputs.lengths if self.modality.is_ragged and not isinstance(inputs, Dense) else None
        )
        return found

    @cached_property
    def _targets(self) -> torch.Tensor:
        """int64 (N,) classes or (N, L) unit ids; float32 (N, L) labels or (N, K) values, as the data have them."""
        found = self.table.index.targets
        is_ids = kind_of(found) in ("classes", "sequences")
        return torch.from_numpy(found.astype(np.int64 if is_ids else np.float32))

    def epoch_sampler(self, epochs: int) -> EpochSampler:
        """The order of the training samples in every epoch; sorted by class once, however often it is asked for."""
        if self._plan is None or self._plan.epochs != epochs:
            labels, classes, policy = self._sampled_groups()
            self._plan = EpochSampler(labels, classes, policy, self.seed, epochs=epochs)
        return self._plan

    def sampled_prior(self, epochs: int) -> Callable[[int], np.ndarray]:
        """By epoch, the share of the draws that are of each class (C,) or have each label (L,)."""
        sampler, targets = self.epoch_sampler(epochs), self.table.index.targets[self.splits.train]
        if kind_of(targets) != "labels":
            return sampler.prior
        groups, count, _ = self._sampled_groups()
        of_groups = np.stack([targets[groups == group].mean(axis=0) for group in range(count)])  # (G, L)
        return lambda epoch: sampler.prior(epoch) @ of_groups

    def _sampled_groups(self) -> tuple[np.ndarray, int, SamplingPolicy]:
        """What the policy balances: the class (N,) of each training row, or groups of rows with several labels."""
        return sampled_groups(self.table.index.targets[self.splits.train], self.policy, self.spec.num_outputs)

    def steps_per_epoch(self, epochs: int) -> int:
        """Optimizer steps of an epoch: whole global batches."""
        return len(self.epoch_sampler(epochs)) // self.used_batch_size(epochs)

    def used_batch_size(self, epochs: int) -> int:
        """The global batch: all samples of an epoch where they are fewer than `batch_size`."""
        return min(self.batch_size, len(self.epoch_sampler(epochs)))

    def train_dataloader(self) -> Loader:
        """Whole global batches in planned order, of about equal lengths; this rank's share of each."""
        assert self.trainer is not None
        return self.training_loader(self.trainer.max_epochs or 1, self.trainer.accumulate_grad_batches)

    def training_loader(self, epochs: int, accumulate: int = 1) -> Loader:
        """The same, with or without a Trainer; each pass is an epoch of so many that are planned."""
        rows, order = self.splits.train, self._train_order(epochs)
        return self._loader(rows, order, self.batch_size, training=True, accumulate=accumulate)

    def _train_order(self, epochs: int) -> Order:
        plan, lengths = self.epoch_sampler(epochs), self.lengths
        if lengths is None or not self.reading.bucket or len(plan) < self.batch_size:
            return plan
        own = lengths[self.splits.train]
        return BucketedOrder(plan, own, self.batch_size, self.reading.bucket, self.seed)

    def val_dataloader(self) -> Loader:
        """Every validation sample once over all ranks."""
        return self.evaluation_loader("val")

    def test_dataloader(self) -> Loader:
        """Every test sample once over all ranks."""
        return self.evaluation_loader("test")

    def evaluation_loader(self, split: str) -> Loader:
        """Every sample of a split once, the short ones first (rows tell which is which)."""
        return self.rows_loader(self.splits[SPLITS.index(split)])

    def rows_loader(self, rows: np.ndarray, columns: Mapping[str, Column] | None = None) -> Loader:
        """As `evaluation_loader`, of any rows (n,) of the table; of other inputs, by name, than `columns`."""
        if self.lengths is not None:
            rows = rows[np.argsort(self.lengths[rows], kind="stable")]
        size = self.reading.eval_batch_size
        return self._loader(rows, Sequential(len(rows)), size, training=False, accumulate=1, columns=columns)

    def batch_of(self, rows: np.ndarray) -> Batch:
        """Rows (n,) of the table as one unaugmented batch, gathered in this process even where inputs are files."""
        order, size = Sequential(len(rows)), max(1, len(rows))
        return next(iter(Loader(self.columns, self._targets, rows, order, size, training=False)))

    def _loader(
        self,
        rows: np.ndarray,
        order: Order,
        size: int,
        *,
        training: bool,
        accumulate: int,
        columns: Mapping[str, Column] | None = None,
    ) -> Loader:
        trainer = self.trainer
        device = trainer.strategy.root_device if trainer else None
        on_gpu = device is not None and device.type == "cuda"
        placed = self._placement(self.columns, device) if device and columns is None else None
        return Loader(
            placed or columns or self.columns,
            self._targets,
            rows,
            order,
            size,
            training=training,
            accumulate=accumulate,
            rank=trainer.global_rank if trainer else 0,
            world=trainer.world_size if trainer else 1,
            workers=self.reading.workers if self.table.inputs.stays_files else 0,
            pin=on_gpu,
            ahead=on_gpu and placed is None,
            device=device if placed else None,
        )

    def fit_inputs(self) -> Iterator[Input]:
        """Unaugmented training inputs to fit a frontend on, batch by batch: at most FIT_SAMPLES rows, evenly spaced."""
        rows = evenly(self.splits.train, FIT_SAMPLES)
        for batch in self._loader(rows, Sequential(len(rows)), _FIT_BATCH, training=False, accumulate=1):
            yield batch.input
