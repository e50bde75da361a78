"""HTML inside Markdown: harmless elements as on the web, everything else as it was written."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

INLINE = frozenset(
    "br wbr b strong i em u ins s del sub sup code kbd samp var small mark q cite abbr span a img"
    " strike tt".split()
)
BLOCK = frozenset(
    "p div center details summary table thead tbody tfoot tr td th ul ol li dl dt dd blockquote pre"
    " h1 h2 h3 h4 h5 h6 hr".split()
)
RENAMED = {"strike": "s", "tt": "code", "center": "div"}
EMPTY = frozenset(("br", "wbr", "hr", "img"))
# Elements that stand in these alone, and those that hold nothing but these.
PARENTS = {
    "summary": {"details"},
    "thead": {"table"},
    "tbody": {"table"},
    "tfoot": {"table"},
    "tr": {"table", "thead", "tbody", "tfoot"},
    "td": {"tr"},
    "th": {"tr"},
    "li": {"ul", "ol"},
    "dt": {"dl"},
    "dd": {"dl"},
}
HOLD_ONLY = {
    parent: {child for child, parents in PARENTS.items() if parent in parents}
    for parent in ("table", "thead", "tbody", "tfoot", "tr", "ul", "ol", "dl")
}
_ATTRIBUTE = r"""\s+([a-zA-Z][a-zA-Z-]*)(?:\s*=\s*("[^"<>]*"|'[^'<>]*'|[^\s"'=<>`]+))?"""
TAG = re.compile(rf"<(/?)([a-zA-Z][a-zA-Z0-9-]*)((?:{_ATTRIBUTE})*)\s*/?>")
_ATTRIBUTES = re.compile(_ATTRIBUTE)
# An element with another attribute than these is shown as written: `a<b and c>d` is none.
_KNOWN = frozenset(
    "href align valign width height style class id name target rel start value type colspan rowspan"
    " border cellpadding cellspacing src alt color bgcolor size lang dir".split()
)
_ALONE = frozenset(("open", "nowrap"))
_STARTS = re.compile(
    r"</?(details|table|div|p|center|ul|ol|dl|blockquote|h[1-6]|hr|pre)(?=[\s/>])|<summary>.*</summary>",
    re.IGNORECASE,
)
_PARTS = re.compile(r"</?(summary|thead|tbody|tfoot|tr|td|th|li|dt|dd)(?=[\s/>])", re.IGNORECASE)


def raw_html(markdown: MarkdownIt) -> None:
    """Teach the grammar the harmless elements."""
    also: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote"]}
    markdown.block.ruler.at("html_block", _block, also)
    markdown.inline.ruler.at("html_inline", _inline)


def attributes_of(written: str) -> dict[str, str] | None:
    """The attributes of a tag by name; None where there is one that is not known."""
    found = {}
    for name, value in _ATTRIBUTES.findall(written):
        name = name.lower()
        if name not in _KNOWN if value else name not in _ALONE:
            return None
        found[name] = value.strip("\"'")
    return found


def _inline(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "<":
        return False
    tag = TAG.match(state.src, state.pos, state.posMax)
    if tag is None:
        return False
    if not silent:
        known = tag[2].lower() in INLINE and attributes_of(tag[3]) is not None
        token = state.push("html_inline" if known else "text", "", 0)
        token.content = tag[0]
    state.pos = tag.end()
    return True


def _block(state: StateBlock, line: int, last: int, silent: bool) -> bool:
    """Lines of HTML up to an empty one, or of <pre> up to its end."""
    start = state.bMarks[line] + state.tShift[line]
    if state.src[start : start + 1] != "<" or state.is_code_block(line):
        return False
    text = state.src[start : state.eMarks[line]]
    begun = _STARTS.match(text) or (_PARTS.match(text) if "raw" in state.env else None)
    if begun is None or TAG.match(text) is None:
        return False
    if silent:
        return True
    state.env["raw"] = True
    here = line + 1
    whole = (begun[1] or "").lower() == "pre" and _ending(state, line, last)
    if whole:
        here = int(whole)
    else:
        while here < last and state.sCount[here] >= state.blkIndent and not state.isEmpty(here):
            here += 1
    token = state.push("html_block", "", 0)
    token.map = [line, here]
    token.content = state.getLines(line, here, state.blkIndent, False)
    state.line = here
    return True


def _ending(state: StateBlock, line: int, last: int) -> int:
    """The line after the one that ends a <pre>; 0 where none does."""
    for here in range(line, last):
        if state.sCount[here] < state.blkIndent and not state.isEmpty(here):
            return 0
        if "</pre>" in state.src[state.bMarks[here] : state.eMarks[here]].lower():
            return here + 1
    return 0
