"""What was meant by a key that does not exist: among the keys beside it, then among all that can be typed.

suggest_key("lr", 0.01, ["loss", "seed"], ["optimizer.lr"])    # "did you mean 'optimizer.lr=0.01'? There are: ..."
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from leyden.config.schema import RENAMED
from leyden.config.static_signatures import argument_names
from leyden.utils.errors import UserError, closest
from leyden.utils.text import and_more

# What other frameworks, papers and shells call a key -> what one types here in front of its value.
SYNONYMS = {
    **dict.fromkeys(("learning_rate", "lrate", "eta", "base_lr", "init_lr"), "optimizer.lr"),
    **dict.fromkeys(("wd", "l2"), "optimizer.weight_decay"),
    **dict.fromkeys(("epochs", "epoch", "num_epochs", "n_epochs", "nb_epochs"), "trainer.max_epochs"),
    **dict.fromkeys(("steps", "num_steps", "iterations"), "trainer.max_steps"),
    **dict.fromkeys(("gpus", "gpu", "num_gpus", "n_gpus", "ngpus"), "trainer=gpu trainer.devices"),
    **dict.fromkeys(("amp", "fp16", "bf16", "mixed_precision"), "trainer.precision"),
    **dict.fromkeys(("grad_clip", "clip_grad", "clip", "max_grad_norm"), "trainer.gradient_clip_val"),
    **dict.fromkeys(("grad_accum", "accumulation"), "trainer.accumulate_grad_batches"),
    **dict.fromkeys(("bs", "batch", "batches", "train_batch_size"), "batch_size"),
    **dict.fromkeys(("dataset", "datamodule"), "data"),
    **dict.fromkeys(("net", "network", "arch", "architecture", "backbone", "encoder"), "model"),
    **dict.fromkeys(("opt", "optim"), "optimizer"),
    **dict.fromkeys(("criterion", "loss_fn", "objective_function"), "loss"),
    **dict.fromkeys(("lr_scheduler", "sched", "lr_schedule"), "scheduler"),
    **dict.fromkeys(("augmentation", "augmentations", "transform", "transforms"), "augment"),
    **dict.fromkeys(("sampler", "oversampling"), "sampling"),
    **dict.fromkeys(("class_weights", "class_weight", "pos_weight"), "loss"),
    **dict.fromkeys(("num_workers", "n_workers", "dataloader_workers"), "data.workers"),
    **dict.fromkeys(("data_dir", "data_path", "dataset_dir", "root"), "data_root"),
    **dict.fromkeys(("output_dir", "out_dir", "save_dir", "log_dir", "logdir", "results_dir"), "runs"),
    **dict.fromkeys(("random_seed", "random_state", "manual_seed", "rng_seed"), "seed"),
    **dict.fromkeys(("num_threads", "cpus", "cores"), "threads"),
    **dict.fromkeys(("metric", "monitor_metric"), "monitor"),
    **dict.fromkeys(("run_name", "experiment_name", "exp_name"), "name"),
    **dict.fromkeys(("pretrained", "ckpt_path", "checkpoint", "weights", "init_from"), "init.from"),
    "freeze": "init.freeze",
    "patience": "callbacks=early_stopping callbacks.early_stopping.patience",
}
# The same for options: (group, pattern of the name) -> what to type, in which \g<0> is the name.
OPTION_SYNONYMS = (
    (
        "model",
        r"(wide_)?resne(t|xt)\d+\w*|vgg\d+\w*|densenet\d+|efficientnet_\w+|convnext_\w+|mobilenet_\w+|vit_\w+|swin_\w+|"
        r"alexnet|googlenet|inception_v3|squeezenet\w+|shufflenet_\w+|regnet_\w+|mnasnet\w+|maxvit_\w+",
        r"model=torchvision model.net.name=\g<0>",
    ),
    ("loss", r"ce|xent|nll|softmax", "loss=cross_entropy"),
    ("loss", r"l1", "loss=mae"),
    ("loss", r"l2", "loss=mse"),
    ("task", r"multi_?class|binary", "task=classification"),
    ("sampling", r"over_?sampl\w+|weighted", "sampling=balanced"),
    ("trainer", r"cuda", "trainer=gpu"),
)


class UnknownKey(UserError):
    """A key that does not exist; the message says what was meant, as far as the keys beside it tell."""

    def __init__(self, key: str, value: object, kind: str, beside: Iterable[str]) -> None:
        """kind: "key" or "argument"; beside: the names that there are in its place."""
        self._key, self._value, self._kind, self._beside = key, value, kind, tuple(beside)
        super().__init__(self.message())

    def message(self, anywhere: Sequence[str] = ()) -> str:
        """The message. anywhere: all keys that can be typed, dotted."""
        others = [
            key for key in anywhere if not f"{self._key}.".startswith(f"{key}.")
        ]  # nor what it stands in
        hint = suggest_key(self._key, self._value, self._beside, others)
        return f"{self._key}: there is no such {self._kind}; {hint}"


def suggest_key(key: str, value: object, beside: Sequence[str], anywhere: Sequence[str] = ()) -> str:
    """The end of a message on an unknown key: the word to type instead, if one is near, and what stands beside it.

    Args:
        key: what was typed, dotted.
        value: as typed; "..." if it is not known; of a mapping only the key is named.
        beside: the names in the same place of the configuration.
        anywhere: all keys, dotted.
    """
    place, _, name = key.rpartition(".")
    if key in RENAMED:
        return f"{key}= is now {RENAMED[key]}="
    near = closest(name, beside)
    by_name = {known.rpartition(".")[2]: known for known in anywhere}
    meant = (
        key_meant(key, anywhere)
        or (near and f"{place}.{near}".lstrip("."))
        or closest(key, anywhere, 0.7)
        or by_name.get(closest(name, by_name, 0.8) or "")
    )
    there = f"here are: {and_more(sorted(beside), 20)}" if beside else "here are none"
    typed = meant if isinstance(value, Mapping) else f"{meant}={value}"
    return f"did you mean '{typed}'? T{there}" if meant else f"t{there}"


def key_meant(key: str, anywhere: Iterable[str]) -> str | None:
    """The key that certainly is meant: the one of all that ends in this name, or what the name is a synonym of."""
    name = re.sub("[^a-z0-9]+", "_", key.rpartition(".")[2].lower()).strip("_")
    root = key.partition(".")[0]
    same = [known for known in anywhere if known.rpartition(".")[2] == name]
    same.sort(key=lambda known: (known.partition(".")[0] != root, known.count("."), known))
    return same[0] if same else SYNONYMS.get(name)


def suggest_option(group: str, name: str) -> str:
    """What to type for the name that an option has elsewhere; "" if it has none."""
    found = (
        re.fullmatch(pattern, name.lower()) and re.sub(f"^(?:{pattern})$", meant, name.lower())
        for of, pattern, meant in OPTION_SYNONYMS
        if of == group
    )
    return next(filter(None, found), "")


def typed_keys(config: Mapping[str, Any], filled: Callable[[str], Iterable[str]]) -> Iterator[str]:
    """Every dotted key of a composed configuration, and of its targets the arguments that its YAML leaves out.

    filled: path of a target -> the arguments that Leyden gives it.
    """
    yield from _keys("", config, config, filled)


def _keys(
    path: str, node: Mapping[str, Any], config: Any, filled: Callable[[str], Iterable[str]]
) -> Iterator[str]:
    names = dict.fromkeys(str(key) for key in node if not str(key).startswith("_"))
    if "_target_" in node:
        names |= dict.fromkeys(arguments_at(path, node, config, filled(path)))
    for name in names:
        below = f"{path}.{name}" if path else name
        yield below
        if isinstance(node.get(name), Mapping):
            yield from _keys(below, node[name], config, filled)


def arguments_at(path: str, node: Mapping[str, Any], config: Any, filled: Iterable[str]) -> list[str]:
    """What the target of a node takes, read from its source, without what is filled in."""
    target = str(node["_target_"])
    if target.startswith("${"):  # chosen by the task
        target = str(node_at(config, target[2:-1]))
    return [name for name in argument_names(target) if name not in set(filled)]


def node_at(config: Any, path: str) -> Any:
    """The node at a dotted path, or None."""
    for key in path.split("."):
        config = config.get(key) if isinstance(config, Mapping) else None
    return config
