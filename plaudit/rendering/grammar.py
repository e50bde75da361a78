"""The grammar of texts: CommonMark, tables, footnotes, mathematics, emphasis beside CJK.

What CommonMark drops is kept: definitions of links and footnotes that nothing refers to, and what
lies deeper than its limit.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.parser_inline import ParserInline
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.reference import reference
from markdown_it.rules_block.table import escapedSplit, getLine, table
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Scanned
from markdown_it.token import Token
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.footnote.index import footnote_def

from plaudit.rendering.mathematics import mathematics
from plaudit.rendering.raw_html import raw_html
from plaudit.rendering.tree import TooComplex

DEEPEST = 30  # quotes and lists inside each other
_ALLOWED = re.compile(r"(https?://|mailto:|data:image/)", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_CJK = re.compile(
    "[\u1100-\u11ff\u2e80-\u303f\u3040-\u30ff\u3100-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff]"
)


def grammar() -> MarkdownIt:
    """A parser of texts. Its `parse` raises TooComplex on what is nested too deeply."""
    markdown = _Markdown("commonmark", {"html": True, "maxNesting": DEEPEST + 20})
    markdown.inline = _Inline()
    markdown.configure("commonmark", {"html": True, "maxNesting": DEEPEST + 20})
    markdown.options["store_labels"] = True
    markdown.enable(["table", "strikethrough"])
    footnote_plugin(markdown)
    also: RuleOptionsType = {"alt": ["paragraph", "reference"]}
    markdown.block.ruler.at("footnote_def", _footnote_once, also)
    markdown.core.ruler.before("footnote_tail", "footnotes_unused", _keep_unused)
    markdown.block.ruler.at("reference", _shown_reference)
    markdown.block.ruler.at("table", _whole_table, also)
    raw_html(markdown)
    mathematics(markdown)
    # Last, so that it stands before every other rule.
    markdown.block.ruler.before("table", "depth", _refuse_depth)
    markdown.disable("text_join")  # it would forget which characters were written as entities
    return markdown


class _Markdown(MarkdownIt):
    def validateLink(self, url: str) -> bool:
        """Whether a link may be one: to the web or by mail; relative ones are shown as text."""
        return bool(_ALLOWED.match(url.strip()) or not _SCHEME.match(url.strip()))

    def normalizeLink(self, url: str) -> str:
        """The address as it was written; browsers know how to send it."""
        return re.sub(r"[\s\x00-\x1f\x7f\"<>\\^`{|}]", lambda c: f"%{ord(c[0]):02X}", url)

    def normalizeLinkText(self, link: str) -> str:
        return link


class _Inline(ParserInline):
    def parse(self, src: str, md: MarkdownIt, env: Any, tokens: list[Token]) -> list[Token]:
        state = _State(src, md, env, tokens)
        self.tokenize(state)
        for rule in self.ruler2.getRules(""):
            rule(state)
        return state.tokens


class _State(StateInline):
    def scanDelims(self, start: int, canSplitWord: bool) -> Scanned:
        """Whether marks open or close emphasis, also beside CJK characters.

        CommonMark asks for a blank or punctuation outside of marks that touch punctuation inside,
        and CJK writes neither: 这是**“重点”**吗 would keep its asterisks.
        """
        scanned = super().scanDelims(start, canSplitWord)
        end = start + scanned.length
        before = self.src[start - 1] if start else " "
        after = self.src[end] if end < self.posMax else " "
        if not canSplitWord or not (_CJK.match(before) or _CJK.match(after)):
            return scanned
        beside_cjk = before.isspace() or _punctuation(before) or bool(_CJK.match(before))
        beside_after = after.isspace() or _punctuation(after) or bool(_CJK.match(after))
        opens = not after.isspace() and (not _punctuation(after) or beside_cjk)
        closes = not before.isspace() and (not _punctuation(before) or beside_after)
        return Scanned(opens, closes, scanned.length)


def _punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"


def _refuse_depth(state: StateBlock, _line: int, _last: int, _silent: bool) -> bool:
    if state.level > DEEPEST:
        raise TooComplex
    return False


def _whole_table(state: StateBlock, line: int, last: int, silent: bool) -> bool:
    """A table, with the cells that a row has beyond its head: CommonMark would drop them."""
    before = len(state.tokens)
    if not table(state, line, last, silent):
        return False
    tokens = state.tokens[before:]
    columns = sum(token.type == "th_open" for token in tokens)
    del state.tokens[before:]
    here = line
    for token in tokens:
        if token.type == "tr_open" and token.map:
            here = token.map[0]
        elif token.type == "tr_close" and here > line:
            for cell in escapedSplit(getLine(state, here).strip().strip("|"))[columns:]:
                state.push("td_open", "td", 1)
                words = state.push("inline", "", 0)
                words.content, words.children = cell.strip(), []
                state.push("td_close", "td", -1)
        state.tokens.append(token)
    return True


def _footnote_once(state: StateBlock, line: int, last: int, silent: bool) -> bool:
    """A footnote's definition; a second one of the same name is text, where it would replace it."""
    start = state.bMarks[line] + state.tShift[line]
    named = re.match(r"\[\^([^\s\]]+)\]:", state.src[start : state.eMarks[line]])
    known = state.env.get("footnotes", {}).get("refs", {})
    if named is None or f":{named[1]}" in known:
        return False
    return footnote_def(state, line, last, silent)


def _keep_unused(state: StateCore) -> None:
    """Footnotes that nothing refers to stand among the others."""
    notes = state.env.get("footnotes", {})
    listed = notes.setdefault("list", {}) if notes else {}
    for name, number in notes.get("refs", {}).items():
        if number < 0:
            notes["refs"][name] = len(listed)
            listed[len(listed)] = {"label": name[1:], "count": 0}


def _shown_reference(state: StateBlock, line: int, last: int, silent: bool) -> bool:
    """The definition of a link, which is shown too: it may hold words that no link does."""
    if not reference(state, line, last, silent):
        return False
    if not silent:
        token = state.push("definition", "p", 0)
        token.content = state.getLines(line, state.line, state.blkIndent, False)
    return True
