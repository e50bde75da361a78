"""HTML as a tree that is written by one function, and an allow-list that it keeps to.

A text reaches the page as a `str` in the tree, which is escaped, or as the value of an attribute
whose pattern stands here. Whatever stands in neither list raises, so that a mistake elsewhere
shows as plain text, never as markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape

DEEPEST = 100  # elements inside each other
MOST_ELEMENTS = 40_000
LONGEST = 4_000_000  # characters of HTML, images apart

TAGS = frozenset(
    """
    p br hr wbr h1 h2 h3 h4 h5 h6 ul ol li dl dt dd blockquote pre code kbd samp var em strong b i u
    s ins del sub sup small mark q cite abbr a table thead tbody tfoot tr th td span div details
    summary img
    math mrow mi mn mo ms mtext mspace mfrac msqrt mroot mstyle mpadded msub msup msubsup munder
    mover munderover mtable mtr mtd
    """.split()
)
VOID = frozenset(("br", "hr", "wbr", "img"))
# Classes are these alone, so that no text can borrow one that the page uses.
CLASSES = frozenset(
    """
    shown plain notice label language quiet picture image table whole left right center written
    task footnotes call result reasoning system control
    k s c n f added removed
    boxed struck bold mono sans al ar
    """.split()
)
_LENGTH = r"-?\d{1,3}(\.\d{1,4})?em"
_FLAG = "true|false"
_EVERYWHERE = {
    "dir": "auto|ltr|rtl",
    "lang": "ja|ko|zh|th",
    "class": r"[a-z]+( [a-z]+)*",
}
_ATTRIBUTES = {
    "a": {
        "href": r"(?i:https?://|mailto:)[^\s\x00-\x1f\"<>]+",
        "target": "_blank",
        "rel": r"[a-z ]+",
    },
    "ol": {"start": r"\d{1,9}"},
    "li": {"value": r"\d{1,9}"},
    "td": {"colspan": r"\d{1,2}", "rowspan": r"\d{1,2}"},
    "th": {"colspan": r"\d{1,2}", "rowspan": r"\d{1,2}"},
    "details": {"open": ""},
    "img": {
        "src": r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}",
        "alt": r"[^\x00]*",
        "width": r"\d{1,5}",
        "height": r"\d{1,5}",
    },
    "math": {"display": "block|inline"},
    "mi": {"mathvariant": "normal"},
    "mo": {
        **dict.fromkeys(("stretchy", "fence", "separator", "movablelimits", "largeop"), _FLAG),
        **dict.fromkeys(("minsize", "maxsize", "lspace", "rspace"), _LENGTH),
        "form": "prefix|infix|postfix",
    },
    "mspace": {"width": _LENGTH},
    "mpadded": {"width": "0"},
    "mstyle": {"displaystyle": _FLAG, "scriptlevel": "[0-2]"},
    "mtable": {"displaystyle": _FLAG},
    "mfrac": {"linethickness": r"0|0\.\d{1,3}em"},
    "mover": {"accent": _FLAG},
    "munder": {"accentunder": _FLAG},
}
_PATTERNS = {
    (tag, name): re.compile(pattern)
    for tag in TAGS
    for name, pattern in (_EVERYWHERE | _ATTRIBUTES.get(tag, {})).items()
}


class TooComplex(Exception):
    """A text that is shown as plain text instead: too deep, too large, or not all of it kept."""


@dataclass(slots=True)
class Element:
    """An element: its tag, attributes and children, of which a `str` is text.

    `written` are the tags of one that a text itself has.
    """

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)
    written: tuple[str, str] = ("", "")


Node = Element | str


def element(tag: str, *children: Node, **attributes: str) -> Element:
    """An element; `class_` is its class."""
    names = {name.rstrip("_"): value for name, value in attributes.items() if value}
    return Element(tag, names, list(children))


def texts(nodes: Iterable[Node], skip: str = "") -> Iterator[str]:
    """Every text of the nodes, in order; not of elements of the tag `skip`."""
    stack = [iter(nodes)]
    while stack:
        node = next(stack[-1], None)
        if node is None:
            stack.pop()
        elif isinstance(node, str):
            yield node
        elif node.tag != skip:
            stack.append(iter(node.children))


def allows(tag: str, name: str, value: str) -> bool:
    """Whether an attribute may be written."""
    pattern = _PATTERNS.get((tag, name))
    if pattern is None or not pattern.fullmatch(value):
        return False
    return name != "class" or set(value.split()) <= CLASSES


def serialise(nodes: Iterable[Node], longest: float = LONGEST) -> str:
    """The nodes as HTML.

    Raises TooComplex beyond the limits, ValueError on what the allow-list does not have.
    """
    parts: list[str] = []
    stack: list[tuple[Iterator[Node], str]] = [(iter(nodes), "")]
    elements = length = 0
    while stack:
        node = next(stack[-1][0], None)
        if node is None:
            parts.append(stack.pop()[1])
        elif isinstance(node, str):
            parts.append(escape(node, quote=False))
            length += len(parts[-1])
        else:
            parts.append(_opening(node))
            elements += 1
            length += 2 * len(node.tag) + (0 if node.tag == "img" else len(parts[-1]))
            if node.tag not in VOID:
                stack.append((iter(node.children), f"</{node.tag}>"))
        if len(stack) > DEEPEST or elements > MOST_ELEMENTS or length > longest:
            raise TooComplex
    return "".join(parts)


def _opening(node: Element) -> str:
    if node.tag not in TAGS:
        raise ValueError(f"no element <{node.tag[:40]}> is written")
    written = [f"<{node.tag}"]
    for name, value in node.attributes.items():
        if not allows(node.tag, name, value):
            raise ValueError(f"no attribute {name[:40]}={value[:40]!r} of <{node.tag}> is written")
        written.append(f' {name}="{escape(value)}"')
    # A parser drops the first line break of a <pre>.
    first = node.children[0] if node.tag == "pre" and node.children else ""
    if isinstance(first, Element):
        first = next(texts([first]), "")
    written.append(">\n" if first.startswith("\n") else ">")
    return "".join(written)
