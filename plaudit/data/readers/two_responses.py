"""Two responses and a label: `response_a`, `response_b`, `label`, with votes and strength.

`label` says a, b, tie, both_bad or skip, in any of the words people use for them. Votes come
as counts (`votes_a`, `votes_b`, `votes_tie`) or as `annotations`, a list with a label each;
`p` is the probability that a is better; `aggregate` names the model of the annotators that
gave it, which may overrule their votes.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from plaudit.data.readers.reader import (
    Row,
    field,
    number,
    origins,
    prompt_messages,
    remaining,
    response_messages,
)
from plaudit.errors import DataError
from plaudit.types import Slate, Source, Verdict

NAMES = (("response_a", "response_b"), ("reply_a", "reply_b"), ("response_A", "response_B"))
PROMPTS = ("prompt", "question", "instruction")
USED = (
    *PROMPTS,
    *(name for pair in NAMES for name in pair),
    *("label", "annotations", "strength", "group", "p", "aggregate"),
)


class Label(NamedTuple):
    """Which response is preferred, if one is, and the verdict."""

    preferred: tuple[int, ...]
    verdict: Verdict | None


A, B = Label((0,), "preferred"), Label((1,), "preferred")
LABELS: dict[str, Label] = {
    **dict.fromkeys(("a", "response_a", "response_a", "model_a", "1", "left", "first", "a>b"), A),
    **dict.fromkeys(("b", "response_b", "response_b", "model_b", "2", "right", "second", "b>a"), B),
    **dict.fromkeys(("tie", "equal", "same", "a=b", "0.5", "draw"), Label((), "tie")),
    **dict.fromkeys(("both_bad", "both bad", "neither", "tie (bothbad)"), Label((), "both_bad")),
    **dict.fromkeys(("skip", "unsure", "unknown", "none"), Label((), "skip")),
}


def recognises(row: Row) -> bool:
    labelled = any(name in row for name in ("label", "annotations", "votes_a", "p"))
    return labelled and response_names(row) is not None and prompt_name(row) is not None


def read(row: Row, source: Source) -> Slate:
    names, prompt = response_names(row), prompt_name(row)
    if names is None or prompt is None:
        raise DataError("expected a prompt and two responses, such as response_a and response_b")
    label = read_label(row.get("label"))
    return Slate(
        prompt_messages(row[prompt]),
        tuple(response_messages(field(row, name)) for name in names),
        source,
        preferred=label.preferred,
        verdict=label.verdict,
        votes=_votes(row),
        p=number(row, "p"),
        aggregate=str(row["aggregate"]) if row.get("aggregate") else None,
        strength=number(row, "strength"),
        group=str(row["group"]) if row.get("group") is not None else None,
        origins=origins(row),
        columns=remaining(row, USED),
    )


def read_label(value: Any) -> Label:
    """The label of a comparison; an empty or missing one, or NaN, is no verdict."""
    text = "" if value is None else str(value).strip().lower()
    if text in ("", "nan"):
        return Label((), None)
    if text not in LABELS:
        raise DataError(f"label {value!r:.40} is not one of a, b, tie, both_bad, skip")
    return LABELS[text]


def response_names(row: Row) -> tuple[str, str] | None:
    """The two columns that hold the responses."""
    return next((names for names in NAMES if all(row.get(n) is not None for n in names)), None)


def prompt_name(row: Row) -> str | None:
    """The column that holds the prompt."""
    return next((name for name in PROMPTS if row.get(name) is not None), None)


def _votes(row: Row) -> tuple[float, float, float] | None:
    if isinstance(row.get("annotations"), list):
        counts: Counter[str] = Counter()
        for annotation in row["annotations"]:
            label = read_label(annotation.get("label") if isinstance(annotation, dict) else None)
            counts["ab"[label.preferred[0]] if label.preferred else str(label.verdict)] += 1
        votes = (float(counts["a"]), float(counts["b"]), float(counts["tie"]))
        return votes if sum(votes) else None
    a, b, tie = (number(row, f"votes_{side}") for side in ("a", "b", "tie"))
    if a is None or b is None:
        return None
    return (a, b, tie or 0.0)
