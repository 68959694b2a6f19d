"""`leyden completion bash|zsh|fish`: print the script that completes commands, options, keys and runs at a prompt.

eval "$(leyden completion bash)"                  in ~/.bashrc; zsh alike in ~/.zshrc
leyden completion fish | source                   in ~/.config/fish/config.fish

The scripts call `leyden -sc query=bash` with the line so far in COMP_LINE, as Hydra's own does. Hydra has no
subcommands, so the command is completed here and removed from the line before Hydra parses it.
"""

import io
import os
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from importlib import import_module
from pathlib import Path

from leyden.utils.errors import UserError

QUERY = ["-sc", "query=bash"]
_CONFIGURED = ("train", "data", "profile", "check", "find", "evaluate")  # commands whose arguments are keys
_OF_RUNS = (
    "evaluate",
    "predict",
    "explain",
    "doctor",
    "errors",
    "replay",
    "runs",
    "report",
)  # that take a run
_SECOND = {
    "check": ("data", "model", "explain", "resume"),
    "find": ("lr", "batch_size"),
    "runs": ("list", "show", "diff", "rm"),
    "cache": ("list", "rm"),
    "completion": ("bash", "zsh", "fish"),
}

SCRIPTS = {
    "bash": """_leyden() {
    COMPREPLY=($(COMP_LINE="${COMP_LINE:0:$COMP_POINT}" leyden -sc query=bash 2>/dev/null))
    [[ ${COMPREPLY[0]} == *[=.] ]] && compopt -o nospace
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=/}
complete -o default -F _leyden leyden""",
    "zsh": """#compdef leyden
_leyden() {
    local -a found
    found=(${=$(COMP_LINE="${(j: :)words[1,CURRENT]}" leyden -sc query=bash 2>/dev/null)})
    if (( $#found )); then compadd -Q -S '' -- $found; else _files; fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _leyden leyden""",
    "fish": """function __leyden_complete
    set -lx COMP_LINE (commandline -cp)
    set -l found (leyden -sc query=bash 2>/dev/null | string split -n ' ')
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c leyden -f -a '(__leyden_complete)'""",
}


def main(arguments: Sequence[str]) -> int:
    """Print the script of a shell."""
    from leyden.cli.arguments import Arguments

    parser = Arguments(prog="leyden completion", description="Print the completion script of a shell.")
    parser.add_argument("shell", choices=tuple(SCRIPTS), help='bash: eval "$(leyden completion bash)"')
    print(SCRIPTS[parser.parse_args(arguments).shell])
    return 0


def is_completion_request() -> bool:
    """Whether the shell requests completions in this call."""
    return sys.argv[1:3] == QUERY and "COMP_LINE" in os.environ


def print_completions(modules: dict[str, str]) -> int:
    """Print the completions of COMP_LINE; file names are left to the shell.

    modules: command -> its module.
    """
    program, *words = os.environ["COMP_LINE"].split(" ")
    if len(words) < 2:
        found = [name for name in modules if name.startswith(words[0] if words else "")]
    elif words[0] not in modules:
        found = []
    elif words[-1].startswith("-"):
        found = _flags(words, modules[words[0]])
    else:
        found = _arguments(program, words)
    print(" ".join(dict.fromkeys(found)))
    return 0


def _arguments(program: str, words: list[str]) -> list[str]:
    """What the last word may become: a second command, a run, an option, a key."""
    verb, *rest = words
    if verb == "list":
        return _listing(rest)
    found = [name for name in _SECOND.get(verb, ()) if len(rest) == 1 and name.startswith(rest[-1])]
    if verb in _OF_RUNS:
        found += _runs(rest[-1])
    if verb in _CONFIGURED and not (verb in ("check", "find", "evaluate") and len(rest) < 2):
        found += _overrides(program, rest[1:] if verb in ("check", "find", "evaluate") else rest)
    return found


def _flags(words: list[str], module: str) -> list[str]:
    """The flags of a command that begin as the last word, from its --help, or of `leyden train` Hydra's."""
    if words[0] == "train":
        from leyden.config.hydra_internals import get_args_parser

        names = [name for action in get_args_parser()._actions for name in action.option_strings]
        text = " ".join([*names, "--jobs=", "--plan"])
    else:
        second = [word for word in words[1:2] if word in _SECOND.get(words[0], ())]
        with suppress(SystemExit, UserError), redirect_stdout(io.StringIO()) as shown:
            import_module(module).main([*second, "--help"])
        text = shown.getvalue()
    known = re.findall(r"(?<![\w-])--[a-z][\w-]*=?", text)
    return [flag for flag in dict.fromkeys(known) if flag.startswith(words[-1])]


def _runs(begun: str) -> list[str]:
    """The names of the runs here that begin so, and `last`."""
    from leyden.runs.lookup import LAST, RUNS
    from leyden.runs.records import run_folders

    names = [folder.name for folder in run_folders(RUNS)] if RUNS.is_dir() else []
    return [name for name in (*sorted(names), LAST) if name.startswith(begun)]


def _listing(words: list[str]) -> list[str]:
    """The groups, or after a group its options."""
    from leyden.config.completion import complete_listing

    with suppress(UserError):
        return complete_listing(words)
    return []


def _overrides(program: str, words: list[str]) -> list[str]:
    """The completions of the last word: Hydra's groups, options and keys, and the chosen options' arguments.

    Invalid input has no completion, and the prompt is no place for an error message.
    """
    from leyden.config.completion import complete_arguments
    from leyden.config.compose import config_dirs_of, nested_keys_without_plus, run_hydra

    *before, last = words
    os.environ["COMP_LINE"] = " ".join([program, *nested_keys_without_plus(before), last])
    folders = [f"--config-dir={folder}" for folder in config_dirs_of(before) if Path(folder).is_dir()]
    with suppress(UserError), redirect_stdout(io.StringIO()) as keys:
        run_hydra(lambda cfg: None, [*QUERY, *folders])
        print(" ".join(complete_arguments(words)))
    return keys.getvalue().split()
