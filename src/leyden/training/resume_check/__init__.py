"""`leyden check resume`: a run is killed at a chosen step and compared with an undisturbed one."""
