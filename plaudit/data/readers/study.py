"""A study's raw export: one comparison a row, with every judgment of it.

Of the judgments those that nothing supersedes count, as votes; an owner's resolution outweighs
them. Retests repeat a person's own vote and add none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.data.columns import nested
from plaudit.data.readers.reader import Fields, Row, prompt_messages, response_messages
from plaudit.errors import DataError
from plaudit.types import Slate, Source

ANSWERS = ("a", "b", "tie", "both_bad", "skip", "withdrawn")
COUNTED = ("vote", "imported")
KINDS = (*COUNTED, "retest", "resolution")
# What else a raw export says of a comparison; none of it is a column of the data.
OWN = (
    *("hash", "group", "gold", "gold_since", "overlap", "agreement", "queue_position"),
    *("withdrawn_at", "explanation", "replaces", "panel"),
)
FIELDS = {
    "answer": ANSWERS,
    "kind": KINDS,
    "left": (None, "a", "b"),
    "strength": (None, 1, 2, 3),
    "late": (None, False, True),
}


def recognises(row: Row) -> bool:
    return {"prompt", "response_a", "response_b", "judgments"} <= row.keys()


def read(fields: Fields, source: Source) -> Slate:
    judgments, gold = fields.need("judgments"), fields.get("gold")
    if not isinstance(judgments, list) or not all(isinstance(j, dict) for j in judgments):
        raise DataError("'judgments' must be a list of objects")
    for judgment in judgments:
        _check(judgment)
    if gold not in (None, "a", "b", "tie"):
        raise DataError(f"gold is a, b or tie, found {gold!r:.40}")
    out = any(fields.get(name) is not None for name in ("withdrawn_at", "explanation"))
    for name in OWN:
        fields.get(name)
    columns = nested(fields.row) or {}
    tools = columns.get("tools")
    return fields.slate(
        source,
        prompt_messages(fields.need("prompt")),
        [response_messages(fields.need(f"response {s}", f"response_{s}")) for s in "ab"],
        tools=tools if isinstance(tools, list) else None,
        once=False,
        **said([] if out else current(judgments)),
    )


def said(counted: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The votes and the verdict of judgments that count, as a Slate takes them."""
    answers = [j["answer"] for j in counted if j.get("p") is None]
    given = [j["p"] for j in counted if j.get("p") is not None]
    # A label that came as a probability is a vote in parts.
    parts = (sum(given), sum(1.0 - p for p in given), 0.0)
    a, b, tie = (
        answers.count(answer) + part for answer, part in zip(("a", "b", "tie"), parts, strict=True)
    )
    both_bad = answers.count("both_bad")
    return {
        "verdict": "both_bad" if both_bad and both_bad >= a + b + tie else None,
        "votes": (a, b, tie) if a + b + tie else None,
    }


def _check(judgment: Mapping[str, Any]) -> None:
    """Raises DataError on a field that no export writes."""
    for name, allowed in FIELDS.items():
        if judgment.get(name) not in allowed:
            known = ", ".join(str(value) for value in allowed if value is not None)
            raise DataError(f"{name} {judgment.get(name)!r:.40} is not one of {known}")
    for name in ("key", "annotator", "created_at"):
        kinds = (int, float) if name == "created_at" else str
        if not isinstance(judgment.get(name), kinds):
            raise DataError(f"a judgment needs {name!r}, found {judgment.get(name)!r:.40}")
    p = judgment.get("p")
    if p is not None and not (isinstance(p, (int, float)) and 0 <= p <= 1):
        raise DataError(f"p must lie in [0, 1], found {p!r:.40}")
    if p is not None and judgment["kind"] != "imported":
        raise DataError(f"only imported judgments have p, found it on a {judgment['kind']}")
    for name in ("active_ms", "wall_ms", "first_input_ms", "guideline"):
        value = judgment.get(name)
        if value is not None and not (type(value) is int and 0 <= value < 2**31):
            raise DataError(f"{name} must be a whole number, found {value!r:.40}")


def current(judgments: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The judgments that count: not superseded, withdrawn, or of somebody who was taken out.

    Resolutions alone where there are any.
    """
    superseded = {j.get("supersedes") for j in judgments}
    standing = [
        j
        for j in judgments
        if j.get("key") not in superseded and j["answer"] != "withdrawn" and not j.get("excluded")
    ]
    resolved = [j for j in standing if j["kind"] == "resolution"]
    return resolved or [j for j in standing if j["kind"] in COUNTED]
