"""What should not be shown: personal data in texts, and models that say who they are.

Patterns find what has a form (addresses, numbers, keys); a name in running text has none, and
is not found. `mask` replaces each find by its kind, as in [e-mail].
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from plaudit.types import Message, Messages

PII: dict[str, re.Pattern[str]] = {
    "e-mail": re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}\b"),
    "key": re.compile(
        r"\b(?:sk|pk|rk)[-_](?:live|test|proj|ant)?[-_]?[A-Za-z0-9_-]{16,}\b|\bAKIA[0-9A-Z]{16}\b"
        r"|\bgh[pousr]_[A-Za-z0-9]{30,}\b|\bhf_[A-Za-z0-9]{30,}\b|\bxox[abprs]-[A-Za-z0-9-]{10,}\b"
        r"|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
        r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----"
    ),
    "IBAN": re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"),
    "card number": re.compile(r"\b(?:\d[ -]?){12,18}\d\b"),
    "social security number": re.compile(r"\b\d{3}-\d{2}-\d{4}\b"),
    "IP address": re.compile(
        r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b"
        r"|\b(?:[0-9A-Fa-f]{1,4}:){4,7}[0-9A-Fa-f]{1,4}\b"
    ),
    "phone number": re.compile(
        r"(?<![\w.])(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,4}\)[ .-]?|\d{3}[ .-])\d{3}[ .-]?\d{3,4}(?![\w.])"
        r"|(?<!\w)\+\d{1,3}(?:[ .-]?\d{2,4}){3,5}(?!\w)"
    ),
}

_NAMES = (
    r"chat\s?gpt|gpt-?[345][\w.-]*|claude|gemini|bard|llama(?:[- ]?\d)?|mistral|mixtral|qwen"
    r"|deepseek|grok|vicuna|alpaca|smollm\d?|copilot|bing chat|gemma|command r\+?"
)
_MAKERS = r"open ?ai|anthropic|google(?: deepmind)?|meta(?: ai)?|mistral ai|alibaba|microsoft|xai"
MODELS: dict[str, re.Pattern[str]] = {
    "model's name": re.compile(
        rf"\b(?:i am|i['’]m|my name is|as|called|named)\s+(?:an?\s+)?(?:{_NAMES})\b"
        rf"|\b(?:trained|created|developed|made|built)\s+by\s+(?:{_MAKERS})\b",
        re.IGNORECASE,
    ),
}


def find(messages: Messages, patterns: dict[str, re.Pattern[str]]) -> Counter[str]:
    """How often each kind occurs in the messages."""
    return _masked(messages, patterns)[1]


def mask(messages: Messages, patterns: dict[str, re.Pattern[str]]) -> Messages:
    """The messages with every find replaced by its kind, in texts and tool calls alike."""
    return _masked(messages, patterns)[0]


def _masked(
    messages: Messages, patterns: dict[str, re.Pattern[str]]
) -> tuple[Messages, Counter[str]]:
    found: Counter[str] = Counter()

    def masked(value: Any) -> Any:
        if isinstance(value, str):
            for kind, pattern in patterns.items():
                value = pattern.sub(partial(_mark, kind=kind, found=found), value)
            return value
        if isinstance(value, Mapping):
            return {name: masked(inner) for name, inner in value.items()}
        return [*map(masked, value)] if isinstance(value, (list, tuple)) else value

    def content(message: Message) -> Any:
        if isinstance(message.content, str):
            return masked(message.content)
        # The data of an image or a sound is no text: digits in it are no card number.
        return tuple(masked(p) if p["type"] == "text" else p for p in message.content)

    done = tuple(replace(m, content=content(m), fields=masked(m.fields)) for m in messages)
    return done, found


def _mark(match: re.Match[str], *, kind: str, found: Counter[str]) -> str:
    if kind == "card number" and not _luhn(match.group()):
        return match.group()
    found[kind] += 1
    return f"[{kind}]"


def _luhn(text: str) -> bool:
    """The check digit of card numbers (ISO/IEC 7812-1): order numbers mostly fail it."""
    digits = [int(c) for c in text if c.isdigit()]
    doubled = [sum(divmod(2 * d, 10)) for d in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
