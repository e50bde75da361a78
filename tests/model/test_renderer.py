"""One function from conversation to ids: its end rule, its cuts, its fingerprint."""

import pytest

from plaudit.errors import ModelError
from plaudit.model import Renderer
from plaudit.types import Conversation, Message

from ..conftest import CHATML, byte_tokenizer, talk

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
