"""`python -m leyden` is the command `leyden`."""

import sys

from leyden.cli.main import command

sys.exit(command())
