"""A study out again: raw judgments, pairs, TRL's format, a data set folder or a table of votes.

Everything streams in the order of the comparisons' content hashes, so that equal data gives
equal files, whatever the order in which it came. Comparisons that say nothing (skipped, both bad,
too few votes) leave, counted in the manifest; ties have no place in TRL's format and go to a
file beside it. Train and test are split as `plaudit train` splits. The data's own columns stand
apart, under the key `columns`, whatever they are called.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from plaudit.config import ExportConfig, known_names
from plaudit.data.split import split
from plaudit.errors import DataError
from plaudit.study import schema as s
from plaudit.study.aggregates import Aggregates, Selection, aggregate
from plaudit.study.database import Database
from plaudit.study.export_files import (
    WRITERS,
    Exported,
    Row,
    models_text,
    replace_files,
    tools_apart,
    write_card,
)
from plaudit.study.export_votes import vote_rows
from plaudit.study.judgment_table import JudgmentTable
from plaudit.study.model_results import model_results
from plaudit.study.stored_rows import column_names, count_rows, stored_rows
from plaudit.types import Conversation, Message, Pair, Source, as_messages
from plaudit.version import __version__

BATCH = 1000
Progress = Callable[[int, int], None]


def export(
    database: Database, folder: Path, config: ExportConfig, *, progress: Progress | None = None
) -> Exported:
    """Write an export into a folder; an older one there is replaced as a whole, or kept.

    Raises DataError where the folder cannot be written or nothing is selected, UsageError on an
    unknown model, annotator or column.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as scratch:
            done = Exported(Path(scratch))
            with database.read() as db:
                _write(db, done, config, progress)
            replace_files(Path(scratch), folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {error}") from error
    done.folder = folder
    return done


def _write(db: Connection, done: Exported, config: ExportConfig, progress: Progress | None) -> None:
    total = count_rows(db)
    table = JudgmentTable()
    table.refresh(db)
    who, keep = Selection.of(db, config), _kept(db, config)
    rows = _counted(stored_rows(db), total, progress)
    settings = db.scalar(select(s.study.c.settings)) or {}
    if config.format == "raw":
        WRITERS["raw"](((row, "raw") for row in _raw(rows, who, done)), done)
    elif config.format == "csv":
        votes = vote_rows(_without_columns(rows, keep, done), who, config.gold, done)
        WRITERS["csv"](((row, "votes") for row in votes), done)
    else:
        found = aggregate(db, config.aggregate, who, table)
        done.aggregate = found.model
        done.reliability = _by_pseudonym(db, found.reliability)
        if found.twice:
            done.dropped["later votes of one browser on one comparison"] = found.twice
        sides = _sides(_pairs(stored_rows(db), found, config, Exported(done.folder)), config)
        pairs = _without_columns(_pairs(rows, found, config, done), keep, done)
        WRITERS[config.format](_placed(pairs, sides, done), done)
    _refuse_nothing(done, config, total)
    done.models = model_results(db, table, who.keep(table))
    if done.models.models:
        done.write_text("models.json", done.models.to_dict())
    if config.format == "raw":
        _write_study(db, settings, done)
    if config.format == "dataset":
        write_card(settings, done)
    _write_manifest(db, settings, done, config)


def _kept(db: Connection, config: ExportConfig) -> set[str] | None:
    """The columns of the data that are exported, None for all of them."""
    if config.keep:
        return {*known_names("--keep", config.keep, column_names(db), "column")}
    return set() if config.format == "dataset" else None


def _without_columns(rows: Iterable[Row], keep: set[str] | None, done: Exported) -> Iterator[Row]:
    """The rows with the columns that are kept; the others are counted by name."""
    for row in rows:
        if keep is not None:
            done.columns.update(row["columns"].keys() - keep)
            row = row | {"columns": {n: v for n, v in row["columns"].items() if n in keep}}
        yield row


def _refuse_nothing(done: Exported, config: ExportConfig, total: int) -> None:
    """Raises DataError when a file that was asked for has no row."""
    reasons = ", ".join(f"{name} {count:,}" for name, count in sorted(done.dropped.items()))
    left_out = f" of {total:,} comparisons (left out: {reasons or 'nothing'})"
    if not any(done.files.values()):
        raise DataError(f"nothing to export{left_out}")
    if config.test_share > 0:
        for side in ("train", "test"):
            if not done.sides[side]:
                raise DataError(
                    f"no prompt falls to {side} at --test-share {config.test_share:g}"
                    f"{left_out}: change the share, or export without it"
                )


def _by_pseudonym(db: Connection, values: Mapping[int, float]) -> dict[str, float]:
    people = db.execute(select(s.annotator.c.id, s.annotator.c.pseudonym))
    named = {row.pseudonym: round(values[row.id], 4) for row in people if row.id in values}
    return dict(sorted(named.items()))


def _counted(rows: Iterable[Row], total: int, progress: Progress | None) -> Iterator[Row]:
    for number, row in enumerate(rows, start=1):
        yield row
        if progress is not None and number % BATCH == 0:
            progress(number, total)


# ------------------------------------------------------------------------------- raw


def _raw(rows: Iterable[Row], who: Selection, done: Exported) -> Iterator[Row]:
    """Every judgment of the annotators chosen; of those taken out with a mark."""
    for row in rows:
        kept = {name: value for name, value in row.items() if name != "id"}
        kept["judgments"] = [j for j in row["judgments"] if j["annotator"] in who.ids]
        done.judgments += len(kept["judgments"])
        yield kept


def _write_study(db: Connection, settings: Mapping[str, Any], done: Exported) -> None:
    """study.json beside raw.jsonl: settings, guidelines and pseudonyms."""
    a = s.annotator.c
    names = (a.pseudonym, a.role, a.active, a.created_at, a.excluded_at, a.stopped_at)
    people = select(*names, a.stop_reason).order_by(a.pseudonym)
    guidelines = select(s.guideline).order_by(s.guideline.c.version)
    done.write_text(
        "study.json",
        {
            "settings": settings,
            "guidelines": [dict(row) for row in db.execute(guidelines).mappings()],
            "annotators": [dict(row) for row in db.execute(people).mappings()],
        },
        hashed=True,
    )


# ------------------------------------------------------------------------------- pairs


def _pairs(
    rows: Iterable[Row], found: Aggregates, config: ExportConfig, done: Exported
) -> Iterator[Row]:
    """Comparisons with a judgment, as rows that `plaudit train` takes as they are."""
    for row in rows:
        known = found.of(row["id"])
        if (reason := _left_out(row, known, config)) is not None:
            done.dropped[reason] += 1
        elif known is not None:
            done.judgments += known.judgments
            tools, columns = tools_apart(row["columns"])
            yield {
                "prompt": row["prompt"],
                "response_a": row["response_a"],
                "response_b": row["response_b"],
                "p": round(known.p, 6),
                "aggregate": found.model,
                "votes_a": known.a,
                "votes_b": known.b,
                "votes_tie": known.tie,
                "strength": known.strength,
                "group": row["group"],
                "model_a": models_text(row["origins_a"]),
                "model_b": models_text(row["origins_b"]),
                **tools,
                "columns": columns,
            }


def _left_out(row: Row, known: Any, config: ExportConfig) -> str | None:
    """Why a comparison is no pair of this export; None where it is one."""
    if row["withdrawn_at"] is not None:
        return "withdrawn"
    if row["explanation"] is not None:
        return "for practice"
    if row["gold"] is not None and not config.gold:
        return "gold"
    if known is None:
        answers = {j["answer"] for j in row["judgments"] if not j.get("excluded")} - {"withdrawn"}
        only = answers.pop() if len(answers) == 1 else ""
        return only if only in ("both_bad", "skip") else "no judgment"
    if known.both_bad:
        return "both_bad"
    if config.format == "dataset" and not _plain(row):
        return "messages that are more than text, which pairs and raw keep"
    if known.judgments < config.min_votes:
        return f"fewer than {config.min_votes} votes"
    return None


def _plain(row: Row) -> bool:
    """Whether every message is a role and a text, which is all that the Parquet files hold."""
    texts = (row["prompt"], row["response_a"], row["response_b"])
    return all(
        message.keys() == {"role", "content"} and isinstance(message["content"], str)
        for messages in texts
        for message in messages
    )


def _sides(pairs: Iterable[Row], config: ExportConfig) -> list[str]:
    """train or test, of each pair, by `data.split`; all train at 0."""
    if not config.test_share:
        return []
    empty = Message("assistant", "")  # the split looks at prompts alone
    asked = []
    for number, pair in enumerate(pairs, start=1):
        messages = as_messages([*pair["prompt"], *pair["response_a"][:-1]])
        conversation = Conversation((*messages, empty))
        source = Source("study", number)
        asked.append(Pair(conversation, conversation, 0.5, 1.0, str(pair["group"]), source))
    found = split(asked, config.test_share)
    sides = np.full(len(asked), "train", dtype="<U5")
    sides[found.test] = "test"
    result: list[str] = sides.tolist()
    return result


def _placed(pairs: Iterable[Row], sides: list[str], done: Exported) -> Iterator[tuple[Row, str]]:
    for number, pair in enumerate(pairs):
        side = sides[number] if sides else "train"
        done.sides[side] += 1
        yield pair, side


# ---------------------------------------------------------------------------- manifest


def _write_manifest(
    db: Connection, settings: Mapping[str, Any], done: Exported, config: ExportConfig
) -> None:
    manifest = {
        "plaudit": __version__,
        "study": settings.get("name"),
        "question": settings.get("question"),
        "filters": asdict(config),
        "aggregate": done.aggregate or None,
        "annotator_reliability": done.reliability or None,
        "files": done.files,
        "judgments": done.judgments,
        "left_out": dict(sorted(done.dropped.items())),
        "columns_left_out": dict(sorted(done.columns.items())),
        "guideline_version": db.scalar(select(func.max(s.guideline.c.version))),
        "licences": {
            name: settings.get(f"license_{name}") or None
            for name in ("prompts", "responses", "judgments")
        },
        "sha256": done.sha256,
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (done.folder / "manifest.json").write_text(text, encoding="utf-8")
