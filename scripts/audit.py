"""Checks by simulation that Leyden's numbers mean what they say; from `scripts/audit`.

scripts/audit --part intervals     # coverage of every metric's interval: the tables of docs/result.md
scripts/audit --part tests         # type I errors and power of the tests of `leyden report`
scripts/audit --part effects       # the same of its main effects, between values that vary equally and unequally
scripts/audit --part near_duplicates data_root=data    # how many planted ones `leyden check data` finds

Each part takes --help.
"""

import argparse
import importlib
import sys


def main() -> None:
    """Hand the other arguments to the part."""
    # with --part, --help is the part's
    alone = not any(word.startswith("--part") for word in sys.argv)
    parser = argparse.ArgumentParser(
        prog="scripts/audit",
        description=__doc__,
        add_help=alone,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--part", choices=("intervals", "tests", "effects", "near_duplicates"), required=True)
    given, rest = parser.parse_known_args()
    importlib.import_module(f"audits.{given.part}").main(rest)


if __name__ == "__main__":
    main()
