"""Responses that nobody has judged yet: a prompt with two responses, or a list of them."""

from __future__ import annotations

from plaudit.data.readers import ranked, two_responses
from plaudit.data.readers.reader import Row, origins, prompt_messages, remaining, response_messages
from plaudit.errors import DataError
from plaudit.types import Slate, Source


def recognises(row: Row) -> bool:
    listed = next((row[n] for n in ranked.RESPONSES if isinstance(row.get(n), list)), None)
    several = len(listed or ()) > 1 or two_responses.response_names(row) is not None
    return several and two_responses.prompt_name(row) is not None


def read(row: Row, source: Source) -> Slate:
    prompt, names = two_responses.prompt_name(row), two_responses.response_names(row)
    listed = next((row[n] for n in ranked.RESPONSES if isinstance(row.get(n), list)), None)
    if prompt is None or (names is None and listed is None):
        raise DataError("expected a prompt and its responses, such as response_a and response_b")
    items = [row[name] for name in names] if names else list(listed or ())
    return Slate(
        prompt_messages(row[prompt]),
        tuple(response_messages(row[name]) for name in names)
        if names
        else ranked.responses_of(items),
        source,
        group=str(row["group"]) if row.get("group") is not None else None,
        origins=origins(row, items),
        columns=remaining(row, (prompt, "group", *(names or ()))),
    )
