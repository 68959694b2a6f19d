"""`task=contrastive`: two inputs of each row embedded into one space."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leyden.data.spec import DataSpec
from leyden.data.targets import ClassReader, Kind, TargetReader
from leyden.decision.prototypes import Prototypes
from leyden.metrics.results import RETRIEVAL_METRICS, RetrievalMetrics
from leyden.metrics.retrieval import evaluate_pairs, rank
from leyden.tasks.base import Arrays, Floats, GroupedTask
from leyden.tasks.errors import ErrorGroup, Mistake, group, worst_by_class
from leyden.tasks.figures import ClassSimilarity, Figure
from leyden.utils.errors import UserError
from leyden.utils.text import plural

_ANY_WIDTH = 4  # of embeddings where no decision tells it


class Contrastive(GroupedTask):
    """Pairs of inputs, each of a class; outputs are embeddings (N, 2, D), zeros of an absent one, targets int64 (N,).

    Args:
        na_is_empty: as in classification.
    """

    name: ClassVar[str] = "contrastive"
    kind: ClassVar[Kind] = "pairs"
    metrics: ClassVar[tuple[str, ...]] = RETRIEVAL_METRICS

    def __init__(self, na_is_empty: bool = False) -> None:
        self.na_is_empty = na_is_empty

    def reader(self) -> TargetReader:
        """One column with the name of the class, or none."""
        return ClassReader(self.na_is_empty, is_needed=False)

    def evaluate_groups(
        self,
        outputs: Floats,
        targets: NDArray[Any],
        spec: DataSpec,
        decision: Any,
        groups: Sequence[str] | None,
        intervals: bool = True,
    ) -> RetrievalMetrics:
        """Retrieval in both directions, and zero-shot accuracy where prototypes are known; a group counts once."""
        predicted = decision.classes(outputs) if decision.is_known else None
        return evaluate_pairs(
            *(outputs, targets, _names(spec)),
            has_classes=_has_classes(spec),
            zero_shot=predicted,
            groups=groups,
            intervals=intervals,
        )

    def neutral(self, spec: DataSpec) -> Prototypes:
        """Without prototypes."""
        return Prototypes.unknown()

    def without_rule(self, spec: DataSpec, outputs: Callable[[str], Any]) -> Prototypes:
        """Prototypes of the training rows, scaled on validation; none of pairs without classes."""
        train, val = outputs("train"), outputs("val")
        if train is None:
            return Prototypes.unknown()
        if not _has_classes(spec):
            return Prototypes.unknown(train[0].shape[2])
        embeddings, classes = train
        return Prototypes.of(embeddings, classes, spec.num_outputs, val)

    def load_decision(self, stored: Mapping[str, Any]) -> Prototypes:
        """Prototypes."""
        return Prototypes.from_dict(stored)

    def any_outputs(self, samples: int, spec: DataSpec, decision: Any = None) -> Floats:
        """Random embeddings (samples, 2, D), as wide as the prototypes are."""
        width = (decision.means.shape[2] if decision is not None else 0) or _ANY_WIDTH
        found = np.random.default_rng(0).normal(size=(samples, 2, width))
        return np.asarray(found / np.linalg.norm(found, axis=2, keepdims=True))

    def scores(self, outputs: Floats, decision: Any) -> Floats:
        """Cosines (N,) of the two inputs of each row."""
        return np.asarray((outputs[:, 0] * outputs[:, 1]).sum(1))

    def predictions(self, outputs: Floats, targets: NDArray[Any], decision: Any) -> Arrays:
        """targets (N,), embeddings float32 (N, 2, D), nearest, retrieved and zero_shot int64 (N, 2).

        nearest: the place of the nearest row of the other input, for each of the two; retrieved: its class; zero_shot:
        the class predicted by each alone; -1 where there is none.
        """
        pairs = np.flatnonzero(np.asarray(outputs.any(axis=2)).all(axis=1))
        places, retrieved, zero_shot = (np.full((len(outputs), 2), -1, dtype=np.int64) for _ in range(3))
        for way in (0, 1) if len(pairs) else ():
            nearest = pairs[rank(outputs[pairs, way], outputs[pairs, 1 - way], targets[pairs]).nearest]
            places[pairs, way], retrieved[pairs, way] = nearest, targets[nearest]
        if decision.is_known:
            zero_shot = decision.classes(outputs)
        said = {"nearest": places, "retrieved": retrieved, "zero_shot": zero_shot}
        return {"targets": targets, "embeddings": outputs.astype(np.float32), **said}

    def answers(self, outputs: Floats, spec: DataSpec, decision: Any, top: int) -> Iterator[dict[str, Any]]:
        """{inputs: {name: {classes, probabilities}}, similarity}: by each input alone, and the cosine of the two.

        What needs an input that is absent is None.

        Raises:
            UserError: without classes one input alone has no answer, and no sample has both.
        """
        there, cosines = np.asarray(outputs.any(axis=2)), self.scores(outputs, decision)
        if not decision.is_known and not there.all(axis=1).any():
            raise UserError(
                "predict: the pairs of this run have no classes, so that one input alone has no answer: give both "
                "for their similarity, or --gallery TABLE to find the nearest of its rows"
            )
        p = (
            np.exp(decision.log_probabilities(outputs))
            if decision.is_known
            else np.zeros((len(outputs), 2, 0))
        )
        for row, present in enumerate(there):
            said: dict[str, Any] = dict.fromkeys(_names(spec))
            for way in np.flatnonzero(present):
                best = np.argsort(-p[row, way], kind="stable")[:top]
                said[_names(spec)[way]] = {
                    "classes": [spec.target_names[c] for c in best],
                    "probabilities": p[row, way, best].tolist(),
                }
            yield {"inputs": said, "similarity": float(cosines[row]) if present.all() else None}

    def nearest(
        self, outputs: Floats, gallery: Floats, spec: DataSpec, names: Sequence[str], top: int
    ) -> Iterator[list[dict[str, Any]]]:
        """[{by, rank, found, similarity}] of each sample: for each input that it has, the `top` of largest cosine.

        Args:
            outputs: embeddings (N, 2, D) of the samples, zeros of an absent input.
            gallery: embeddings (M, 2, D); an input of a sample is compared with the other input of these.
            spec: facts of the data.
            names: of the samples in the gallery.
            top: how many are found.

        Raises:
            UserError: the gallery has not the other input of a sample.
        """
        there = [np.flatnonzero(np.asarray(gallery[:, 1 - way].any(axis=1))) for way in (0, 1)]
        for sample in outputs:
            found, ways = [], np.flatnonzero(sample.any(axis=1))
            if not any(len(there[way]) for way in ways):
                missing = " or ".join(_names(spec)[1 - way] for way in ways)
                raise UserError(
                    f"gallery: none of its {plural(len(names), 'sample')} has {missing}, which the input is "
                    "compared with"
                )
            for way in ways:
                cosines = gallery[there[way], 1 - way] @ sample[way]
                for rank_of, place in enumerate(np.argsort(-cosines, kind="stable")[:top]):
                    named = {"by": _names(spec)[way], "rank": rank_of + 1, "found": names[there[way][place]]}
                    found.append({**named, "similarity": float(cosines[place])})
            yield found

    def columns(self, answer: Mapping[str, Any]) -> dict[str, str | float]:
        """image_class_1, image_probability_1, ... of each input, and similarity; "" where an input is absent."""
        found: dict[str, str | float] = {}
        places = range(max(len(said["classes"]) for said in answer["inputs"].values() if said))
        for name, said in answer["inputs"].items():
            for k in places:
                found[f"{name}_class_{k + 1}"] = said["classes"][k] if said else ""
                found[f"{name}_probability_{k + 1}"] = said["probabilities"][k] if said else ""
        similarity = answer["similarity"]
        return {**found, "similarity": "" if similarity is None else similarity}

    def figures(
        self, found: Mapping[str, Any], stored: Arrays, spec: DataSpec, title: str
    ) -> Iterator[tuple[str, Figure]]:
        """Mean cosines between the classes of the two inputs."""
        if _has_classes(spec):
            yield "similarity", class_similarity(stored["embeddings"], stored["targets"], spec, title)

    def errors(self, stored: Arrays, spec: DataSpec, each: int) -> Sequence[ErrorGroup]:
        """Rows whose nearest row of the other input has another class (or is another, without classes), by true class.

        The least similar pairs come first.
        """
        targets, named = stored["targets"], self._found(stored, spec)
        wrong = np.flatnonzero(self.wrong(stored))
        cosines = self.scores(stored["embeddings"].astype(np.float64), None)

        def said(place: int) -> Mistake:
            true = named.true[place]
            answer = " and ".join(
                f"{query}: {names[place]}"
                for query, names in zip(_names(spec), named.found, strict=True)
                if names[place] not in (true, "")
            )
            return Mistake(f"{true}, found by {answer}", f"{answer} ({cosines[place]:.2f})", true, answer)

        worst = worst_by_class(wrong, targets[wrong], -cosines[wrong], each)
        return [group(spec.target_names[c], total, places, said) for c, total, places in worst]

    def wrong(self, stored: Arrays) -> NDArray[np.bool_]:
        """By one of its inputs a row of another class is found first; without classes, another row."""
        found, true = stored["retrieved"], stored["targets"]
        if _are_without(stored):
            found, true = stored["nearest"], np.arange(len(true))
        missed: NDArray[np.bool_] = ((found != true[:, None]) & (found >= 0)).any(axis=1)
        return missed

    def _found(self, stored: Arrays, spec: DataSpec) -> "_Named":
        """Names of the classes of all rows and of what each input finds; without classes, numbers of the rows."""
        if _are_without(stored):
            rows = [*(f"row {row}" for row in stored["rows"]), ""]
            return _Named(rows[:-1], [[rows[place] for place in column] for column in stored["nearest"].T])
        names = (*spec.target_names, "")  # -1: none
        found = [[names[c] for c in column] for column in stored["retrieved"].T]
        return _Named([names[c] for c in stored["targets"]], found)

    def sample_columns(self, stored: Arrays, spec: DataSpec) -> Mapping[str, Sequence[str]]:
        """true, and the class of the row found by each input, or the row."""
        named = self._found(stored, spec)
        columns = zip(_names(spec), named.found, strict=True)
        return {"true": named.true, **{f"found by {query}": found for query, found in columns}}

    def trivial_outputs(self, spec: DataSpec) -> tuple[float, ...]:
        """None: no constant is an embedding of two inputs."""
        return ()


class _Named(NamedTuple):
    """What each row is (N,), and what is found first by each of its inputs, "" where there is none."""

    true: Sequence[str]
    found: Sequence[Sequence[str]]


def _are_without(stored: Arrays) -> bool:
    """Whether stored pairs have no classes: all are of the first, as are those they find, and prototypes of none."""
    return not (
        stored["targets"].any() or (stored["retrieved"] > 0).any() or (stored["zero_shot"] >= 0).any()
    )


def _has_classes(spec: DataSpec) -> bool:
    """Whether pairs differ in class; those of a table without a label column do not."""
    return len(spec.target_names) > 1


def _names(spec: DataSpec) -> tuple[str, str]:
    """The two inputs.

    Raises:
        UserError: there are fewer or more.
    """
    names = tuple(spec.parts)
    if len(names) != 2:
        there = names or (spec.modality,)
        raise UserError(
            f"task=contrastive: pairs have two inputs, the data have {len(there)} ({', '.join(there)}); choose two of "
            "several by data.source.inputs=[...], or data with two"
        )
    return names[0], names[1]


def class_similarity(
    embeddings: NDArray[Any], targets: NDArray[Any], spec: DataSpec, title: str
) -> ClassSimilarity:
    """The mean cosine of each class of one input (rows) with each class of the other, of embeddings (N, 2, D)."""
    classes = np.unique(targets)
    means = np.stack([embeddings[targets == c].mean(0) for c in classes]).astype(np.float64)
    names = [spec.target_names[c] for c in classes]
    return ClassSimilarity(
        (means[:, 0] @ means[:, 1].T).tolist(), names, _names(spec), f"{title}: mean cosine"
    )
