"""Thin adapters between Lightning's hooks and the rest."""
