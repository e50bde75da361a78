"""The study's settings as people write them: minutes, per cent, one reason per line.

A form carries the value of each field that it was made with, so that only what its owner changed
is written, and two tabs or two owners do not undo each other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi import Depends as Needs
from starlette.datastructures import FormData

from plaudit.errors import DataError
from plaudit.study import browse
from plaudit.study.study import settings_of
from plaudit.study_app.context import Owner, state_of
from plaudit.study_app.pages.page import Values, Visit

router = APIRouter()


@dataclass(frozen=True, kw_only=True)
class Field:
    """A setting on the page. `kind` is text, area, lines, number, choice or checks.

    A number is shown as `scale` times the setting and lies in `low` to `high` as it is shown; text
    and lines have at most `high` characters (each). `options` are (value, words).
    """

    name: str
    label: str
    about: str = ""
    kind: str = "text"
    scale: float = 1
    whole: bool = False
    low: float = 0
    high: float = 200
    options: tuple[tuple[str, str], ...] = ()

    def written(self, value: Any) -> str:
        """The setting as the form shows it."""
        if self.kind == "number":
            return f"{value * self.scale:.10g}"
        return "\n".join(value) if self.kind in ("lines", "checks") else str(value)

    def read(self, text: str) -> Any:
        """The setting that was written. Raises DataError on what cannot be one."""
        if self.kind == "number":
            return self._number(text)
        if self.kind in ("lines", "checks"):
            lines = tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
            if len(lines) > 20 or any(len(line) > self.high for line in lines):
                raise DataError(
                    f"{self.label}: at most 20, each of at most {self.high:g} characters"
                )
            return lines
        if len(text) > self.high:
            raise DataError(
                f"{self.label}: at most {self.high:,.0f} characters, found {len(text):,}"
            )
        return text.strip()

    def _number(self, text: str) -> float | int:
        try:
            value = float(text.strip().replace(",", "."))
        except ValueError:
            value = math.nan
        if not self.low <= value <= self.high:
            raise DataError(
                f"{self.label}: a number from {self.low:g} to {self.high:g}, found {text!r:.40}"
            )
        found = round(value / self.scale, 12)
        if not self.whole:
            return found
        # 2.5 people cannot be asked; 2.5 minutes are 150 seconds.
        if self.scale == 1 and value != int(value):
            raise DataError(f"{self.label}: a whole number, found {text!r:.40}")
        return round(found)


@dataclass(frozen=True)
class Group:
    """Settings that are saved together."""

    name: str
    title: str
    about: str
    fields: tuple[Field, ...]


GROUPS = (
    Group(
        "question",
        "What is asked",
        "What annotators see on the judging screen.",
        (
            Field(name="name", label="Name of the study"),
            Field(name="question", label="Question", high=500),
            Field(
                name="mode",
                label="Mode",
                kind="choice",
                options=(
                    ("fast", "Fast: one key per comparison"),
                    ("graded", "Graded: seven levels"),
                ),
            ),
            Field(
                name="criteria",
                label="Further questions",
                about="One per line, such as helpful or harmless; asked of every comparison after "
                "the main question.",
                kind="lines",
                high=60,
            ),
            Field(
                name="reasons",
                label="Reasons to choose from",
                about="One per line.",
                kind="lines",
                high=60,
            ),
            Field(
                name="prompt_format",
                label="Prompts are shown",
                kind="choice",
                options=(("plain", "As they were typed"), ("markdown", "As Markdown")),
            ),
            Field(
                name="columns_shown",
                label="Columns that annotators see",
                about="Facts beside a comparison, from its data. Show nothing that names a model.",
                kind="checks",
            ),
        ),
    ),
    Group(
        "amount",
        "How much is asked",
        "At equal numbers of judgments, more comparisons teach a model more than more judgments of "
        "each. A change of a share or an overlap holds for comparisons added from then on; the "
        "people per comparison also changes for those that have no overlap of their own.",
        (
            Field(
                name="overlap",
                label="People per comparison",
                kind="number",
                whole=True,
                low=1,
                high=100,
            ),
            Field(
                name="agreement_share",
                label="Share asked of several people, %",
                about="Drawn at random; agreement is measured on these.",
                kind="number",
                scale=100,
                high=100,
            ),
            Field(
                name="agreement_overlap",
                label="People per comparison of that share",
                kind="number",
                whole=True,
                low=1,
                high=100,
            ),
            Field(
                name="quota",
                label="Most judgments per annotator",
                about="0 for no limit.",
                kind="number",
                whole=True,
                high=10_000_000,
            ),
            Field(
                name="lease_seconds",
                label="Minutes a comparison is held for one person",
                about="After that it goes to somebody else; working on it renews the time.",
                kind="number",
                scale=1 / 60,
                whole=True,
                low=0.1,
                high=10_080,
            ),
        ),
    ),
    Group(
        "checks",
        "Quality checks",
        "Gold comparisons have a known answer; retests ask a person the same again with the sides "
        "swapped. Both look like any other comparison.",
        (
            Field(
                name="gold_rate",
                label="Gold, % of comparisons shown",
                kind="number",
                scale=100,
                high=50,
            ),
            Field(
                name="gold_floor",
                label="Lowest acceptable gold accuracy, %",
                about="Whoever is significantly below it is flagged.",
                kind="number",
                scale=100,
                high=100,
            ),
            Field(
                name="retest_rate",
                label="Retests, % of comparisons shown",
                kind="number",
                scale=100,
                high=50,
            ),
            Field(
                name="retest_after",
                label="Comparisons before a retest",
                kind="number",
                whole=True,
                high=100_000,
            ),
            Field(
                name="stop_rules",
                label="Stop an annotator automatically",
                about="After ten judgments or more. Their further work is held until you let them "
                "resume or take them out; you see it first on Progress.",
                kind="checks",
                options=(
                    ("gold", "Gold accuracy significantly below the floor"),
                    ("fast", "Most judgments faster than the responses can be read"),
                ),
            ),
        ),
    ),
    Group(
        "start",
        "Consent and completion",
        "For people from a platform such as Prolific.",
        (
            Field(
                name="consent",
                label="Consent",
                about="Markdown that a person agrees to before the first comparison.",
                kind="area",
                high=20_000,
            ),
            Field(
                name="completion_code",
                label="Completion code",
                about="Shown to whoever has finished.",
            ),
            Field(
                name="completion_url",
                label="Completion address",
                about="https:// address that whoever has finished is sent to; {code} stands for "
                "the code.",
                high=2000,
            ),
        ),
    ),
    Group(
        "licences",
        "Licences",
        "Written into exports and the card of a data set.",
        (
            Field(name="license_prompts", label="Licence of the prompts"),
            Field(name="license_responses", label="Licence of the responses"),
            Field(name="license_judgments", label="Licence of the judgments"),
        ),
    ),
)


def settings(visit: Visit) -> Values:
    values = asdict(settings_of(visit.db))
    group = _group(visit.parameters.get("part", GROUPS[0].name))
    return {"groups": GROUPS, "shown": _shown(group, values, browse.known_columns(visit.db))}


def _group(name: str) -> Group:
    group = next((group for group in GROUPS if group.name == name), None)
    if group is None:
        raise HTTPException(404, f"no settings {name!r:.40}")
    return group


def _shown(group: Group, values: Mapping[str, Any], columns: Sequence[str]) -> Values:
    """A group as the page shows it, with the values that its fields have now."""
    fields = []
    for field in group.fields:
        value = values[field.name]
        options = field.options
        if field.name == "columns_shown":
            options = tuple((name, name) for name in dict.fromkeys((*columns, *value)))
        fields.append(
            {
                "field": field,
                "text": field.written(value),
                "chosen": value if field.kind == "checks" else (),
                "options": options,
                "was": json.dumps(value),
            }
        )
    return {"group": group, "fields": fields}


async def _form(request: Request) -> FormData:
    return await request.form()


@router.post("/settings/{name}")
def change_settings(
    request: Request, me: Owner, name: str, form: Annotated[FormData, Needs(_form)]
) -> Response:
    """Write what was changed on the form of a group. Raises Conflict when another change of the
    same setting came between."""
    group = _group(name)
    changes, seen = _changes(group, form)
    study = state_of(request).study
    after = asdict(study.change(me.person.pseudonym, seen=seen, **changes))
    with study.database.read() as db:
        shown = _shown(group, after, browse.known_columns(db))
    labels = [field.label for field in group.fields if field.name in changes]
    return state_of(request).page(request, "saved.html", shown=shown, labels=labels)


def _changes(group: Group, form: FormData) -> tuple[Values, Values]:
    """The settings that differ from what the form was made with, and what it was made with."""
    changes: Values = {}
    seen: Values = {}
    for field in group.fields:
        if f"was-{field.name}" not in form:
            continue
        text = "\n".join(str(value) for value in form.getlist(field.name)).replace("\r\n", "\n")
        try:
            was = json.loads(str(form[f"was-{field.name}"]))
            before = field.written(was)
        except (TypeError, ValueError) as error:
            raise DataError("this page is too old: reload it and try again") from error
        if text.strip() != before.strip():
            changes[field.name] = field.read(text)
            seen[field.name] = tuple(was) if isinstance(was, list) else was
    return changes, seen
