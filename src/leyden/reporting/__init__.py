"""Format results and comparisons of runs as tables, figures and pages; imports no torch."""
