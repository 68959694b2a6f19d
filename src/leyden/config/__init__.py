"""Command-line words to a checked configuration: compose, validate, instantiate; beside sweeps the only Hydra user."""
