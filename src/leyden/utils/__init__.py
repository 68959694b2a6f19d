"""Shared utilities: errors, console, files, threads, random state."""
