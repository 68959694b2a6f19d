"""Nets: plain torch.nn, each with a feature width and a head that can be replaced."""
