"""Messages to HTML that is safe to show: Markdown, code, tables and mathematics, sanitised.

Nothing outside is loaded: images become their words, since fetching one would tell its host who
reads, and which model wrote it. Mathematics becomes MathML, which browsers draw themselves.
"""

from __future__ import annotations

from functools import lru_cache
from html import escape
from typing import Any

import nh3
from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from plaudit.types import Message, Messages

# Colouring costs more than it tells beyond this many characters of code.
CODE_LIMIT = 20_000
MATHML = """
math mrow mi mn mo ms mtext mspace mfrac msqrt mroot mstyle mpadded mphantom menclose msub msup
msubsup munder mover munderover mtable mtr mtd
""".split()
TEXT = """
p br hr h1 h2 h3 h4 h5 h6 ul ol li blockquote pre code em strong s del sub sup a table thead
tbody tr th td span div
""".split()
TAGS = {*TEXT, *MATHML}
ATTRIBUTES = {
    "a": {"href", "title"},
    "span": {"class"},
    "div": {"class"},
    "pre": {"class"},
    "code": {"class"},
    "ol": {"start"},
    "th": {"align"},
    "td": {"align"},
    "math": {"display"},
    "mo": {"stretchy", "fence", "form", "separator", "movablelimits", "minsize", "maxsize"},
    "mi": {"mathvariant"},
    "mstyle": {"displaystyle", "scriptlevel"},
    "mtable": {"columnalign", "rowspacing", "columnspacing"},
    "mtd": {"columnalign"},
    "mfrac": {"linethickness"},
    "mspace": {"width"},
    "menclose": {"notation"},
}


def _colour(code: str, language: str, _attributes: str) -> str:
    if not language or len(code) > CODE_LIMIT:
        return ""
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return ""
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))


def _mathematics(content: str, options: dict[str, Any]) -> str:
    display = "block" if options.get("display_mode") else "inline"
    try:
        return str(convert(content, display=display))
    except Exception:  # LaTeX that the converter cannot parse is shown as it was written
        return f"<code>{escape(content)}</code>"


def _image(self: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    return (
        f"<span class='image'>[image: {escape(tokens[index].content or 'no description')}]</span>"
    )


def _converter() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "highlight": _colour, "breaks": True})
    markdown.enable(["table", "strikethrough"])
    # A price is no formula: $5 and $10 stay text, $x$ and $$x$$ are mathematics.
    markdown.use(dollarmath_plugin, allow_space=False, allow_digits=False, renderer=_mathematics)
    markdown.add_render_rule("image", _image)
    return markdown


_MARKDOWN = _converter()


@lru_cache(maxsize=4096)
def render_markdown(text: str) -> str:
    """Sanitised HTML of one text."""
    for opening, closing, dollars in (("\\[", "\\]", "$$"), ("\\(", "\\)", "$")):
        if opening in text and closing in text:
            text = _as_dollars(text, opening, closing, dollars)
    return nh3.clean(
        _MARKDOWN.render(text),
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def _as_dollars(text: str, opening: str, closing: str, dollars: str) -> str:
    parts = text.split(opening)
    done = [parts[0]]
    for part in parts[1:]:
        body, found, rest = part.partition(closing)
        done.append(f"{dollars}{body.strip()}{dollars}{rest}" if found else opening + part)
    return "".join(done)


def render_messages(messages: Messages) -> list[dict[str, str]]:
    """[{"role", "html"}] of each message: its text, and a line for what is not shown."""
    return [
        {"role": message.role, "html": render_markdown(message.text) + _not_shown(message)}
        for message in messages
    ]


def _not_shown(message: Message) -> str:
    """Names what a message holds beside text, as in [image] and [tool call: search].

    A message's `name` is not told: it may be that of the model.
    """
    parts = () if isinstance(message.content, str) else message.content
    kinds = [str(part["type"]).removesuffix("_url") for part in parts if part["type"] != "text"]
    if message.fields.get("reasoning_content"):
        kinds.append("reasoning")
    kinds += [f"tool call: {_called(call)}" for call in message.fields.get("tool_calls") or ()]
    if not kinds:
        return ""
    return f"<p class='quiet'>{escape(' '.join(f'[{kind}]' for kind in kinds))}</p>"


def _called(call: Any) -> str:
    function = call.get("function", call) if isinstance(call, dict) else {}
    return str(function.get("name", "unnamed") if isinstance(function, dict) else "unnamed")
