"""What makes two texts the same."""

import unicodedata


def normal_form(text: str) -> str:
    """A text in compatibility form (NFKC, Unicode Standard Annex 15), case folded, with single spaces between words.

    Marks, symbols and punctuation stay: a vowel sign, an emoji or the plus signs of C++ make another text. No tokenizer
    and no model changes it.

    >>> normal_form("Ｗell,  IT\\tworks. "), normal_form("C++") == normal_form("C")
    ('well, it works.', False)
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())
