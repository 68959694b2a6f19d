"""The exception for user errors, and the suggestion of the nearest valid choice."""

import errno
import re
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches

from leyden.utils.text import and_more, printable


class UserError(Exception):
    """An error that the user can fix: the command prints only the message and exits with status 2.

    The message names the field, file or line, what was expected and what to type instead.
    """


def closest(name: str, valid: Iterable[object], cutoff: float = 0.5) -> str | None:
    """Return the valid name that was most likely meant, or None.

    It is equal but for case and separators, or has the name as its last part, or begins with it, or holds it as a word;
    else it is the nearest by edit distance, if `cutoff` (0 .. 1) of the letters agree.

    >>> closest("lr", ["loss", "optimizer.lr"]), closest("val/acc", ["val/auroc", "val/accuracy"])
    ('optimizer.lr', 'val/accuracy')
    """
    names = sorted(set(map(str, valid)), key=lambda valid_name: (len(valid_name), valid_name))
    wanted = _letters(str(name))
    rules: tuple[Callable[[str], bool], ...] = (
        lambda found: _letters(found) == wanted,
        lambda found: _letters(re.split("[./]", found)[-1]) == wanted,
        lambda found: len(wanted) > 1 and _letters(found).startswith(wanted),
        lambda found: len(wanted) > 1 and wanted in _letters(found).split("_"),
    )
    for rule in rules:
        if (found := next(filter(rule, names), None)) is not None:
            return found
    by_letters = {_letters(valid_name): valid_name for valid_name in reversed(names)}
    return next((by_letters[m] for m in get_close_matches(wanted, by_letters, n=1, cutoff=cutoff)), None)


def _letters(name: str) -> str:
    return re.sub(r"[-_./\s]+", "_", name.lower()).strip("_")


def nearest(name: str, valid: Iterable[object]) -> str:
    """Return the end of an error message: the closest valid name, then all valid names (at most twenty).

    >>> nearest("focl", ["cross_entropy", "focal"])
    "did you mean 'focal'? There are: cross_entropy, focal"
    """
    names = sorted(set(map(str, valid)))
    if not names:
        return "there are none"
    close, valid_names = closest(name, names), and_more(names, 20)
    return (
        f"there are: {valid_names}" if close is None else f"did you mean {close!r}? There are: {valid_names}"
    )


def first_line(error: BaseException | None) -> str:
    """Return the first non-blank line of an error's message, or its type name if the message is empty."""
    lines = (line.strip() for line in str(error or "").splitlines())
    return next((line for line in lines if line), type(error).__name__ if error else "")


def print_error(message: str) -> None:
    """Print a message of the command to stderr."""
    print(f"leyden: {printable(message)}", file=sys.stderr)


# Error numbers for a folder that cannot be written to.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)


def format_error(error: UserError | OSError) -> str:
    """Return the message to print: a UserError's text, or the file and the reason of an operating-system error."""
    if isinstance(error, UserError):
        return str(error)
    place = f"{error.filename}: " if error.filename else ""
    advice = "; choose another folder with runs=... or cache=..." if error.errno in _UNWRITABLE else ""
    return f"{place}{error.strerror or error}{advice}"
