"""Logs of chat completions with a judged pair, as NVIDIA's data flywheel keeps them.

`request` is what was asked of the API (messages, tools), and each response what it gave
(`choices`). Two of them are judged as in the other formats: `chosen` and `rejected`,
`response_a`, `response_b` and `label`, or one response with two choices and a `label`.
"""

from __future__ import annotations

from typing import Any

from plaudit.data.readers import trl, two_responses
from plaudit.data.readers.reader import Fields, Row
from plaudit.errors import DataError
from plaudit.types import Slate, Source


def recognises(row: Row) -> bool:
    request = row.get("request")
    return isinstance(request, dict) and "messages" in request and _kind(row) is not None


def _kind(row: Row) -> str | None:
    if row.get("chosen") is not None and row.get("rejected") is not None:
        return "chosen"
    if two_responses.response_names(row) is not None:
        return "two"
    response = row.get("response")
    choices = response.get("choices") if isinstance(response, dict) else None
    return "choices" if isinstance(choices, list) and len(choices) == 2 else None


def names(row: Row) -> tuple[str, str]:
    """The two columns that a label compares."""
    return two_responses.response_names(row) or ("response_a", "response_b")


def read(fields: Fields, source: Source) -> Slate:
    row, kind = fields.row, _kind(fields.row)
    request = fields.need("prompt", "request")
    if not isinstance(request, dict) or kind is None:
        raise DataError("expected a request with messages, and two responses that are judged")
    pair = ("chosen", "rejected") if kind == "chosen" else names(row)
    sides = [row["response"]] if kind == "choices" else [row[name] for name in pair]
    messages = [message for side in sides for message in _messages(side)]
    if len(messages) != 2:
        raise DataError(f"expected one choice in each response, found {len(messages)} in all")
    flat = {**row, **dict(zip(pair, messages, strict=True)), "prompt": request.get("messages")}
    flat |= {"tools": request.get("tools"), "request": None}
    inner = Fields(flat, fields.meaning, fields.shown)
    read_pair = trl.read if kind == "chosen" else two_responses.read
    slate = read_pair(inner, source)
    fields.roles |= {name: role for name, role in inner.roles.items() if name in row}
    if kind == "choices":
        fields.roles["response"] = "responses"
    return slate


def _messages(response: Any) -> list[Any]:
    """The messages of the choices of a completion; anything else is a response by itself."""
    if not isinstance(response, dict) or not isinstance(response.get("choices"), list):
        return [response]
    return [c.get("message") if isinstance(c, dict) else None for c in response["choices"]]
