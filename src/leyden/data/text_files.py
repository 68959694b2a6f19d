"""Text files: in which encoding they are, and which lines they have."""

import codecs
import unicodedata

from leyden.utils.errors import UserError, nearest

# By the bytes that a file begins with; UTF-32's little-endian mark begins like UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_COMMON = (
    "utf-8",
    "utf-16",
    "cp1252",
    "latin-1",
    "cp1251",
    "mac-roman",
    "shift_jis",
    "gb18030",
    "euc-kr",
    "big5",
)
_LOOKED_AT = 4096  # bytes


def found_encoding(content: bytes) -> str:
    """UTF-8, 16 or 32 by the mark at the beginning; without one UTF-16 where every second byte is 0, else UTF-8."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return encoding
    some = content[: _LOOKED_AT & ~1]
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros = some[first::2].count(0)
        if zeros > max(1, len(some) // 5) and zeros > 9 * some[1 - first :: 2].count(0):
            return encoding
    return "utf-8"


def decoded(content: bytes, where: str, encoding: str | None = None) -> str:
    """The text of a file, without the mark at its beginning; in UTF-8, other bytes are kept as surrogates.

    So only the rows that hold them are bad. An 8-bit encoding is never guessed: each fits any content.

    Args:
        content: of the file.
        where: the file, for messages.
        encoding: by its name in Python; None: found.

    Raises:
        UserError: the content is not in this encoding.
    """
    chosen = encoding or found_encoding(content)
    errors = "surrogateescape" if codecs.lookup(chosen).name.startswith("utf-8") else "strict"
    try:
        return content.decode(chosen, errors).removeprefix("\ufeff")
    except UnicodeError as error:
        raise UserError(
            f"{where}: is not in encoding {chosen}: {error}; name another: data.source.encoding=..."
        ) from error


def verify_encoding(encoding: str) -> None:
    """Refuse a name that is no encoding of texts."""
    try:
        is_text = "x".encode(encoding).decode(encoding) == "x"
    except (LookupError, UnicodeError, TypeError):
        is_text = False
    if not is_text:
        raise UserError(f"data.source.encoding={encoding}: {nearest(encoding, _COMMON)}")


def lines(text: str) -> list[str]:
    r"""Its lines as every editor counts them: they end in \n or \r\n, or, where there is no \n at all, in \r.

    >>> lines("one\x0cline\r\nand\u2028another\n"), lines("of\rold\r")
    (['one\x0cline', 'and\u2028another'], ['of', 'old'])
    """
    end = "\n" if "\n" in text else "\r"
    found = text.split(end)
    if not found[-1]:
        found.pop()
    return [line.removesuffix("\r") for line in found]


def composed(text: str) -> str:
    """A name in composed Unicode form (NFC): as Linux and Windows type what macOS stores decomposed."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)
