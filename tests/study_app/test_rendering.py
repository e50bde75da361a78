"""Texts on the judging screen: as they were written, from the store, never parsed by a request."""

import json
import re

import pytest

from plaudit.study import renderings
from plaudit.study_app.app import STATIC
from plaudit.types import as_messages
from tests.rendering.attacks import FREEZING
from tests.rendering.reading import read
from tests.rendering.test_messages import png, url
from tests.study_app.test_app import Browser


def screen(study):
    """(HTML of the prompt, HTML of both responses) of the one comparison."""
    item = Browser(study).api("/api/next").json()["items"][0]
    return tuple(
        "".join(message["html"] for message in messages)
        for messages in (item["prompt"], item["left"] + item["right"])
    )


def test_a_request_parses_nothing(sqlite_study, monkeypatch):
    sqlite_study.compare("**Q**", ["$x^2$", "b " * 500])
    browser = Browser(sqlite_study)
    monkeypatch.setattr(renderings, "shared_worker", None)  # would raise
    item = browser.api("/api/next").json()["items"][0]
    assert "**Q**" in item["prompt"][0]["html"]
    assert "<msup>" in json.dumps(item)
    again = browser.api("/api/next", {"held": [item["token"]]}).json()
    assert again["items"] == []


@pytest.mark.parametrize("text", FREEZING[:6])
def test_an_attack_is_a_question_like_others(sqlite_study, text):
    sqlite_study.compare("Q", [text, "other"])
    _, responses = screen(sqlite_study)
    assert "other" in responses


def test_case_04_code_and_prose_keep_their_brackets(sqlite_study):
    code = "```bash\nfind . \\( -name '*.js' -o -name '*.ts' \\) -print\nPS1='\\[\\e[32m\\]\\u\\[\\e[0m\\] '\n```\nand `grep '\\(foo\\)' file`. The flag is \\[optional\\]."
    sqlite_study.compare("Find .js", [code, "b"])
    _, responses = screen(sqlite_study)
    for part in (
        "find . \\( -name '*.js' -o -name '*.ts' \\) -print",
        "PS1='\\[\\e[32m\\]\\u\\[\\e[0m\\] '",
        "grep '\\(foo\\)' file",
        "\\[optional\\]",
    ):
        assert part in read(responses)


def test_case_05_displayed_mathematics(sqlite_study):
    a = "We factor:\n\\[\nx^2-5x+6=(x-2)(x-3)\n\\]\n1. Check:\n   $$\n   9-15+6=0\n   $$\n"
    b = "\\[\n\\begin{aligned}\nx &= \\frac{5 \\pm 1}{2} \\\\\n &= 3\n\\end{aligned}\n\\]\n\n\\begin{align}\nx_1 &= 3 \\\\\nx_2 &= 2\n\\end{align}"
    sqlite_study.compare("Solve x^2 - 5x + 6 = 0.", [a, b])
    _, responses = screen(sqlite_study)
    assert responses.count('display="block"') == 4
    assert "\\" not in read(responses)
    assert "$" not in read(responses)


def test_case_06_a_persons_prompt_is_plain_text(sqlite_study):
    prompt = "What is 2*3*4*5? And what does \\d+\\.\\d+ match in C:\\_tmp\\*.log\n# not a heading"
    sqlite_study.compare(prompt, ["120.", "It is 120."], overlap=2)
    assert read(screen(sqlite_study)[0]).strip() == prompt
    sqlite_study.change(prompt_format="markdown")
    assert "<h1" in screen(sqlite_study)[0]


def test_case_15_right_to_left(sqlite_study):
    text = 'اضغط على "نسيت كلمة المرور".\n\n1. أدخل بريدك.\n2. افتح الرابط (24 ساعة)!'
    sqlite_study.compare("كيف أعيد تعيين كلمة المرور؟", [text, "من الإعدادات."])
    prompt, responses = screen(sqlite_study)
    assert 'dir="auto"' in prompt
    assert '<ol dir="rtl">' in responses
    assert "<li" in responses
    assert all('dir="auto"' in tag for tag in responses.split("<p")[1:])


def test_cases_18_and_19_tool_calls_parts_and_images(sqlite_study, rows):
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "track", "arguments": '{"order":5}'}}
    ]
    asked = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": url(png())}},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": '{"eta":"8 May"}'},
    ]
    added = sqlite_study.add(
        rows([{"prompt": asked, "response_a": "On 8 May.", "response_b": "Soon."}])
    )
    assert added.comparisons == 1
    prompt, _ = screen(sqlite_study)
    assert '<img src="data:image/png;base64,' in prompt
    for part in ("Be brief.", "What is this?", "track", '"order": 5', '"eta": "8 May"'):
        assert part in read(prompt)
    [comparison] = sqlite_study.comparisons()
    assert comparison.prompt == as_messages(asked)


def test_images_of_the_page_itself_may_be_shown_and_no_others(sqlite_study):
    header = Browser(sqlite_study).client.get("/judge").headers["content-security-policy"]
    assert "img-src 'self' data:;" in header


def test_owner_pages_and_the_guideline_show_the_same(sqlite_study):
    sqlite_study.compare("*Q*", ["**good**", "bad"])
    sqlite_study.write_guideline("# Be **fair**")
    assert "<h1" in Browser(sqlite_study).client.get("/judge").text
    assert Browser(sqlite_study, "owner").client.get("/owner/gold").status_code == 200


def test_the_styles_of_texts_touch_nothing_else_of_the_page():
    sheet = re.sub(r"/\*.*?\*/", "", (STATIC / "text.css").read_text(), flags=re.DOTALL)
    selectors = [
        one.strip()
        for rule in re.findall(r"([^{}]+)\{", sheet)
        for one in re.split(r",(?![^(]*\))", rule)
    ]
    assert len(selectors) > 80
    for selector in selectors:
        own = r"(\.shown|\.message|math|:is\(\.(message|shown), \.(shown|call)\))"
        assert re.match(own, selector), selector
