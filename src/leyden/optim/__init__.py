"""Learning-rate schedules and parameter groups; plain torch."""
