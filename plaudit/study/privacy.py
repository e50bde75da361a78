"""What should not be shown: personal data, and models that say who they are.

Patterns find what has a form (addresses, numbers, keys); a person's name in running text has none,
and is not found. The names of a study's own models are known, and found in any language. `mask`
replaces each find by its kind, as in [e-mail]. Every pattern takes linear time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from plaudit.config import AddConfig
from plaudit.types import Message, Messages, Slate, content_id

Patterns = Mapping[str, re.Pattern[str]]
PII: dict[str, re.Pattern[str]] = {
    "e-mail": re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}\b"),
    "key": re.compile(
        r"\b(?:sk|pk|rk)[-_](?:live|test|proj|ant)?[-_]?[A-Za-z0-9_-]{16,}\b|\bAKIA[0-9A-Z]{16}\b"
        r"|\bgh[pousr]_[A-Za-z0-9]{30,}\b|\bhf_[A-Za-z0-9]{30,}\b|\bxox[abprs]-[A-Za-z0-9-]{10,}\b"
        r"|(?<![\w-])eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
        # To its end, however many begin before it; without one, its lines of base 64.
        r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:(?:[^-]|-(?!----))*+-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"|(?:\s+[A-Za-z0-9+/=]{20,}(?!\S))*+)"
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
# What a sentence goes on with after a model has named itself; "I am an Alpaca farmer" does not.
_GOES_ON = (
    r"(?=[^\w\s-]|\s*$|\s*[^\w\s-]|\s+(?:an?|and|from|by|the|your|which|who|that|i|here|ai|model"
    r"|assistant|large|language|created|trained|developed|made|built|version|\d[\d.]*)\b)"
)
MODELS: dict[str, re.Pattern[str]] = {
    "model's name": re.compile(
        rf"\b(?:i am|i['’]m|my name is|as|called|named)\s+(?:an?\s+)?[*_`\"]{{0,3}}"
        rf"(?:{_NAMES})\b{_GOES_ON}"
        rf"|\b(?:trained|created|developed|made|built)\s+by\s+(?:{_MAKERS})\b",
        re.IGNORECASE | re.MULTILINE,
    ),
}
# Names that say nothing of who wrote: those of columns, such as response_a or "Answer 2".
_ANONYMOUS = re.compile(
    r"(?:(?:response|reply|answer|model|option|assistant|output|candidate|completion|bot|ai|human"
    r"|user|reference|baseline|base|old|new|chosen|rejected|left|right|first|second|gold"
    r"|imported)[\W_]*[a-z0-9]?|.{0,2}|\d+)",
    re.IGNORECASE,
)


def model_names(names: Iterable[str]) -> dict[str, re.Pattern[str]]:
    """A pattern for the names of models, in any language and however their words are joined.

    Whole names only: of one that is also a word, such as Alpaca, not where it is an attribute
    ("an Alpaca farmer") or a part of another name. Names that are anonymous give none.
    """
    whole = {part for name in names for part in (name, name.rpartition("/")[2])}
    found = [_name(name) for name in sorted(whole, key=lambda n: (-len(n), n)) if is_name(name)]
    return {"model's name": re.compile("|".join(found), re.IGNORECASE)} if found else {}


def is_name(name: str) -> bool:
    """Whether a model's name tells it apart: "Bot v2" does, "answer_2" does not."""
    return not _ANONYMOUS.fullmatch(name.strip())


def _name(name: str) -> str:
    """The name as a pattern: as a whole, its words joined by spaces, hyphens or nothing."""
    words = [word for word in re.split(r"[\s_-]+", name.strip()) if word]
    pattern = _edge(words[0][0], "<") + r"[\s_-]*".join(map(re.escape, words))
    pattern += _edge(words[-1][-1], "") + r"(?!\.\d)"
    if not name.isalpha():
        return pattern
    article = rf"(?:(?<=\ba )|(?<=\ban )){pattern}(?!\s+(?!{_ITSELF}\b)[a-z])"
    return rf"{article}|(?<!\ba )(?<!\ban ){pattern}(?!\s+(?-i:[A-Z][a-z]))"


_ITSELF = "(?:model|assistant|ai|bot|chatbot|version)"  # "a Claude model" is the model
_LATIN = "A-Za-z0-9\u00c0-\u024f"


def _edge(letter: str, behind: str) -> str:
    """That a name ends here: scripts without spaces have no such edge."""
    if re.match(f"[{_LATIN}]", letter):
        return f"(?{behind}![{_LATIN}])"
    return "" if ord(letter) > 0x2E80 or not letter.isalnum() else rf"(?{behind}![^\W_])"


class Masking:
    """What `--mask` and `--keep` do to a slate; without them it only looks.

    `names` are the study's own models, masked with --mask models.
    """

    def __init__(self, config: AddConfig, names: Iterable[str]) -> None:
        self.on = bool(config.mask)
        needed = {"tools", *(["explanation"] if config.labels == "practice" else [])}
        self._keep = {*config.keep, *needed} if config.keep or self.on else None
        self._pii = "pii" in config.mask
        self._models = "models" in config.mask
        own = [pattern.pattern for pattern in model_names(names).values() if self._models]
        known = MODELS["model's name"]
        self._told = {"model's name": re.compile("|".join([known.pattern, *own]), known.flags)}
        self.found: Counter[str] = Counter()

    def slate(self, slate: Slate) -> tuple[Slate, list[str]]:
        """The slate as it is stored, and the names of the columns that are not kept.

        `found` counts the texts and columns that hold each kind.
        """
        dropped = [name for name in slate.columns if not self._kept(name)]
        columns = {n: self._value(v) for n, v in slate.columns.items() if n not in dropped}
        return replace(
            slate,
            prompt=self._messages(slate.prompt, response=False),
            responses=tuple(self._messages(each, response=True) for each in slate.responses),
            group=None if slate.group is None else self.group(slate.group),
            columns=columns,
        ), dropped

    def stored_columns(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Columns that an earlier add has stored, as this one would have."""
        return {name: self._value(v) for name, v in columns.items() if self._kept(name)}

    def group(self, name: str) -> str:
        """A group keeps its rows together under another name where it is personal itself."""
        return content_id("group", name) if self._pii and self._value(name) != name else name

    def _kept(self, name: str) -> bool:
        return self._keep is None or name in self._keep

    def _messages(self, messages: Messages, response: bool) -> Messages:
        told = self._told if response else {}
        self.found.update(find(messages, {**PII, **told}).keys())
        if self._pii:
            messages = mask(messages, PII)
        return mask(messages, told) if told and self._models else messages

    def _value(self, value: Any) -> Any:
        masked, found = masked_value(value, PII)
        self.found.update(found.keys())
        return masked if self._pii else value


def find(messages: Messages, patterns: Patterns) -> Counter[str]:
    """How often each kind occurs in the messages."""
    return _masked(messages, patterns)[1]


def mask(messages: Messages, patterns: Patterns) -> Messages:
    """The messages with every find replaced by its kind, in texts and tool calls alike."""
    return _masked(messages, patterns)[0]


def _masked(messages: Messages, patterns: Patterns) -> tuple[Messages, Counter[str]]:
    found: Counter[str] = Counter()

    def masked(value: Any) -> Any:
        result, more = masked_value(value, patterns)
        found.update(more)
        return result

    def content(message: Message) -> Any:
        if isinstance(message.content, str):
            return masked(message.content)
        # The data of an image or a sound is no text: digits in it are no card number.
        return tuple(masked(p) if p["type"] == "text" else p for p in message.content)

    done = tuple(replace(m, content=content(m), fields=masked(m.fields)) for m in messages)
    return done, found


def masked_value(value: Any, patterns: Patterns) -> tuple[Any, Counter[str]]:
    """Any JSON value with every find in its texts replaced, and how often each kind occurs."""
    found: Counter[str] = Counter()

    def masked(value: Any) -> Any:
        if isinstance(value, str):
            for kind, pattern in patterns.items():
                value = pattern.sub(partial(_mark, kind=kind, found=found), value)
            return value
        if isinstance(value, Mapping):
            return {masked(name): masked(inner) for name, inner in value.items()}
        return [*map(masked, value)] if isinstance(value, (list, tuple)) else value

    return masked(value), found


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
