"""What the server of the workers imports before it forks the first: all that a job needs."""

import gc

from leyden.utils.runtime import load_torch

load_torch()

from leyden.training import fit, job  # noqa: E402, F401

gc.freeze()  # a collection in a worker would write to every page that it shares with the server, and so copy it
