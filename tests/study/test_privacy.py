"""Personal data and models' names in texts."""

import time

import pytest

from plaudit.study.privacy import MODELS, PII, find, mask
from plaudit.types import Message


def masked(text, patterns=PII):
    return mask((Message("user", text),), patterns)[0].content


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("mail jo.doe+x@mail.example.co.uk now", "e-mail"),
        ("call +49 170 1234567 please", "phone number"),
        ("call (555) 123-4567", "phone number"),
        ("card 4111 1111 1111 1111 ok", "card number"),
        ("IBAN DE89 3704 0044 0532 0130 00", "IBAN"),
        ("ssn 078-05-1120", "social security number"),
        ("from 192.168.17.3", "IP address"),
        ("key sk-proj-abcdefghijklmnopqrstuv", "key"),
        ("AKIAIOSFODNN7EXAMPLE", "key"),
        ("ghp_" + "a" * 36, "key"),
    ],
)
def test_what_has_a_form_is_found(text, kind):
    assert find((Message("user", text),), PII)[kind] == 1
    assert f"[{kind}]" in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "version 1.2.3 costs 19.99 in 2024",
        "order 4111 1111 1111 1112 shipped",  # no card: its check digit is wrong
        "see section 3.2.1 at 10:30:45",
        "f(x) = 12345678",
        "a@b is no address",
    ],
)
def test_what_is_none_is_left_alone(text):
    assert masked(text) == text


@pytest.mark.parametrize(
    "text",
    ["I am ChatGPT, a model", "As Claude, I cannot", "I was trained by OpenAI.", "I'm an Qwen"],
)
def test_models_that_name_themselves_are_found(text):
    assert find((Message("assistant", text),), MODELS)
    assert "[model's name]" in masked(text, MODELS)


def test_talk_about_models_is_left_alone():
    text = "Claude Monet painted; Gemini is a sign; the llama spat at me."
    assert masked(text, MODELS) == text


def test_a_long_text_without_an_address_takes_no_time():
    started = time.perf_counter()
    for unit in ("a.", "1-", "a+", "sk-", "x@a."):
        masked(unit * 20_000)
    assert time.perf_counter() - started < 2
