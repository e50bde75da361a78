"""TRL's preference format: `chosen` and `rejected`, with the prompt given or implicit.

Conversational (messages) or plain text; `margin` is kept as the pair's strength. An implicit
prompt is the part that both sides share: whole messages of messages, or the common text up to
the last white space.
"""

from __future__ import annotations

from plaudit.data.readers.reader import (
    Row,
    field,
    number,
    prompt_messages,
    remaining,
    response_messages,
)
from plaudit.errors import DataError
from plaudit.types import Messages, Slate, Source, as_messages

USED = ("prompt", "chosen", "rejected", "margin", "group", "votes_chosen", "votes_rejected")


def recognises(row: Row) -> bool:
    sides = [row.get("chosen"), row.get("rejected")]
    return all(isinstance(s, str) for s in sides) or all(
        isinstance(s, list) and s and isinstance(s[0], dict) and "role" in s[0] for s in sides
    )


def read(row: Row, source: Source) -> Slate:
    chosen, rejected = field(row, "chosen"), field(row, "rejected")
    if row.get("prompt") is not None:
        prompt = prompt_messages(row["prompt"])
        responses = [
            _without_prompt(prompt, response_messages(side)) for side in (chosen, rejected)
        ]
    elif isinstance(chosen, str) and isinstance(rejected, str):
        prompt, responses = _split_text(chosen, rejected)
    else:
        prompt, responses = _split_turns(as_messages(chosen), as_messages(rejected))
    return Slate(
        prompt,
        tuple(responses),
        source,
        preferred=(0,),
        verdict="preferred",
        votes=_votes(row),
        strength=number(row, "margin"),
        group=str(row["group"]) if row.get("group") is not None else None,
        columns=remaining(row, USED),
    )


def _votes(row: Row) -> tuple[float, float, float] | None:
    a, b, tie = (number(row, f"votes_{side}") for side in ("chosen", "rejected", "tie"))
    return None if a is None or b is None else (a, b, tie or 0.0)


def _without_prompt(prompt: Messages, response: Messages) -> Messages:
    """Some sets repeat the prompt at the head of each side."""
    if len(response) > len(prompt) and response[: len(prompt)] == prompt:
        return response[len(prompt) :]
    return response


def _split_turns(chosen: Messages, rejected: Messages) -> tuple[Messages, list[Messages]]:
    shared = 0
    limit = min(len(chosen), len(rejected)) - 1  # the last turn of each side is its response
    while shared < limit and chosen[shared] == rejected[shared]:
        shared += 1
    if not shared:
        raise DataError("chosen and rejected share no first turn: there is no common prompt")
    while shared and chosen[shared - 1].role == "assistant":
        shared -= 1  # a prompt ends before the assistant speaks
    return chosen[:shared], [response_messages(list(side[shared:])) for side in (chosen, rejected)]


def _split_text(chosen: str, rejected: str) -> tuple[Messages, list[Messages]]:
    n = min(len(chosen), len(rejected))
    differs = next((i for i in range(n) if chosen[i] != rejected[i]), n)
    while differs and not chosen[differs - 1].isspace():
        differs -= 1
    if not chosen[:differs].strip():
        raise DataError("chosen and rejected share no beginning, and there is no field 'prompt'")
    prompt = prompt_messages(chosen[:differs].rstrip())
    return prompt, [response_messages(side[differs:]) for side in (chosen, rejected)]
