"""The rows of a raw export and of its study.json, checked field by field before any is stored.

What is stored for ever must have the type that every page and export counts on: no infinity, no
text where a number belongs, no field that this version would drop without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from plaudit.config import StudySettings
from plaudit.errors import DataError
from plaudit.study.questions import storable

Time = Annotated[float, Field(ge=0, le=1e11)]
Milliseconds = Annotated[int, Field(ge=0, lt=2**31)]
Side = Literal["a", "b"]
Strength = Annotated[int, Field(ge=1, le=3)]
M = TypeVar("M", bound=BaseModel)


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class Criterion(Strict):
    answer: Literal["a", "b", "tie"]
    strength: Strength | None = None


class JudgmentRow(Strict):
    key: str = Field(min_length=1, max_length=64)
    annotator: str = Field(min_length=1, max_length=80)
    kind: Literal["vote", "retest", "imported", "resolution"]
    answer: Literal["a", "b", "tie", "both_bad", "skip", "withdrawn"]
    strength: Strength | None = None
    left: Side | None = None
    p: float | None = Field(default=None, ge=0, le=1)
    reasons: list[Annotated[str, Field(max_length=200)]] | None = Field(None, max_length=100)
    rationale: str | None = Field(None, max_length=10_000)
    report: str | None = Field(None, max_length=10_000)
    active_ms: Milliseconds | None = None
    wall_ms: Milliseconds | None = None
    first_input_ms: Milliseconds | None = None
    guideline: Milliseconds | None = None
    late: bool | None = None
    created_at: Time
    supersedes: str | None = None
    criteria: dict[str, Criterion] | None = None
    ranking: Any = None
    excluded: bool | None = None


class OriginRow(Strict):
    model: str
    sampling: dict[str, Any]


class ComparisonRow(Strict):
    """Beside the texts, which the reader has checked."""

    hash: str | None = Field(None, max_length=32)
    prompt: Any
    response_a: Any
    response_b: Any
    origins_a: list[OriginRow] | None = None
    origins_b: list[OriginRow] | None = None
    group: str | None = None
    gold: Literal["a", "b", "tie"] | None = None
    gold_since: Time | None = None
    overlap: int | None = Field(None, ge=0, le=100)
    agreement: bool | None = None
    queue_position: int | None = Field(None, ge=0, lt=2**62)
    withdrawn_at: Time | None = None
    explanation: str | None = None
    replaces: str | None = Field(None, max_length=32)
    panel: str | None = Field(None, max_length=32)
    columns: dict[str, Any] | None = None
    judgments: list[JudgmentRow]


class GuidelineRow(Strict):
    version: int = Field(ge=1, lt=2**31)
    markdown: str
    created_at: Time


class AnnotatorRow(Strict):
    pseudonym: str = Field(min_length=1, max_length=80)
    role: Literal["owner", "annotator", "viewer", "imported"]
    active: bool
    created_at: Time
    excluded_at: Time | None = None
    stopped_at: Time | None = None
    stop_reason: str = ""


class StudyRow(Strict):
    settings: dict[str, Any]
    guidelines: list[GuidelineRow]
    annotators: list[AnnotatorRow]


def checked(kind: type[M], row: Mapping[str, Any]) -> M:
    """The row as its kind has it. Raises DataError naming the first field that is wrong."""
    try:
        return kind.model_validate(storable(row))
    except ValidationError as error:
        raise DataError(_first(error)) from error
    except RecursionError as error:
        raise DataError("nested too deeply") from error


def checked_settings(values: Mapping[str, Any]) -> StudySettings:
    """Settings of a study.json. Raises DataError, or UsageError on a value out of its range."""
    if storable(values) != values:
        raise DataError("settings hold a number that is not finite, or a zero byte")
    settings = StudySettings.of(values)
    adapter = TypeAdapter(StudySettings)
    try:
        adapter.validate_json(adapter.dump_json(settings, warnings=False), strict=True)
    except ValidationError as error:
        raise DataError(f"settings: {_first(error)}") from error
    return settings


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"{where}: a field that this version of plaudit does not know"
    return f"{where}: {problem['msg']}, found {problem['input']!r:.40}"
