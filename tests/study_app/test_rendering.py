"""Markdown, code, tables and mathematics; and nothing that runs or loads."""

import re

import pytest

from plaudit.study_app.rendering import render_markdown, render_messages
from plaudit.types import Message

XSS = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror=window.hacked=1>",
    "<svg onload=window.hacked=1></svg>",
    "[click](javascript:window.hacked=1)",
    "[click](JaVaScRiPt:window.hacked=1)",
    "[click](data:text/html,<script>window.hacked=1</script>)",
    "![x](javascript:window.hacked=1)",
    "![track](https://evil.example/pixel.png)",
    "<a href='vbscript:x'>x</a>",
    "<iframe src='https://evil.example'></iframe>",
    "<style>@import 'https://evil.example/x.css'; body{display:none}</style>",
    "<div style='background:url(https://evil.example)'>x</div>",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.hacked=1>",
    "<form action=https://evil.example><button>go</button></form>",
    "<details open ontoggle=window.hacked=1>",
    "```html\n<script>window.hacked=1</script>\n```",
    "$\\href{javascript:window.hacked=1}{x}$",
    "$$\\text{<img src=x onerror=window.hacked=1>}$$",
    '<a href="https://x" onclick="window.hacked=1">x</a>',
    "`<script>window.hacked=1</script>`",
    "<object data='https://evil.example'></object><embed src='https://evil.example'>",
    "<base href='https://evil.example/'><link rel=stylesheet href='https://evil.example/x.css'>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<input autofocus onfocus=window.hacked=1>",
    "<video><source onerror=window.hacked=1></video>",
    "\\(<script>window.hacked=1</script>\\)",
    "<scr<script>ipt>window.hacked=1</scr</script>ipt>",
    "[x]: javascript:window.hacked=1\n\n[x]",
    "<javascript:window.hacked=1>",
]
ACTIVE = re.compile(
    r"<\s*(script|img|svg|iframe|style|form|details|object|embed|base|link|meta|input|video|button)\b"
    r"|<[^>]*\son\w+\s*=|<[^>]*(?:href|src)\s*=\s*[\"']?\s*(?:javascript|data|vbscript):|<[^>]*\sstyle=",
    re.IGNORECASE,
)


@pytest.mark.parametrize("text", XSS)
def test_nothing_active_is_left(text):
    assert not ACTIVE.search(render_markdown(text)), render_markdown(text)


def test_markdown_tables_and_code():
    html = render_markdown(
        "# T\n\n**b** *i* ~~s~~\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- x\n\n> q"
    )
    for tag in ("<h1>", "<strong>", "<em>", "<s>", "<table>", "<td>", "<li>", "<blockquote>"):
        assert tag in html
    code = render_markdown("```python\ndef f():\n    return 1\n```")
    assert 'class="k"' in code
    assert "def" in code
    assert "<pre>" in render_markdown("```nolanguage\nx\n```")


def test_mathematics_is_mathml_and_prices_are_not():
    assert "<msup>" in render_markdown("so $x^2$ it is")
    assert 'display="block"' in render_markdown("$$\\frac{1}{2}$$")
    assert "<mfrac>" in render_markdown("\\[\\frac{1}{2}\\]")
    assert "<msup>" in render_markdown("a \\(x^2\\) b")
    assert "<math" not in render_markdown("It costs $5 here and $10 there.")
    assert "frac" in render_markdown("$\\frac{$")


def test_line_breaks_stay_and_links_open_elsewhere():
    assert "<br" in render_markdown("one\ntwo")
    html = render_markdown("[x](https://example.com)")
    assert 'target="_blank"' in html
    assert "noopener" in html


def test_images_become_their_words():
    html = render_markdown("![a cat](https://example.com/cat.png)")
    assert "a cat" in html
    assert "example.com" not in html


def test_long_and_odd_texts_render_whole():
    text = "word " * 8000 + "\u202eשלום 😀 end"
    html = render_messages((Message("assistant", text),))[0]["html"]
    assert "😀 end" in html


def test_what_is_not_shown_is_named_and_a_models_name_is_not():
    parts = ({"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "x"}})
    call = {"function": {"name": "<b>find</b>"}}
    fields = {"tool_calls": [call, "odd"], "reasoning_content": "hm", "name": "gpt"}
    (shown,) = render_messages((Message("assistant", parts, fields),))
    assert "<p>See</p>" in shown["html"]
    assert "[image] [reasoning] [tool call: &lt;b&gt;find" in shown["html"]
    assert "[tool call: unnamed]" in shown["html"]
    assert "gpt" not in shown["html"]
