"""What makes two texts the same."""

import re


def bare_words(text: str) -> str:
    """A text less case, spaces and punctuation; one of punctuation alone stays what it is."""
    lower = text.casefold()
    return re.sub(r"\W+", " ", lower).strip() or lower
