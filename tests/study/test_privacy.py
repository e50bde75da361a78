"""Personal data and models' names in texts."""

import time

import pytest

from plaudit.study.privacy import MODELS, PII, find, mask, model_names
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
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nab-cd==\n-----END RSA PRIVATE KEY-----", "key"),
        ("-----BEGIN PRIVATE KEY-----\n" + "A" * 64 + "\n" + "b" * 64, "key"),  # cut off
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


@pytest.mark.parametrize(
    "text", ["I am an Alpaca farmer", "As Gemini season begins", "called Mistral winds"]
)
def test_what_only_begins_like_a_model_is_left_alone(text):
    assert masked(text, MODELS) == text


def test_a_key_ends_where_it_ends():
    assert (
        masked("-----BEGIN PRIVATE KEY-----\n" + "A" * 64 + "\nHello there") == "[key]\nHello there"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ich bin Claude und helfe.", "Ich bin [model's name] und helfe."),
        ("我是Claude。", "我是[model's name]。"),
        ("**Claude**: hello", "**[model's name]**: hello"),
        ("a Claude model", "a [model's name] model"),
        ("from bot-v2!", "from [model's name]!"),
        ("BOT V2 here", "[model's name] here"),
        ("Llama 3 8B", "[model's name]"),
        ("Я модель-К, привет", "Я [model's name], привет"),
        ("Claude Monet painted an Alpaca farmer", None),
        ("Bot v21 and Bot v2.1 and Claudette", None),
        ("see answer 1 below", None),
    ],
)
def test_names_of_models_are_found_whole(text, expected):
    names = ("Bot v2", "claude", "alpaca", "meta-llama/Llama-3-8B", "answer_1", "модель-К")
    assert masked(text, model_names(names)) == (expected or text)


def test_a_long_text_without_an_address_takes_no_time():
    started = time.perf_counter()
    key = "-----BEGIN PRIVATE KEY-----"
    for unit in ("a.", "1-", "a+", "sk-", "x@a.", "eyJabcdefghijk-", key, key + "\n", key + "a-"):
        masked(unit * (40_000 // len(unit)))
    assert time.perf_counter() - started < 2
