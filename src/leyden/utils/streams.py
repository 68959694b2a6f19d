"""stdin, stdout and stderr of the process, whatever they are connected to."""

import io
import os
import sys
from typing import IO, Any


def prepare_streams() -> None:
    """Let no output fail: open what is closed (`>&-`), and escape what the encoding of the output lacks.

    A closed descriptor would be given to the next file that is opened, and what a library prints would end up in it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_output() -> None:
    """Flush stdout; a reader that has left is no error."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output(sys.stdout)


def discard_output(stream: IO[Any]) -> None:
    """Let everything that is written to a stream from now on vanish."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
