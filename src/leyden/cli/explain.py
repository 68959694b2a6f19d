"""`leyden explain RUN [FILE ...]`: which pixels, tokens or tones an answer of a finished run rests on.

leyden explain last                                  # the five most confident errors of the validation split
leyden explain last --rows 3,17 --target spam --picture maps.png
leyden explain last a.png b.png --method occlusion --html maps.html
leyden explain last image=a.png text="..."           # of several inputs: what each adds, maps within them
"""

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leyden.cli.arguments import PICTURES, Arguments, add_run, add_trust, figure_saver, verify_writable
from leyden.runs.lookup import find_run
from leyden.utils.console import console
from leyden.utils.errors import UserError
from leyden.utils.files import write_text
from leyden.utils.text import printable_json

if TYPE_CHECKING:
    from leyden.interpretation.explained import Explanation
    from leyden.interpretation.explained_inputs import InputsExplanation

METHODS = ("integrated_gradients", "occlusion", "grad_cam", "gradient_shap", "rise")
BASELINES = ("mean", "blur", "black", "unknown", "padding", "noise")
WORST = 5
_DIGITS = 5  # of a map's numbers in JSON


def main(arguments: Sequence[str]) -> int:
    """Print a table or JSON, and write the requested files."""
    given = _parser().parse_intermixed_args(arguments)
    save = figure_saver(given.picture)
    if given.html:
        verify_writable(given.html)
    found = _explanations(given)
    shown: Any = [each.shown() for each in found]
    several = hasattr(shown[0], "shares")
    if given.json:
        plain = [_plain_inputs(each) if several else _plain(each) for each in found]
        print(printable_json(json.dumps(plain, ensure_ascii=False)))
    else:
        from leyden.reporting.terminal.explanations import explanations_table, inputs_table

        console.print((inputs_table if several else explanations_table)(shown))
    if save is not None:
        from leyden.reporting.plots.attribution import attribution_figure

        save(attribution_figure([one for each in shown for one in each.maps.values()] if several else shown))
        console.print(f"written: {given.picture}")
    if given.html:
        from leyden.reporting.explanations_page import explanations_page

        write_text(given.html, explanations_page(shown, find_run(given.run, given.runs).folder.name))
        console.print(f"written: {given.html}")
    return 0


def _parser() -> Arguments:
    parser = Arguments(
        prog="leyden explain",
        description="Show which pixels, tokens or tones a run's answers rest on, with a test of each map.",
    )
    add_run(parser)
    parser.add_argument(
        "words",
        nargs="*",
        default=[],
        metavar="FILE or key=value",
        help="files as for leyden predict; where the run's data lie now: data.source.root=..., data_root=...",
    )
    parser.add_argument("--rows", help="rows of the run's table: 3,17 (`leyden errors` names them)")
    parser.add_argument(
        "--worst",
        type=int,
        metavar="N",
        help=f"the N most confident errors, of each class in turn (default: {WORST})",
    )
    parser.add_argument("--split", choices=("val", "test"), help="of the errors (default: val)")
    parser.add_argument(
        "--method",
        choices=METHODS,
        help="default: by `leyden check explain`, else by a test on a few of the samples",
    )
    parser.add_argument(
        "--target", metavar="NAME", help="the class, label or value to explain (default: the answer)"
    )
    parser.add_argument(
        "--baseline",
        choices=BASELINES,
        help="what stands for absent (default: the data's mean)",
    )
    parser.add_argument(
        "--input", choices=("features", "waveform"), help="what of a recording (default: features)"
    )
    parser.add_argument("--window", metavar="N[,N]", help="of occlusion: pixels, tokens, or bands and frames")
    parser.add_argument("--seed", type=int, default=0, help="of what draws random numbers (default: 0)")
    parser.add_argument(
        "--no-test", action="store_true", help="leave out the tests of the maps, which take longer"
    )
    parser.add_argument("--picture", type=Path, help=f"draw the maps to this file ({', '.join(PICTURES)})")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write an offline page with the samples and their maps"
    )
    parser.add_argument("--json", action="store_true", help="print the maps and their tests as JSON")
    add_trust(parser)
    return parser


def _explanations(given: Namespace) -> Any:
    overrides = [word for word in given.words if "=" in word and not Path(word).exists()]
    files = [word for word in given.words if word not in overrides]
    rows = _numbers("--rows", given.rows)
    window = _numbers("--window", given.window)
    _verify_one_kind(files, rows, given)
    if window and given.method != "occlusion":
        raise UserError("--window is of occlusion: add --method occlusion")
    folder = find_run(given.run, given.runs).folder
    from leyden.utils.runtime import load_torch, prepare

    load_torch()
    from leyden.inference.load import load
    from leyden.inference.named_inputs import SampleReader
    from leyden.interpretation.access import open_data
    from leyden.interpretation.explained import Request
    from leyden.interpretation.explained_inputs import explanations

    run = load(folder, given.config_dir)
    prepare(run.config.threads)
    if run.modality.is_several:  # image=a.png is no key of the configuration
        names = SampleReader(run).names()
        files += [word for word in overrides if word.partition("=")[0] in names]
        overrides = [word for word in overrides if word not in files]
        _verify_one_kind(files, rows, given)
    request = Request(
        files=files,
        rows=rows,
        worst=WORST if given.worst is None else given.worst,
        split=given.split or "",
        method=given.method or "",
        target=given.target or "",
        baseline=given.baseline or "",
        waveform=given.input == "waveform",
        seed=given.seed,
        window=window,
        tests=not given.no_test,
    )
    return explanations(run, open_data(run, given.config_dir, overrides), request, console.print)


def _numbers(flag: str, words: str | None) -> tuple[int, ...]:
    """The numbers of "3,17"."""
    try:
        return tuple(int(word) for word in words.split(",")) if words else ()
    except ValueError:
        raise UserError(
            f"{flag} {words}: expected whole numbers with commas between them, such as 3,17"
        ) from None


def _verify_one_kind(files: Sequence[str], rows: Sequence[int], given: Namespace) -> None:
    """Refuse files, rows and errors together."""
    errors = ["--worst"] * (given.worst is not None) + ["--split"] * (given.split is not None)
    chosen = [*(["files"] if files else []), *(["--rows"] if rows else []), *errors[:1]]
    if len(chosen) > 1:
        raise UserError(
            f"{' and '.join(chosen)}: choose one; files, rows and errors are explained by themselves"
        )
    if given.worst is not None and given.worst < 1:
        raise UserError(f"--worst {given.worst}: must be at least 1")


def _plain_inputs(found: "InputsExplanation") -> dict[str, Any]:
    """An explanation of several inputs as JSON holds it."""
    facts = {"name": found.name, "row": found.row, "truth": found.truth, "answer": found.answer}
    maps = {name: _plain(one) for name, one in found.maps.items()}
    return {**facts, **asdict(found.shares), "maps": maps, "without_map": found.without}


def _plain(found: "Explanation") -> dict[str, Any]:
    """An explanation as JSON holds it."""
    attribution = asdict(found.attribution)
    values = np.round(attribution.pop("values"), _DIGITS).tolist()
    test = None if found.test is None else asdict(found.test)
    facts = {"name": found.name, "row": found.row, "truth": found.truth, "answer": found.answer}
    tokens = {"tokens": found.tokens} if found.tokens else {}
    return {**facts, **attribution, "test": test, "unit": found.unit, **tokens, "values": values}
