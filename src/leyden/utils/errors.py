"""The exception for user errors, and the suggestion of the nearest valid choice."""

import errno
from collections.abc import Iterable
from difflib import get_close_matches

from leyden.utils.text import and_more


class UserError(Exception):
    """An error that the user can fix: the command prints only the message and exits with status 2.

    The message names the field, file or line, what was expected and what to type instead.
    """


def nearest(name: str, valid: Iterable[object]) -> str:
    """Return the end of an error message: the closest valid name, then all valid names (at most twenty).

    >>> nearest("focl", ["cross_entropy", "focal"])
    "did you mean 'focal'? There are: cross_entropy, focal"
    """
    names = sorted(set(map(str, valid)))
    if not names:
        return "there are none"
    lower = {valid_name.lower(): valid_name for valid_name in names}
    close = [lower[match] for match in get_close_matches(str(name).lower(), lower, n=1, cutoff=0.5)]
    valid_names = and_more(names, 20)
    return f"did you mean {close[0]!r}? There are: {valid_names}" if close else f"there are: {valid_names}"


def first_line(error: BaseException | None) -> str:
    """Return the first non-blank line of an error's message, or its type name if the message is empty."""
    lines = (line.strip() for line in str(error or "").splitlines())
    return next((line for line in lines if line), type(error).__name__ if error else "")


# Error numbers for a folder that cannot be written to.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)


def format_error(error: UserError | OSError) -> str:
    """Return the message to print: a UserError's text, or the file and the reason of an operating-system error."""
    if isinstance(error, UserError):
        return str(error)
    place = f"{error.filename}: " if error.filename else ""
    advice = "; choose another folder with runs=... or cache=..." if error.errno in _UNWRITABLE else ""
    return f"{place}{error.strerror or error}{advice}"
