"""Objectives: per-sample losses, plain torch."""
