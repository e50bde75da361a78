"""Mathematics as rules of the Markdown grammar: \\( \\), \\[ \\], $ $, $$ $$, \\begin{align} ….

A rule sees what is no code, so `\\(` in a shell command stays what it is. What stands between
the marks must look like mathematics: money ($5 and $10), an \\[optional\\] word and a regular
expression stay text, with their backslashes.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

LONGEST = 4000  # characters of one formula
MOST_LINES = 200
_PAIRS = {"\\(": "\\)", "\\[": "\\]", "$$": "$$", "$": "$"}
_ENVIRONMENTS = (
    "equation align aligned alignat gather gathered multline split cases dcases rcases matrix "
    "pmatrix bmatrix Bmatrix vmatrix Vmatrix smallmatrix array eqnarray flalign displaymath math"
).split()
_BEGIN = re.compile(rf"\\begin\{{({'|'.join(_ENVIRONMENTS)})(\*?)\}}")
_COMMAND = re.compile(r"\\[a-zA-Z]{2,}")
_SIGN = re.compile(r"[\^=<>≤≥≠≈→]|_[\w{\\]")
_SURE = re.compile(r"\\[a-zA-Z]{2,}|[\^_]")
# A word in running text: three small letters that are no command's name.
_WORD = re.compile(r"(?<![\\a-zA-Z])[A-Z]?[a-z]{3,}|[A-Z]{4,}")
_MONEY = re.compile(r"[€£¥₹]")


def mathematics(markdown: MarkdownIt) -> None:
    """Teach the grammar mathematics."""
    also: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    markdown.block.ruler.before("fence", "math_block", _block, also)
    markdown.block.ruler.before("lheading", "math_after_text", _after_text, {"alt": ["paragraph"]})
    markdown.inline.ruler.before("escape", "math_inline", _inline)


def is_mathematics(content: str, mark: str) -> bool:
    """Whether what stands between two marks is a formula.

    `$` is the mark of money too, and brackets are escaped in prose and regular expressions: a
    command, a power, an index or a relation makes a formula, and so do letters and numbers without
    a word among them.
    """
    if not content.strip() or len(content) > LONGEST or "`" in content:
        return False
    if _COMMAND.search(content) or mark == "$$" or mark.startswith("\\begin"):
        return True
    words = len(_WORD.findall(content))
    if mark == "$":
        if content[-1] in "=/:,;(+-*–—&|" or _MONEY.search(content):
            return False
        if content[0].isdigit() and words:
            return False
    if _SIGN.search(content):
        return True
    return not words and (mark != "\\[" or not content.strip().isdigit())


def _opened(text: str, at: int) -> tuple[str, str] | None:
    """The mark that begins at a place, and the one that ends what it begins."""
    begin = _BEGIN.match(text, at) if text.startswith("\\begin{", at) else None
    if begin is not None:
        return begin[0], begin[0].replace("\\begin", "\\end")
    for mark in ("\\(", "\\[", "$$", "$"):
        if text.startswith(mark, at):
            return mark, _PAIRS[mark]
    return None


def _closed(text: str, start: int, closing: str) -> int:
    """Where the closing mark stands, not escaped itself; -1 where it does not."""
    limit = start + LONGEST + len(closing)
    at = text.find(closing, start, limit)
    while at >= 0 and (_escaped(text, at) or (closing == "$" and _in_braces(text, start, at))):
        at = text.find(closing, at + 1, limit)
    return at


def _in_braces(text: str, start: int, at: int) -> bool:
    """Whether a dollar stands in braces, as in \\text{if $x$ is even}."""
    return text.count("{", start, at) - text.count("\\{", start, at) > (
        text.count("}", start, at) - text.count("\\}", start, at)
    )


def _escaped(text: str, at: int) -> bool:
    before = at
    while before > 0 and text[before - 1] == "\\":
        before -= 1
    return (at - before) % 2 == 1


def _inline(state: StateInline, silent: bool) -> bool:
    """A formula in a line; a bracket that begins none keeps its backslash."""
    text, at = state.src, state.pos
    if text[at] not in "\\$":
        return False
    marks = _opened(text, at)
    end = -1 if marks is None else _formula_end(text, at, *marks)
    if marks is not None and end >= 0:
        if not silent:
            token = state.push("math_inline", "math", 0)
            token.markup = "$" if marks[0] in ("$", "\\(") else "$$"
            token.content = _content(text, at, end, marks[0])
        state.pos = end + len(marks[1])
        return True
    if text[at] == "\\" and text[at + 1 : at + 2] in ("(", ")", "[", "]"):
        if not silent:
            state.pending += text[at : at + 2]
        state.pos = at + 2
        return True
    return False


def _formula_end(text: str, at: int, opening: str, closing: str) -> int:
    start = at + len(opening)
    end = _closed(text, start, closing)
    if end < 0 or not is_mathematics(text[start:end], opening):
        return -1
    before, after = text[at - 1 : at], text[end + len(closing) : end + len(closing) + 1]
    if opening == "$":
        # As pandoc: no blank inside the dollars, no digit after them; and no US$ before.
        left, right = text[start].isspace(), text[end - 1].isspace()
        spaced = (
            left and right and _SURE.search(text, start, end) and not _WORD.search(text[start:end])
        )
        if (
            ((left or right) and not spaced)
            or _alphanumeric(before)
            or (after.isascii() and after.isdigit())
        ):
            return -1
    return -1 if opening in ("$", "$$") and "$" in (before, after) else end


def _alphanumeric(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _content(text: str, at: int, end: int, opening: str) -> str:
    """The formula: what stands between the marks, or the environment with its names."""
    if opening.startswith("\\begin"):
        return text[at:end] + opening.replace("\\begin", "\\end")
    return text[at + len(opening) : end]


def _block(state: StateBlock, line: int, last: int, silent: bool) -> bool:
    """A formula that begins a line, and may end in the middle of a later one."""
    if state.is_code_block(line):
        return False
    return _formula_from(state, line, last, state.bMarks[line] + state.tShift[line], silent)


def _formula_from(state: StateBlock, line: int, last: int, begin: int, silent: bool) -> bool:
    marks = _opened(state.src, begin)
    if marks is None or marks[0] in ("$", "\\("):
        return False
    opening, closing = marks
    lines = [state.src[begin : state.eMarks[line]]]
    length, here = len(lines[0]), line
    while (found := _closed("\n".join(lines), len(opening), closing)) < 0:
        here += 1
        ended = here >= last or here - line > MOST_LINES or length > LONGEST
        if ended or (state.sCount[here] < state.blkIndent and not state.isEmpty(here)):
            return False
        lines.append(state.getLines(here, here + 1, state.blkIndent, False))
        length += len(lines[-1])
    whole = "\n".join(lines)
    after = whole[found + len(closing) :]
    if here == line and after.strip(" .,;:!"):  # with text after it, it stands in that text
        return False
    doubled = opening == "$$" and "$" in (whole[2:3], after[:1])
    if doubled or not is_mathematics(whole[len(opening) : found], opening):
        return False
    if silent:
        return True
    token = state.push("math_block", "math", 0)
    token.block, token.map = True, [line, here + 1]
    token.content = _content(whole, 0, found, opening)
    if after.strip() and after.strip() in ".,;:!":
        token.content += after.strip()
        after = ""
    _go_on(state, here, after)
    return True


def _go_on(state: StateBlock, line: int, rest: str) -> None:
    """Go on after a line, or with the rest of it as if that were a line of its own."""
    state.line = line + 1
    if rest.strip():
        state.line = line
        state.bMarks[line] = state.eMarks[line] - len(rest.lstrip())
        state.tShift[line] = 0
        state.sCount[line] = state.blkIndent


def _after_text(state: StateBlock, line: int, last: int, silent: bool) -> bool:
    """A line of text that ends with an opening mark: a paragraph, and a formula after it.

    As one paragraph, a line of the formula that begins with - or = would end it.
    """
    start, end = state.bMarks[line] + state.tShift[line], state.eMarks[line]
    text = state.src[start:end].rstrip()
    mark = next((m for m in ("\\[", "$$") if text.endswith(m) and text != m), None)
    if mark is None or state.is_code_block(line) or "`" in text or text.count(mark) != 1:
        return False
    begin = start + len(text) - len(mark)
    if _escaped(state.src, begin) or state.src[begin - 1] == "$":
        return False
    tokens = len(state.tokens)
    if not _formula_from(state, line, last, begin, silent):
        return False
    if not silent:
        formula = state.tokens[tokens:]
        del state.tokens[tokens:]
        state.push("paragraph_open", "p", 1)
        words = state.push("inline", "", 0)
        words.content, words.children = state.src[start:begin].strip(), []
        state.push("paragraph_close", "p", -1)
        state.tokens += formula
    return True
