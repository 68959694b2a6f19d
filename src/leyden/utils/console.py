"""The one terminal that everything prints to."""

from rich.console import Console

# no markup: a path or an override with [brackets] in it is printed as it is
console = Console(highlight=False, markup=False)
errors = Console(stderr=True, highlight=False, markup=False)
