"""Messages shown as what they are: prompts, tool calls, results, reasoning, images."""

import base64
import json
import struct
import zlib

import pytest

from plaudit.rendering.images import MOST_BYTES, BadImage, size
from plaudit.rendering.messages import shown
from plaudit.rendering.parts import indented, written
from tests.rendering.reading import read, rendered


def png(width=3, height=2):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + b"\x40\x80\xc0" * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def url(data, kind="png"):
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


GIF = b"GIF89a" + struct.pack("<HH", 5, 7) + b"\0" * 10
JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08" + struct.pack(">HH", 7, 5) + b"\0" * 12
WEBP = (
    b"RIFF\0\0\0\0WEBPVP8X"
    + b"\0" * 8
    + (4).to_bytes(3, "little")
    + (6).to_bytes(3, "little")
    + b"\0" * 4
)


def test_a_persons_prompt_is_plain_unless_the_study_says_otherwise():
    text = "What is 2*3*4*5? \\d+\\.\\d+ in C:\\_tmp\\*.log\n# not a heading"
    assert read(rendered(text, role="user")).strip() == text
    assert "<h1" in rendered(text, "markdown", role="user")
    assert "<em>" not in rendered("*x*", role="system")
    assert "<em>" in rendered("*x*", role="assistant")
    assert "<em>" not in rendered("*x*", "markdown", role="tool")


def test_tool_calls_have_their_name_and_arguments():
    call = {"function": {"name": "track<b>", "arguments": '{"order":5,"price":1.50,"n":"\\u4e2d"}'}}
    html = rendered("", tool_calls=[call, "odd"])
    assert "track&lt;b&gt;" in html
    assert '{\n  "order": 5,\n  "price": 1.50,\n  "n": "中"\n}' in read(html)
    assert "odd" in html
    assert "  " in read(rendered("", tool_calls=[{"name": "f", "arguments": {"a": 1}}]))


def test_results_reasoning_and_long_system_prompts_are_named_and_folded():
    html = rendered('{"eta":"8 May"}', role="tool", name="track")
    assert "Result of track" in html
    assert '"eta": "8 May"' in read(html)
    assert "<summary>Reasoning</summary>" in rendered("Done", reasoning_content="hm")
    long = rendered("rule " * 200, role="system")
    assert '<details class="system"><summary>System prompt (1,000 characters)' in long
    assert "<details" not in rendered("rule", role="developer")


def test_a_models_name_is_not_told():
    assert "gpt" not in rendered("Hi", name="gpt")


@pytest.mark.parametrize(
    ("data", "kind", "sides"),
    [(png(), "png", (3, 2)), (GIF, "gif", (5, 7)), (JPEG, "jpeg", (5, 7)), (WEBP, "webp", (5, 7))],
)
def test_images_are_known_by_their_bytes_and_sized(data, kind, sides):
    assert size(data) == (kind, *sides)
    part = {"type": "image_url", "image_url": {"url": url(data, "gif")}}  # whatever it is called
    html = rendered([{"type": "text", "text": "See"}, part])
    assert f'src="data:image/{kind};base64,' in html
    assert f'width="{sides[0]}" height="{sides[1]}"' in html


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("data:image/png;base64,AAA", "not base64"),
        ("data:image/png;base64,AAAA", "no PNG"),
        ("data:image/svg+xml;base64,AAAA", "another kind"),
        ("data:text/html,<b>", "another kind"),
        (url(png(20_000, 1)), "20000 × 1 pixels"),
        ("https://img.example/a.png?x", "not loaded: img.example"),
        ("http://[bad", "not loaded"),
        ("", "no address"),
        ("pics/cat.png", "pics/cat.png"),
    ],
)
def test_what_is_no_image_is_words(address, said):
    for html in (
        rendered([{"type": "image_url", "image_url": {"url": address}}]),
        rendered([{"type": "input_image", "image_url": address}]),
    ):
        assert "<img" not in html
        assert said in read(html)


def test_images_in_markdown_show_and_those_of_the_web_are_words():
    assert "<img" in rendered(f"![a cat]({url(png())})")
    assert 'alt="a cat"' in rendered(f"![a cat]({url(png())})")
    assert "[image: a cat] (not loaded: e.org)" in read(rendered("![a cat](https://e.org/c.png)"))


def test_an_image_too_large_is_refused():
    with pytest.raises(BadImage, match="larger than 5 MB"):
        size(png()[:-4] + b"\0" * MOST_BYTES)
    with pytest.raises(BadImage, match="40 million"):
        size(png(1, 1)[:16] + struct.pack(">II", 9000, 9000) + b"\0" * 20)


def test_other_parts_are_named():
    assert "[input_audio] (not shown)" in read(
        rendered([{"type": "input_audio", "input_audio": {}}])
    )


def test_json_is_indented_as_it_was_written():
    text = '{"a":1.50,"a":[1e5,{}],"b":"\\ud800 x"}'
    assert json.loads(indented(text)) == json.loads(text)
    assert "1.50" in indented(text)
    assert indented(text).count('"a"') == 2
    assert indented('{"a": 1') == '{"a": 1'


def test_all_that_a_message_holds_can_be_seen_raw():
    message = {"role": "assistant", "content": [{"type": "text", "text": "**x**"}, {"type": "image_url", "image_url": {"url": url(png())}}], "reasoning_content": "why", "tool_calls": [{"name": "f"}]}  # fmt: skip
    raw = written(message)
    for part in ("**x**", "why", '"name": "f"', "[image_url: data:image/png"):
        assert part in raw


def test_roles_come_with_their_html():
    messages = [
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]},
    ]
    assert [each["role"] for each in shown(messages, "plain")] == ["user", "assistant"]
