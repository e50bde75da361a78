"""Markdown as a tree of elements, with every letter and digit that was written still there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape

from markdown_it.token import Token

from plaudit.rendering.code import coloured
from plaudit.rendering.grammar import grammar
from plaudit.rendering.images import picture
from plaudit.rendering.mathml import mathml
from plaudit.rendering.plain import direction, link, linked, visible
from plaudit.rendering.raw_html import (
    BLOCK,
    EMPTY,
    HOLD_ONLY,
    INLINE,
    PARENTS,
    RENAMED,
    TAG,
    attributes_of,
)
from plaudit.rendering.tree import Element, Node, TooComplex, allows, element, texts

LONGEST = 200_000  # characters; a longer text is shown as plain text
_GRAMMAR = grammar()
_ALIGNED = {"text-align:left": "left", "text-align:right": "right", "text-align:center": "center"}
_WHOLE = 24  # characters of a table's cell that stand on one line, such as a price
_ENTITY = re.compile(r"&#?[0-9A-Za-z]{1,32};")
_BLOCKS = frozenset("p li h1 h2 h3 h4 h5 h6 blockquote td th details summary dt dd".split())


def markdown(text: str) -> list[Node]:
    """The nodes that show a Markdown text.

    Raises TooComplex on a text that is too long or nested too deeply, or that would lose letters.
    """
    if len(text) > LONGEST:
        raise TooComplex
    builder = _Builder()
    nodes = builder.build(_GRAMMAR.parse(text))
    _refuse_losses(text, nodes, builder.markup)
    return nodes


def _refuse_losses(text: str, nodes: list[Node], markup: list[str]) -> None:
    """Raise TooComplex unless each letter and digit of the text is shown, or is known markup.

    Whatever a rule of the grammar drops (a cell too many in a row of a table, say) is found here.
    """
    written = Counter(text)
    for known in (texts(nodes, skip="math"), markup, _ENTITY.findall(text)):
        written.subtract(Counter("".join(known)))
    if any(count > 0 and character.isalnum() for character, count in written.items()):
        raise TooComplex


@dataclass(slots=True)
class _Frame:
    """An open element; `written` is the tag of one that the text itself opened."""

    element: Element
    written: str = ""


class _Builder:
    """Makes elements of tokens. `markup` collects what was written and is not shown as text."""

    def __init__(self) -> None:
        self.markup: list[str] = []
        self._frames = [_Frame(Element("div"))]
        self._numbers: list[int | None] = []
        self._links: list[tuple[str, str]] = []  # address and title of each open one

    def build(self, tokens: list[Token]) -> list[Node]:
        """The nodes of a whole text."""
        self._blocks(tokens)
        self._unwrap(len(self._frames) - 1)
        return self._frames[0].element.children

    # -------------------------------------------------------------------------- frames

    def _add(self, *nodes: Node) -> None:
        self._frames[-1].element.children += nodes

    def _open(self, node: Element) -> None:
        if node.tag in _BLOCKS:
            node.attributes["dir"] = "auto"
        self._frames.append(_Frame(node))

    def _close(self) -> Element:
        """End the innermost element that Markdown opened, and what the text left open in it."""
        count = 0
        while self._frames[-1 - count].written:
            count += 1
        self._unwrap(count)
        done = self._frames.pop().element
        if done.tag in ("ul", "ol", "table"):
            done.attributes["dir"] = direction("".join(texts([done])))
        self._add(element("div", done, class_="table") if done.tag == "table" else done)
        return done

    def _unwrap(self, count: int) -> None:
        """The last frames as they were written: their tags are text."""
        for _ in range(count):
            frame = self._frames.pop()
            self._add_written(frame, "")

    def _add_written(self, frame: _Frame, ending: str) -> None:
        nodes = [*visible(frame.written), *_flat(frame.element.children), *visible(ending)]
        block = frame.element.tag in BLOCK
        self._add(*([element("div", *nodes, class_="written", dir="auto")] if block else nodes))

    # -------------------------------------------------------------------------- blocks

    def _blocks(self, tokens: list[Token]) -> None:
        for token in tokens:
            if token.type == "inline":
                self._inline(token.children or [])
            elif token.type in _LEAVES:
                _LEAVES[token.type](self, token)
            elif token.hidden:  # the paragraph of an item in a tight list
                continue
            elif token.nesting > 0:
                self._open(self._opened(token))
            elif token.nesting < 0:
                self._closed(token)

    def _opened(self, token: Token) -> Element:
        if token.type == "footnote_block_open":
            return element("ol", class_="footnotes")
        if token.type == "footnote_open":
            self.markup.append(str(token.meta.get("label") or ""))
            return element("li", value=str(token.meta["id"] + 1))
        node = Element(token.tag)
        if token.type == "ordered_list_open":
            self._numbers.append(None)
        elif token.type == "list_item_open" and token.info:
            self._number(node, token.info)
        elif token.tag in ("td", "th"):
            align = _ALIGNED.get(str(token.attrGet("style") or ""), "")
            node.attributes |= {"class": align} if align else {}
        return node

    def _number(self, item: Element, written: str) -> None:
        """The number that was written; a list of ones counts up, as Markdown has it."""
        self.markup.append(written)
        before, number = self._numbers[-1], int(written)
        if before is None or number != before:
            item.attributes["value"] = str(number)
        self._numbers[-1] = number

    def _closed(self, token: Token) -> None:
        done = self._close()
        if token.type == "ordered_list_close":
            self._numbers.pop()
        elif done.tag in ("td", "th") and len("".join(texts([done]))) <= _WHOLE:
            done.attributes["class"] = f"{done.attributes.get('class', '')} whole".strip()

    def _fence(self, token: Token) -> None:
        info = token.info.strip()
        language = info.split(None, 1)[0] if info else ""
        if info == "math":
            self.markup += [info, token.content]
            self._add(mathml(token.content, display=True))
            return
        body = element("code", *coloured(token.content, language))
        label = [element("div", *visible(info), class_="language")] if info else []
        self._add(*label, element("pre", body, dir="ltr"))

    def _html_block(self, token: Token) -> None:
        if token.content.lstrip()[:4].lower() == "<pre" and "</pre>" in token.content.lower():
            self._preformatted(token.content)
            return
        end = 0
        for tag in TAG.finditer(token.content):
            self._raw_text(token.content[end : tag.start()])
            self._tag(tag[0], BLOCK | INLINE)
            end = tag.end()
        self._raw_text(token.content[end:])

    def _raw_text(self, text: str) -> None:
        self._add(*visible(_unescaped(text)))

    def _preformatted(self, written: str) -> None:
        """The inside of a <pre>, whose tags are text but for its own and that of a <code>."""
        opening = TAG.match(written.lstrip())
        start = written.find(">") + 1 if opening else 0
        end = written.lower().rfind("</pre>")
        self.markup += [written[:start], "pre"]
        body = element("code", *visible(_unescaped(written[start:end])))
        self._add(element("pre", body, dir="ltr"))
        self._raw_text(written[end + len("</pre>") :])

    def _tag(self, written: str, known: frozenset[str]) -> None:
        """A tag of the text: an element where it is harmless and stands in place."""
        tag = TAG.match(written)
        attributes = attributes_of(tag[3]) if tag and tag[2].lower() in known else None
        if tag is None or attributes is None:
            self._add(*visible(written))
        elif tag[1]:
            self._end(tag[2].lower(), written)
        else:
            self._begin(tag[2].lower(), attributes, written)

    def _begin(self, name: str, attributes: dict[str, str], written: str) -> None:
        within = self._frames[-1]
        fits = name not in PARENTS or (bool(within.written) and within.element.tag in PARENTS[name])
        if name == "img":
            self.markup.append(written)
            self._add(*picture(*(_unescaped(attributes.get(key, "")) for key in ("src", "alt"))))
        elif name in EMPTY:
            self.markup.append(written)
            self._add(Element(name))
        elif fits and (name != "a" or allows("a", "href", _unescaped(attributes.get("href", "")))):
            self._frames.append(_Frame(_element_of(name, attributes), written))
        else:
            self._add(*visible(written))

    def _end(self, name: str, written: str) -> None:
        """Close the element that the text opened by this name; else the tag is text."""
        for depth in range(1, len(self._frames)):
            frame = self._frames[-depth]
            if not frame.written:
                break
            if frame.written[1 : 1 + len(name)].lower() == name and not (
                frame.written[1 + len(name)].isalnum()
            ):
                self._unwrap(depth - 1)
                self._frames.pop()
                self._whole(frame, written)
                return
        self._add(*visible(written))

    def _whole(self, frame: _Frame, written: str) -> None:
        """Add an element of the text, or as it was written where it holds what it cannot."""
        node, only = frame.element, HOLD_ONLY.get(frame.element.tag)
        if only:
            node.children = [c for c in node.children if not isinstance(c, str) or c.strip()]
        if only and any(isinstance(c, str) or c.tag not in only for c in node.children):
            self._add_written(frame, written)
            return
        self.markup += [frame.written, written]
        node.written = frame.written, written
        self._add(element("div", node, class_="table") if node.tag == "table" else node)

    # -------------------------------------------------------------------------- in a line

    def _inline(self, tokens: list[Token]) -> None:
        task = self._frames[-1].element.tag == "li" or (
            len(self._frames) > 1 and self._frames[-2].element.tag == "li"
        )
        depth = len(self._frames)
        for number, token in enumerate(tokens):
            if token.type in _LEAVES:
                content = token.content
                if number == 0 and task and token.type == "text" and _box(content):
                    self.markup.append(content[1])
                    self._add(element("span", _box(content), class_="task"))
                    token.content = content[3:]
                _LEAVES[token.type](self, token)
            elif token.type == "link_open":
                self._link(token)
            elif token.type == "link_close":
                self._close_link()
            elif token.nesting > 0:
                self._open(Element(token.tag))
            elif token.nesting < 0:
                self._close()
        self._unwrap(len(self._frames) - depth)

    def _text(self, token: Token) -> None:
        in_link = any(frame.element.tag == "a" for frame in self._frames)
        self._add(*(visible if in_link else linked)(token.content))

    def _break(self, _token: Token) -> None:
        last = self._frames[-1].element.children[-1:]
        if not (last and isinstance(last[0], Element) and last[0].tag == "br"):
            self._add(Element("br"))

    def _link(self, token: Token) -> None:
        address = str(token.attrGet("href") or "")
        allowed = allows("a", "href", address)
        self._links.append(("" if allowed else address, str(token.attrGet("title") or "")))
        self.markup += [address if allowed else "", str(token.meta.get("label", ""))]
        self._open(link(address) if allowed else Element("span"))

    def _close_link(self) -> None:
        """A link's title stands beside it, and so does an address that is no web address."""
        self._close()
        address, title = self._links.pop()
        if address:
            self._add(*visible(f" ({address})"))
        self._title(title)

    def _title(self, title: str) -> None:
        if title:
            self._add(element("span", *visible(f" “{title}”"), class_="quiet"))

    def _image(self, token: Token) -> None:
        address = str(token.attrGet("src") or "")
        self.markup += [address, token.content, str(token.meta.get("label", ""))]
        self._add(*picture(address, token.content))
        self._title(str(token.attrGet("title") or ""))

    def _mathematics(self, token: Token) -> None:
        self.markup.append(token.content)
        self._add(mathml(token.content, token.type == "math_block" or token.markup == "$$"))

    def _footnote(self, token: Token) -> None:
        self.markup.append(str(token.meta.get("label") or ""))
        self._add(element("sup", f"[{token.meta['id'] + 1}]"))


def _element_of(name: str, attributes: dict[str, str]) -> Element:
    """An element that the text opened, with what of its attributes is kept."""
    node = Element(RENAMED.get(name, name))
    if name == "a":
        return link(_unescaped(attributes["href"]))
    if node.tag in _BLOCKS or node.tag == "div":
        node.attributes["dir"] = "auto"
    if name == "details":
        node.attributes["open"] = ""  # nothing of a response is folded away unseen
    align = "center" if name == "center" else attributes.get("align", "").lower()
    if align in ("left", "right", "center"):
        node.attributes["class"] = align
    for kept in ("start", "value", "colspan", "rowspan"):
        if allows(node.tag, kept, attributes.get(kept, "")):
            node.attributes[kept] = attributes[kept]
    return node


def _flat(nodes: list[Node]) -> list[Node]:
    """The nodes without parts of tables and lists that have lost what they were in."""
    flat: list[Node] = []
    for node in nodes:
        if isinstance(node, Element) and node.tag in PARENTS:
            opening, ending = node.written
            flat += [*visible(opening), *_flat(node.children), *visible(ending)]
        else:
            flat.append(node)
    return flat


def _box(text: str) -> str:
    """The box of a task that an item begins with; empty where it begins with none."""
    return {"[ ] ": "☐", "[x] ": "☑", "[X] ": "☑"}.get(text[:4], "")


def _unescaped(text: str) -> str:
    return _ENTITY.sub(lambda match: unescape(match[0]), text)


_LEAVES: dict[str, Callable[[_Builder, Token], None]] = {
    "text": _Builder._text,
    "text_special": lambda self, token: self._add(*visible(token.content)),
    "softbreak": _Builder._break,
    "hardbreak": _Builder._break,
    "code_inline": lambda self, token: self._add(
        element("code", *visible(token.content), dir="ltr")
    ),
    "html_inline": lambda self, token: self._tag(token.content, INLINE),
    "image": _Builder._image,
    "math_inline": _Builder._mathematics,
    "footnote_ref": _Builder._footnote,
    "footnote_anchor": lambda self, token: None,
    "math_block": _Builder._mathematics,
    "fence": _Builder._fence,
    "code_block": lambda self, token: self._add(
        element("pre", element("code", *visible(token.content)), dir="ltr")
    ),
    "html_block": _Builder._html_block,
    "hr": lambda self, token: self._add(Element("hr")),
    "definition": lambda self, token: self._add(
        element("p", *linked(token.content), class_="quiet", dir="auto")
    ),
}
