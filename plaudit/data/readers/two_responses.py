"""Two responses and a label: `response_a`, `response_b`, `label`, with votes and strength.

`label` says a, b, tie, both_bad or skip, in any of the words or numbers that `label_values`
understands. Votes come as counts (`votes_a`, `votes_b`, `votes_tie`) or as `annotations`, a
list with a label each; `p` is the probability that a is better; `aggregate` names the model of
the annotators that gave it, which may overrule their votes.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from plaudit.data.readers.label_values import NO_LABEL, read_label
from plaudit.data.readers.messages import listed, response_messages
from plaudit.data.readers.reader import LAST_PROMPTS, PROMPTS, Fields, Row
from plaudit.errors import DataError
from plaudit.types import Slate, Source

SIDES = (("a", "b"), ("A", "B"), ("1", "2"), ("0", "1"))
STEMS = ("response", "reply")
NAMES = [
    (f"{stem}{dash}{one}", f"{stem}{dash}{two}")
    for one, two in SIDES
    for stem in STEMS
    for dash in ("_", "")
]
LABELS = ("label", "winner", "preference", "preferred", "choice", "chosen", "better", "best",
          "vote", "verdict", "selected", "judgment", "judgement")  # fmt: skip
# Columns that mean something here: whoever writes this format keeps others out of their names.
MEANINGFUL = {
    *(*PROMPTS, *LAST_PROMPTS, "system", "tools", "history"),
    *(name for pair in NAMES for name in pair),
    *(*LABELS, "annotations", "votes_a", "votes_b", "votes_tie", "p", "aggregate"),
    *("strength", "group", "model_a", "model_b"),
}


def recognises(row: Row) -> bool:
    labelled = any(name in row for name in (*LABELS, "annotations", "votes_a", "p"))
    asked = any(row.get(name) is not None for name in PROMPTS)
    return labelled and asked and response_names(row) is not None


def read(fields: Fields, source: Source) -> Slate:
    names = response_names(fields.row)
    if names is None:
        raise DataError("expected a prompt and two responses, such as response_a and response_b")
    prompt = fields.prompt()
    responses = [
        response_messages(fields.need(f"response {s}", n)) for s, n in zip("ab", names, strict=True)
    ]
    column = next((name for name in LABELS if name in fields.row), None)
    label = fields.label(column, names) if column else NO_LABEL
    strength = fields.number("strength")
    votes, seen = _votes(fields)
    return fields.slate(
        source,
        prompt,
        responses,
        preferred=label.preferred,
        verdict=label.verdict or seen,
        votes=votes,
        p=fields.number("p"),
        aggregate=fields.text("aggregate"),
        strength=label.strength if strength is None else strength,
    )


def response_names(row: Row) -> tuple[str, str] | None:
    """The two columns that hold the responses."""
    for names in NAMES:
        if row.get(names[0]) is not None and row.get(names[1]) is not None:
            return names
    return None


def _votes(fields: Fields) -> tuple[tuple[float, float, float] | None, Any]:
    """Counts for a, b and a tie; and the verdict where annotations hold none of them."""
    annotations = listed(fields.get("annotations"), "annotations")
    if isinstance(annotations, list):
        counts: Counter[str] = Counter()
        for annotation in annotations:
            said = annotation.get("label") if isinstance(annotation, dict) else annotation
            label = read_label(said)
            counts["ab"[label.preferred[0]] if label.preferred else str(label.verdict)] += 1
        votes = (float(counts["a"]), float(counts["b"]), float(counts["tie"]))
        left = next((each for each in ("both_bad", "skip") if counts[each]), None)
        return (votes, None) if sum(votes) else (None, left)
    a, b, tie = (fields.number(f"votes_{side}") for side in ("a", "b", "tie"))
    return (None if a is None or b is None else (a, b, tie or 0.0)), None
