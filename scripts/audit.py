"""Checks by simulation that Leyden's numbers mean what they say; from `scripts/audit`.

scripts/audit --part intervals     # coverage of every metric's interval: the tables of docs/result.md
scripts/audit --part tests         # type I errors and power of the tests of `leyden report`

Each part takes --help.
"""

import argparse
import importlib


def main() -> None:
    """Hand the other arguments to the part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], add_help=False)
    parser.add_argument("--part", choices=("intervals", "tests"), required=True)
    given, rest = parser.parse_known_args()
    importlib.import_module(f"audit_{given.part}").main(rest)


if __name__ == "__main__":
    main()
