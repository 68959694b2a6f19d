r"""Language models as text in ARPA's format, which SRILM, KenLM and torchaudio's decoder read and write.

A file has a section \data\ with the number of n-grams of each order, and for each order lines of a probability, n
words, and for a history the weight of what it leaves to other words. Its numbers are logarithms to base 10, those of
`Ngram` natural: whoever mixes them up weighs a model by 2.303 too little.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path

from leyden.decision.ngram import Ngram
from leyden.utils.errors import UserError
from leyden.utils.files import write_text

_BASE = math.log(10)
_COUNT, _SECTION = re.compile(r"ngram (\d+)\s*=\s*(\d+)"), re.compile(r"\\(\d+)-grams:")


def write_arpa(model: Ngram, path: Path) -> None:
    """Write a model as a file."""
    write_text(path, arpa_text(model))


def arpa_text(model: Ngram) -> str:
    """A model, with tabs between probability, words and weight: flashlight's reader takes no spaces there."""
    orders = [sorted(gram for gram in model.log_probs if len(gram) == n) for n in range(1, model.order + 1)]
    lines = ["\\data\\", *(f"ngram {n}={len(grams)}" for n, grams in enumerate(orders, 1))]
    for n, grams in enumerate(orders, 1):
        lines += ["", f"\\{n}-grams:"]
        for gram in grams:
            weight = [model.backoffs[gram]] if gram in model.backoffs else []
            probability, *weights = (f"{value / _BASE:.10g}" for value in (model.log_probs[gram], *weight))
            lines.append("\t".join((probability, " ".join(gram), *weights)))
    return "\n".join([*lines, "", "\\end\\", ""])


def read_arpa(path: Path) -> Ngram:
    """Read a model; fields may be separated by tabs or spaces.

    Raises:
        UserError: no such file, or not in this format; with file and line.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: an ARPA file is UTF-8 text, this one is not (a binary KenLM file?)"
        ) from error
    return parse_arpa(text, str(path))


def parse_arpa(text: str, file: str) -> Ngram:
    """The model of a text; `file` is named in messages.

    Raises:
        UserError: not in this format; with the line.
    """
    counts, log_probs, backoffs = {}, {}, {}
    for number, n, fields in _entries(text):
        where = f"{file}:{number}"
        if n == 0:
            counts[int(fields[0])] = int(fields[1])
            continue
        if not n < len(fields) <= n + 2:
            raise UserError(
                f"{where}: expected a probability, {n} words and perhaps a weight, got {' '.join(fields)!r}"
            )
        gram = tuple(fields[1 : n + 1])
        log_probs[gram] = _number(fields[0], where)
        if len(fields) == n + 2:
            backoffs[gram] = _number(fields[-1], where)
        if n > 1:
            backoffs.setdefault(gram[:-1], 0.0)
    found = {n: sum(len(gram) == n for gram in log_probs) for n in counts}
    if not log_probs or found != counts:
        expected = counts or "(a section \\data\\)"
        raise UserError(f"{file}: expected n-grams by order {expected}, found {found}")
    return Ngram(max(counts), log_probs, backoffs)


def _entries(text: str) -> Iterator[tuple[int, int, list[str]]]:
    r"""(line, order, fields) of each n-gram, and (line, 0, [order, count]) of each count of \data\."""
    n = 0
    for number, line in enumerate(text.splitlines(), 1):
        if section := _SECTION.match(line):
            n = int(section[1])
        elif line.startswith("\\end\\"):
            return
        elif not n and (count := _COUNT.match(line)):
            yield number, 0, [count[1], count[2]]
        elif n and line.strip():
            yield number, n, re.split(r"[ \t]+", line.strip())


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value < 40:
        raise UserError(f"{where}: expected a logarithm to base 10, got {text!r}")
    return max(value, -99.0) * _BASE
