"""`leyden <verb> ...`. Nothing heavy is imported before the verb is known, and then only what it needs.

Exit status: 0 all is well, 1 a run failed, 2 a mistake in what was asked, 130 interrupted.
"""

import gc
import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from leyden.utils.errors import UserError, format_error, nearest
from leyden.utils.version import __version__


class Verb(NamedTuple):
    """A command: the module whose `main(arguments) -> exit status` runs it, and a line for --help."""

    module: str
    help: str


VERBS = {
    "train": Verb("leyden.cli.train", "compose a configuration, train, evaluate; with -m, a sweep"),
    "evaluate": Verb("leyden.cli.evaluate", "evaluate a finished run again, or on other data"),
    "predict": Verb("leyden.cli.predict", "classes and probabilities of files, by a finished run"),
    "runs": Verb("leyden.cli.runs", "the runs that are there: list, filter, show, compare, remove"),
    "doctor": Verb("leyden.cli.doctor", "what is wrong with a run, the worst first, and what to try"),
    "replay": Verb("leyden.cli.replay", "do a run's bad step again and name where the NaN is born"),
    "report": Verb("leyden.cli.report", "compare runs: means over seeds, tests, costs, a page with figures"),
    "check": Verb(
        "leyden.cli.check", "look at data and model before training; prove that a killed run resumes exactly"
    ),
    "profile": Verb("leyden.cli.profile", "what a model costs: parameters, FLOPs, memory, latency, energy"),
    "find": Verb("leyden.cli.find", "a good learning rate or batch size, with a picture"),
    "data": Verb("leyden.cli.data", "what a data set holds: counts, shapes, lengths, a picture of samples"),
    "list": Verb("leyden.cli.list", "every model, data set, loss and experiment there is, yours too"),
}

# Not for people: what the other processes of a data-parallel run and of a sweep are started with.
_INTERNAL = {"follow": Verb("leyden.cli.follow", "")}


def command() -> int:
    """The entry point of the process `leyden`; returns the exit status."""
    status = main()
    gc.freeze()  # the process ends: nobody need look through a million objects for garbage, which takes a second
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """What the command does; returns the exit status."""
    from leyden.cli import completion

    if completion.is_completion_request():
        return completion.print_completions(VERBS)
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0
    if arguments[0] == "--version":
        print(f"leyden {__version__}")
        return 0
    try:
        return _run(arguments[0], arguments[1:])
    except KeyboardInterrupt:
        print("leyden: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe (`| head`) has left
        sys.stderr.close()
        return 0
    except (UserError, OSError) as error:
        print(f"leyden: {format_error(error)}", file=sys.stderr)
        return 2


def _run(verb: str, arguments: list[str]) -> int:
    verbs = {**VERBS, **_INTERNAL}
    if verb not in verbs:
        raise UserError(f"{verb!r} is not a command; {nearest(verb, VERBS)}")
    return int(importlib.import_module(verbs[verb].module).main(arguments))


def _usage() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {name:<{width}}  {verb.help}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            f"leyden {__version__}: experiments with images, text and audio",
            "",
            "usage: leyden <command> [arguments]      (leyden <command> --help tells more)",
            "",
            *lines,
            "",
            "Begin with:  leyden train                         the embedded default, a minute on a CPU",
            "             leyden train -m model=cnn,mlp seed=1,2,3",
            'Tab completion in bash:  eval "$(leyden train -sc install=bash)"',
        ]
    )


if __name__ == "__main__":
    sys.exit(command())
