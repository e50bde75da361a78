"""A preferred response with the rejected one beside it.

ms-swift: `messages` that end with the preferred response (or `query` and `response`) beside
`rejected_response`, or beside `rejected_messages` with the whole other conversation. OpenPipe:
`messages` beside `rejected_message`.
"""

from __future__ import annotations

from plaudit.data.readers.messages import prompt_messages, response_messages
from plaudit.data.readers.reader import Fields, Row
from plaudit.errors import DataError
from plaudit.types import Slate, Source

REJECTED = ("rejected_response", "rejected_message", "rejected_messages")


def recognises_swift(row: Row) -> bool:
    answered = row.get("messages") is not None or row.get("response") is not None
    return answered and bool(row.get("rejected_response") or row.get("rejected_messages"))


def recognises_openpipe(row: Row) -> bool:
    return row.get("messages") is not None and row.get("rejected_message") is not None


def read(fields: Fields, source: Source) -> Slate:
    if fields.name(("messages",)) is not None:
        messages = prompt_messages(fields.need("prompt and chosen", "messages"))
        # Messages of one response may be several: calls of tools and their results.
        start = next((i for i in range(len(messages), 0, -1) if messages[i - 1].role == "user"), 0)
        if not start or start == len(messages):
            raise DataError(
                "'messages' must hold a user message and end with the preferred response"
            )
        prompt, chosen = messages[:start], messages[start:]
    else:
        prompt, chosen = fields.prompt(), response_messages(fields.need("chosen", "response"))
    rejected = fields.need("rejected", *REJECTED)
    texts = isinstance(rejected, list) and all(isinstance(each, str) for each in rejected)
    responses = [chosen, *map(response_messages, rejected if texts else [rejected])]
    return fields.slate(source, prompt, responses, preferred=(0,), verdict="preferred")
