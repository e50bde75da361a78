"""What one may hand to a Scorer in Python, and what comes back: score, rank, probability.

A class that has `score_conversations` gets all of it from `Scoring`; the functions `rank` and
`probability` do the same with any Scorer. No torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.errors import DataError, UsageError
from plaudit.types import Conversation, Message, Pair, Scorer, Scores, as_conversation, as_messages

Floats = NDArray[np.float64]
Score = Callable[[Sequence[Conversation]], Scores]
# A conversation, or why what was given is none.
Given = Conversation | DataError
TAKEN = (
    "score takes a prompt and its responses, score(prompt, [response, …]), or a list of "
    "conversations: message lists that end with the assistant, (prompt, response) pairs, "
    "{'prompt', 'response'} or {'messages'} mappings, or Conversations"
)
PAIRS_TAKEN = (
    "probability takes a list of pairs: (conversation a, conversation b), (prompt, response a, "
    "response b), {'prompt', 'response_a', 'response_b'} mappings, or Pairs"
)


@dataclass(frozen=True)
class Ranked:
    """A response in its place: its index in what was given, its score or why it has none."""

    index: int
    response: Any
    score: float
    problem: str = ""


class Scoring:
    """`score`, `rank` and `probability` on top of `score_conversations`.

    >>> class ByLength(Scoring):
    ...     def score_conversations(self, conversations):
    ...         return Scores(np.array([float(len(c.messages[-1].text)) for c in conversations]))
    >>> scorer = ByLength()
    >>> list(scorer.score("Why?", ["Because.", "So."]))
    [8.0, 3.0]
    >>> list(scorer.score([("Why?", "So."), [{"role": "assistant", "content": "Hello."}]]))
    [3.0, 6.0]
    >>> scorer.rank("Why?", ["So.", "Because."])[0]
    Ranked(index=1, response='Because.', score=8.0, problem='')
    >>> scorer.probability([("Why?", "So.", "Yes.")]).round(3).tolist()
    [0.269]
    """

    contract: Mapping[str, Any] = {}

    def score_conversations(self, conversations: Sequence[Conversation]) -> Scores:
        """Raw scores in input order; what cannot be scored is NaN with its reason."""
        raise NotImplementedError

    def score(self, conversations: Any, responses: Sequence[Any] | None = None) -> Scores:
        """Raw scores in input order; with `std` where a posterior is known.

        Args:
            conversations: a list of conversations: message lists that end with the assistant,
                (prompt, response) pairs, mappings, Conversations; or, with `responses`, a prompt.
            responses: the responses to that one prompt, each text or messages.

        What cannot be read or scored is NaN with its reason in `problems`. Raises UsageError on
        something that is none of these.
        """
        return score_given(self.score_conversations, conversations_of(conversations, responses))

    def rank(self, prompt: Any, responses: Sequence[Any]) -> list[Ranked]:
        """The responses to a prompt, best first; those that cannot be scored come last."""
        return rank(self, prompt, responses)

    def probability(self, pairs: Iterable[Any]) -> Floats:
        """[N] probability that the first of each pair is better, in one call of the model.

        Pairs are (conversation a, conversation b), (prompt, response a, response b), mappings
        with prompt, response_a and response_b, or Pairs. NaN, with one warning, where one side
        cannot be scored. Raises UsageError on something that is none of these.
        """
        return probability(self, pairs)

    def __repr__(self) -> str:
        return describe(type(self).__name__, self.contract)


def rank(scorer: Scorer, prompt: Any, responses: Sequence[Any]) -> list[Ranked]:
    """`Scoring.rank` with any Scorer."""
    scores = score_given(scorer.score, conversations_of(prompt, responses))
    return [
        Ranked(i, responses[i], float(scores.mean[i]), scores.problems.get(i, ""))
        for i in np.argsort(-scores.mean, kind="stable").tolist()  # NaN comes last
    ]


def probability(scorer: Scorer, pairs: Iterable[Any]) -> Floats:
    """`Scoring.probability` with any Scorer."""
    sides = [side for i, pair in enumerate(_listed(pairs, PAIRS_TAKEN)) for side in _sides(pair, i)]
    scores = score_given(scorer.score, sides)
    if scores.problems:
        first = min(scores.problems)
        warnings.warn(
            f"{len(scores.problems)} of {len(sides)} conversations have no score; the first, in "
            f"pair {first // 2}: {scores.problems[first]}",
            stacklevel=3,
        )
    result: Floats = 0.5 * (1.0 + np.tanh((scores.mean[0::2] - scores.mean[1::2]) / 2.0))
    return result


def score_given(score: Score, given: Sequence[Given]) -> Scores:
    """Scores of conversations; where there is none, NaN and the reason."""
    places = [i for i, one in enumerate(given) if isinstance(one, Conversation)]
    known = [one for one in given if isinstance(one, Conversation)]
    scores = score(known) if known else Scores(np.empty(0))
    if len(known) == len(given):
        return scores
    spread: dict[str, Any] = {}
    for name in (field.name for field in fields(scores)):
        value = getattr(scores, name)
        if isinstance(value, np.ndarray):
            spread[name] = np.full((len(given), *value.shape[1:]), np.nan, value.dtype)
            spread[name][places] = value
        elif isinstance(value, Mapping):
            spread[name] = {places[i]: text for i, text in value.items()}
    reasons = {i: str(one) for i, one in enumerate(given) if isinstance(one, DataError)}
    return replace(scores, **spread | {"problems": spread["problems"] | reasons})


def conversations_of(given: Any, responses: Sequence[Any] | None = None) -> list[Given]:
    """Conversations of whatever `Scoring.score` takes; raises UsageError on anything else."""
    if responses is None:
        return [_conversation(one, i) for i, one in enumerate(_listed(given, TAKEN))]
    if isinstance(responses, (str, Mapping)) or not isinstance(responses, Iterable):
        raise UsageError(f"responses is a list, found {_kind(responses)}; {TAKEN}")
    if not (given is None or _is_text_or_messages(given)):
        raise UsageError(f"a prompt is text or messages, found {_kind(given)}; {TAKEN}")
    return [joined(given, response) for response in responses]


def _listed(given: Any, taken: str) -> list[Any]:
    if isinstance(given, (str, bytes, Mapping, Message, Conversation, Pair)) or not isinstance(
        given, Iterable
    ):
        raise UsageError(f"found {_kind(given)}, not a list; {taken}")
    return list(given)


def _conversation(one: Any, index: int) -> Given:
    if isinstance(one, Conversation):
        return one
    if isinstance(one, Mapping):
        if "messages" in one:
            return _whole(one["messages"], one.get("tools") or ())
        response = next((one[k] for k in ("response", "completion") if k in one), None)
        if "prompt" in one and response is not None:
            return joined(one["prompt"], response, one.get("tools") or ())
        if "role" in one:
            raise UsageError(
                f"item {index} is a single message: a conversation is a list of them, so one "
                "conversation is scored as score([messages])"
            )
    if isinstance(one, (list, tuple)):
        if len(one) == 2 and any(map(_is_text_or_messages, one)):
            return joined(*one)
        if _is_text_or_messages(one):
            return _whole(one)
    raise UsageError(f"item {index} is {_kind(one)}; {TAKEN}")


def _sides(pair: Any, index: int) -> tuple[Given, Given]:
    if isinstance(pair, Pair):
        return pair.a, pair.b
    if isinstance(pair, Mapping):
        names = next(
            (n for n in (("response_a", "response_b"), ("chosen", "rejected")) if {*n} <= {*pair}),
            None,
        )
        if names is not None and "prompt" in pair:
            pair = (pair["prompt"], *(pair[name] for name in names))
    if isinstance(pair, (list, tuple)) and len(pair) == 3:
        return joined(pair[0], pair[1]), joined(pair[0], pair[2])
    if isinstance(pair, (list, tuple)) and len(pair) == 2:
        return _conversation(pair[0], index), _conversation(pair[1], index)
    raise UsageError(f"item {index} is {_kind(pair)}; {PAIRS_TAKEN}")


def joined(prompt: Any, response: Any, tools: Sequence[Mapping[str, Any]] = ()) -> Given:
    """The conversation of a prompt and a response, or why they are none."""
    try:
        return _encodable(replace(as_conversation(prompt, response), tools=tuple(tools)))
    except DataError as error:
        return error


def _whole(messages: Any, tools: Sequence[Mapping[str, Any]] = ()) -> Given:
    try:
        return _encodable(Conversation(as_messages(messages), tuple(tools)))
    except DataError as error:
        return error


def _encodable(conversation: Conversation) -> Conversation:
    """Raises DataError on text that no tokenizer takes."""
    for number, message in enumerate(conversation.messages, 1):
        try:
            message.text.encode("utf-8")
        except UnicodeEncodeError as error:
            found = ascii(message.text[error.start])
            raise DataError(
                f"message {number}: {found} is half of a surrogate pair, which is not valid text"
            ) from None
    return conversation


def _is_text_or_messages(given: Any) -> bool:
    if isinstance(given, (list, tuple)):
        return all(isinstance(m, (Message, Mapping, list, tuple)) for m in given)
    return isinstance(given, str)


def _kind(given: Any) -> str:
    if isinstance(given, Mapping):
        return f"a mapping of {', '.join(map(str, given)) or 'nothing'}"
    return f"{type(given).__name__} {given!r:.60}"


def describe(kind: str, contract: Mapping[str, Any]) -> str:
    """A line on a model: base, layers, the scale of its scores, its held-out numbers.

    >>> describe("RewardModel", {})
    'RewardModel(not made by plaudit: scale and held-out numbers unknown)'
    """
    if not contract:
        return f"{kind}(not made by plaudit: scale and held-out numbers unknown)"
    parts = [f"{contract.get('base', 'base unknown')}, {contract.get('layer', '?')} layers"]
    if scale := contract.get("normalisation"):
        parts.append(f"scores {scale['mean']:.2f} ± {scale['std']:.2f}")
    held_out = contract.get("held_out") or {}
    numbers = [f"{n} {held_out[n]:.3f}" for n in ("accuracy", "log-loss") if held_out.get(n)]
    return f"{kind}({', '.join([*parts, *(f'held-out {one}' for one in numbers)])})"
