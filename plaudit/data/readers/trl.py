"""TRL's preference format: `chosen` and `rejected`, with the prompt given or implicit.

Conversational (messages) or plain text; `margin` is kept as the pair's strength. An implicit
prompt is the part that both sides share: whole turns of messages, or the common text up to
the last white space.
"""

from __future__ import annotations

from plaudit.data.readers.reader import Row, field, number, prompt_turns, remaining, reply_turns
from plaudit.errors import DataError
from plaudit.types import Slate, Source, Turns, as_turns

USED = ("prompt", "chosen", "rejected", "margin", "group", "votes_chosen", "votes_rejected")


def recognises(row: Row) -> bool:
    sides = [row.get("chosen"), row.get("rejected")]
    return all(isinstance(s, str) for s in sides) or all(
        isinstance(s, list) and s and isinstance(s[0], dict) and "role" in s[0] for s in sides
    )


def read(row: Row, source: Source) -> Slate:
    chosen, rejected = field(row, "chosen"), field(row, "rejected")
    if row.get("prompt") is not None:
        prompt = prompt_turns(row["prompt"])
        replies = [_without_prompt(prompt, reply_turns(side)) for side in (chosen, rejected)]
    elif isinstance(chosen, str) and isinstance(rejected, str):
        prompt, replies = _split_text(chosen, rejected)
    else:
        prompt, replies = _split_turns(as_turns(chosen), as_turns(rejected))
    return Slate(
        prompt,
        tuple(replies),
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


def _without_prompt(prompt: Turns, reply: Turns) -> Turns:
    """Some sets repeat the prompt at the head of each side."""
    if len(reply) > len(prompt) and reply[: len(prompt)] == prompt:
        return reply[len(prompt) :]
    return reply


def _split_turns(chosen: Turns, rejected: Turns) -> tuple[Turns, list[Turns]]:
    shared = 0
    limit = min(len(chosen), len(rejected)) - 1  # the last turn of each side is its reply
    while shared < limit and chosen[shared] == rejected[shared]:
        shared += 1
    if not shared:
        raise DataError("chosen and rejected share no first turn: there is no common prompt")
    while shared and chosen[shared - 1].role == "assistant":
        shared -= 1  # a prompt ends before the assistant speaks
    return chosen[:shared], [reply_turns(list(side[shared:])) for side in (chosen, rejected)]


def _split_text(chosen: str, rejected: str) -> tuple[Turns, list[Turns]]:
    n = min(len(chosen), len(rejected))
    differs = next((i for i in range(n) if chosen[i] != rejected[i]), n)
    while differs and not chosen[differs - 1].isspace():
        differs -= 1
    if not chosen[:differs].strip():
        raise DataError("chosen and rejected share no beginning, and there is no field 'prompt'")
    prompt = prompt_turns(chosen[:differs].rstrip())
    return prompt, [reply_turns(side[differs:]) for side in (chosen, rejected)]
