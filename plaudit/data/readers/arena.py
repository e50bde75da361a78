"""Chatbot Arena: two conversations and a `winner`, in the layouts published so far.

`conversation_a` and `conversation_b` (33k, 100k, 140k with content parts), lists of user and
assistant texts side by side (55k), and FastChat's own vote logs. Later user messages may repeat,
but each model answered its own history: the responses are everything after the first user message.
"""

from __future__ import annotations

from typing import Any

from plaudit.data.readers.label_values import read_label
from plaudit.data.readers.messages import listed, prompt_messages, response_messages
from plaudit.data.readers.reader import Fields, Row
from plaudit.errors import DataError
from plaudit.types import Messages, Slate, Source

WINNERS = ("winner_model_a", "winner_model_b", "winner_tie")
VOTES = ("leftvote", "rightvote", "tievote", "bothbad_vote")


def recognises(row: Row) -> bool:
    return {"conversation_a", "conversation_b", "winner"} <= row.keys()


def recognises_55k(row: Row) -> bool:
    return {"prompt", "response_a", "response_b", *WINNERS} <= row.keys()


def recognises_log(row: Row) -> bool:
    states = row.get("states")
    return "type" in row and isinstance(states, list) and len(states) == 2


def names(_row: Row) -> tuple[str, str]:
    """The two columns that `winner` compares."""
    return "conversation_a", "conversation_b"


def read(fields: Fields, source: Source) -> Slate:
    sides = [prompt_messages(fields.need(f"conversation {s}", f"conversation_{s}")) for s in "ab"]
    label = fields.label("winner", names(fields.row))
    return _slate(fields, source, sides, label)


def read_55k(fields: Fields, source: Source) -> Slate:
    asked = _list(fields.need("prompt"), "prompt")
    sides = []
    for side in "ab":
        name = f"response_{side}"
        answered = _list(fields.need(f"response {side}", name), name)
        if len(answered) != len(asked) or any(text is None for text in (*asked, *answered)):
            raise DataError(f"field {name!r} does not hold a text for each prompt")
        sides.append([
            {"role": role, "content": text}
            for pair in zip(asked, answered, strict=True)
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ])  # fmt: skip
    flags = [fields.number(name, "label") for name in WINNERS]
    if sorted(flag or 0 for flag in flags) != [0, 0, 1]:
        raise DataError(f"one of {', '.join(WINNERS)} must be 1 and the others 0, found {flags}")
    label = read_label(("a", "b", "tie")[flags.index(1)])
    return _slate(fields, source, [prompt_messages(side) for side in sides], label)


def read_log(fields: Fields, source: Source) -> Slate:
    kind, states = fields.need("label", "type"), fields.need("conversations", "states")
    if not isinstance(states, list) or len(states) != 2:
        raise DataError("'states' must be a list of two conversations")
    if kind not in VOTES:
        raise DataError(f"type {kind!r:.40} is no vote; votes are {', '.join(VOTES)}")
    return _slate(fields, source, [_state(state) for state in states], read_label(kind))


def _slate(fields: Fields, source: Source, sides: list[Messages], label: Any) -> Slate:
    start = 0
    for one, two in zip(*sides, strict=False):
        start += 1
        if one != two:
            raise DataError("the two conversations begin with different prompts")
        if one.role == "user":
            break
    else:
        raise DataError("no user message that both conversations begin with")
    responses = [response_messages(list(side[start:])) for side in sides]
    return fields.slate(
        source, sides[0][:start], responses, preferred=label.preferred, verdict=label.verdict
    )


def _list(value: Any, name: str) -> list[Any]:
    value = listed(value, f"the list in {name!r}")
    return value if isinstance(value, list) else [value]


def _state(state: Any) -> Messages:
    """Messages of a conversation as FastChat keeps it; the first `offset` are its examples."""
    try:
        roles, turns = [*state["roles"]], [*state["messages"]][int(state.get("offset") or 0) :]
        messages = [
            {"role": ("user", "assistant")[roles.index(role)], "content": text}
            for role, text in turns
            if text is not None
        ]
        system = state.get("system_message") or state.get("system")
    except (TypeError, KeyError, ValueError, AttributeError, IndexError):
        raise DataError(f"not a conversation of FastChat: {state!r:.60}") from None
    if isinstance(system, str) and system.strip():
        messages.insert(0, {"role": "system", "content": system})
    return prompt_messages(messages)
