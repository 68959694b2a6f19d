"""The one exception for a user's mistake, and the words that name the nearest valid choice."""

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
    names = sorted(map(str, valid))
    if not names:
        return "there are none"
    close = get_close_matches(str(name), names, n=1, cutoff=0.5)
    listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return f"did you mean {close[0]!r}? There are: {listed}" if close else f"there are: {listed}"
