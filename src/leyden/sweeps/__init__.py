"""Sweeps: `leyden train -m ...`. plan -> execute (here, in worker processes, or by a Hydra launcher) -> table.

A job's state lies in its run's folder and nowhere else: so a sweep is resumed by launching it again, two shells share
one sweep, and the table at the end is read from the folders whoever trained them.
"""
