"""From command-line arguments to a checked configuration: compose, validate, instantiate. Uses Hydra."""
