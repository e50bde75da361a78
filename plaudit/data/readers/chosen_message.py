"""Messages that end with the preferred response, beside the rejected one.

ms-swift (`rejected_response`, or `rejected_messages` with the whole other conversation) and
OpenPipe (`rejected_message`).
"""

from __future__ import annotations

from plaudit.data.readers.messages import prompt_messages, response_messages
from plaudit.data.readers.reader import Fields, Row
from plaudit.errors import DataError
from plaudit.types import Slate, Source

REJECTED = ("rejected_response", "rejected_message", "rejected_messages")


def recognises_swift(row: Row) -> bool:
    return row.get("messages") is not None and bool(
        row.get("rejected_response") or row.get("rejected_messages")
    )


def recognises_openpipe(row: Row) -> bool:
    return row.get("messages") is not None and row.get("rejected_message") is not None


def read(fields: Fields, source: Source) -> Slate:
    messages = prompt_messages(fields.need("prompt and chosen", "messages"))
    # Messages of one response may be several: calls of tools and their results.
    start = next((i for i in range(len(messages), 0, -1) if messages[i - 1].role == "user"), 0)
    if not start or start == len(messages):
        raise DataError("'messages' must hold a user message and end with the preferred response")
    rejected = fields.need("rejected", *REJECTED)
    others = (
        rejected if isinstance(rejected, list) and "rejected_response" in fields.roles else None
    )
    several = others if others and all(isinstance(each, str) for each in others) else [rejected]
    responses = [messages[start:], *map(response_messages, several)]
    return fields.slate(source, messages[:start], responses, preferred=(0,), verdict="preferred")
