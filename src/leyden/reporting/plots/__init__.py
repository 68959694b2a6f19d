"""Figures from plain arrays; no torch."""
