"""What docstrings say of an argument."""

from dataclasses import dataclass, field

from leyden.config.docstrings import entries, explain


class Parent:
    """A parent.

    width: of the middle; height (in cm; not mm) counts too. Many `turns` help.
    """

    def __init__(self, width: int, height: int, turns: int) -> None:
        """Make one.

        Args:
            height (int, optional) : of the whole,
                with its foot (default: (0, 1)).

                No more of it.
            other: not asked for. Default: ``1``.

        Raises:
            width: no argument, though it looks like one.
        """


class Child(Parent):
    """A child of whom nothing is said."""


@dataclass
class Undocumented:
    in_a_row: int = 3
    parts: list[int] = field(default_factory=lambda: [1, 2])


def test_an_entry_under_args_goes_before_prose_and_ends_where_its_paragraph_does() -> None:
    assert explain(Parent, "height") == "of the whole, with its foot"
    assert explain(Parent, "other") == "not asked for"
    assert explain(Parent, "width") == "of the middle"
    assert explain(Parent, "turns") == "Many `turns` help"
    assert explain(Child, "height") == "of the whole, with its foot"
    assert explain(Child, "depth") == ""


def test_the_signature_that_a_dataclass_has_for_a_docstring_explains_nothing() -> None:
    assert "in_a_row" in str(Undocumented.__doc__)
    assert explain(Undocumented, "in_a_row") == ""


def test_of_a_long_entry_the_first_sentences_are_shown() -> None:
    told = entries(f"Args:\n    x: {'word ' * 30}end. {'more ' * 30}end.")
    assert told["x"].endswith("word end")
