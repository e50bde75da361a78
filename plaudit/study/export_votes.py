"""Judgments one a row, for a spreadsheet: who said what of which comparison, when and why.

The format, and what makes a cell safe, stand in `data.readers.votes`, which reads it back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from plaudit.data.readers.votes import DATA
from plaudit.study.aggregates import Selection
from plaudit.study.answers import note_with_sides
from plaudit.study.export_files import Exported, models_text, tools_apart
from plaudit.types import canonical_json

Row = dict[str, Any]


def vote_rows(rows: Iterable[Row], who: Selection, gold: bool, done: Exported) -> Iterator[Row]:
    """A row for each judgment that counts; those of withdrawn comparisons are left out, counted."""
    for row in rows:
        if row["withdrawn_at"] is not None or row["explanation"] is not None:
            done.dropped["withdrawn" if row["withdrawn_at"] is not None else "for practice"] += 1
        elif row["gold"] is not None and not gold:
            done.dropped["gold"] += 1
        else:
            facts = _comparison(row)
            for judgment in who.counted(row["judgments"]):
                done.judgments += 1
                yield _judgment(judgment, facts) | facts


def _comparison(row: Row) -> Row:
    tools, columns = tools_apart(row["columns"])
    return {
        "comparison": row["hash"],
        "gold": row["gold"],
        "agreement": row["agreement"],
        "group": row["group"],
        "model_a": models_text(row["origins_a"]),
        "model_b": models_text(row["origins_b"]),
        "prompt": _text(row["prompt"], "user"),
        "response_a": _text(row["response_a"], "assistant"),
        "response_b": _text(row["response_b"], "assistant"),
        **{name: _cell(value) for name, value in tools.items()},
        **{f"{DATA}{name}": _cell(value) for name, value in columns.items()},
    }


def _judgment(said: Mapping[str, Any], facts: Row) -> Row:
    answer, left = said["answer"], said["left"]
    strict = answer in ("a", "b")
    return {
        "when": datetime.fromtimestamp(said["created_at"], UTC).isoformat(timespec="seconds"),
        "annotator": said["annotator"],
        "kind": said["kind"],
        "label": answer,
        "side": ("left" if answer == left else "right") if strict and left else None,
        "chosen_model": facts[f"model_{answer}"] if strict else None,
        "strength": said["strength"],
        "active_seconds": _seconds(said["active_ms"]),
        "wall_seconds": _seconds(said["wall_ms"]),
        "reasons": "; ".join(said["reasons"]),
        "note": note_with_sides(said["rationale"], left),
        "problem": said["report"],
        "guideline": said["guideline"],
        "criteria": canonical_json(said["criteria"]) if said["criteria"] else None,
        "late": said["late"],
        "left": left,
        "p": said["p"],
    }


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _text(messages: Sequence[Mapping[str, Any]], role: str) -> str:
    """The text of one plain message; else the messages as JSON."""
    text = messages[0].get("content") if messages else None
    plain = len(messages) == 1 and messages[0].keys() == {"role", "content"}
    plain = plain and messages[0]["role"] == role
    if plain and isinstance(text, str) and not text.startswith('[{"'):
        return text
    return json.dumps(messages, ensure_ascii=False)


def _cell(value: Any) -> Any:
    return canonical_json(value) if isinstance(value, (dict, list)) else value
