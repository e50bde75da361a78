"""TRL's preference format: `chosen` and `rejected`, with the prompt given or implicit.

Conversational (messages) or plain text; `margin` is kept as the pair's strength. An implicit
prompt is what both sides share: of messages, or of transcripts whose messages are marked. Two
plain texts without a prompt are refused: what they share is no prompt, but chance. Of
twelve-angry-llms' rows `pair_agreement`, the share of judges for chosen, is the label; of
ShareGPT's and LLaMA-Factory's, `conversations` hold the prompt.
"""

from __future__ import annotations

from typing import Any

from plaudit.data.readers.messages import response_messages
from plaudit.data.readers.reader import LAST_PROMPTS, PROMPTS, Fields, Row
from plaudit.errors import DataError
from plaudit.types import Messages, Slate, Source

MESSAGES = ("messages", "conversations", "conversation")


def recognises(row: Row) -> bool:
    return all(name in row and _is_side(row[name]) for name in ("chosen", "rejected"))


def recognises_judged(row: Row) -> bool:
    return "pair_agreement" in row and recognises(row)


def recognises_sharegpt(row: Row) -> bool:
    return isinstance(row.get("conversations"), list) and recognises(row)


def _is_side(value: Any) -> bool:
    return not isinstance(value, list) or (bool(value) and isinstance(value[0], dict))


def read(fields: Fields, source: Source) -> Slate:
    sides = [fields.need("chosen"), fields.need("rejected")]
    if fields.name((*PROMPTS, *LAST_PROMPTS)) is not None:
        prompt, responses = fields.prompt(), [*map(response_messages, sides)]
    elif fields.name(MESSAGES) is not None:  # ShareGPT and LLaMA-Factory
        prompt, responses = fields.prompt(*MESSAGES), [*map(response_messages, sides)]
    else:
        prompt, responses = _implicit(*map(response_messages, sides))
        fields.roles["what both begin with"] = "prompt"
    agreement = fields.number("pair_agreement", "p")
    return fields.slate(
        source,
        prompt,
        responses,
        preferred=() if agreement is not None else (0,),
        verdict=None if agreement is not None else "preferred",
        p=agreement,
        votes=_votes(fields),
        strength=fields.number("margin"),
    )


def _votes(fields: Fields) -> tuple[float, float, float] | None:
    a, b, tie = (fields.number(f"votes_{side}") for side in ("chosen", "rejected", "tie"))
    return None if a is None or b is None else (a, b, tie or 0.0)


def _implicit(chosen: Messages, rejected: Messages) -> tuple[Messages, list[Messages]]:
    shared = 0
    limit = min(len(chosen), len(rejected)) - 1  # the last message of each side is its response
    while shared < limit and chosen[shared] == rejected[shared]:
        shared += 1
    while shared and chosen[shared - 1].role == "assistant":
        shared -= 1  # a prompt ends before the assistant speaks
    if not shared:
        raise DataError(
            "chosen and rejected begin with no common message and there is no field 'prompt'; "
            "name its column: --columns prompt=COLUMN"
        )
    return chosen[:shared], [response_messages(side[shared:]) for side in (chosen, rejected)]
