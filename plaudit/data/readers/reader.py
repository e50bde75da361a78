"""What a reader is, and the row it reads: which of its columns became what."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from plaudit.data.columns import NOTHING as NOTHING
from plaudit.data.columns import nested
from plaudit.data.readers import messages
from plaudit.data.readers.label_values import Label, Meaning, by_words
from plaudit.data.readers.messages import json_value, prompt_once
from plaudit.errors import DataError
from plaudit.types import Authors, Message, Messages, Origin, Slate, Source

Row = Mapping[str, Any]
PROMPTS = ("prompt", "question", "instruction", "query")
LAST_PROMPTS = ("input", "context")
SYSTEMS = ("system", "system_prompt", "system_message")
TOOLS = "tools (where they are not: --columns ignore=tools)"
HISTORY = "a list of messages (where it is none: --columns ignore=history)"
ORIGINS = [
    pair
    for name in ("model", "origin", "generator")
    for pair in ((f"{name}_a", f"{name}_b"), (f"chosen_{name}", f"rejected_{name}"))
]
ORIGIN_COLUMNS = {name for pair in ORIGINS for name in pair}
MAPPED = ("response_a", "response_b")  # roles of --columns


class Fields:
    """A row that is being read. Every value taken says what its column became.

    `roles` maps columns to what they were read as; `meaning` is what the values of the label
    column mean, where the whole column has been looked at; `shown` has the data's own names of
    columns that --columns has renamed.
    """

    __slots__ = ("meaning", "repeated", "roles", "row", "shown")

    def __init__(
        self, row: Row, meaning: Meaning | None = None, shown: Mapping[str, str] = NOTHING
    ) -> None:
        self.row, self.meaning, self.shown = row, meaning, shown
        self.roles: dict[str, str] = {}
        self.repeated = False  # whether the responses repeat the prompt

    def __contains__(self, name: str) -> bool:
        return self.row.get(name) is not None

    def name(self, names: Iterable[str]) -> str | None:
        """The first of the columns that has a value."""
        for name in names:
            if self.row.get(name) is not None:
                return name
        return None

    def get(self, role: str, *names: str) -> Any:
        """The value of the first of the columns that has one, None where none has."""
        for name in names or (role,):
            value = self.row.get(name)
            if value is not None:
                self.roles[name] = role
                return value
        return None

    def need(self, role: str, *names: str) -> Any:
        """The value of the first of the columns that has one; raises DataError where none has."""
        value = self.get(role, *names)
        if value is None:
            raise DataError(f"field {' or '.join(map(repr, names or (role,)))} is missing")
        return value

    def number(self, name: str, role: str | None = None) -> float | None:
        """A finite number; None where the field is absent, empty, NaN or infinite: unknown."""
        value = self.get(role or name, name)
        return None if value is None else known_number(value, f"field {name!r}")

    def text(self, name: str) -> str | None:
        """The value as text, None where it is absent or empty."""
        value = self.get(name)
        return None if value is None or value == "" else str(value)

    def label(self, column: str, names: tuple[str, str]) -> Label:
        """The label of two responses, which stand in the columns `names`."""
        self.roles[column] = "label"
        meaning = self.meaning
        if meaning is None or meaning.column != column:
            meaning = by_words(column)
        return meaning.label(self.row, names, self.shown)

    def prompt(self, *names: str) -> Messages:
        """The prompt: system, history, the prompt itself and its input, as far as given."""
        names = names or (*PROMPTS, *LAST_PROMPTS)
        filled = (name for name in names if self.row.get(name) not in (None, "", []))
        name = next(filled, None) or self.name(names)
        if name is None:
            raise DataError(f"field {' or '.join(map(repr, names or PROMPTS))} is missing")
        prompt = messages.prompt_messages(self.get("prompt", name))
        if name == "instruction" or "input" in self.shown:
            prompt = self._with_input(prompt)
        if self.row.get("history"):
            prompt = _history(self.get("history")) + prompt
        system = self.get("system", *SYSTEMS)
        if system and str(system).strip():
            begin = messages.prompt_messages(system, "system")
            if prompt[: len(begin)] != begin:
                if prompt and prompt[0].role == "system":
                    raise DataError("the column 'system' and the prompt's system message differ")
                prompt = begin + prompt
        return prompt

    def _with_input(self, prompt: Messages) -> Messages:
        """Alpaca's `input` under the instruction, as LLaMA-Factory joins them."""
        given = self.row.get("input")
        if not isinstance(given, str) or len(prompt) != 1 or "input" in self.roles:
            return prompt
        self.roles["input"] = "input"
        text = prompt[0].content
        if not isinstance(text, str) or given.strip() in ("", text.strip()):
            return prompt
        return (Message("user", f"{text}\n{given}"),)

    def slate(
        self,
        source: Source,
        prompt: Messages,
        responses: Sequence[Messages],
        items: Sequence[Any] = (),
        tools: Any = None,
        once: bool = True,
        **labels: Any,
    ) -> Slate:
        """The Slate of the row; columns that nothing has read stay.

        With `once` a prompt that the responses repeat is taken once. `items` are the responses'
        own objects, which may say who wrote them.
        """
        if once:
            prompt, rest = prompt_once(prompt, responses)
            self.repeated = any(one is not own for one, own in zip(rest, responses, strict=True))
            responses = rest
        tools = _tools(self.get("tools") if tools is None else tools)
        return Slate(
            prompt,
            tuple(responses),
            source,
            group=self.text("group"),
            origins=self._origins(items),
            tools=tools,
            columns=self.rest(),
            **labels,
        )

    def rest(self) -> Mapping[str, Any]:
        """The columns that nothing has read, as they are, for slices and groups."""
        own = None if "columns" in self.roles else nested(self.row)
        if own is not None:
            self.roles["columns"] = "columns"
            self.roles |= {name: "model" for name in ORIGIN_COLUMNS if self.row.get(name)}
        found = {
            name: value
            for name, value in self.row.items()
            if name not in self.roles and isinstance(value, (str, int, float, bool))
        }
        for name, value in (own or NOTHING).items():  # of plaudit's own export
            found[f"{name} (columns)" if name in found else name] = value
        return found or NOTHING  # one for all the rows that have none

    def _origins(self, items: Sequence[Any]) -> tuple[Authors, ...]:
        """Who wrote the responses: as the row or the responses' own objects say.

        Else the names of the columns that --columns has mapped as responses: "Bot v1".
        """
        row, shown = self.row, self.shown
        for pair in ORIGINS:
            if any(row.get(name) for name in pair):
                return tuple(_origin(row.get(name)) for name in pair)
        for name in ("models", "origins", "generators"):
            if isinstance(row.get(name), list) and (not items or len(row[name]) == len(items)):
                return tuple(map(_origin, self.get("models", name)))
        found = tuple(_origin(item) if isinstance(item, dict) else None for item in items)
        if not any(found) and shown.keys() >= {*MAPPED}:
            names = tuple(shown[name] for name in MAPPED)
            return () if names == MAPPED else tuple(map(Origin, names))
        return found if any(found) else ()


class Reader(NamedTuple):
    """`recognises(row)`, and `read(fields, source) -> Slate`, which raises DataError on a bad row.

    `labels` are columns whose values' meaning the whole column decides, `names(row)` the two
    columns of the responses that they compare. Of a format with one response per row, `key`
    says which rows belong together, and `together` makes one row of them.
    """

    recognises: Callable[[Row], bool]
    read: Callable[[Fields, Source], Slate]
    labels: tuple[str, ...] = ()
    names: Callable[[Row], tuple[str, str] | None] = lambda _: None
    key: Callable[[Row], str] | None = None
    together: Callable[[Sequence[Row]], Row] | None = None


def prompt_messages(value: Any) -> Messages:
    """A prompt as plaudit itself keeps it: markers inside a text are no messages."""
    return messages.prompt_messages(value, marked=False)


def response_messages(value: Any) -> Messages:
    """A response as plaudit itself keeps it: markers inside a text are no messages."""
    return messages.response_messages(value, marked=False)


def field(row: Row, name: str) -> Any:
    """A field that must be there."""
    if row.get(name) is None:
        raise DataError(f"field {name!r} is missing")
    return row[name]


def known_number(value: Any, what: str) -> float | None:
    """The finite number that a value is, None where it is unknown."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{what} must be a number, found {value!r:.40}") from None
    return result if math.isfinite(result) else None


def _origin(value: Any) -> Authors:
    """Who wrote a response: a name, an object, or (as exports write it) the JSON of several."""
    if isinstance(value, dict):
        model = value.get("model") or value.get("origin") or value.get("generator")
        sampling = value.get("sampling")
        return Origin(str(model), sampling if isinstance(sampling, dict) else {}) if model else None
    if isinstance(value, str) and value.startswith('["') and value.endswith('"]'):
        return tuple(Origin(str(name)) for name in json_value(value, "models"))
    return Origin(str(value)) if value else None


def _tools(value: Any) -> tuple[Mapping[str, Any], ...]:
    """Tools as a list of objects, or as the JSON of one."""
    if isinstance(value, str):
        value = json_value(value, TOOLS) if value.strip() else None
    if value in (None, [], {}):
        return ()
    if not isinstance(value, list) or not all(isinstance(tool, Mapping) for tool in value):
        raise DataError(
            f"tools must be a list of objects, found {value!r:.60}; a column that is something "
            "else is left out with --columns ignore=tools"
        )
    return tuple(value)


def _history(value: Any) -> Messages:
    """Earlier messages: a list of messages, or of [user, assistant] pairs."""
    if isinstance(value, str):
        value = json_value(value, HISTORY)
    if isinstance(value, list) and all(isinstance(v, list) and len(v) == 2 for v in value):
        value = [
            {"role": role, "content": text}
            for pair in value
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ]
    if not isinstance(value, list):
        raise DataError(
            f"history must be a list of messages or pairs, found {value!r:.60}; a column that is "
            "something else is left out with --columns ignore=history"
        )
    return messages.prompt_messages(value)
