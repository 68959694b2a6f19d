"""The shared rich consoles for stdout and stderr."""

from rich.console import Console

# no markup: a path or an override that contains [brackets] is printed unchanged
console = Console(highlight=False, markup=False)
errors = Console(stderr=True, highlight=False, markup=False)
