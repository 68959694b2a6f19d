"""What docstrings say of an argument: its entry under `Args:`, else the clause of the prose that speaks of it."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import is_dataclass
from typing import Any

from leyden.config.signatures import layers_of

_LONGEST = 240  # characters; of a longer entry the first sentences are enough

_SECTION = re.compile(r"^( *)(?:Args|Arguments|Parameters):[ ]*$", re.MULTILINE)
_ENTRY = re.compile(r"( *)\*{0,2}(\w+)(?: ?\([^\n]*?\))? ?: *(.*)")
_SENTENCE_END = re.compile(r"(?<=[^.\s]\.)\s+(?![^()]*\))")  # not inside brackets
_CLAUSE_END = re.compile(r"\n\s*\n|(?<=[^.\s][.;])\s+(?![^()]*\))")
_DEFAULT = re.compile(
    r"\s*\(default: (?:[^()]|\([^()]*\))*\)|\s*Default(?:s to|:) `[^`]*`\.?"
)  # the table has it
_ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)(?:<[^`]*>)?`|`([^`]+)`_+(?!\w)")  # reStructuredText


def explain(target: Callable[..., Any], name: str) -> str:
    """The sentence of a target's docstrings on its argument `name`, on one line; "" where there is none."""
    texts = list(docstrings_of(target))
    found = (entries(text).get(name) for text in texts)
    return next(filter(None, found), "") or in_prose(texts, name)


def docstrings_of(target: Callable[..., Any]) -> Iterator[str]:
    """The docstrings of a function; or of a class, its constructor, and its parents up to the last constructor used."""
    if not inspect.isclass(target):
        yield inspect.getdoc(target) or ""
        return
    last, is_passed = layers_of(target)[-1], False
    for base in target.__mro__[:-1]:
        own = base.__doc__ or ""
        if not own.startswith(f"{base.__name__}("):  # a dataclass without a docstring has its signature there
            yield inspect.cleandoc(own)
        constructor = vars(base).get("__init__")
        yield inspect.cleandoc(getattr(constructor, "__doc__", None) or "")
        is_passed |= base is last
        if is_passed and constructor is not None and not is_dataclass(base):
            return


def entries(text: str) -> dict[str, str]:
    """The arguments under `Args:`, each with its first paragraph on one line."""
    head = _SECTION.search(text)
    if head is None:
        return {}
    found: dict[str, list[str]] = {}
    indent = name = None
    for line in text[head.end() :].strip("\n").splitlines():
        depth = len(line) - len(line.lstrip())
        if line.strip() and depth <= len(head.group(1)):
            break  # the next section
        entry = _ENTRY.match(line)
        if entry and (indent is None or depth == indent):
            indent, name = depth, entry.group(2)
            found[name] = [entry.group(3)]
        elif name is not None and line.strip():
            found[name].append(line.strip())
        else:
            name = None  # a blank line ends the paragraph
    return {name: _tidy(" ".join(lines)) for name, lines in found.items()}


def in_prose(texts: Iterable[str], name: str) -> str:
    """The first clause that begins with the name, or holds it in backquotes or as a word no prose has (`in_a_row`)."""
    held = rf"\b{name}\b" if "_" in name else rf"`{name}`"
    for text in texts:
        for clause in _CLAUSE_END.split(_SECTION.split(text)[0]):
            if re.match(rf"{name}(?=[:,]? )", clause) or re.search(held, clause):
                return _tidy(re.sub(rf"^{name}[:,]\s", "", clause.removesuffix(";")))
    return ""


def _tidy(text: str) -> str:
    """One line without markup other than backquotes, and not too long."""
    plain = _ROLE.sub(lambda found: found[1] or found[2], text.replace("``", "`"))
    sentences = _SENTENCE_END.split(" ".join(_DEFAULT.sub("", plain).split()))
    while len(sentences) > 1 and len(" ".join(sentences)) > _LONGEST:
        sentences.pop()
    return " ".join(sentences).removesuffix(".")
