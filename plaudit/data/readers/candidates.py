"""Responses that nobody has judged yet: a prompt with two responses, or a list of them."""

from __future__ import annotations

from plaudit.data.readers import ranked, two_responses
from plaudit.data.readers.messages import response_messages
from plaudit.data.readers.reader import PROMPTS, Fields, Row
from plaudit.errors import DataError
from plaudit.types import Slate, Source


def recognises(row: Row) -> bool:
    listed = next((row[n] for n in ranked.RESPONSES if isinstance(row.get(n), list)), None)
    several = len(listed or ()) > 1 or two_responses.response_names(row) is not None
    asked = any(row.get(name) is not None for name in PROMPTS)
    # A column that looks like a label, which no reader understands: such a row is not unjudged.
    return several and asked and not any(name in row for name in two_responses.LABELS)


def read(fields: Fields, source: Source) -> Slate:
    names = two_responses.response_names(fields.row)
    items = (
        [fields.need(*each) for each in zip(("response a", "response b"), names, strict=True)]
        if names
        else fields.get("responses", *ranked.RESPONSES)
    )
    if not isinstance(items, list) or len(items) < 2:
        raise DataError("expected a prompt and its responses, such as response_a and response_b")
    responses = [*map(response_messages, items)] if names else ranked.responses_of(items)
    return fields.slate(source, fields.prompt(), responses, items)
