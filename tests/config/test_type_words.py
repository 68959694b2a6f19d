"""Annotations and defaults in the words of a table."""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt, MinLen, MultipleOf
from pydantic import Field, FiniteFloat

from leyden.config.type_words import describe_default, describe_type


class Colour(Enum):
    RED = 1


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "integer"),
        (bool, "true or false"),
        (bool | None, "true, false or null"),
        (Path, "path"),
        (Any, "anything"),
        (Parameter.empty, ""),
        (Colour, "Colour"),
        (Annotated[int, Ge(1)], "integer, 1 or more"),
        (Annotated[int, Ge(1)] | None, "integer, 1 or more, or null"),
        (Annotated[float, Interval(ge=0, lt=1)], "number, 0 or more and below 1"),
        (Annotated[float, Ge(0), Le(1)], "number, from 0 to 1"),
        (Annotated[FiniteFloat, Gt(0)], "number, above 0"),
        (Annotated[int, MultipleOf(8), Lt(100)], "integer, below 100 and a multiple of 8"),
        (Annotated[float, Field(gt=0)], "number, above 0"),
        (Annotated[str, Field(min_length=1)], "text, not empty"),
        (
            Annotated[Sequence[Annotated[int, Ge(1)]], MinLen(2)],
            "list of integers, each 1 or more, at least 2 long",
        ),
        (Literal["mean", "max", 3, True], "mean, max, 3 or true"),
        (Literal["1"] | Literal[1] | None, "'1', 1 or null"),
        (int | float, "number"),
        (None | str, "text or null"),
        (list[str], "list of texts"),
        (list, "list"),
        (tuple[int, int], "list of 2 integers"),
        (tuple[str, int], "list of 2: text; integer"),
        (tuple[float, ...], "list of numbers"),
        (Sequence[Literal["a", "b"]], "list of (a or b)"),
        (Mapping[str, dict[str, float]], "mapping of text to (mapping of text to number)"),
        (dict, "mapping"),
        (type[int], "class"),
        (Callable[[int], int], "function"),
    ],
)
def test_an_annotation_is_said_in_words(hint: Any, words: str) -> None:
    assert describe_type(hint) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "true"),
        ("1", "'1'"),
        ((16, 32), "[16, 32]"),
        (["flip", "1"], "[flip,'1']"),
        ([], "[]"),
        (1e-5, "1e-05"),
        (Path("data"), "data"),
        (Colour, "Colour"),
        (len, "len"),
        (Colour.RED, "<Colour.RED: 1>"),
        ("???", "required"),
        (Parameter.empty, "required"),
    ],
)
def test_a_default_is_said_as_one_types_it(value: Any, words: str) -> None:
    assert describe_default(value) == words
