"""The nouns: Conversation, Slate, Comparison, Judgment, Pair, Scores and the protocol Scorer.

Frozen and validated where they are made, so that nothing downstream checks them again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from plaudit.errors import DataError

__all__ = [
    "Comparison",
    "Conversation",
    "Difference",
    "Judgment",
    "Origin",
    "Pair",
    "Scorer",
    "Scores",
    "Slate",
    "Source",
    "Turn",
    "Turns",
    "as_conversation",
    "as_turns",
    "content_id",
    "turns_id",
]

ROLES = ("system", "user", "assistant", "tool")
Floats = NDArray[np.float64]


class Turn(NamedTuple):
    """One message: who (system, user, assistant or tool) and what."""

    role: str
    content: str


Turns = tuple[Turn, ...]


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


def turns_id(turns: Turns) -> str:
    """Content hash of turns."""
    return content_id(*(text for turn in turns for text in turn))


def as_turns(messages: Sequence[Any]) -> Turns:
    """Turns from messages, each a Turn, a (role, content) pair or a {"role", "content"} mapping.

    Raises DataError on an unknown role or on content that is not text.
    """
    turns = []
    for position, message in enumerate(messages):
        if isinstance(message, Mapping):
            role, content = message.get("role"), message.get("content")
        elif isinstance(message, (tuple, list)) and len(message) == 2:
            role, content = message
        else:
            raise DataError(
                f"turn {position + 1}: expected {{'role', 'content'}}, found {message!r:.80}"
            )
        if role not in ROLES:
            raise DataError(f"turn {position + 1}: role {role!r} is not one of {', '.join(ROLES)}")
        if not isinstance(content, str):
            raise DataError(
                f"turn {position + 1}: content must be text, found {type(content).__name__}"
            )
        turns.append(Turn(role, content))
    return tuple(turns)


@dataclass(frozen=True)
class Conversation:
    """Immutable turns that end with the assistant turn to be scored."""

    turns: Turns

    def __post_init__(self) -> None:
        if not self.turns or self.turns[-1].role != "assistant":
            raise DataError("a conversation must end with an assistant turn, the one to be scored")

    @cached_property
    def id(self) -> str:
        """Content hash: equal turns, equal id."""
        return turns_id(self.turns)

    def messages(self) -> list[dict[str, str]]:
        """The turns as chat messages, for a chat template."""
        return [turn._asdict() for turn in self.turns]


def as_conversation(prompt: str | Sequence[Any], reply: str | Sequence[Any]) -> Conversation:
    """A Conversation from a prompt and a reply, each plain text or messages."""
    head = (Turn("user", prompt),) if isinstance(prompt, str) else as_turns(prompt)
    tail = (Turn("assistant", reply),) if isinstance(reply, str) else as_turns(reply)
    return Conversation(head + tail)


class Origin(NamedTuple):
    """Who wrote a reply: a model's name (or a person's), and how it was sampled."""

    model: str
    sampling: Mapping[str, Any] = {}


Verdict = Literal["preferred", "tie", "both_bad", "skip"]


@dataclass(frozen=True, slots=True)
class Slate:
    """One prompt and K replies with what is known of them; what readers give.

    Of `preferred`, `ranks`, `ratings` and `votes` any may be absent. `preferred` holds the
    indices of the good replies, all others being worse. In `ranks` 1 is best and equal ranks
    are ties. `votes` are counts for a, for b and for a tie, of two replies; `p` is the
    probability that the first of two is better, where a model of the annotators has said so.
    `origins` says who wrote each reply.
    """

    prompt: Turns
    replies: tuple[Turns, ...]
    source: Source
    preferred: tuple[int, ...] = ()
    verdict: Verdict | None = None
    ranks: tuple[float, ...] | None = None
    ratings: tuple[float, ...] | None = None
    votes: tuple[float, float, float] | None = None
    p: float | None = None
    strength: float | None = None
    group: str | None = None
    origins: tuple[Origin | None, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.replies)
        if not count:
            raise DataError("no reply")
        for name, values in (("ranks", self.ranks), ("ratings", self.ratings)):
            if values is not None and len(values) != count:
                raise DataError(f"{len(values)} {name} for {count} replies")
        if (self.votes is not None or self.p is not None) and count != 2:
            raise DataError(f"votes are for two replies, found {count}")
        if self.p is not None and not 0.0 <= self.p <= 1.0:
            raise DataError(f"p must lie in [0, 1], found {self.p}")
        if self.origins and len(self.origins) != count:
            raise DataError(f"{len(self.origins)} origins for {count} replies")
        if any(not 0 <= index < count for index in self.preferred):
            raise DataError(f"preferred reply {self.preferred} of {count} replies")
        for reply in self.replies:
            if not reply or reply[-1].role != "assistant":
                raise DataError("a reply must end with an assistant turn")

    def conversation(self, index: int) -> Conversation:
        """The prompt followed by reply `index`."""
        return Conversation(self.prompt + self.replies[index])

    def prompt_id(self) -> str:
        """Content hash of the prompt."""
        return turns_id(self.prompt)


@dataclass(frozen=True)
class Comparison:
    """A question to a person: one prompt, reply a, reply b, and where each reply came from."""

    prompt: Turns
    reply_a: Turns
    reply_b: Turns
    origin_a: Origin | None = None
    origin_b: Origin | None = None

    @cached_property
    def id(self) -> str:
        """Content hash, the same whichever reply is called a."""
        first, second = sorted((turns_id(self.reply_a), turns_id(self.reply_b)))
        return content_id(turns_id(self.prompt), first, second)


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
    the covariance of two scores is the dot product of their rows.
    """

    mean: Floats
    std: Floats | None = None
    problems: Mapping[int, str] = field(default_factory=dict)
    factors: NDArray[np.floating[Any]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        unexplained = set(np.flatnonzero(np.isnan(self.mean)).tolist()) - set(self.problems)
        if unexplained:
            raise ValueError(f"score {min(unexplained)} is NaN without a reason in `problems`")

    def __len__(self) -> int:
        return len(self.mean)

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
