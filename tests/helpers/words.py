"""Arguments of a command, put together by tests."""

from collections.abc import Iterable


def last_of_each(words: Iterable[str]) -> list[str]:
    """Where a key comes twice its last value: what a test asks for, after what all tests do."""
    return list({"".join(word.partition("=")[:2]): word for word in words}.values())
