"""The one terminal that everything prints to."""

from rich.console import Console

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)
