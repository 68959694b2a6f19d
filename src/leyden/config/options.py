"""The option groups and the one-line description of each option, Leyden's and the user's own."""

from collections.abc import Iterator
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.plugins.config_source import ConfigSource

from leyden.config.compose import options

# The order in which an experiment is usually composed.
GROUPS = (
    *(
        "experiment",
        "task",
        "data",
        "data/tokenizer",
        "split",
        "long_tail",
        "sampling",
        "augment",
        "model",
        "head",
    ),
    *("loss", "decision", "metrics", "optimizer", "scheduler", "trainer", "callbacks", "logger", "sweep"),
)


def groups_of(loader: ConfigLoader) -> list[str]:
    """Return Leyden's groups in order, then the groups that only the user defines."""
    found = {g for g in loader.get_group_options("") if options(loader, g) and g != "hydra"}
    return [*GROUPS, *sorted(found - {g.partition("/")[0] for g in GROUPS})]


def describe(loader: ConfigLoader, group: str, name: str) -> tuple[str, str]:
    """Return (origin, description): where the option comes from ("" if Leyden's), and its file's first comment."""
    for source in loader.get_sources():
        for text in _texts(source, f"{group}/{name}.yaml"):
            comments = (line.lstrip("# ").strip() for line in text.splitlines() if line.startswith("#"))
            return _origin(source), next((c for c in comments if c and not c.startswith("@package")), "")
    return "", ""


def _origin(source: ConfigSource) -> str:
    """Return "" for Leyden's own; the folder of a --config-dir, relative if possible; or a package's entry point."""
    if source.provider == "main":
        return ""
    if source.provider != "command-line":
        return str(source.provider)
    folder = Path(source.path)
    return str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder)


def _texts(source: ConfigSource, path: str) -> Iterator[str]:
    """Yield the text of the option file if this source contains it."""
    if source.scheme() not in ("file", "pkg") or not source.is_config(path):
        return
    if source.scheme() == "file":
        with open(f"{source.path}/{path}", encoding="utf-8") as file:  # noqa: PTH123
            yield file.read()
        return
    from importlib.resources import files

    package, _, rest = source.path.partition("/")
    yield files(package).joinpath(rest, *path.split("/")).read_text(encoding="utf-8")
