"""No text runs, loads, covers, hides, freezes or grows; whatever is written is still read."""

import re
import string
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plaudit.rendering import process
from plaudit.rendering.code import _LEXERS, coloured
from plaudit.rendering.markdown import _LEAVES
from plaudit.rendering.plain import TOO_COMPLEX
from plaudit.rendering.tree import Element, element, serialise, texts
from plaudit.rendering.worker import Task, Worker
from tests.rendering.attacks import FREEZING, XSS
from tests.rendering.reading import read, rendered, words

FRAGMENTS = [
    *"<>&\"'`*_~[]()!#|-+=\\$^{}:;/\n\t 09azß中、。",
    "\n\n", "```", "$$", "\\[", "\\]", "\\(", "\\)", "\\begin{align}", "\\end{align}", "\\\\", "&",
    "<b>", "</b>", "<br>", "<details>", "<summary>", "</details>", "<table>", "<tr>", "<td>", "</table>",
    "<a href='https://x.y'>", "<a href=javascript:x>", "<img src=x>", "<div style=x>", "</div>", "<!--",
    "<script>", "<p>", "<ul>", "<li>", "<sub>", "<pre>", "</pre>", "- ", "1. ", "> ", "# ", "| a | b |\n|---|---|\n",
    "[^1]", "[^1]: ", "[x]: http://y 'z'\n", "[x]", "![x](", "](http://x.y)", "https://x.y/z", "\\frac{1}{2}",
    "\\text{a<b}", "^{", "_{", "&lt;", "&#x202e;", "\u202e", "**中文。**", "- [ ] ", "\\def\\a{b}", "\x00",
]  # fmt: skip
LINE = st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join)


@pytest.mark.parametrize("text", XSS)
def test_nothing_active_is_left(text):
    html = rendered(text)
    read(html)  # asserts that each tag and attribute is allowed
    assert not re.search(r"<[^>]*\son\w+=", html)


@pytest.fixture(scope="module")
def worker():
    it = Worker()
    it.render([Task([], "plain")])
    yield it
    it.close()


@pytest.mark.parametrize("text", FREEZING, ids=lambda text: repr(text[:12]))
def test_no_text_freezes_or_grows(worker, text):
    begun = time.process_time()
    before = time.monotonic()
    [[message], [after]] = worker.render(
        [Task([{"role": "assistant", "content": each}], "plain") for each in (text, "fine")]
    )
    assert time.monotonic() - before < 15  # a second of the processor, on a busy machine
    assert time.process_time() - begun < 1  # and none of this process
    assert len(message["html"]) <= 8 * len(text) + 60_000
    assert "fine" in after["html"]
    read(message["html"])


@settings(max_examples=400, deadline=5000, suppress_health_check=[HealthCheck.too_slow])
@given(LINE)
def test_any_fragments_keep_to_the_allow_list_and_lose_nothing(text):
    html = rendered(text)
    seen = read(html)
    if TOO_COMPLEX in html:
        assert text.replace("\x00", "[U+0000]").replace("\u202e", "[U+202E]") in seen
    assert "<script" not in html
    assert "javascript:x" not in re.findall(r'href="([^"]*)"', html)


@settings(max_examples=300, deadline=5000)
@given(
    st.text(alphabet=string.ascii_letters + string.digits + " \n.,!?*_#>-~中文。あใן", max_size=200)
)
def test_any_words_survive(text):
    if not text.strip():
        return
    html = rendered(text)
    characters = sorted(filter(str.isalnum, read(html).replace(TOO_COMPLEX, "")))
    numbered = re.sub(r"(?m)^[\s>]*(?:[-+*]\s+)*\d{1,9}[.)](?=\s|$)", "", text)
    assert len(characters) >= len(list(filter(str.isalnum, numbered))) - text.count("```")
    assert sorted(filter(str.isalpha, read(html).replace(TOO_COMPLEX, ""))) == sorted(
        filter(str.isalpha, text)
    )


@settings(max_examples=200, deadline=5000)
@given(st.text(max_size=300))
def test_any_prompt_is_read_as_it_was_typed(text):
    if not text.strip():
        assert "(empty)" in rendered(text, role="user")
        return
    assert words(read(rendered(text, role="user"))) == words(
        re.sub(
            "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202d\u202e]", lambda c: f"[U+{ord(c[0]):04X}]", text
        )
    ) or "invisible" in rendered(text, role="user")


HARD = ['"' + "\\" * 3000, "'" * 3000, "/*" * 2000, "<" * 3000, "(" * 3000, "{" * 3000, "a=" * 3000, "$" * 3000,
        "<!--" * 2000, "`" * 3000, "${" * 2000, "#" * 3000, "\n" * 3000, "- " * 3000, "0" * 5000, "r#" * 2000,
        '"""' * 2000, "<a " * 2000, "@" * 3000, "\t" * 3000, "a:\n " * 1500, "<<" * 2000, "@@ -1" * 1500, "_" * 5000]  # fmt: skip


@pytest.mark.parametrize(
    "language", sorted({lexer.__name__: name for name, lexer in _LEXERS.items()}.values())
)
def test_no_lexer_is_slow(language):
    for code in HARD:
        before = time.process_time()
        nodes = coloured(code[:20_000], language)
        assert time.process_time() - before < 0.9, (language, code[:10])
        assert "".join(texts(nodes)) == code[:20_000]


def test_what_the_tree_does_not_know_is_not_written():
    for node in (
        Element("script"),
        element("p", onclick="x"),
        element("a", href="javascript:x"),
        element("a", href="/relative"),
        element("span", class_="hidden"),
        element("img", src="https://x.y/z.png"),
        element("mspace", width="99999em"),
    ):
        with pytest.raises(ValueError, match="is written"):
            serialise([node])
    assert serialise(["<b>&", element("p", "\"'<")]) == "&lt;b&gt;&amp;<p>\"'&lt;</p>"


def test_a_text_that_would_lose_a_letter_is_shown_as_it_is(monkeypatch):
    monkeypatch.setitem(_LEAVES, "code_inline", lambda self, token: None)
    html = rendered("some `lost` code")
    assert TOO_COMPLEX in html
    assert "lost" in html


def test_the_clock_ends_whatever_the_process_does():
    assert process.SECONDS == 1.0
    assert process.MEMORY < 1 << 30
