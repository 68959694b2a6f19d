"""The one exception for a user's mistake, and the words that name the nearest valid choice."""

import errno
from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake the user can mend: the command prints the message alone and exits with status 2.

    The message names the field, file or line, what was expected and what to type instead.
    """


def nearest(name: str, valid: Iterable[object]) -> str:
    """The end of an error message: the closest valid name first, then (up to twenty of) all of them.

    >>> nearest("focl", ["cross_entropy", "focal"])
    "did you mean 'focal'? There are: cross_entropy, focal"
    """
    names = sorted(set(map(str, valid)))
    if not names:
        return "there are none"
    lower = {valid_name.lower(): valid_name for valid_name in names}
    close = [lower[match] for match in get_close_matches(str(name).lower(), lower, n=1, cutoff=0.5)]
    listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return f"did you mean {close[0]!r}? There are: {listed}" if close else f"there are: {listed}"


def first_line(error: BaseException | None) -> str:
    """The first line of an error's text that is not blank; of an error without text, its type."""
    lines = (line.strip() for line in str(error or "").splitlines())
    return next((line for line in lines if line), type(error).__name__ if error else "")


# What the operating system says of a folder that cannot be written.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)


def format_error(error: UserError | OSError) -> str:
    """The message to print: a UserError's own; of the operating system's, the file and what is wrong with it."""
    if isinstance(error, UserError):
        return str(error)
    place = f"{error.filename}: " if error.filename else ""
    advice = "; choose another folder with runs=... or cache=..." if error.errno in _UNWRITABLE else ""
    return f"{place}{error.strerror or error}{advice}"
