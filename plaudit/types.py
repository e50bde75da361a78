"""The nouns: Conversation, Slate, Comparison, Judgment, Pair, Scores and the protocol Scorer.

Frozen and validated where they are made, so that nothing downstream checks them again.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, Protocol, overload, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from plaudit.errors import DataError, require

ROLES = ("system", "developer", "user", "assistant", "tool")
# What a message may hold beside role and content, as transformers' templates take it.
MESSAGE_FIELDS = ("tool_calls", "reasoning_content", "name", "tool_call_id")
Floats = NDArray[np.float64]
Part = Mapping[str, Any]


@dataclass(frozen=True)
class Message:
    """One chat message, as transformers' templates take it.

    `content` is text, or a tuple of parts ({"type": "text", "text": …}, images, audio);
    `fields` holds what else there is: tool_calls, reasoning_content, name, tool_call_id.
    """

    role: str
    content: str | tuple[Part, ...] = ""
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The text of the content: its text parts, one after the other."""
        if isinstance(self.content, str):
            return self.content
        return "".join(str(part.get("text") or "") for part in self.content)

    def to_dict(self) -> dict[str, Any]:
        """The message as JSON and chat templates take it."""
        content = self.content if isinstance(self.content, str) else [*map(dict, self.content)]
        return {"role": self.role, "content": content, **self.fields}

    def __hash__(self) -> int:
        return hash((self.role, self.text))


Messages = tuple[Message, ...]


def is_empty(message: Message) -> bool:
    """Whether a message says nothing: no text but white space, no parts, no tool calls."""
    text = message.content
    return isinstance(text, str) and not text.strip() and not message.fields


class Source(NamedTuple):
    """Where a row came from: file (or data set id) and line (or row), counted from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def content_id(*parts: str) -> str:
    """A 32-digit hexadecimal hash of texts; the same texts give the same id on any machine."""
    digest = blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def messages_id(messages: Messages) -> str:
    """Content hash of messages."""
    parts = []
    for message in messages:
        plain = isinstance(message.content, str) and not message.fields
        parts += [message.role, message.text if plain else canonical_json(message.to_dict())]
    return content_id(*parts)


# Scripts written without spaces, and how many characters of each are about a word to read.
_SPACELESS = (
    (re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"), 2),
    (re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]"), 4),  # Thai, Lao, Burmese, Khmer
)


def word_count(text: str) -> int:
    """How many words a text takes the time of to read, also in scripts without spaces.

    >>> word_count("two words"), word_count("请重新设置密码")
    (2, 4)
    """
    words = 0
    for script, characters in () if text.isascii() else _SPACELESS:
        text, found = script.subn(" ", text)
        words += math.ceil(found / characters)
    return words + len(text.split())


def canonical_json(value: Any) -> str:
    """JSON that is the same text for equal values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def visible(text: str) -> str:
    """The text without control characters, which would paint or move about on a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def as_messages(messages: Sequence[Any]) -> Messages:
    """Messages from Messages, (role, content) pairs or {"role", "content", …} mappings.

    Raises DataError on an unknown role or on content that is neither text nor parts.
    """
    if isinstance(messages, (Mapping, Message)):
        messages = (messages,)
    if isinstance(messages, (str, bytes)) or not isinstance(messages, Iterable):
        raise DataError(f"expected messages, found {type(messages).__name__} {messages!r:.40}")
    return tuple(_as_message(message, position + 1) for position, message in enumerate(messages))


def _as_message(message: Any, number: int) -> Message:
    if isinstance(message, Message):
        return message
    if isinstance(message, Mapping):
        role, content = message.get("role"), message.get("content")
        fields = {k: message[k] for k in MESSAGE_FIELDS if message.get(k) not in (None, [], "")}
    elif isinstance(message, (tuple, list)) and len(message) == 2:
        (role, content), fields = message, {}
    else:
        raise DataError(f"message {number}: expected {{'role', 'content'}}, found {message!r:.80}")
    if role not in ROLES:
        raise DataError(f"message {number}: role {role!r} is not one of {', '.join(ROLES)}")
    if content is None and fields:
        content = ""  # an assistant that only calls tools
    if isinstance(content, (list, tuple)):
        content = tuple(_as_part(part, number) for part in content)
        if all(part.get("type") == "text" and len(part) == 2 for part in content):
            content = "".join(part["text"] for part in content)
    elif not isinstance(content, str):
        raise DataError(
            f"message {number}: content must be text or parts, found {type(content).__name__}"
        )
    return Message(role, content, fields)


def _as_part(part: Any, number: int) -> Part:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if isinstance(part, Mapping) and isinstance(part.get("type"), str):
        # Arrow tables give every part every field; what is null is not there.
        known = {name: value for name, value in part.items() if value is not None}
        if known["type"] != "text" or isinstance(known.get("text"), str):
            return known
    raise DataError(
        f"message {number}: a content part must be {{'type', …}} with text in 'text', "
        f"found {part!r:.80}"
    )


@dataclass(frozen=True)
class Conversation:
    """Immutable messages that end with the assistant message to be scored, and its tools."""

    messages: Messages
    tools: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if not self.messages or self.messages[-1].role != "assistant":
            raise DataError(
                "a conversation must end with an assistant message, the one to be scored"
            )

    def __hash__(self) -> int:
        return hash(self.messages)

    @cached_property
    def id(self) -> str:
        """Content hash: equal messages and tools, equal id."""
        own = messages_id(self.messages)
        return content_id(own, canonical_json(self.tools)) if self.tools else own

    def chat(self) -> list[dict[str, Any]]:
        """The messages as a chat template takes them."""
        return [message.to_dict() for message in self.messages]


def as_conversation(prompt: str | Sequence[Any], response: str | Sequence[Any]) -> Conversation:
    """A Conversation from a prompt and a response, each plain text or messages.

    >>> as_conversation("Why?", "Because.").chat()[1]
    {'role': 'assistant', 'content': 'Because.'}
    """
    head = (Message("user", prompt),) if isinstance(prompt, str) else as_messages(prompt)
    tail = (Message("assistant", response),) if isinstance(response, str) else as_messages(response)
    return Conversation(head + tail)


class Origin(NamedTuple):
    """Who wrote a response: a model's name (or a person's), and how it was sampled."""

    model: str
    sampling: Mapping[str, Any] = {}


Authors = Origin | tuple[Origin, ...] | None  # one, several who wrote the same text, or unknown
Verdict = Literal["preferred", "tie", "both_bad", "skip"]


class Preference(NamedTuple):
    """What a label says of two responses: the probability that the first is better.

    `weight` is such that a slate's pairs sum to 1; `why` is the kind of label it comes from.
    """

    p: float
    weight: float
    why: str


@dataclass(frozen=True, slots=True)
class Slate:
    """One prompt and K responses with what is known of them; what readers give.

    Any kind of label may be absent, and None or NaN in one is unknown. `p` is the probability
    that the first of two is better, where a model of the annotators has said so (`aggregate`
    names it); `votes` are counts for a, for b and for a tie, of two responses. `preferred`
    holds the indices of the good responses, all others being worse. In `ranks` 1 is best and
    equal ranks are ties. `origins` says who wrote each response.

    Raises DataError on values that cannot be, and on kinds of labels that contradict another.
    """

    prompt: Messages
    responses: tuple[Messages, ...]
    source: Source
    preferred: tuple[int, ...] = ()
    verdict: Verdict | None = None
    ranks: tuple[float | None, ...] | None = None
    ratings: tuple[float | None, ...] | None = None
    votes: tuple[float, float, float] | None = None
    p: float | None = None
    aggregate: str | None = None
    strength: float | None = None
    group: str | None = None
    origins: tuple[Authors, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.responses)
        if not count:
            raise DataError("no response")
        for name, values in (("ranks", self.ranks), ("ratings", self.ratings)):
            if values is not None and len(values) != count:
                raise DataError(f"{len(values)} {name} for {count} responses")
        if (self.votes is not None or self.p is not None) and count != 2:
            raise DataError(f"votes are for two responses, found {count}")
        if self.p is not None and not (0.0 <= self.p <= 1.0 or math.isnan(self.p)):
            raise DataError(f"p must lie in [0, 1], found {self.p}")
        if self.votes is not None and not all(n >= 0 for n in self.votes):
            raise DataError(f"votes must be counts, found {self.votes}")
        if self.origins and len(self.origins) != count:
            raise DataError(f"{len(self.origins)} origins for {count} responses")
        if any(not 0 <= index < count for index in self.preferred):
            raise DataError(f"preferred response {self.preferred} of {count} responses")
        for response in self.responses:
            if not response or response[-1].role != "assistant":
                raise DataError("a response must end with an assistant message")
        self._refuse_contradictions()

    def conversation(self, index: int) -> Conversation:
        """The prompt followed by response `index`."""
        return Conversation(self.prompt + self.responses[index], self.tools)

    def prompt_id(self) -> str:
        """Content hash of the prompt."""
        return messages_id(self.prompt)

    def preference(self, i: int, j: int) -> Preference | None:
        """What the labels say of responses i and j; None where nothing is known.

        The one rule that train, evaluate, check, add and export share. Of several kinds of
        label the first that knows is taken: p, votes (a tie counts half), a stated preference,
        ranks, ratings. A response judged both bad or skipped has none.
        """
        known = self._known(i, j)
        if known is None:
            return None
        pairs = itertools.combinations(range(len(self.responses)), 2)
        return Preference(
            known[1], 1.0 / sum(self._known(*pair) is not None for pair in pairs), known[0]
        )

    def preferences(self) -> list[tuple[int, int, Preference]]:
        """(i, j, preference) of every pair i < j that a label says something of."""
        pairs = itertools.combinations(range(len(self.responses)), 2)
        found = [(i, j, known) for i, j in pairs if (known := self._known(i, j)) is not None]
        return [(i, j, Preference(p, 1.0 / len(found), why)) for i, j, (why, p) in found]

    def unlabelled(self) -> str:
        """Why no pair has a preference, in a word or two."""
        if self.verdict in ("both_bad", "skip"):
            return str(self.verdict)
        return "no label" if len(self.responses) > 1 else "only one response"

    def _known(self, i: int, j: int) -> tuple[str, float] | None:
        return None if self.verdict in ("both_bad", "skip") else next(self._said(i, j), None)

    def _said(self, i: int, j: int) -> Iterator[tuple[str, float]]:
        """(kind of label, probability that i is better) of every kind that knows, in order."""
        if self.p is not None and not math.isnan(self.p):
            yield "p", self.p if i < j else 1.0 - self.p
        if self.votes is not None and sum(self.votes) > 0:
            a, b, tie = self.votes if i < j else (self.votes[1], self.votes[0], self.votes[2])
            yield "votes", (a + 0.5 * tie) / (a + b + tie)
        if self.verdict == "tie" and len(self.responses) == 2:
            yield "stated preference", 0.5
        elif (i in self.preferred) != (j in self.preferred):
            yield "stated preference", float(i in self.preferred)
        for kind, values, better in (("ranks", self.ranks, -1), ("ratings", self.ratings, 1)):
            first, second = (_number(values, index) for index in (i, j))
            if not math.isnan(first) and not math.isnan(second):
                yield kind, 0.5 + 0.5 * better * ((first > second) - (first < second))

    def _refuse_contradictions(self) -> None:
        kinds = (self.p, self.votes, self.preferred or self.verdict, self.ranks, self.ratings)
        if sum(bool(kind) or kind == 0.0 for kind in kinds) < 2:
            return
        for i, j in itertools.combinations(range(len(self.responses)), 2):
            said = list(self._said(i, j))
            if self.aggregate is not None:  # a model of the annotators may overrule their votes
                said = [(kind, p) for kind, p in said if kind != "votes"]
            for (one, p), (other, q) in itertools.combinations(said, 2):
                if (p - 0.5) * (q - 0.5) < 0:
                    raise DataError(
                        f"{one} and {other} contradict each other: response {i + 1} "
                        f"{'wins' if p > 0.5 else 'loses'} against {j + 1} by {one}, and "
                        f"{'wins' if q > 0.5 else 'loses'} by {other}; remove the wrong one"
                    )


def _number(values: tuple[float | None, ...] | None, index: int) -> float:
    value = None if values is None else values[index]
    return math.nan if value is None else value


@dataclass(frozen=True)
class Comparison:
    """A question to a person: one prompt, response a, response b, and where each came from."""

    prompt: Messages
    response_a: Messages
    response_b: Messages
    origin_a: Origin | None = None
    origin_b: Origin | None = None

    @cached_property
    def id(self) -> str:
        """Content hash, the same whichever response is called a."""
        first, second = sorted((messages_id(self.response_a), messages_id(self.response_b)))
        return content_id(messages_id(self.prompt), first, second)


@dataclass(frozen=True, slots=True)
class Judgment:
    """One person's answer to a Comparison; append-only, an undo is a new row."""

    comparison: str
    answer: Literal["a", "b", "tie", "both_bad", "skip"]
    annotator: str
    strength: int | None = None
    side_shown: Literal["ab", "ba"] = "ab"
    active_seconds: float | None = None
    guideline_version: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """The training atom: `p` is the probability that `a` is better than `b`."""

    a: Conversation
    b: Conversation
    p: float
    weight: float
    group: str
    source: Source
    strength: float | None = None
    votes: tuple[float, float, float] | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0.0 <= self.p <= 1.0:
            raise DataError(f"{self.source}: p must lie in [0, 1], found {self.p}")
        if not self.weight > 0.0:
            raise DataError(f"{self.source}: weight must be positive, found {self.weight}")


class Difference(NamedTuple):
    """The score of one conversation minus another's.

    `std` is its posterior standard deviation, covariance included (NaN where unknown), and
    `probability` = σ(mean), the probability that the first is better. A plaudit model's
    temperature was fitted so that σ of the mean is calibrated on prompts it had not seen.
    """

    mean: float
    std: float
    probability: float


@dataclass(frozen=True)
class Scores:
    """Raw scores of N conversations, in input order.

    `mean` [N] is NaN where `problems` has a reason. `std` [N] is given where a posterior is
    known, of features centred on the training mean. `factors` [N, R] span the posterior:
    the covariance of two scores is the dot product of their rows. `notes` say what else to
    know of a score, such as what was cut to fit.

    >>> scores = Scores(np.array([1.5, np.nan]), problems={1: "the template refuses it"})
    >>> scores[0], len(scores), scores.problems[1]
    (1.5, 2, 'the template refuses it')
    """

    mean: Floats
    std: Floats | None = None
    problems: Mapping[int, str] = field(default_factory=dict)
    factors: NDArray[np.floating[Any]] | None = field(default=None, repr=False)
    notes: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unexplained = set(np.flatnonzero(np.isnan(self.mean)).tolist()) - set(self.problems)
        if unexplained:
            raise ValueError(f"score {min(unexplained)} is NaN without a reason in `problems`")

    def __len__(self) -> int:
        return len(self.mean)

    def __iter__(self) -> Iterator[float]:
        return iter(self.mean.tolist())

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | NDArray[Any]) -> Scores: ...
    def __getitem__(self, index: Any) -> float | Scores:
        """The score at an index (NaN where there is none), or the Scores of several."""
        if isinstance(index, (int, np.integer)):
            return float(self.mean[index])
        chosen = np.arange(len(self))[index]
        part: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                part[name] = value[chosen]
            elif isinstance(value, Mapping):
                known = enumerate(chosen.tolist())
                part[name] = {new: value[old] for new, old in known if old in value}
        return replace(self, **part)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.mean, dtype=dtype, copy=bool(copy) or None)

    def to_frame(self) -> Any:
        """A pandas DataFrame: mean, std where known, and the problem of what has no score."""
        require("model", "pandas", what="to_frame")
        from pandas import DataFrame

        columns: dict[str, Any] = {"mean": self.mean}
        if self.std is not None:
            columns["std"] = self.std
        columns["problem"] = [self.problems.get(i, "") for i in range(len(self))]
        return DataFrame(columns)

    def difference(self, i: int, j: int) -> Difference:
        """Score i minus score j with its own standard deviation, covariance included."""
        mean = float(self.mean[i] - self.mean[j])
        std = math.nan
        if self.factors is not None:
            std = float(np.linalg.norm(self.factors[i] - self.factors[j]))
        return Difference(mean, std, float(0.5 * (1.0 + math.tanh(mean / 2.0))))


@runtime_checkable
class Scorer(Protocol):
    """Anything that scores conversations: a local model, an HTTP client, an ensemble."""

    def score(self, conversations: Sequence[Conversation]) -> Scores:
        """Raw scores in input order; what cannot be scored is NaN with its reason."""
        ...
