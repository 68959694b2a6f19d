"""Checks of the data before training."""
