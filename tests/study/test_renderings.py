"""HTML is made once, when a comparison is added, kept in the study, and made again when it is old."""

import json

import pytest
from sqlalchemy import func, select, update

from plaudit.errors import DataError
from plaudit.rendering.plain import TOO_COMPLEX
from plaudit.study import renderings as module
from plaudit.study import schema as s
from plaudit.study.renderings import rendering_key
from plaudit.types import Message
from tests.rendering.test_messages import png
from tests.study.conftest import fill

TEXT = (Message("assistant", "**x**"),)


def count(study):
    with study.database.read() as db:
        return db.scalar(select(func.count()).select_from(s.rendering))


def refuse(*_):
    raise AssertionError("rendered again")


def test_texts_are_rendered_when_they_are_added(study, rows, monkeypatch):
    fill(study, 2)
    study.add(rows([{"prompt": "Q*a*", "response_a": "**a**", "response_b": "b"}]))
    assert count(study) == 9
    monkeypatch.setattr(module, "shared_worker", refuse)
    (a,) = study.shown([(Message("assistant", "**a**"),)])
    assert a == [
        {
            "role": "assistant",
            "html": '<div class="shown"><p dir="auto"><strong>a</strong></p></div>',
        }
    ]
    assert "Q*a*" in study.shown([(Message("user", "Q*a*"),)])[0][0]["html"]


def test_what_has_none_yet_is_rendered_when_it_is_shown(study, monkeypatch):
    assert "<strong>" in study.shown([TEXT])[0][0]["html"]
    with study.database.write() as db:
        db.execute(
            update(s.rendering).values(version=0, messages=[{"role": "assistant", "html": "old"}])
        )
    assert "<strong>" in study.shown([TEXT, TEXT])[1][0]["html"]
    assert count(study) == 1


def test_the_setting_changes_what_people_wrote_alone(study):
    user = (Message("user", "*q*"),)
    assert "<em>" not in study.shown([user])[0][0]["html"]
    study.change(prompt_format="markdown")
    assert "<em>" in study.shown([user])[0][0]["html"]
    assert rendering_key(TEXT, "plain") == rendering_key(TEXT, "markdown")
    assert rendering_key(user, "plain") != rendering_key(user, "markdown")


def test_a_text_that_is_too_much_is_kept_as_plain_text(study, monkeypatch):
    slow = (Message("assistant", ">" * 5000 + "deep"),)
    assert TOO_COMPLEX in study.shown([slow])[0][0]["html"]
    monkeypatch.setattr(module, "shared_worker", refuse)
    assert TOO_COMPLEX in study.shown([slow])[0][0]["html"]


def test_without_a_worker_texts_are_shown_plain_and_rendered_later(study, monkeypatch):
    class None_:
        def render(self, _tasks):
            raise OSError("no process")

    with monkeypatch.context() as patched:
        patched.setattr(module, "shared_worker", None_)
        fill(study, 1)
        assert "**x**" in study.shown([TEXT])[0][0]["html"]
    assert count(study) == 0
    assert "<strong>" in study.shown([TEXT])[0][0]["html"]


def test_the_guideline_is_rendered_once_too(study):
    assert "<h1" in study.renderings.markdown("# Be fair")
    assert count(study) == 1


def image_row(path):
    part = {"type": "image_url", "image_url": {"url": path}}
    return {"prompt": [{"role": "user", "content": [{"type": "text", "text": f"See {path}"}, part]}], "response_a": "a", "response_b": "b"}  # fmt: skip


def test_images_beside_the_data_are_kept_in_the_study(study, rows, tmp_path):
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "cat.png").write_bytes(png())
    (tmp_path / "pics" / "no.png").write_text("<svg>")
    (tmp_path.parent / "secret.png").write_bytes(png())
    (tmp_path / "link.png").symlink_to(tmp_path.parent / "secret.png")
    names = [
        "pics/cat.png",
        "pics/no.png",
        "../secret.png",
        "link.png",
        "/etc/hostname",
        "gone.png",
        "https://e.org/x.png",
    ]
    added = study.add(rows([image_row(name) for name in names]))
    assert added.comparisons == 2
    assert added.rows == 7
    assert added.dropped == {"image that cannot be read": 5}
    assert "no PNG, JPEG, GIF or WebP" in added.problems[0]
    assert "data.jsonl:3: image '../secret.png' is outside of the folder" in added.problems[1]
    prompts = [comparison.prompt for comparison in study.comparisons()]
    first = next(html for html in study.shown(prompts) if "cat" in html[0]["html"])
    assert 'src="data:image/png;base64,' in first[0]["html"]
    assert "not loaded: e.org" in json.dumps(study.shown(prompts))


def test_words_are_counted_in_scripts_without_spaces(study):
    study.compare("Q", ["重新设置密码的方法如下", "two words"])
    with study.database.read() as db:
        assert sorted(db.scalars(select(s.response.c.words))) == [2, 6]


def nested(depth):
    deep = {}
    for _ in range(depth):
        deep = {"a": deep}
    call = {"function": {"name": "dig", "arguments": deep}}
    return [{"role": "assistant", "content": "", "tool_calls": [call]}]


def test_arguments_nested_deeply_are_shown_or_said_to_be_too_deep(study):
    for depth in (100, 200, 250):
        study.compare(f"Q{depth}", [nested(depth), "b"])
    with pytest.raises(DataError, match="nested too deeply to be stored"):
        study.compare("Q", [nested(900), "b"])
    for comparison in study.comparisons():
        assert "dig" in json.dumps(study.shown([comparison.response_a, comparison.response_b]))


@pytest.mark.parametrize(
    "calls", ["odd", {"name": "f"}, [None], [{"function": "x"}], [{"function": {"name": 5}}]]
)
def test_odd_tool_calls_are_shown_somehow(study, calls):
    message = (Message("assistant", "text", {"tool_calls": calls}),)
    html = study.shown([message])[0][0]["html"]
    assert "text" in html
    assert TOO_COMPLEX not in html
