"""Images that a text carries in itself (`data:` URLs), sized before they load; no others."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import urlsplit

from plaudit.rendering.tree import Element, Node, element

MOST_BYTES = 5_000_000
MOST_PIXELS = 40_000_000
LONGEST_SIDE = 16_384
_DATA = re.compile(r"data:image/(png|jpe?g|gif|webp);base64,", re.IGNORECASE)


class BadImage(ValueError):
    """An image that is not shown; says why."""


def picture(address: str, words: str = "") -> list[Node]:
    """The image at an address, if that is a `data:` URL; otherwise words that stand for it."""
    try:
        return [_picture(address, words)]
    except BadImage as error:
        named = f"[image: {words}]" if words else "[image]"
        return [element("span", f"{named} ({error})", class_="image")]


def _picture(address: str, words: str) -> Element:
    start = _DATA.match(address)
    if start is None:
        raise BadImage(f"not loaded: {_place(address)}" if address else "no address")
    try:
        data = base64.b64decode(re.sub(r"\s|%0A", "", address[start.end() :]), validate=True)
    except (binascii.Error, ValueError):
        raise BadImage("not shown: its data is not base64") from None
    kind, width, height = size(data)
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    shown = {"src": source, "alt": words, "width": str(width), "height": str(height)}
    return Element("img", shown | {"class": "picture"})


def _place(address: str) -> str:
    """The host of an address, or its beginning."""
    if address[:5].lower() == "data:":
        return "data of another kind than PNG, JPEG, GIF or WebP"
    try:
        return urlsplit(address).hostname or address[:80]
    except ValueError:
        return address[:80]


def size(data: bytes) -> tuple[str, int, int]:
    """(kind, width, height) of a PNG, JPEG, GIF or WebP, by its first bytes.

    Raises BadImage on anything else, and on one too large to show.
    """
    if len(data) > MOST_BYTES:
        raise BadImage(f"not shown: larger than {MOST_BYTES // 1_000_000} MB")
    for kind, read in (("png", _png), ("gif", _gif), ("webp", _webp), ("jpeg", _jpeg)):
        found = read(data)
        if found is None:
            continue
        width, height = found
        if not (0 < width <= LONGEST_SIDE and 0 < height <= LONGEST_SIDE):
            raise BadImage(f"not shown: {width} × {height} pixels")
        if width * height > MOST_PIXELS:
            raise BadImage(f"not shown: {width} × {height} pixels are more than 40 million")
        return kind, width, height
    raise BadImage("not shown: no PNG, JPEG, GIF or WebP")


def _png(data: bytes) -> tuple[int, int] | None:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR" or len(data) < 24:
        return None
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _gif(data: bytes) -> tuple[int, int] | None:
    if data[:6] not in (b"GIF87a", b"GIF89a") or len(data) < 10:
        return None
    return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")


def _webp(data: bytes) -> tuple[int, int] | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if data[12:16] == b"VP8 ":
        sides = int.from_bytes(data[26:28], "little"), int.from_bytes(data[28:30], "little")
        return sides[0] & 0x3FFF, sides[1] & 0x3FFF
    return None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """Width and height stand in the frame header, after segments that tell their length."""
    if data[:3] != b"\xff\xd8\xff":
        return None
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(
                data[at + 5 : at + 7], "big"
            )
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
