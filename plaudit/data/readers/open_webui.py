"""Open WebUI's feedback export: a rating of one response beside its siblings in the chat.

`data.rating` is 1 or −1 for `data.model_id` against `data.sibling_model_ids`; the texts stand
in `snapshot.chat.chat.history.messages`, a tree whose rated message is `meta.message_id`. A
rating without siblings compares nothing and is a row without a label.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.data.readers.messages import prompt_messages, response_messages
from plaudit.data.readers.reader import Fields, Row, known_number
from plaudit.errors import DataError
from plaudit.types import Slate, Source


def recognises(row: Row) -> bool:
    data = row.get("data")
    return "snapshot" in row and isinstance(data, dict) and "rating" in data


def read(fields: Fields, source: Source) -> Slate:
    data, meta, snapshot = (fields.need(name) for name in ("data", "meta", "snapshot"))
    if not all(isinstance(each, dict) for each in (data, meta, snapshot)):
        raise DataError("'data', 'meta' and 'snapshot' must be objects")
    messages = _messages(snapshot)
    rated = messages.get(str(meta.get("message_id")))
    if rated is None:
        raise DataError(f"the chat has no message {meta.get('message_id')!r:.40}, the rated one")
    siblings = [
        message
        for message in messages.values()
        if message is not rated
        and message.get("parentId") == rated.get("parentId")
        and message.get("role") == "assistant"
        and message.get("model") in (data.get("sibling_model_ids") or ())
    ]
    rating = known_number(data.get("rating"), "rating")
    if rating not in (1.0, -1.0, None):
        raise DataError(f"rating must be 1 or -1, found {rating:g}")
    items = [rated, *siblings]
    worse = tuple(range(1, len(items)))
    known = rating is not None and bool(siblings)
    return fields.slate(
        source,
        prompt_messages(_before(messages, rated)),
        [response_messages(item.get("content")) for item in items],
        items,
        preferred=((0,) if rating == 1.0 else worse) if known else (),
        verdict="preferred" if known else None,
    )


def _messages(snapshot: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    chat: Any = snapshot
    for name in ("chat", "chat", "history", "messages"):
        chat = chat.get(name, {}) if isinstance(chat, dict) else {}
    if not isinstance(chat, dict) or not all(isinstance(each, dict) for each in chat.values()):
        raise DataError("snapshot.chat.chat.history.messages must be an object of messages")
    return chat


def _before(messages: Mapping[str, dict[str, Any]], rated: Mapping[str, Any]) -> list[Any]:
    """The messages from the first of the chat to the parent of the rated one."""
    found: list[Any] = []
    parent = rated.get("parentId")
    while parent is not None:
        message = messages.get(str(parent))
        if message is None or len(found) > len(messages):
            raise DataError(f"the chat has no path from its first message to {parent!r:.40}")
        found.append({name: message.get(name) for name in ("role", "content")})
        parent = message.get("parentId")
    return found[::-1]
