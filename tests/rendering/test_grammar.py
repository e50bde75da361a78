"""What the grammar makes of mathematics, code, HTML, links and lists."""

import pytest

from tests.rendering.reading import read, rendered


def test_markdown_tables_and_code():
    html = rendered("# T\n\n**b** *i* ~~s~~\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n- x\n\n> q")
    for tag in ("<h1 ", "<strong>", "<em>", "<s>", "<table ", "<td ", "<li ", "<blockquote "):
        assert tag in html
    assert '<td class="right whole" dir="auto">2</td>' in html
    assert '<span class="k">def</span>' in rendered("```python\ndef f():\n    return 1\n```")
    assert "<span" not in rendered("```scala\nval x = 1\n```")


@pytest.mark.parametrize(
    "text",
    [
        "\\(x^2\\)",
        "$x^2$",
        "a\\(x^2\\)3",
        "- $x^2$",
        "> \\(x^2\\)",
        "| $x^2$ |\n|---|",
        "设$x^2$为",
        "**$x^2$**",
    ],
)
def test_mathematics_in_a_line(text):
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in rendered(text)


@pytest.mark.parametrize(
    "body", ["x = 1", "\n- 5 + x\n", "\n\\begin{aligned}x &= 1\\end{aligned}\n", "\nx\n=\ny\n"]
)
@pytest.mark.parametrize("before", ["", "We get:\n", "We get: ", "1. Check:\n   ", "> "])
@pytest.mark.parametrize("marks", [("\\[", "\\]"), ("$$", "$$")])
def test_displayed_mathematics_wherever_it_stands(before, body, marks):
    prefix = {"1. Check:\n   ": "   ", "> ": "> "}.get(before, "")
    text = before + (marks[0] + body + marks[1]).replace("\n", f"\n{prefix}")
    html = rendered(text)
    assert 'display="block"' in html, html
    assert marks[0] not in read(html)
    assert "<ul" not in html


def test_environments_stand_alone_and_align():
    html = rendered("\\begin{align}\nx_1 &= 3 \\\\\nx_2 &= 2\n\\end{align}\nafter")
    assert html.count("<mtr>") == 2
    assert 'class="ar"' in html
    assert "<p" in html
    assert "<math" not in rendered("\\begin{itemize}\n\\item a\n\\end{itemize}")
    assert "&amp;" not in rendered("\\begin{cases} 1 & x \\\\ 2 & y \\end{cases}")


@pytest.mark.parametrize(
    "text",
    [
        "$5 and $10",
        "US$5 and US$6",
        "20$ notes, 30$ notes",
        "$5-$10",
        "$HOME/$USER",
        "the \\[optional\\] flag",
        "\\(foo bar\\)",
        "\\[1\\]",
        "$100 and you have 30$.",
    ],
)
def test_what_is_no_mathematics_stays_as_written(text):
    html = rendered(text)
    assert "<math" not in html
    assert text in read(html)


@pytest.mark.parametrize(
    "text",
    ["`\\(x\\)`", "```\n\\[x=1\\]\n```", "    $$x=1$$", "`$x$`", "~~~sh\nfind \\( -x \\)\n~~~"],
)
def test_code_stays_code(text):
    assert "<math" not in rendered(text)
    assert text.strip("`~sh \n") in read(rendered(text))


@pytest.mark.parametrize(
    "latex",
    [
        "\\def\\a{b}\\a",
        "\\newcommand{\\a}{b}\\a",
        "\\let\\a\\b",
        "\\phantom{x}",
        "\\rlap{x}y",
        "\\href{http://x}{y}",
        "\\frac{",
        "\\class{hidden}{x}",
        "\\tiny x",
    ],
)
def test_what_defines_hides_or_breaks_is_shown_as_code(latex):
    html = rendered(f"${latex}$")
    assert "<math" not in html
    assert latex in read(html)


def test_what_a_formula_says_is_no_markup():
    html = rendered(
        "$\\text{<a href=https://e.org class=hidden>a<b List<String> <!--}$ $x \\hspace{99999em} y$"
    )
    assert (
        "&lt;a href=https://e.org class=hidden&gt;a&lt;b List&lt;String&gt; &lt;!--"
        in html.replace("\xa0", " ")
    )
    assert '<mspace width="4.00em">' in html


def test_a_row_keeps_the_cells_beyond_the_head():
    html = rendered("> | a | b |\n> |---|---|\n> | 1 | 2 | third | \\| four |\n> | 5 |\n\nafter")
    assert html.count("<td") == 6
    assert "third" in html


def test_lists_show_the_numbers_that_were_written():
    html = rendered("3. a\n5. b\n7. c")
    assert [f'value="{n}"' in html for n in (3, 5, 7)] == [True, True, True]
    assert "value" not in rendered("1. a\n1. b").replace('value="1"', "", 1)


def test_emphasis_beside_cjk_characters():
    for text in (
        "**中文。**下文",
        "这是**“重点”**吗",
        "これは**「強調」**です",
        "**강조(强調)**입니다",
    ):
        assert rendered(text).count("<strong>") == 1, text
    assert "<strong>" not in rendered("a** b**c")


def test_every_block_has_its_own_direction():
    html = rendered("# T\n\np\n\n- l\n\n> q\n\n| h |\n|---|\n| d |")
    for tag in ("h1", "p", "li", "blockquote", "td", "th"):
        assert (
            f'<{tag} dir="auto"' in html
            or f'<{tag} class="whole" dir="auto"' in html
            or f'<{tag} dir="auto" class="whole"' in html
        )
    assert '<ol dir="rtl">' in rendered("1. أدخل بريدك.\n2. افتح")
    assert '<pre dir="ltr">' in rendered("```\nx\n```")


def test_languages_are_told_by_their_script():
    for text, language in (
        ("中文", "zh"),
        ("ひらがな漢字", "ja"),
        ("한국어", "ko"),
        ("ภาษา", "th"),
    ):
        assert f'lang="{language}"' in rendered(text)
    assert "lang" not in rendered("English é")


def test_html_that_is_harmless_is_html_and_other_is_text():
    html = rendered(
        "H<sub>2</sub>O<br>x <b class=hidden>b</b> <custom>c</custom> <b>open\n\n<details><summary>S</summary>\n\n**in**\n\n</details>"
    )
    for part in (
        "<sub>2</sub>",
        "<br>",
        "<b>b</b>",
        "&lt;custom&gt;c",
        "&lt;b&gt;open",
        "<summary",
        "<strong>in</strong></p></details>",
    ):
        assert part in html, part
    assert "<table" not in rendered("<table>text<tr><td>x</td></tr></table>")
    assert "<td" in rendered("<table><tr><td>x</td></tr></table>")


def test_links_open_elsewhere_and_others_are_text():
    html = rendered('[x](https://example.com "T") [y](page.html) https://a.b/c(d).')
    assert 'rel="noopener noreferrer nofollow"' in html
    assert 'target="_blank"' in html
    assert "(page.html)" in html
    assert 'href="https://a.b/c(d)"' in html
    assert "title=" not in html


def test_footnotes_and_definitions_that_nothing_refers_to_are_kept():
    html = rendered("a[^1]\n\n[^1]: used\n[^2]: unused\n[^1]: again\n\n[x]: https://e.org 'words'")
    for word in ("used", "unused", "again", "words", "<sup>[1]</sup>"):
        assert word in html


def test_invisible_characters_are_named():
    assert "[U+202E]" in read(rendered("a\u202eb"))
    hidden = "".join(chr(0xE0000 + ord(c)) for c in "obey")
    assert "[invisible: obey]" in read(rendered(f"hi{hidden}"))
    flag = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    assert flag in read(rendered(flag))
