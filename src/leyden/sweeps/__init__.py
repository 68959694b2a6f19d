"""Sweeps: `leyden train -m ...`. plan -> run (here, in worker processes, or by a Hydra launcher) -> summary table.

The state of a job is stored only in its run's folder: a sweep is resumed by launching it again, several shells can
share one sweep, and the final table is read from the folders, whichever process trained them.
"""
