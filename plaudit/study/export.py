"""A study out again: raw judgments, pairs, TRL's format or a data set folder, with a manifest.

Everything streams in the order of the comparisons' content hashes, so that equal data gives
equal files, whatever the order in which it came. Comparisons that say nothing (skipped, both bad,
too few votes) leave, counted in the manifest; ties have no place in TRL's format and go to a
file beside it. Train and test are split as `plaudit train` splits.
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

from plaudit.config import ExportConfig
from plaudit.data.readers.two_responses import MEANINGFUL
from plaudit.data.split import split
from plaudit.errors import DataError
from plaudit.study import schema as s
from plaudit.study.aggregates import Aggregates, aggregate
from plaudit.study.database import Database
from plaudit.study.export_files import WRITERS, Exported, Row, replace_files, write_card
from plaudit.study.next_comparison import IN_ORDER
from plaudit.types import Conversation, Message, Pair, Source, as_messages
from plaudit.version import __version__

BATCH = 1000
Progress = Callable[[int, int], None]


def export(
    database: Database, folder: Path, config: ExportConfig, *, progress: Progress | None = None
) -> Exported:
    """Write an export into a folder; an older one there is replaced as a whole, or kept.

    Raises DataError where the folder cannot be written or nothing is selected, UsageError on an
    unknown model or annotator.
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
    total = db.scalar(select(func.count()).select_from(s.comparison)) or 0
    rows = _counted(stored_rows(db), total, progress)
    settings = db.scalar(select(s.study.c.settings)) or {}
    if config.format == "raw":
        WRITERS["raw"](((row, "raw") for row in _raw(rows, config, done)), done)
    else:
        found = aggregate(db, config.aggregate, config.without)
        done.aggregate = found.model
        done.reliability = _by_pseudonym(db, found.reliability)
        sides = _sides(_pairs(stored_rows(db), found, config, Exported(done.folder)), config)
        placed = _placed(_pairs(rows, found, config, done), sides, done)
        WRITERS[config.format](placed, done)
    _refuse_nothing(done, config, total)
    if config.format == "raw":
        _write_study(db, settings, done)
    if config.format == "dataset":
        write_card(settings, done)
    _write_manifest(db, settings, done, config)


def _refuse_nothing(done: Exported, config: ExportConfig, total: int) -> None:
    """Raises DataError when a file that was asked for has no row."""
    reasons = ", ".join(f"{name} {count:,}" for name, count in sorted(done.dropped.items()))
    left_out = f" of {total:,} comparisons (left out: {reasons or 'nothing'})"
    if not done.files:
        raise DataError(f"nothing to export{left_out}")
    if config.format != "raw" and config.test_share > 0:
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


# ------------------------------------------------------------------------- rows of the store

# What a judgment is beside its links, in a raw export and in the table alike.
JUDGMENT = (
    *("key", "kind", "answer", "strength", "left", "p", "reasons", "rationale", "report"),
    *("active_ms", "wall_ms", "first_input_ms", "guideline", "late", "created_at"),
)


def stored_rows(db: Connection) -> Iterator[Row]:
    """Every comparison with its texts, origins and judgments, in order of its hash."""
    last = ""
    while part := _some_rows(db, last):
        yield from part
        last = part[-1]["hash"]


def _some_rows(db: Connection, after: str) -> list[Row]:
    c = s.comparison_text.c
    query = select(s.comparison_text).where(c.hash > after).order_by(c.hash).limit(BATCH)
    found = db.execute(query).mappings().all()
    origins = _origins(db, {row[side] for row in found for side in ("response_a", "response_b")})
    judgments = _judgments(db, [row["id"] for row in found])
    same = ("id", "hash", "group", "gold", "gold_since", "overlap", "columns")
    return [
        {name: row[name] for name in same}
        | {
            "prompt": row["prompt_messages"],
            "response_a": row["a_messages"],
            "response_b": row["b_messages"],
            "origins_a": origins.get(row["response_a"], []),
            "origins_b": origins.get(row["response_b"], []),
            "queue_position": row["queue_position"] if row["queue_position"] < IN_ORDER else None,
            "judgments": judgments.get(row["id"], []),
        }
        for row in found
    ]


def _origins(db: Connection, responses: set[int]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    query = select(s.origin).where(s.origin.c.response.in_(responses)).order_by(s.origin.c.hash)
    for row in db.execute(query):
        found.setdefault(row.response, []).append({"model": row.model, "sampling": row.sampling})
    return found


def _judgments(db: Connection, comparisons: list[int]) -> dict[int, list[Row]]:
    j, earlier = s.judgment, s.judgment.alias()
    query = (
        select(j, s.annotator.c.pseudonym, earlier.c.key.label("supersedes_key"))
        .join(s.annotator, s.annotator.c.id == j.c.annotator)
        .outerjoin(earlier, earlier.c.id == j.c.supersedes)
        .where(j.c.comparison.in_(comparisons))
        .order_by(j.c.created_at, j.c.key)
    )
    found: dict[int, list[Row]] = {}
    for row in db.execute(query).mappings():
        judgment = {name: row[name] for name in JUDGMENT}
        judgment |= {"annotator": row["pseudonym"], "supersedes": row["supersedes_key"]}
        found.setdefault(row["comparison"], []).append(judgment)
    return found


# ------------------------------------------------------------------------------- raw


def _raw(rows: Iterable[Row], config: ExportConfig, done: Exported) -> Iterator[Row]:
    for row in rows:
        kept = {name: value for name, value in row.items() if name != "id"}
        kept["judgments"] = [j for j in row["judgments"] if j["annotator"] not in config.without]
        done.judgments += len(kept["judgments"])
        yield kept


def _write_study(db: Connection, settings: Mapping[str, Any], done: Exported) -> None:
    """study.json beside raw.jsonl: settings, guidelines and pseudonyms."""
    a = s.annotator.c
    people = select(a.pseudonym, a.role, a.active, a.created_at).order_by(a.pseudonym)
    guidelines = select(s.guideline).order_by(s.guideline.c.version)
    done.write_text(
        "study.json",
        {
            "settings": settings,
            "guidelines": [dict(row) for row in db.execute(guidelines).mappings()],
            "annotators": [dict(row) for row in db.execute(people).mappings()],
        },
    )


# ------------------------------------------------------------------------------- pairs


def _pairs(
    rows: Iterable[Row], found: Aggregates, config: ExportConfig, done: Exported
) -> Iterator[Row]:
    """Comparisons with a judgment, as rows that `plaudit train` takes as they are."""
    for row in rows:
        known = found.of(row["id"])
        if row["gold"] is not None and not config.gold:
            done.dropped["gold"] += 1
        elif known is None:
            answers = {j["answer"] for j in row["judgments"]} - {"withdrawn"}
            only = answers.pop() if len(answers) == 1 else ""
            done.dropped[only if only in ("both_bad", "skip") else "no judgment"] += 1
        elif known.both_bad:
            done.dropped["both_bad"] += 1
        elif config.format == "dataset" and not _plain(row):
            done.dropped["messages that are more than text, which pairs and raw keep"] += 1
        elif known.judgments < config.min_votes:
            done.dropped[f"fewer than {config.min_votes} votes"] += 1
        else:
            done.judgments += known.judgments
            pair = {
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
                "model_a": ", ".join(origin["model"] for origin in row["origins_a"]),
                "model_b": ", ".join(origin["model"] for origin in row["origins_b"]),
            }
            yield pair | _columns(row["columns"], pair.keys() | MEANINGFUL)


def _plain(row: Row) -> bool:
    """Whether every message is a role and a text, which is all that the Parquet files hold."""
    texts = (row["prompt"], row["response_a"], row["response_b"])
    return all(
        message.keys() == {"role", "content"} and isinstance(message["content"], str)
        for messages in texts
        for message in messages
    )


def _columns(columns: Mapping[str, Any], taken: set[str]) -> Row:
    """The data's own columns; one whose name would be read as a label or a text is renamed."""
    given = ("model_a", "model_b")  # said by the origins already
    return {
        f"column_{name}" if name in taken else name: value
        for name, value in columns.items()
        if name not in given
    }


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
        "guideline_version": db.scalar(select(func.max(s.guideline.c.version))),
        "licences": {
            name: settings.get(f"license_{name}") or None
            for name in ("prompts", "responses", "judgments")
        },
        "sha256": done.sha256,
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (done.folder / "manifest.json").write_text(text, encoding="utf-8")
