"""Numbers in digits as English words, as they are read out."""

import re

_TO_NINETEEN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_SMALL = _TO_NINETEEN.split()
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
_TOO_LARGE = 10**12
_NUMBER = re.compile(r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?")


def spoken_numbers(text: str) -> str:
    """A text whose numbers are words; a number with a leading zero, and what follows a point, digit by digit.

    Years, dates, ordinals and amounts of money are read as any number.

    >>> spoken_numbers("dial 1234 or 007"), spoken_numbers("28.8 kB of 1,000,000")
    ('dial one thousand two hundred thirty four or zero zero seven', 'twenty eight point eight kB of one million')
    """
    return _NUMBER.sub(lambda found: _number(found[0].replace(",", "")), text)


def _number(written: str) -> str:
    whole, _, decimals = written.partition(".")
    is_read_whole = int(whole) < _TOO_LARGE and (whole == "0" or whole[0] != "0")
    words = _whole(int(whole)) if is_read_whole else _digits(whole)
    return f"{words} point {_digits(decimals)}" if decimals else words


def _digits(written: str) -> str:
    return " ".join(_SMALL[int(digit)] for digit in written)


def _whole(n: int) -> str:
    for scale, name in _SCALES:
        if n >= scale:
            rest = f" {_whole(n % scale)}" if n % scale else ""
            return f"{_whole(n // scale)} {name}{rest}"
    if n < len(_SMALL):
        return _SMALL[n]
    return _TENS[n // 10 - 2] + (f" {_SMALL[n % 10]}" if n % 10 else "")
