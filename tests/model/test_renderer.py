"""One function from conversation to ids: its end rule, its cuts, its fingerprint."""

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer
from transformers.utils import chat_template_utils

from plaudit.errors import ModelError
from plaudit.model import Renderer, RewardModel
from plaudit.types import Conversation, Message, as_conversation

from ..conftest import CHATML, byte_tokenizer, talk, tiny_backbone

NO_END = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}"
BOS = "{{ bos_token }}" + CHATML
DATED = "{{ strftime_now('%d %b %Y') if not date_string else date_string }}" + CHATML


def text(renderer, conversation):
    return renderer.tokenizer.decode(renderer.render([conversation])[0].ids)


@pytest.mark.parametrize("template", [CHATML, NO_END, None])
def test_the_last_token_is_the_end_token_whatever_the_template(template):
    renderer = Renderer.of(byte_tokenizer(template), 256)
    for response in ("good", "", "ends with space  \n", "spells <|im_end|> inside"):
        ids = renderer.render([talk("q", response)])[0].ids
        assert ids[-1] == renderer.tokenizer.eos_token_id
        if template == CHATML:
            assert text(renderer, talk("q", response)).endswith(response + "<|im_end|>")


def test_the_saved_template_renders_the_same_and_still_prompts_generation():
    renderer = Renderer.of(byte_tokenizer(), 256)
    messages = talk("q", "a").chat()
    ids = renderer.tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    assert ids == renderer.render([talk("q", "a")])[0].ids.tolist()
    prompt = renderer.tokenizer.apply_chat_template(
        messages[:1], tokenize=False, add_generation_prompt=True
    )
    assert prompt.endswith("<|im_start|>assistant\n")
    again = Renderer.of(renderer.tokenizer, 256)
    assert again.tokenizer.chat_template == renderer.tokenizer.chat_template
    assert again.fingerprint == renderer.fingerprint


def test_no_bos_is_doubled():
    tokenizer = byte_tokenizer(BOS, bos="<|im_start|>")
    ids = Renderer.of(tokenizer, 256).render([talk("q", "a")])[0].ids
    assert ids[:2].tolist() != [tokenizer.bos_token_id] * 3
    assert (ids == tokenizer.bos_token_id).sum() == 3  # one of the template, two of the messages


def test_a_dated_template_is_pinned():
    assert text(Renderer.of(byte_tokenizer(DATED), 256), talk("q", "a")).startswith("26 Jul 2024")


def test_the_oldest_messages_go_first_and_the_responses_end_never():
    renderer = Renderer.of(byte_tokenizer(), 80)
    long = Conversation(
        (Message("system", "S"), *talk("one " * 9, "two", "three", "the end").messages)
    )
    rendered = renderer.render([long])[0]
    assert rendered.dropped_messages == 2
    assert rendered.dropped_tokens > 36
    shown = renderer.tokenizer.decode(rendered.ids)
    assert shown.startswith("<|im_start|>system\nS")
    assert "three" in shown
    assert "one" not in shown
    huge = renderer.render([talk("q" * 300, "r" * 300)])[0]
    assert len(huge.ids) == 80
    assert huge.truncated
    assert renderer.tokenizer.decode(huge.ids).endswith("rrr<|im_end|>")


def test_the_fingerprint_sees_template_and_length():
    one, two = Renderer.of(byte_tokenizer(), 256), Renderer.of(byte_tokenizer(NO_END), 256)
    assert (
        len({one.fingerprint, two.fingerprint, Renderer.of(byte_tokenizer(), 128).fingerprint}) == 3
    )


def test_a_tokenizer_without_an_end_token_is_refused():
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="has no end token"):
        Renderer.of(tokenizer, 256)


# --------------------------------------------------------------------- cuts, for any conversation

WORDS = st.text(alphabet="ab é東👍\n.", max_size=60)


@settings(max_examples=60, deadline=None)
@given(
    system=st.none() | WORDS.map(str.strip).filter(bool),
    texts=st.lists(WORDS, min_size=2, max_size=9).filter(lambda texts: len(texts) % 2 == 0),
    limit=st.integers(16, 200),
)
def test_a_cut_keeps_begin_system_question_and_end(system, texts, limit):
    tokenizer = byte_tokenizer(BOS, bos="<unused0>")
    renderer = Renderer.of(tokenizer, limit)
    conversation = talk(*texts)
    if system is not None:
        conversation = Conversation((Message("system", system), *conversation.messages))
    whole = Renderer.of(tokenizer, 100_000).render([conversation])[0].ids
    rendered = renderer.render_each([conversation])[0]
    if isinstance(rendered, ModelError):
        assert "what must stay" in str(rendered)  # refused by name, never cut wrongly
        assert len(whole) > limit
        return
    assert len(rendered.ids) <= limit
    assert rendered.ids[-1] == tokenizer.eos_token_id
    assert rendered.ids[0] == tokenizer.bos_token_id
    assert rendered.truncated == (len(whole) > limit)
    assert rendered.dropped_tokens == len(whole) - len(rendered.ids)
    assert bool(rendered.notes) == rendered.truncated
    shown = renderer.tokenizer.decode(rendered.ids)
    if system is not None:
        assert f"<|im_start|>system\n{system}<|im_end|>" in shown
    asked = shown.rfind("<|im_start|>user")
    assert asked >= 0  # the last question is there, whole or its end
    if not rendered.truncated:
        assert rendered.ids.tolist() == whole.tolist()
    else:  # what is left of the response is its end
        response = shown.rsplit("<|im_start|>assistant\n", 1)[1].removesuffix("<|im_end|>")
        assert texts[-1].rstrip().endswith(response.rstrip())


def test_cuts_are_counted_and_said_in_scores():
    model = RewardModel(tiny_backbone(), renderer=Renderer.of(byte_tokenizer(), 80)).eval()
    scores = model.score([talk("q", "a"), talk("one " * 20, "two", "three", "four")])
    assert list(scores.notes) == [1]
    assert scores.notes[1].startswith("cut by 2 messages and ")
    assert not scores.problems


def test_what_must_stay_is_refused_where_it_is_longer_than_the_limit():
    conversation = Conversation((Message("system", "rules " * 40), *talk("q", "a").messages))
    with pytest.raises(ModelError, match="what must stay .* is longer: raise --max-length"):
        Renderer.of(byte_tokenizer(), 64).render([conversation])


# ---------------------------------------------------------------------------------------- dates

# As Llama 3.2, SmolLM3, Mistral Small 3, Granite, gpt-oss, Mistral Small 3.2 (yesterday) and
# LLM-jp have it; then what they might: other quotes, spaces, aliases, in macros and blocks.
CLOCKS = {
    "llama 3.2": "{%- if not date_string is defined %}{%- if strftime_now is defined %}{%- set date_string = strftime_now('%d %b %Y') %}{%- else %}{%- set date_string = '26 Jul 2024' %}{%- endif %}{%- endif %}Today Date: {{ date_string }}",
    "smollm3": '{%- set today = strftime_now("%d %B %Y") -%}{{- "Today Date: " ~ today -}}',
    "mistral small 3": "{%- set today = strftime_now('%Y-%m-%d') %}The current date is {{ today }}.",
    "granite": "{{- \"Today's Date: \" + strftime_now('%B %d, %Y') + '.' }}",
    "gpt-oss": '{{- "Current date: " + strftime_now("%Y-%m-%d") + "\\n\\n" }}',
    "yesterday": "{%- set day = strftime_now('%d') | int - 1 %}{{ strftime_now('%Y-%m-') ~ day }}",
    "a format in a variable": "{%- set how = '%A, %d %B %Y' %}{{ strftime_now(how) }}",
    "another name": "{%- set now = strftime_now %}{{ now('%d/%m/%y') }}",
    "by keyword": "{{ strftime_now(format='%d.%m.%Y %H:%M') }}",
    "spaces": "{{ strftime_now ( '%-d %b' ) }}",
    "in a macro": "{%- macro head(x) %}{{ x }} {{ strftime_now('%Y') }}{% endmacro %}{{ head('It is') }}",
    "in a condition": "{% if strftime_now('%m') == '07' %}July{% else %}not July{% endif %}",
}


class Later(datetime):
    """A clock that stands years later."""

    @classmethod
    def now(cls, tz=None):
        return cls(2031, 3, 9, 17, 30)


@pytest.mark.parametrize("name", CLOCKS)
def test_a_date_is_the_same_on_every_day(name, monkeypatch, tmp_path):
    tokenizer = byte_tokenizer(CLOCKS[name] + CHATML)
    chat = talk("q", "a")
    trained, foreign = Renderer.of(tokenizer, 256), Renderer.as_saved(tokenizer, 256)
    trained.tokenizer.save_pretrained(tmp_path)

    def everything():
        again = AutoTokenizer.from_pretrained(tmp_path)
        reopened = Renderer.as_saved(again, 256)
        return [
            *(r.render([chat])[0].ids.tolist() for r in (trained, foreign, reopened)),
            again.apply_chat_template(chat.chat(), return_dict=False),  # transformers itself
        ]

    today = everything()
    monkeypatch.setattr(chat_template_utils, "datetime", Later)
    assert everything() == today
    assert today[0] == today[2] == today[3]
    shown = tokenizer.decode(today[1])
    assert "2031" not in shown
    assert "%" not in shown
    assert "template prints today's date; 26 Jul 2024 is used" in foreign.notes[0]
    raw = tokenizer.apply_chat_template(chat.chat(), tokenize=False)
    assert raw != shown or name == "in a condition"  # the moved clock does move what is not pinned


# -------------------------------------------------------------- tools, reasoning, parts and roles

TOOLS = ({"type": "function", "function": {"name": "find", "description": "d", "parameters": {}}},)
CALL = {"type": "function", "function": {"name": "find", "arguments": {"x": 1}}}
AGENT = (
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.reasoning_content }}{{ m.content }}{% for c in m.tool_calls or [] %}"
    "{{ c.function.name ~ ' ' ~ c.function.arguments | tojson }}{% endfor %}<|im_end|>{% endfor %}"
)
PARTS = (
    "{% for m in messages %}{{ m.role }}: {% for part in m.content %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>{% endfor %}"
)
THINKS = (
    "{% for m in messages %}{% set c = m['content'] %}{% if '</think>' in c %}"
    "{% set c = c.split('</think>')[-1] %}{% endif %}{{ m['role'] + c + '<|im_end|>' }}{% endfor %}"
)


def said(role, content="", **fields):
    return Message(role, content, fields)


EXTRAS = {
    "tool_calls": Conversation((said("user", "q"), said("assistant", tool_calls=[CALL]))),
    "reasoning_content": Conversation(
        (said("user", "q"), said("assistant", "a", reasoning_content="hm"))
    ),
    "tools": Conversation(talk("q", "a").messages, TOOLS),
}


@pytest.mark.parametrize("name", EXTRAS)
def test_tools_and_reasoning_are_rendered_or_refused(name):
    shown = text(Renderer.of(byte_tokenizer(AGENT), 512), EXTRAS[name])
    bare = text(Renderer.of(byte_tokenizer(AGENT), 512), talk("q", "a"))
    assert shown != bare
    with pytest.raises(ModelError, match=f"the chat template does not show {name}"):
        Renderer.of(byte_tokenizer(), 512).render([EXTRAS[name]])


def test_arguments_as_json_text_are_read_as_what_they_say():
    spelled = {"type": "function", "function": {"name": "find", "arguments": '{"x": 1}'}}
    one, other = (
        Conversation((said("user", "q"), said("assistant", tool_calls=[call])))
        for call in (CALL, spelled)
    )
    renderer = Renderer.of(byte_tokenizer(AGENT), 512)
    assert text(renderer, one) == text(renderer, other)
    wants_text = AGENT.replace("' ' ~ c.function.arguments | tojson", "' ' + c.function.arguments")
    assert 'find {"x": 1}' in text(Renderer.of(byte_tokenizer(wants_text), 512), one)


def test_a_tool_result_needs_no_template_that_shows_its_id():
    messages = (
        said("user", "q"),
        said("assistant", tool_calls=[CALL]),
        said("tool", '{"found": "it\'s"}', tool_call_id="call-1", name="find"),
        said("assistant", "done"),
    )
    assert "done" in text(Renderer.of(byte_tokenizer(AGENT), 512), Conversation(messages))


def test_parts_of_text_are_joined_and_images_refused():
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    renderer = Renderer.of(byte_tokenizer(), 256)
    assert text(renderer, as_conversation([("user", parts)], "a")) == text(
        renderer, talk("one two", "a")
    )
    image = [{"type": "image", "url": "x"}, {"type": "text", "text": "what is it?"}]
    with pytest.raises(ModelError, match="the conversation holds image; this model reads text"):
        renderer.render([as_conversation([("user", image)], "a")])


def test_a_template_of_parts_gets_parts():
    assert text(Renderer.as_saved(byte_tokenizer(PARTS), 256), talk("why", "so")) == (
        "user: why<|im_end|>assistant: so<|im_end|>"
    )


DEVELOPER = Conversation((Message("developer", "Be kind."), *talk("q", "a").messages))
ONLY_KNOWN = (
    "{% for m in messages %}{% if m.role in ('system', 'user', 'assistant') %}"
    "{{ m.role ~ ': ' ~ m.content ~ '<|im_end|>' }}{% endif %}{% endfor %}"
)
REFUSES = "{% if messages[0].role == 'developer' %}{{ raise_exception('no') }}{% endif %}" + CHATML


@pytest.mark.parametrize("template", [CHATML, ONLY_KNOWN, REFUSES])
def test_the_developers_message_is_read_under_its_own_or_its_older_name(template):
    shown = text(Renderer.as_saved(byte_tokenizer(template), 256), DEVELOPER)
    assert "Be kind." in shown
    assert ("developer" in shown) == (template == CHATML)


def test_a_message_that_the_template_leaves_out_is_refused():
    template = (
        "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}{% endif %}{% endfor %}"
    )
    hidden = Conversation((Message("system", "Be kind."), *talk("q", "a").messages))
    with pytest.raises(ModelError, match=r"does not show message 1 \(system\)"):
        Renderer.as_saved(byte_tokenizer(template), 256).render([hidden])


def test_a_template_that_strips_thoughts_is_said():
    renderer = Renderer.as_saved(byte_tokenizer(THINKS), 256)
    one, two = (talk("q", f"<think>\n{why}\n</think>\nyes") for why in ("It is so.", "I guess."))
    rendered = renderer.render([one, two, talk("q", "yes")])
    assert rendered[0].ids.tolist() == rendered[1].ids.tolist()
    assert [r.partial for r in rendered] == [True, True, False]
    assert "leaves out a part of the response (<think>" in rendered[0].notes
    kept = Renderer.as_saved(byte_tokenizer(), 256).render([one])[0]
    assert not kept.notes
    assert renderer.render([talk("q", "<think>only this</think>")])[0].partial
