"""Text as it was written: line by line, with links to click and nothing invisible."""

from __future__ import annotations

import math
import re
import unicodedata

from plaudit.rendering.tree import Element, Node, element, serialise

# Characters that turn the order of others round, and letters that nobody sees; each is named in
# the text. Marks of direction that right-to-left writing needs are left alone: a block ends them.
_INVISIBLE = re.compile(
    "[\u202d\u202e\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\U0001f3f4)(?<![\U000e0020-\U000e007f])"
    "[\U000e0000-\U000e007f]+"
)
_ADDRESS = re.compile(r"https?://[^\s<>\"\u3000-\u303f\uff00-\uffef]+", re.IGNORECASE)
_AFTER = re.compile(r"[.,;:!?'*_~]+$")
_SCRIPTS = (
    ("ja", re.compile("[\u3040-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7af\u1100-\u11ff]")),
    ("th", re.compile("[\u0e00-\u0e7f]")),
    ("zh", re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")),
)
SAMPLE = 4000  # characters that language and direction are told by
TOO_COMPLEX = "Shown as plain text: too complex to format."


def plain(text: str) -> Element:
    """A block that shows a text as it was typed."""
    return element("div", *linked(text), class_="plain", dir="auto")


def too_complex(text: str) -> str:
    """HTML of a text that is not formatted, saying so: one block of whatever length."""
    shown = _INVISIBLE.sub(lambda found: _named(found[0]), text)
    note = element("p", TOO_COMPLEX, class_="notice")
    body = element("div", shown, class_="plain", dir="auto")
    return serialise([block(note, body, text=text)], longest=math.inf)


def block(*children: Node, text: str) -> Element:
    """The element around one rendered text, in the language that its script tells."""
    return element("div", *children, class_="shown", lang=language(text))


def linked(text: str) -> list[Node]:
    """The text with its web addresses as links."""
    nodes: list[Node] = []
    end = 0
    for found in _ADDRESS.finditer(text) if "://" in text else ():
        address = _AFTER.sub("", found[0])
        while address.endswith(")") and address.count(")") > address.count("("):
            address = _AFTER.sub("", address[:-1])
        if len(address) > len("https://") + 1:
            nodes += visible(text[end : found.start()])
            nodes.append(link(address, *visible(address)))
            end = found.start() + len(address)
    return nodes + visible(text[end:])


def link(address: str, *children: Node) -> Element:
    """A link that opens elsewhere and tells its host nothing."""
    rel = "noopener noreferrer nofollow"
    return element("a", *children, href=address, target="_blank", rel=rel, dir="auto")


def visible(text: str) -> list[Node]:
    """The text, with the characters named that would turn others round or be seen by nobody."""
    if text.isascii() and text.isprintable():
        return [text] if text else []
    nodes: list[Node] = []
    end = 0
    for found in _INVISIBLE.finditer(text):
        nodes += [text[end : found.start()]] if found.start() > end else []
        nodes.append(element("span", _named(found[0]), class_="control"))
        end = found.end()
    return nodes + ([text[end:]] if end < len(text) else [])


def _named(characters: str) -> str:
    hidden = "".join(chr(ord(c) - 0xE0000) for c in characters if 0xE0020 <= ord(c) < 0xE007F)
    return f"[invisible: {hidden}]" if hidden else f"[U+{ord(characters[0]):04X}]"


def language(text: str) -> str:
    """The language that a script without spaces tells, for glyphs and line breaks; else nothing."""
    sample = text[:SAMPLE]
    if sample.isascii():
        return ""
    return next((name for name, pattern in _SCRIPTS if pattern.search(sample)), "")


def direction(text: str) -> str:
    """rtl or ltr, as the first letter says; of lists and tables, whose blocks say it themselves."""
    if text.isascii():
        return "ltr"
    for character in text[:SAMPLE]:
        kind = unicodedata.bidirectional(character)
        if kind in ("R", "AL"):
            return "rtl"
        if kind == "L":
            return "ltr"
    return "ltr"
