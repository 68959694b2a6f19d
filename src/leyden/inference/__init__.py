"""A finished run as a model: load it, predict new inputs, evaluate it on other data."""
