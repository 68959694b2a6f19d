"""`leyden <command> ...`. Modules are imported lazily: only those that the command needs.

Exit status: 0 success, 1 a run or check failed, 2 invalid arguments or configuration, 130 interrupted.
"""

import gc
import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from leyden.utils.errors import UserError, format_error, nearest, print_error
from leyden.utils.streams import discard_output, flush_output, prepare_streams
from leyden.utils.trust import FLAG, trusting
from leyden.utils.version import __version__


class Command(NamedTuple):
    """A command: the module whose `main(arguments) -> exit status` runs it, and a line for --help."""

    module: str
    help: str


COMMANDS = {
    "train": Command("leyden.cli.train", "train and evaluate a configuration; with -m, a sweep or search"),
    "evaluate": Command("leyden.cli.evaluate", "evaluate a finished run again, or on other data"),
    "predict": Command(
        "leyden.cli.predict", "predict classes and probabilities of files with a finished run"
    ),
    "runs": Command("leyden.cli.runs", "list, filter, show, compare and remove runs"),
    "doctor": Command("leyden.cli.doctor", "list the problems found in a run, with suggested fixes"),
    "explain": Command(
        "leyden.cli.explain", "show which pixels, tokens or tones an answer rests on, with a test of each map"
    ),
    "errors": Command("leyden.cli.errors", "show which rows a run gets wrong, and why: tables, CSV, a page"),
    "replay": Command("leyden.cli.replay", "repeat a run's non-finite step and locate the origin of the NaN"),
    "report": Command(
        "leyden.cli.report", "compare runs: means over seeds, significance tests, costs, an HTML page"
    ),
    "check": Command(
        "leyden.cli.check", "check data or model before training, or that a killed run resumes exactly"
    ),
    "profile": Command("leyden.cli.profile", "measure a model's parameters, FLOPs, memory, latency, energy"),
    "find": Command("leyden.cli.find", "find a good learning rate or batch size"),
    "data": Command("leyden.cli.data", "describe a data set: class counts, shapes, lengths, sample images"),
    "cache": Command("leyden.cli.cache", "list and remove decoded data sets in the cache"),
    "list": Command("leyden.cli.list", "list all options, yours included, or the arguments of one"),
    "completion": Command(
        "leyden.cli.completion", "print the script that completes at a prompt: bash, zsh, fish"
    ),
}

# Not for users: the command of the other processes of a data-parallel run.
_INTERNAL = {"follow": Command("leyden.cli.follow", "")}


def command() -> int:
    """Entry point of the executable `leyden`; returns the exit status."""
    prepare_streams()
    status = main()
    flush_output()
    gc.freeze()  # the process ends: skip the final garbage collection, which takes a second for a million objects
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name (default: sys.argv); returns the exit status."""
    from leyden.cli import completion

    if completion.is_completion_request():
        return completion.print_completions({name: entry.module for name, entry in COMMANDS.items()})
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except KeyboardInterrupt:
        print_error("interrupted")
        return 130
    except BrokenPipeError:  # the reader of a pipe (`| head`) has closed it
        discard_output(sys.stdout)
        return 0
    except (UserError, OSError) as error:
        print_error(format_error(error))
        return 2


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0
    name, *arguments = words
    if name == "--version":
        print(f"leyden {__version__}")
        return 0
    commands = {**COMMANDS, **_INTERNAL}
    if name not in commands:
        raise UserError(f"{name!r} is not a command; {nearest(name, COMMANDS)}")
    run = importlib.import_module(commands[name].module).main
    with trusting(FLAG in arguments):
        if "--json" not in arguments:
            return int(run(arguments))
        from leyden.utils.console import notes_to_stderr

        with notes_to_stderr():
            return int(run(arguments))


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {entry.help}" for name, entry in COMMANDS.items()]
    return "\n".join(
        [
            f"leyden {__version__}: train and compare models of images, text and audio",
            "",
            "usage: leyden <command> [arguments]      (leyden <command> --help for details)",
            "",
            *lines,
            "",
            "Examples:  leyden train                              the default experiment, a minute on a CPU",
            "           leyden train -m model=cnn,mlp seed=1,2,3",
            'Tab completion:  eval "$(leyden completion bash)"   (or zsh; leyden completion fish | source)',
        ]
    )


if __name__ == "__main__":
    sys.exit(command())
