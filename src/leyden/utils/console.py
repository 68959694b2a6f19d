"""The shared rich consoles for stdout and stderr: the one printer of commands.

What is printed may come from a stranger's run, file or class name. Control characters are left out of it: they could
rewrite what is on the screen, or type for the user. Lines of text are not broken and not cut, so that a command or a
path can be copied; the terminal breaks them. A reader that leaves (`| head -1`) ends no training.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from leyden.utils.streams import discard_output
from leyden.utils.text import printable


class Printer(Console):
    """A console without markup (a path that contains [brackets] is printed unchanged), highlighting and wrapping."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, soft_wrap=True)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render to segments without control characters, but for those of rich's own."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else printable(segment.text)
            yield segment if text is segment.text else Segment(text, segment.style)

    def on_broken_pipe(self) -> None:
        """Go on without a reader; rich's own would end the process."""
        discard_output(self.file)


console = Printer()
errors = Printer(stderr=True)


@contextmanager
def notes_to_stderr() -> Iterator[None]:
    """Within the block the console prints to stderr: stdout is for what a program reads."""
    console.stderr = True
    try:
        yield
    finally:
        console.stderr = False
