"""What the server of the workers imports before it forks the first: all that a job needs."""

import gc

from leyden.runtime import load_torch

load_torch()

from leyden import fit, train  # noqa: E402, F401

gc.freeze()  # a collection in a worker would write to every page that it shares with the server, and so copy it
