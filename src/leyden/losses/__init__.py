"""Losses: per-sample losses, plain torch."""
