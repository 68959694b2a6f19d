"""`python -m leyden` is the command `leyden`."""

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # the working folder, which -m puts there: see leyden.utils.own_code

from leyden.cli.main import command

sys.exit(command())
