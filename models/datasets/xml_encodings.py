"""Decodes XML files in whatever encoding they declare.

Expat reads UTF-8, UTF-16 and encodings of one byte a character. Annotation tools on Chinese, Japanese and Korean
systems write GB2312, Shift_JIS, EUC-JP, Big5 or EUC-KR, and name them in the declaration; Python has their codecs.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from typing import Final

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    ("<".encode("utf-16-le"), "utf-16-le"),
    ("<".encode("utf-16-be"), "utf-16-be"),
)
"""First bytes and the encoding that they prove, whatever is declared (XML 1.0, appendix F)."""

_DECLARED: Final = re.compile(rb"""\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']\s*([^"'>]{1,40}?)\s*["']""")

_TRIED: Final = {
    "gb2312": ("gb2312", "gb18030"),
    "gbk": ("gbk", "gb18030"),
    "shift_jis": ("shift_jis", "cp932"),
    "big5": ("big5", "cp950"),
    "euc_kr": ("euc_kr", "cp949"),
    "iso8859-1": ("cp1252", "iso8859-1"),
    "ascii": ("ascii", "utf-8"),
}
"""By Python's name of the declared encoding, those that are tried, in order: writers use more characters than they
declare. The larger ones are those of browsers (https://encoding.spec.whatwg.org/#names-and-labels), but for Big5, where
Python has Windows' code page. Of Latin-1 the larger one comes first, since every byte is a character of the smaller."""

_ESCAPES: Final = frozenset({"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "utf-7"})
"""Python lists them among its codecs of text; they are escapes within ASCII, and no file is written in them."""

_ALIASES: Final = {"windows-31j": "cp932", "gb_2312-80": "gb2312"}
"""Names that IANA lists and Python does not know."""


def decode_xml(data: bytes) -> str:
    """Decodes a file.

    The byte order mark decides, then the declaration, then UTF-8. A declaration of UTF-16 that can itself be read byte
    for byte is wrong, as .NET's `StringWriter` makes them; such a file is read as UTF-8.

    Args:
        data: The file.

    Returns:
        Its text, without a byte order mark.

    Raises:
        ValueError: Python does not know the encoding, or the file is not in it.
    """
    proven = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if proven is not None:
        return _decoded(data, (proven,), proven)
    match = _DECLARED.match(data)
    declared = match[1].decode("latin-1") if match else ""
    codec = _codec(declared) if declared else "utf-8"
    if codec.startswith(("utf-16", "utf-32")):
        codec = "utf-8"
    return _decoded(data, _TRIED.get(codec, (codec,)), declared)


def _codec(declared: str) -> str:
    """Python's name of an encoding."""
    bare = declared.lower().removeprefix("x-")
    for name in (declared, bare, _ALIASES.get(bare, bare)):
        try:
            found = codecs.lookup(name).name
        except (LookupError, ValueError):
            continue
        if found not in _ESCAPES:
            return found
    raise ValueError(f"its encoding {declared!r} is not known")


def _decoded(data: bytes, tried: Sequence[str], declared: str) -> str:
    at = 0
    for codec in tried:
        try:
            return data.decode(codec)
        except UnicodeDecodeError as error:
            at = error.start
        except LookupError:  # Python knows it, and it is none of text
            raise ValueError(f"its encoding {declared!r} is not known") from None
    says = f"it declares {declared}" if declared else "it declares no encoding, which means UTF-8"
    line = data.count(b"\n", 0, at) + 1
    raise ValueError(f"{says}, and is not in it: byte {at}, in line {line}")
