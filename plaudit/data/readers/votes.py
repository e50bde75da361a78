"""A study's judgments as `plaudit export --format csv` writes them: one a row.

The rows of one comparison are read together. The format stands here once, for the export too: a
text that a spreadsheet would take for a formula has an apostrophe before it; what is not one
plain message is JSON; the data's own columns are named `data.NAME`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.data.readers.messages import json_value
from plaudit.data.readers.reader import Fields, Row, prompt_messages, response_messages
from plaudit.data.readers.study import ANSWERS, said
from plaudit.errors import DataError
from plaudit.types import Slate, Source

FIELDS = (
    *("comparison", "when", "annotator", "kind", "label", "side", "chosen_model", "strength"),
    *("active_seconds", "wall_seconds", "reasons", "note", "problem", "guideline", "criteria"),
    *("late", "left", "p", "gold", "agreement", "group", "model_a", "model_b"),
    *("prompt", "response_a", "response_b", "tools"),
)
DATA = "data."
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def guarded(text: str) -> str:
    """The text as a cell that no spreadsheet takes for a formula; `unguarded` undoes it."""
    return "'" + text if _looks_like_formula(text) else text


def unguarded(text: str) -> str:
    """The text of a guarded cell."""
    return text[1:] if text.startswith("'") and _looks_like_formula(text[1:]) else text


def _looks_like_formula(text: str) -> bool:
    return text.lstrip(" '").startswith(FORMULA)


def recognises(row: Row) -> bool:
    return {"comparison", "annotator", "kind", "label", "left", "guideline"} <= row.keys()


def key(row: Row) -> str:
    """Which rows belong together: those of one comparison."""
    found = row.get("comparison")
    if not found:
        raise DataError("field 'comparison' is missing")
    return str(found)


def together(rows: Sequence[Row]) -> Row:
    """The rows of one comparison as one, with its `judgments`."""
    return {**rows[0], "judgments": [*rows]}


def read(fields: Fields, source: Source) -> Slate:
    row = {name: _plain(value) for name, value in fields.row.items()}
    counted = [_judgment(each) for each in row["judgments"]]
    counted = [j for j in counted if j["kind"] == "resolution"] or counted
    texts = {"prompt": "prompt", "response_a": "response a", "response_b": "response b"}
    fields.row = {  # as the other exports have it
        **{name: _messages(row.get(name), role) for name, role in texts.items()},
        **{name: row.get(name) for name in ("group", "model_a", "model_b")},
        "tools": json_value(row["tools"], "tools") if row.get("tools") else None,
        "columns": {k[len(DATA) :]: row[k] for k in row if k.startswith(DATA) and row[k] != ""},
        "judgments": row["judgments"],
    }
    fields.get("judgments")
    return fields.slate(
        source,
        prompt_messages(fields.need("prompt")),
        [
            response_messages(fields.need(texts[name], name))
            for name in ("response_a", "response_b")
        ],
        once=False,
        **said(counted),
    )


def _plain(value: Any) -> Any:
    return unguarded(value) if isinstance(value, str) else value


def _messages(value: Any, what: str) -> Any:
    """A cell's text, or the messages that it holds as JSON."""
    if not isinstance(value, str):
        raise DataError(f"a {what} is missing")
    return json_value(value, what) if value.startswith('[{"') else value


def _judgment(row: Mapping[str, Any]) -> dict[str, Any]:
    label, p = str(row.get("label") or ""), row.get("p")
    if label not in ANSWERS:
        raise DataError(f"label {label!r:.40} is not one of {', '.join(ANSWERS)}")
    try:
        return {"kind": row.get("kind"), "answer": label, "p": None if not p else float(p)}
    except ValueError:
        raise DataError(f"p must be a number, found {p!r:.40}") from None
