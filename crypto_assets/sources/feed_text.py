"""Turn the bytes of a feed into the text of one XML document.

Web servers pack feeds without saying so, name the charset only in the HTTP header, and let plugins write notices,
scripts and comments around the document. This module unpacks, decodes and removes what stands before and after the
document. The content of the document does not belong here (see ``rss.py``).
"""

from __future__ import annotations

import codecs
import re
import zlib

from crypto_assets.errors import SourceError

MAX_BYTES = 64 << 20  # limit of an unpacked feed; the client has the same limit for the download
_GZIP = b"\x1f\x8b"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# How browsers read these labels (WHATWG Encoding): as the larger charset, which differs only in unused code points.
_WIDER = {
    "iso8859-1": "cp1252", "ascii": "utf-8", "shift_jis": "cp932", "gb2312": "gb18030", "gbk": "gb18030",
    "euc_kr": "cp949", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874", "utf-16": "utf-16-le",
}  # fmt: skip
_NO_CHARSETS = {"utf-7", "unicode_escape", "raw_unicode_escape", "idna", "punycode", "undefined"}
_CHARSET = re.compile(r"""charset\s*=\s*["']?\s*([A-Za-z0-9._:+-]{2,40})""", re.IGNORECASE)
_DECLARED = re.compile(rb"""<\?xml\b[^<>]{0,200}?\bencoding\s*=\s*["']([A-Za-z0-9._:+-]{2,40})["']""")
_PROLOG = re.compile(r"<!--|<!\[CDATA\[|<!ENTITY\b|<(?P<root>(?:[\w.-]+:)?(?:rss|feed|RDF))(?=[\s/>])", re.IGNORECASE)
_BODY = re.compile(r"<!--|<!\[CDATA\[|</(?P<root>(?:[\w.-]+:)?(?:rss|feed|RDF))\s*>", re.IGNORECASE)
_ITEM = re.compile(r"<!--|<!\[CDATA\[|<(?:[\w.-]+:)?(?:item|entry)[\s>]", re.IGNORECASE)
_ENDS = {"<!--": "-->", "<![CDATA[": "]]>"}


def _as_windows(error: UnicodeError) -> tuple[str, int]:
    """Decode bytes that are not UTF-8 inside a UTF-8 text as Windows-1252, because they were pasted into it."""
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error("crypto_assets.windows", _as_windows)


def document(body: bytes, content_type: str, what: str) -> tuple[str, int]:
    """Extract the XML document of a feed, from its root element to the root's end.

    Args:
        body: the bytes of the answer, packed (gzip) or not.
        content_type: the HTTP header of that name; empty where there was none.
        what: the feed, for error messages.

    Returns:
        Text that begins with the root element, and the number of items in further documents, which are not read.

    Raises:
        SourceError: the body is not RSS or Atom, is cut off, declares entities, or unpacks to more than ``MAX_BYTES``.

    Source: XML 1.0, appendix F; RFC 7303, section 3 (precedence of charsets).
    """
    text = decoded(unpacked(body, what), content_type).replace("\x00", "")
    begin, root = _root(text, what)
    end = _end(text, begin, root)
    if end is None:
        raise SourceError(f"{what} was cut off; it was not read; run again later")
    behind, found = 0, outside(text, _ITEM, end)
    while found is not None:
        behind, found = behind + 1, outside(text, _ITEM, found.end())
    return text[begin:end], behind


def unpacked(body: bytes, what: str) -> bytes:
    """Unpack a body that is gzip; a file feed.xml.gz comes without ``Content-Encoding``.

    Args:
        body: the bytes of the answer.
        what: the feed, for error messages.

    Returns:
        The unpacked bytes; the body itself where it is not gzip.

    Raises:
        SourceError: the gzip data is broken or cut off, or unpacks to more than ``MAX_BYTES``.
    """
    parts: list[bytes] = []
    size = 0
    while body.startswith(_GZIP):
        unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            part = unzip.decompress(body, MAX_BYTES + 1 - size)
        except zlib.error as error:
            raise SourceError(f"{what} answered broken gzip; it was not read; run again later") from error
        size += len(part)
        if size > MAX_BYTES:
            raise SourceError(
                f"{what} unpacks to more than {MAX_BYTES >> 20} MiB; it was not read; correct its address"
            )
        if not unzip.eof:
            raise SourceError(f"{what} was cut off; it was not read; run again later")
        parts.append(part)
        body = unzip.unused_data  # gzip allows several members; other bytes after the last are padding
    return b"".join(parts) if parts else body


def decoded(body: bytes, content_type: str) -> str:
    """Decode a body: the first of byte-order mark, HTTP charset, XML declaration and UTF-8 that fits.

    There is one exception. A document that declares UTF-8, is valid UTF-8 and is not plain ASCII is UTF-8, even if the
    server's default header says ISO 8859-1. Text in a one-byte charset is not valid UTF-8 by chance.

    Args:
        body: the unpacked bytes.
        content_type: the HTTP header of that name.

    Returns:
        The text.
    """
    for mark, name in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace" if name != "utf-8" else "crypto_assets.windows")
    head = body[:4096]
    declared = _DECLARED.search(head)
    found = _CHARSET.search(content_type)
    names = [found.group(1) if found else None, declared.group(1).decode("ascii") if declared else None]
    if head.startswith((b"<\x00", b"\x00<")):  # two bytes per character, whatever the declaration says
        names.insert(0, "utf-16-be" if head[:1] == b"\x00" else "utf-16-le")
    charsets = [name for name in map(_charset, names) if name is not None]
    if "utf-8" in charsets[1:] and not body.isascii():
        charsets = ["utf-8", *charsets] if _is_utf8(body) else charsets
    for charset in charsets:
        # A declaration that can be read as ASCII is not written in UTF-16 or UTF-32.
        if charset.startswith(("utf-16", "utf-32")) and b"\x00" not in head:
            continue
        try:
            return body.decode(charset)
        except UnicodeDecodeError:
            if charset == "cp1252":  # five byte values are undefined in it
                return body.decode("cp1252", "replace")
    return body.decode("utf-8", "crypto_assets.windows")


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _charset(name: str | None) -> str | None:
    """Return Python's name of the charset; None where the name is not a charset."""
    try:
        found = codecs.lookup(name or "undefined")
        "".encode(found.name)  # a codec of bytes (like base64) refuses text
    except (LookupError, UnicodeError, TypeError):
        return None
    return None if found.name in _NO_CHARSETS else _WIDER.get(found.name, found.name)


def _root(text: str, what: str) -> tuple[int, str]:
    """Find where the root element begins, and its name."""
    found = outside(text, _PROLOG, 0)
    if found is None:
        raise SourceError(f"{what} did not answer RSS or Atom; it was not read; correct its address in NEWS_FEEDS")
    if found["root"] is None:
        raise SourceError(
            f"{what} declares XML entities, which can expand without end; it was not read; remove it from NEWS_FEEDS"
        )
    return found.start(), found["root"]


def _end(text: str, begin: int, root: str) -> int | None:
    found = outside(text, _BODY, begin)
    while found is not None and found["root"].lower() != root.lower():
        found = outside(text, _BODY, found.end())
    return found.end() if found is not None else None


def outside(text: str, pattern: re.Pattern[str], position: int) -> re.Match[str] | None:
    """Find the first match that is outside comments and CDATA sections; None without one.

    A comment or CDATA that has no end counts as text. Each character is read a bounded number of times.

    Args:
        text: an XML document or a part of one.
        pattern: also matches where a comment or CDATA begins.
        position: where the search begins; not within a comment or CDATA.
    """
    endless: set[str] = set()
    while (found := pattern.search(text, position)) is not None:
        end = _ENDS.get(found.group().upper())
        if end is None:
            return found
        close = -1 if end in endless else text.find(end, found.end())
        if close < 0:
            endless.add(end)
        position = found.end() if close < 0 else close + len(end)
    return None
