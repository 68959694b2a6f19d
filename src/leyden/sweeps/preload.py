"""Imported by the fork server of the workers before the first fork: everything that a job needs."""

import gc

from leyden.utils.runtime import load_torch

load_torch()

from leyden.training import fit, job  # noqa: E402, F401

gc.freeze()  # a collection in a worker would write to, and thereby copy, every page shared with the server
