"""`leyden report`: compare groups of runs. `report` computes the content; terminal, export and html format it."""
