"""Whether the user has said `--trust`: what a run's folder holds may then run code, as what was typed may.

with trusting(given.trust):
    load(folder)

A context variable, so that it need not be handed through every function between a command and the files it reads.
docs/security.md says what is refused without it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

FLAG = "--trust"
HELP = "use the code, paths and pickled objects that the run's folder names, whoever made it"

_trusting: ContextVar[bool] = ContextVar("trusting", default=False)


def is_trusting() -> bool:
    """Whether the code that is running was called with `--trust`."""
    return _trusting.get()


@contextmanager
def trusting(flag: bool) -> Iterator[None]:
    """Within the block `is_trusting` is `flag`."""
    token = _trusting.set(flag)
    try:
        yield
    finally:
        _trusting.reset(token)
