"""Random command lines and configurations, made from the reference: none may end in a traceback or a wrong status.

    scripts/fuzz                           # 2,000 in this process, 100 as real commands
    scripts/fuzz --count 300 --seed 7      # others; a failure names its seed
    scripts/fuzz --only 7123               # the command line of one seed again, with what it prints

Words are options, arguments, verbs and flags of the reference; values are drawn from their types, or odd, so that
about a third of the command lines is valid. In this process a valid configuration is built as for training, and stopped
before anything is written. A refused command must print one message, end with status 2 and leave the working folder as
it was. Exit status 1 if one does not. What failed once stands in tests/cli/past_failures.txt, which the tests run.
"""

import argparse
import contextlib
import gc
import io
import itertools
import os
import random
import re
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from unittest import mock

from leyden.cli import check, find
from leyden.cli.list import SCHEMAS
from leyden.cli.main import COMMANDS, main
from leyden.config.options import GROUPS
from leyden.config.reference import Argument, Option, describe_groups
from leyden.config.schema import Config
from leyden.config.type_words import REQUIRED
from leyden.runs.run import Run
from leyden.training import build

SECONDS = 30  # of a command, after which it is listed as slow
MEMORY = 24e9  # bytes of address space: a size that is mistyped ends in a message, not in a full machine
SMALL = (
    *("data=digits", "data=planted_images"),
    *("data=planted_text model=lstm", "data=planted_audio model=logmel_cnn"),
)
# whose odd values burden the machine, or lead elsewhere
KEPT = ("cache", "data_root", "runs", "trainer.devices", "data.workers", "threads")
RUN = "data=digits model=mlp trainer=cpu threads=1 trainer.max_epochs=1 logger=none"

# A space sets the values of a type apart.
ODD = {
    "integer": "0 -1 1.5 1000000 99999999999999 1e3 true null abc [1] {a:1} inf nan",
    "number": "0 -1 1e-300 1e400 inf -inf nan null true abc [0.1] {a:1} 1_0",
    "true": "1 0 maybe null [true] yes nan",
    "list": "1 [] [[1]] [null] [nan] [-1] {a:1} [a,b] abc [1.5,1.5] [0] null",
    "text": f"null 1 [] {{}} a/b ../up {'x' * 300} '1' true",
}
NOUNS = {"integer", "number", "text", "path", "anything", "list", "mapping", "class", "function"}
FREE = (
    "model",
    "optimizer",
    "scheduler",
    "loss",
    "sampling",
    "augment",
    "head",
    "health",
    "decision",
    "long_tail",
)
ANY = [
    *["", "''", "[", "]", "{", "}", "[1,2", "{a:", "'", '"', "\\", "\t", "\x1b[31m", "\x07"],
    *["\u00e9\u732b", "\u202e", "\u0301", "\U0001f98a", "${", "${x}", "${oc.env:HOME}", "???", "$(x)", "a,b"],
    *["range(1)", "interval(0,1)", "!!", "*", "a=b", "%s", "{0}", "1e", "--", "no such"],
]
TARGETS = [
    *["~{path}._target_", "~{path}", "{path}={{}}", "{path}=null", "{path}=[]", "{path}=3", "{path}=abc"],
    *[f"{{path}}._target_={value}" for value in ("null", "3", "[a]", "''", "nowhere.Nothing", "torch")],
]
FLAGS = (
    "--help -h --cfg=job --cfg=all --info=defaults --json --picture=x.png --picture=x --picture=nowhere/x.png "
    "--config-dir=nowhere --config-dir --lr=0.1 --epochs -m --plan --jobs=2 --jobs=-1 --jobs=x --zz -x -- --top=0 "
    "--split=test --split=all --format=csv --sort=cost --metric=test/acc --by=seed --baseline=x --html=r.html "
    "--csv=nowhere/x.csv --decision=macro_f1 --runs=nowhere --kills=0 --resolve --package=_global_ --multirun "
    "--experimental-rerun=x --config-name=nope --version"
)
RUNS = [
    *[
        "last",
        "runs",
        "default",
        "nowhere",
        "",
        "digits-mlp",
        "*",
        "[",
        "runs/*/*",
        "\u00e9",
        "x" * 300,
        "\x1b[31m",
    ],
    *["state=failed", "seed=1", "lr<1", "optimizer.lr<x", "model=", "=", "state=odd", "test/accuracy>=0.5"],
]


class Checked(BaseException):
    """A valid configuration got as far as a training would start: there it is stopped."""


class TooSlow(BaseException):
    """A command took longer than `SECONDS`."""


class Ended(NamedTuple):
    """How a command ended: its exit status (None: stopped, since valid), what it printed, what it wrote."""

    status: int | None
    out: str
    err: str
    written: tuple[str, ...]


Runner = Callable[[Sequence[str]], Ended]


# --- one command -------------------------------------------------------------------------------------------------


def content() -> set[tuple[str, int, int]]:
    """Every file and folder here with its size and time of change."""
    stats = ((str(path), path.lstat()) for path in Path().rglob("*"))
    return {(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats}


def stop(*_: object, **__: object) -> NoReturn:
    """In the place of what comes after the checks."""
    raise Checked


def built_and_stopped(config: Config, *more: Any) -> NoReturn:
    """In the place of `build.experiment` where a verb computes for long: only what it builds at first."""
    ORIGINAL(config, *more)
    raise Checked


ORIGINAL = build.experiment


def run_here(words: Sequence[str]) -> Ended:
    """The command in this process; a valid configuration is not trained.

    Raises:
        TooSlow: it takes longer than `SECONDS`.
    """
    before, out, err = content(), io.StringIO(), io.StringIO()
    patches: list[Any] = [
        mock.patch.object(Run, "lock", stop),
        mock.patch("leyden.cli.check_resume._check", stop),
    ]
    patches.append(mock.patch("sys.stdin", io.StringIO()))
    patches.append(mock.patch("urllib.request.urlopen", side_effect=OSError("no network")))
    if words[:1] and words[0] in ("data", "check", "find", "profile"):
        patches.append(mock.patch.object(build, "experiment", built_and_stopped))
    status: int | None
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        signal.alarm(SECONDS)
        try:
            status = main(list(words))
        except Checked:
            status = None
        except SystemExit as leaving:  # argparse after --help
            status = leaving.code if isinstance(leaving.code, int) else 1
        finally:
            signal.alarm(0)
    written = tuple(sorted({name for name, *_ in content() ^ before}))
    return Ended(status, out.getvalue(), err.getvalue(), written)


def run_alone(words: Sequence[str]) -> Ended:
    """The command as a process of its own."""
    before = content()
    done = subprocess.run(
        [sys.executable, "-m", "leyden", *words],
        input=b"",
        capture_output=True,
        check=False,
        timeout=10 * SECONDS,
    )
    written = tuple(sorted({name for name, *_ in content() ^ before}))
    return Ended(
        done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), written
    )


def fault(ended: Ended, expected: int | None = None) -> str:
    """What is wrong with how a command ended; "" if nothing is.

    expected: 2 for a command that must be refused; None: it may be valid or not.
    """
    messages = [line for line in ended.err.splitlines() if line.startswith("leyden: ")]
    if "Traceback" in ended.err + ended.out:
        return "a traceback"
    if ended.status not in (None, 0, 1, 2, 130):
        return f"exit status {ended.status}"
    if expected == 2 and ended.status != 2:
        return f"exit status {ended.status}, not 2"
    if ended.status == 2:
        if len(messages) != 1 or not ended.err.startswith("leyden: "):
            return f"{len(messages)} messages"
        others = [
            line for line in ended.err.splitlines()[1:] if not line.startswith(("  ", "Mend or remove"))
        ]
        if others:
            return "a message of several lines"
        if any(ord(character) < 32 and character not in "\n\t" for character in ended.err):
            return "control characters in the message"
        if ended.written:
            return f"refused, but wrote {', '.join(ended.written)}"
    return "the run failed" if ended.status == 1 and "leyden: the run failed" in ended.err else ""


# --- values of a type ---


def sound(argument: Argument, rng: random.Random) -> str:
    """A value of an argument's type near its default; `required` where neither tells one."""
    words, default = argument.type, argument.default
    choices = re.split(r", | or ", words)
    if words and all(re.fullmatch(r"[a-z0-9_]+", choice) for choice in choices) and not set(choices) & NOUNS:
        return rng.choice(choices)
    if "null" in choices and rng.random() < 0.3:
        return "null"
    if re.fullmatch(r"\d+", default):
        return str(max(int(default) + rng.choice((-1, 0, 1, int(default))), 1))
    if re.fullmatch(r"\d*\.\d+|\d+(\.\d+)?e-?\d+", default):
        return str(float(default) * rng.choice((0.5, 0.9, 1, 1.1)))
    return default


# --- random command lines ----------------------------------------------------------------------------------------


class Grammar:
    """Draws command lines: all groups, options and arguments of the reference, all verbs and flags."""

    def __init__(self) -> None:
        self.groups: dict[str, list[Option]] = describe_groups(SCHEMAS)
        verbs = [[verb] for verb in COMMANDS if verb not in ("check", "find", "runs")]
        verbs += [["check", name] for name in check.CHECKS] + [["find", name] for name in find.FINDERS]
        self.verbs = [
            *verbs,
            ["runs"],
            ["runs", "show"],
            ["runs", "diff"],
            ["runs", "rm"],
            ["check"],
            ["find"],
        ]

    def command(self, seed: int) -> tuple[list[str], int | None]:
        """(words, the status that they must end with; None: depends on the values) of a seed."""
        rng = random.Random(seed)
        verb = ["train"] if rng.random() < 0.6 else rng.choice(self.verbs)
        words, expected = self._arguments(verb, rng)
        if rng.random() < 0.12:
            words.insert(rng.randint(0, len(words)), rng.choice(FLAGS.split()))
            expected = None
        if verb == ["train"] and {"-m", "--multirun"} & set(words):
            words.append("--plan")
        if rng.random() < 0.02:
            return [self._misspelt(verb[0], rng), *words], 2
        return [*verb, *words], expected

    def _arguments(self, verb: Sequence[str], rng: random.Random) -> tuple[list[str], int | None]:
        if verb[0] in ("runs", "report", "doctor", "replay"):
            return rng.choices(RUNS, k=rng.randint(0, 2)), None
        if verb[0] in ("evaluate", "predict"):
            more = (
                [self._value_word(rng) for _ in range(rng.randint(0, 2))]
                if verb[0] == "evaluate"
                else ["a.png"]
            )
            return [rng.choice(RUNS) if rng.random() < 0.4 else "last", *more], None
        if verb[0] == "list":
            group = rng.choice(GROUPS)
            return rng.choice(
                [[], [group], [group, rng.choice(self.groups[group]).name], [rng.choice(ANY)]]
            ), None
        words, expected = self._configuration(rng)
        looks_at_all = verb not in (["data"], ["check", "data"], ["check", "resume"])
        return words, expected if looks_at_all else None

    def _configuration(self, rng: random.Random) -> tuple[list[str], int | None]:
        if rng.random() < 0.55:
            return self._sound_configuration(rng), None
        words = rng.choice(SMALL).split()
        chosen = [self._option(rng) for _ in range(rng.choice((0, 1, 1, 2)))]
        words += [f"{'+' if '/' in option.group else ''}{option.group}={option.name}" for option in chosen]
        for _ in range(rng.choice((0, 1, 1, 2))):
            words.append(self._value_word(rng, chosen if rng.random() < 0.7 else ()))
        expected = None
        kind = rng.random()
        if kind < 0.12:
            words.append(self._target_word(rng))
        elif kind < 0.24:
            word, expected = self._wrong_word(rng), 2
            words.append(word)
        rng.shuffle(words)
        return words, expected

    def _sound_configuration(self, rng: random.Random) -> list[str]:
        """Options that go together in most cases, and values of their arguments' types."""
        words = rng.choice(SMALL).split()
        chosen = [rng.choice(self.groups[group]) for group in rng.sample(FREE, rng.choice((0, 1, 1, 2)))]
        arguments = [a for option in chosen for a in option.arguments if a.name not in KEPT]
        drawn = {
            a.name: sound(a, rng) for a in rng.sample(arguments, min(len(arguments), rng.choice((0, 1, 2))))
        }
        return [
            *words,
            *(f"{option.group}={option.name}" for option in chosen),
            *(f"{key}={value}" for key, value in drawn.items() if value != REQUIRED),
        ]

    def _option(self, rng: random.Random) -> Option:
        group = rng.choice(GROUPS)
        if group in ("experiment", "data") and rng.random() < 0.7:
            group = "model"
        return rng.choice(self.groups[group])

    def _value_word(self, rng: random.Random, chosen: Sequence[Option] = ()) -> str:
        """An argument of an option, or a root key, with its default or a value that is changed by its type."""
        options = chosen or self.groups[rng.choice(GROUPS)]
        arguments = [a for option in options for a in option.arguments if a.name not in KEPT]
        if not arguments or rng.random() < 0.15:
            key, kind, default = (
                rng.choice([k for k in Config.model_fields if k not in KEPT]),
                "text",
                "required",
            )
        else:
            argument = rng.choice(arguments)
            key, kind, default = argument.name, argument.type, argument.default
        if rng.random() < 0.3 and default != "required":
            return f"{key}={default}"
        kinds = [name for name in ODD if name in kind] or ["text"]
        return (
            f"{key}={rng.choice(ANY) if rng.random() < 0.3 else rng.choice(ODD[rng.choice(kinds)].split())}"
        )

    def _target_word(self, rng: random.Random) -> str:
        paths = sorted(
            {path for options in self.groups.values() for option in options for path in option.targets}
        )
        return rng.choice(TARGETS).format(path=rng.choice(paths))

    def _wrong_word(self, rng: random.Random) -> str:
        """A word that must be refused, whatever stands beside it."""
        group = rng.choice([g for g in GROUPS if "/" not in g and g != "sweep"])
        key = rng.choice(("optimizer.lr", "model.name", "trainer.max_epochs", "seed", "data.on_bad"))
        return rng.choice(
            (
                f"{group}={self._misspelt('nothing', rng)}",
                f"{self._misspelt(group, rng)}zz=x",
                f"{key}zz=1",
                f"{key}=[1",
                f"{key}={{a",
                f"{key}='",
                "optimizer.lr=nan",
                "optimizer.lr=inf",
                "optimizer.lr=",
                "batch_size=",
                "seed=nan",
                "trainer.max_epochs=inf",
                "name=''",
                "~optimizer._target_",
                "optimizer._target_=null",
                "model.module._target_=[a]",
                "split._target_=3",
                "loss={}",
            )
        )

    def _misspelt(self, word: str, rng: random.Random) -> str:
        place = rng.randrange(len(word))
        return f"{word[:place]}q{word[place + 1 :]}q"


# --- many --------------------------------------------------------------------------------------------------------


def past_failures() -> list[list[str]]:
    """The command lines that failed once, one a line, quoted as for a shell."""
    text = (Path(__file__).parents[1] / "tests/cli/past_failures.txt").read_text(encoding="utf-8")
    return [shlex.split(line) for line in text.splitlines() if line and not line.startswith("#")]


def prepare() -> None:
    """A working folder with one finished run; limits of time and memory."""
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["train", *RUN.split()]) == 0
    Path("a.png").write_bytes(b"no picture")
    gc.freeze()  # what is imported is not walked again for each command

    def too_slow(*_: object) -> NoReturn:
        raise TooSlow

    signal.signal(signal.SIGALRM, too_slow)
    resource.setrlimit(resource.RLIMIT_AS, (int(MEMORY), resource.RLIM_INFINITY))


def tried(
    seeds: Sequence[int], grammar: Grammar, run: Callable[[Sequence[str]], Ended]
) -> Iterator[tuple[int, str, str]]:
    """(seed, kind of the end, fault) of each command line."""
    for seed in seeds:
        words, expected = grammar.command(seed)
        try:
            ended = run(words)
        except (TooSlow, subprocess.TimeoutExpired):
            yield seed, "slow", ""
            continue
        except Exception as error:
            yield seed, "exception", f"{type(error).__name__}: {error}"
            continue
        kinds = {None: "valid, stopped before training", 0: "done", 1: "found something", 2: "refused"}
        yield seed, kinds.get(ended.status, str(ended.status)), fault(ended, expected)


def report(label: str, seeds: Sequence[int], grammar: Grammar, run: Runner) -> bool:
    """Try all and print what came out; whether there is no fault."""
    started, ends, faults = time.monotonic(), Counter[str](), 0
    for seed, end, wrong in tried(seeds, grammar, run):
        ends[end] += 1
        if wrong or end == "slow":
            faults += bool(wrong)
            print(f"seed {seed}: {wrong or end}: leyden {shlex.join(grammar.command(seed)[0])}", flush=True)
    counts = ", ".join(f"{count} {end}" for end, count in ends.most_common())
    seconds = time.monotonic() - started
    print(f"{label}: seeds {seeds[0]} to {seeds[-1]}: {counts}; {faults} faults; {seconds:.0f} s", flush=True)
    return not faults


def start() -> int:
    """Parse, try, report; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--count", type=int, default=2000, help="command lines in this process (default: 2000)"
    )
    parser.add_argument("--real", type=int, default=100, help="command lines as processes (default: 100)")
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default: 1)")
    parser.add_argument("--only", type=int, help="one seed, with all that it prints")
    given = parser.parse_args()
    grammar = Grammar()
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory() as cache:
        os.environ["LEYDEN_CACHE"] = cache
        os.chdir(scratch)
        prepare()
        if given.only is not None:
            words, expected = grammar.command(given.only)
            ended = run_here(words)
            print(
                f"leyden {shlex.join(words)}\n{ended.out}{ended.err}status {ended.status}: {fault(ended, expected)}"
            )
            return int(bool(fault(ended, expected)))
        seeds = range(given.seed, given.seed + given.count)
        sound = report("in this process", seeds, grammar, run_here) if given.count else True
        short = (seed for seed in itertools.count(given.seed) if _is_short(grammar.command(seed)))
        chosen = list(itertools.islice(short, given.real))
        return int(not (sound and (not chosen or report("real commands", chosen, grammar, run_alone))))


def _is_short(command: tuple[list[str], int | None]) -> bool:
    """Whether it ends without training or measuring: it must be refused, or only reads runs and options."""
    words, expected = command
    return expected == 2 or words[:1] in (["list"], ["runs"], ["report"], ["doctor"])


if __name__ == "__main__":
    sys.exit(start())
