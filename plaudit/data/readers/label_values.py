"""What the values of a label column mean: which response is better.

Words (a, left, model_b, tie) say it themselves, and so does the name of a response's column or
of its model. Numbers are decided by the whole column and by the columns' names, and where
those leave a doubt (0 and 1 above all) the flag that says it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from plaudit.errors import DataError, UsageError
from plaudit.types import Source, Verdict

Row = Mapping[str, Any]
NOTHING: Mapping[str, Any] = {}


class Label(NamedTuple):
    """Which response is preferred, if one is, and the verdict."""

    preferred: tuple[int, ...]
    verdict: Verdict | None
    strength: float | None = None


NO_LABEL = Label((), None)
ANSWERS = {
    "a": Label((0,), "preferred"),
    "b": Label((1,), "preferred"),
    "tie": Label((), "tie"),
    "both_bad": Label((), "both_bad"),
    "skip": Label((), "skip"),
}
WORDS = {
    **dict.fromkeys(("a", "left", "first", "a>b", "a>>b", "leftvote"), "a"),
    **dict.fromkeys(("b", "right", "second", "b>a", "b>>a", "rightvote"), "b"),
    **dict.fromkeys(("tie", "equal", "same", "a=b", "draw", "tievote", "both_good", "even"), "tie"),
    **dict.fromkeys(("both_bad", "neither", "bothbad", "bothbad_vote", "bothbadvote"), "both_bad"),
    **dict.fromkeys(("skip", "unsure", "unknown", "none"), "skip"),
}
UNKNOWN = ("", "nan", "null", "n/a", "na", "<na>", "nat")
PREFIX = re.compile(r"(response|answer|model|option|assistant|output|candidate|reply|completion)_?")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?")
MOST_VALUES = 1000  # distinct values looked at; a label has a few


def normalised(value: Any) -> str:
    """The value in lower case without decoration: "[[A]]" is a, "Model B" b, 1.0 is 1."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    text = str(value).strip().lower()
    if text in WORDS:
        return text
    text = text.strip("[]").strip()
    if text in UNKNOWN:
        return ""
    if text.startswith("tie") and "bad" in text:
        return "both_bad"
    text = re.sub(r"[\s_-]+(?!\d*\.?\d+$)|(?<=[a-z])[\s_-]+(?=\d)", "_", text)
    text = PREFIX.sub("", text, count=1) or text
    if NUMBER.fullmatch(text) and len(text) < 30:
        number = float(text)
        return str(int(number)) if number.is_integer() else repr(number)
    return text


@dataclass
class Meaning:
    """What the values of a label column mean, why, and three examples.

    `answers` maps normalised values to a, b, tie, both_bad or skip; a value may also be the name
    of a response's column or model, or its text.
    """

    column: str
    answers: Mapping[str, str]
    why: str
    examples: list[str] = field(default_factory=list)
    shown: str = ""  # the data's own name of the column

    def __post_init__(self) -> None:
        self._scale = [float(each) for each in self.answers if NUMBER.fullmatch(each)]

    def __str__(self) -> str:
        said = f"{self.shown or self.column}: {self.why}"
        return f"{said} ({'; '.join(self.examples)})" if self.examples else said

    def label(self, row: Row, names: tuple[str, str], shown: Mapping[str, str] = NOTHING) -> Label:
        """The label of a row whose responses stand in the two columns `names`.

        `shown` has the data's own names of columns that were renamed.
        """
        value = row.get(self.column)
        text = normalised(value)
        if not text:
            return NO_LABEL
        answer = (
            _side(value, [shown.get(name, name) for name in names])
            or self.answers.get(text)
            or named_side(value, row, names)
        )
        if answer is None:
            raise DataError(
                f"label {value!r:.40} is not one of {', '.join(self._known())}; say what it "
                "means: --label-values VALUE=a,…"
            )
        strength = self._strength(text)
        return ANSWERS[answer] if strength is None else ANSWERS[answer]._replace(strength=strength)

    def _known(self) -> Iterable[str]:
        return [*(each for each in self.answers if each not in WORDS), *ANSWERS]

    def _strength(self, text: str) -> float | None:
        """Of a scale with several values a side: how far a value lies from its middle."""
        if len(self._scale) < 4 or not NUMBER.fullmatch(text):
            return None
        return abs(float(text) - (min(self._scale) + max(self._scale)) / 2)


def by_words(column: str) -> Meaning:
    """The meaning of a column whose values are words."""
    return Meaning(column, WORDS, "words")


def read_label(value: Any) -> Label:
    """The label that a word says; an empty or missing one, or NaN, is no verdict."""
    return by_words("label").label({"label": value}, ("", ""))


def named_side(value: Any, row: Row, names: tuple[str, str]) -> str | None:
    """a or b where the value is the name of one response's model, or its text."""
    models = [row.get("model_a"), row.get("model_b")]
    return _side(value, models) or _side(value, [row.get(name) for name in names])


def _side(value: Any, found: Sequence[Any]) -> str | None:
    """Which of the two the value is. Raises DataError where it is both."""
    said = str(value).strip()
    sides = [isinstance(each, str) and each.strip() == said for each in found]
    if all(sides):
        raise DataError(f"label {value!r:.40} names both responses")
    return "ab"[sides.index(True)] if any(sides) else None


def given_meaning(column: str, given: str | Mapping[Any, str]) -> Meaning:
    """The meaning that --label-values states: "0=a,1=b,2=tie". Raises UsageError."""
    items = given.items() if isinstance(given, Mapping) else _items(given)
    answers = {normalised(value): str(answer).strip().lower() for value, answer in items}
    wrong = next((each for each in answers.values() if each not in ANSWERS), None)
    if wrong is not None or not answers or "" in answers:
        raise UsageError(
            f"--label-values: expected VALUE=ANSWER with an answer of {', '.join(ANSWERS)}, "
            f"found {wrong if wrong is not None else given!r}"
        )
    why = ", ".join(f"{value} = {answer}" for value, answer in answers.items())
    return Meaning(column, WORDS | answers, f"{why}, as given")


def _items(text: str) -> Iterator[tuple[str, str]]:
    for item in text.split(","):
        value, equals, answer = item.rpartition("=")
        if not equals:
            raise UsageError(f"--label-values: expected VALUE=ANSWER, found {item!r}")
        yield value, answer


class LabelColumn:
    """The values of a label column, noted row by row; then `meaning` decides."""

    def __init__(self, column: str, shown: Mapping[str, str] = NOTHING) -> None:
        self.column, self.shown = column, shown
        self.counts: dict[str, int] = {}
        self.examples: list[tuple[Source, Any, Row, tuple[str, str]]] = []
        self.names = ("response_a", "response_b")

    def note(self, source: Source, row: Row, names: tuple[str, str]) -> None:
        value = row.get(self.column)
        self.names = (self.shown.get(names[0], names[0]), self.shown.get(names[1], names[1]))
        text = normalised(value)
        if not text:
            return
        new = text not in self.counts
        if new and len(self.counts) > MOST_VALUES:
            return
        if text not in WORDS and _named(value, row, names, self.names):
            text = "(name)"
            new = not self.counts.get(text)
        self.counts[text] = self.counts.get(text, 0) + 1
        if len(self.examples) < 3 and (new or len(self.counts) < 2):
            self.examples.append((source, value, row, names))

    @property
    def all_words(self) -> bool:
        """Whether there are values, and each says itself which response is better."""
        return bool(self.counts) and all(v in WORDS or v == "(name)" for v in self.counts)

    def meaning(self, given: str | Mapping[Any, str] | None, data: str) -> Meaning:
        """What the values mean. Raises DataError, with the flag to type, where it is in doubt."""
        found = self._decided(data) if given is None else given_meaning(self.column, given)
        found.shown = self.shown.get(self.column, self.column)
        for source, value, row, names in self.examples[:3]:
            label = _label_or_none(found, row, names, self.shown)
            answer = next(
                (a for a, each in ANSWERS.items() if label and each[:2] == label[:2]), "?"
            )
            found.examples.append(f"line {source.line}: {value!r:.30} is {answer}")
        return found

    def _decided(self, data: str) -> Meaning:
        numbers = {text for text in self.counts if NUMBER.fullmatch(text)}
        suffixes = _suffixes(self.names)  # the label was made for these names: they go first
        rest = set(self.counts) - numbers - WORDS.keys() - suffixes.keys() - {"(name)"}
        if len(rest) > 1 and 2 * sum(map(self.counts.__getitem__, rest)) > sum(
            self.counts.values()
        ):
            raise self._doubt(data, rest)
        if not numbers:
            used = {text: side for text, side in suffixes.items() if text not in WORDS}
            named = self.counts.keys() & used.keys()
            why = f"{_told(used)}, by the names of the columns" if named else "words"
            return Meaning(self.column, WORDS | suffixes, why)
        if numbers <= suffixes.keys():
            why = f"{_told(suffixes)}, by the columns {self.names[0]} and {self.names[1]}"
            return Meaning(self.column, WORDS | suffixes, why)
        if numbers == {"1", "2"} and not any(NUMBER.fullmatch(text) for text in suffixes):
            told = {"1": "a", "2": "b"}
            return Meaning(
                self.column, WORDS | suffixes | told, "1 = a (the first), 2 = b (the second)"
            )
        raise self._doubt(data, numbers)

    def _doubt(self, data: str, values: set[str]) -> DataError:
        ordered = sorted(values, key=_order)
        shown = ", ".join(f"{v} (in {self.counts[v]:,})" for v in ordered[:10])
        shown += f" and {len(ordered) - 10:,} more values" if len(ordered) > 10 else ""
        name = self.shown.get(self.column, self.column)
        numbers = [float(v) for v in values if NUMBER.fullmatch(v)]
        share = any(not n.is_integer() for n in numbers) and all(0 <= n <= 1 for n in numbers)
        return DataError(
            f"{data}: column {name!r} holds {shown} rows, and which response each of them "
            f"prefers cannot be known; say it, for instance --label-values {_guess(ordered)} "
            f"(a is {self.names[0]}, b is {self.names[1]}; answers: {', '.join(ANSWERS)})"
            + (
                f"; or, where it is the probability that a is better: --columns p={name}"
                if share
                else ""
            )
        )


def _label_or_none(
    meaning: Meaning, row: Row, names: tuple[str, str], shown: Mapping[str, str]
) -> Label | None:
    try:
        return meaning.label(row, names, shown)
    except DataError:
        return None


def _named(value: Any, row: Row, names: tuple[str, str], shown: tuple[str, str]) -> bool:
    try:
        return bool(_side(value, shown) or named_side(value, row, names))
    except DataError:
        return False


def _suffixes(names: tuple[str, str]) -> dict[str, str]:
    """What tells two columns apart, as a label may say it: 0 and 1 of response_0, response_1."""
    one, two = (name.lower() for name in names)
    shared = 0
    while shared < min(len(one), len(two)) and one[shared] == two[shared]:
        shared += 1
    found = {normalised(one[shared:].strip("_- ")): "a", normalised(two[shared:].strip("_- ")): "b"}
    return found if len(found) == 2 and "" not in found else {}


def _told(answers: Mapping[str, str]) -> str:
    return ", ".join(f"{value} = {answer}" for value, answer in answers.items())


def _order(value: str) -> tuple[float, str]:
    return (float(value), "") if NUMBER.fullmatch(value) else (float("inf"), value)


def _guess(values: Sequence[str]) -> str:
    """The flag for these values with the lower half for a; a person must say whether it is so."""
    half = len(values) / 2
    sides = (
        "a" if i + 0.5 < half else "b" if i + 0.5 > half else "tie" for i in range(len(values))
    )
    return ",".join(f"{value}={side}" for value, side in zip(values[:9], sides, strict=False))
