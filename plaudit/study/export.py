"""A study out again: raw judgments, pairs, TRL's format or a data set folder, with a manifest.

Everything streams in the order of the comparisons' content hashes, so that equal data gives
equal files, whatever the order in which it came. Comparisons that say nothing (skipped, both bad,
too few votes) leave, counted in the manifest; ties have no place in TRL's format and go to a
file beside it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from hashlib import blake2b, sha256
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from plaudit.config import ExportConfig
from plaudit.errors import DataError
from plaudit.study import schema as s
from plaudit.study.consensus import Opinions, opinions
from plaudit.study.database import Database
from plaudit.study.ingest import IN_ORDER
from plaudit.version import __version__

__all__ = ["Exported", "Row", "export", "stored_rows"]

BATCH = 1000
Row = dict[str, Any]
Progress = Callable[[int, int], None]


@dataclass
class Exported:
    """What was written: the manifest's content."""

    folder: Path
    files: dict[str, int] = field(default_factory=dict)  # rows by file
    dropped: Counter[str] = field(default_factory=Counter)
    judgments: int = 0
    sha256: str = ""
    probability: str = ""
    reliability: dict[str, float] = field(default_factory=dict)  # by pseudonym, of that model


def export(
    database: Database, folder: Path, config: ExportConfig, *, progress: Progress | None = None
) -> Exported:
    """Write an export into a folder, over an older one of the same kind.

    Raises DataError where the folder cannot be written, UsageError on an unknown model.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {error}") from error
    done = Exported(folder)
    with database.read() as db:
        total = db.scalar(select(func.count()).select_from(s.comparison)) or 0
        rows = _counted(stored_rows(db), total, progress)
        if config.format == "raw":
            _write_raw(db, rows, done, config)
        else:
            found = opinions(db, config.probability, config.without)
            done.probability = found.model
            done.reliability = _by_pseudonym(db, found.reliability)
            kept = _pairs(rows, found, config, done)
            {"pairs": _write_pairs, "trl": _write_trl, "dataset": _write_dataset}[config.format](
                kept, done, config
            )
        _write_manifest(db, done, config)
    return done


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


def stored_rows(db: Connection) -> Iterator[Row]:
    """Every comparison with its texts, origins and judgments, in order of its hash."""
    last = ""
    while part := _some_rows(db, last):
        yield from part
        last = part[-1]["hash"]


def _some_rows(db: Connection, after: str) -> list[Row]:
    c, response_a, response_b = s.comparison, s.response.alias(), s.response.alias()
    query = (
        select(
            c,
            s.prompt.c.messages.label("prompt_messages"),
            response_a.c.messages.label("a_turns"),
            response_b.c.messages.label("b_turns"),
        )
        .join(s.prompt, s.prompt.c.id == c.c.prompt)
        .join(response_a, response_a.c.id == c.c.response_a)
        .join(response_b, response_b.c.id == c.c.response_b)
        .where(c.c.hash > after)
        .order_by(c.c.hash)
        .limit(BATCH)
    )
    found = db.execute(query).mappings().all()
    if not found:
        return []
    origins = _origins(db, {row[side] for row in found for side in ("response_a", "response_b")})
    judgments = _judgments(db, [row["id"] for row in found])
    return [
        {
            "id": row["id"],
            "hash": row["hash"],
            "prompt": row["prompt_messages"],
            "response_a": row["a_turns"],
            "response_b": row["b_turns"],
            "origins_a": origins.get(row["response_a"], []),
            "origins_b": origins.get(row["response_b"], []),
            "group": row["group"],
            "gold": row["gold"],
            "gold_since": row["gold_since"],
            "overlap": row["overlap"],
            "place": row["place"] if row["place"] < IN_ORDER else None,
            "columns": row["columns"],
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
        found.setdefault(row["comparison"], []).append(
            {
                "key": row["key"],
                "annotator": row["pseudonym"],
                "kind": row["kind"],
                "answer": row["answer"],
                "strength": row["strength"],
                "left": row["left"],
                "reasons": row["reasons"],
                "rationale": row["rationale"],
                "report": row["report"],
                "active_ms": row["active_ms"],
                "wall_ms": row["wall_ms"],
                "first_input_ms": row["first_input_ms"],
                "guideline": row["guideline"],
                "late": row["late"],
                "supersedes": row["supersedes_key"],
                "created_at": row["created_at"],
            }
        )
    return found


# ------------------------------------------------------------------------------- raw


def _write_raw(db: Connection, rows: Iterable[Row], done: Exported, config: ExportConfig) -> None:
    """raw.jsonl, and study.json beside it: settings, guidelines and pseudonyms."""
    written = _Writer(done, "raw.jsonl")
    with written:
        for row in rows:
            kept = {name: value for name, value in row.items() if name != "id"}
            kept["judgments"] = [
                j for j in row["judgments"] if j["annotator"] not in config.without
            ]
            done.judgments += len(kept["judgments"])
            written.write(kept)
    people = select(
        s.annotator.c.pseudonym, s.annotator.c.role, s.annotator.c.active, s.annotator.c.created_at
    ).order_by(s.annotator.c.pseudonym)
    guidelines = select(s.guideline).order_by(s.guideline.c.version)
    study = {
        "settings": db.scalar(select(s.study.c.settings)),
        "guidelines": [dict(row) for row in db.execute(guidelines).mappings()],
        "annotators": [dict(row) for row in db.execute(people).mappings()],
    }
    text = json.dumps(study, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    (done.folder / "study.json").write_text(text, encoding="utf-8")
    done.files["study.json"] = 1
    done.sha256 = sha256((written.sha256 + text).encode()).hexdigest()


# ------------------------------------------------------------------------------- pairs


def _pairs(
    rows: Iterable[Row], found: Opinions, config: ExportConfig, done: Exported
) -> Iterator[Row]:
    """Comparisons with an opinion, as rows that `plaudit train` takes as they are."""
    for row in rows:
        opinion = found.of(row["id"])
        if row["gold"] is not None and not config.gold:
            done.dropped["gold"] += 1
        elif opinion is None:
            answers = {j["answer"] for j in row["judgments"]} - {"withdrawn"}
            only = answers.pop() if len(answers) == 1 else ""
            done.dropped[only if only in ("both_bad", "skip") else "no judgment"] += 1
        elif opinion.both_bad:
            done.dropped["both_bad"] += 1
        elif opinion.votes < config.min_votes:
            done.dropped[f"fewer than {config.min_votes} votes"] += 1
        else:
            done.judgments += opinion.votes
            yield {
                "prompt": row["prompt"],
                "response_a": row["response_a"],
                "response_b": row["response_b"],
                "p": round(opinion.p, 6),
                "votes_a": opinion.a,
                "votes_b": opinion.b,
                "votes_tie": opinion.tie,
                "strength": opinion.strength,
                "group": row["group"],
                "model_a": _models(row["origins_a"]),
                "model_b": _models(row["origins_b"]),
                **{k: v for k, v in row["columns"].items() if k not in ("model_a", "model_b")},
            }


def _models(origins: list[Row]) -> str:
    return ", ".join(origin["model"] for origin in origins)


def _write_pairs(pairs: Iterable[Row], done: Exported, config: ExportConfig) -> None:
    _write_split(((_side(pair, config), pair) for pair in pairs), done)


def _write_trl(pairs: Iterable[Row], done: Exported, config: ExportConfig) -> None:
    """Conversational prompt, chosen and rejected, with a margin; ties go beside.

    The margin is the mean strength of graded votes, 2 |p − ½| otherwise.
    """
    _write_split(((_trl_file(pair, config), _trl_row(pair)) for pair in pairs), done)


def _trl_file(pair: Row, config: ExportConfig) -> str:
    return "ties" if pair["p"] == 0.5 else _side(pair, config)


def _trl_row(pair: Row) -> Row:
    if pair["p"] == 0.5:
        return pair
    order = ("response_a", "response_b") if pair["p"] > 0.5 else ("response_b", "response_a")
    strength = pair["strength"]
    margin = abs(strength) if strength else abs(2 * pair["p"] - 1)
    return {
        "prompt": pair["prompt"],
        "chosen": pair[order[0]],
        "rejected": pair[order[1]],
        "margin": round(margin, 6),
        "group": pair["group"],
    }


def _side(pair: Row, config: ExportConfig) -> str:
    """train or test, by a hash of the prompt group: rows added later move none."""
    digest = blake2b(str(pair["group"]).encode(), digest_size=8).digest()
    return (
        "test"
        if int.from_bytes(digest, "little") % 10_000 < config.test_share * 10_000
        else "train"
    )


def _write_split(rows: Iterable[tuple[str, Row]], done: Exported) -> None:
    with ExitStack() as stack:
        writers: dict[str, _Writer] = {}
        for name, row in rows:
            if name not in writers:
                writers[name] = stack.enter_context(_Writer(done, f"{name}.jsonl"))
            writers[name].write(row)
    digests = [f"{name} {writer.sha256}" for name, writer in sorted(writers.items())]
    done.sha256 = sha256("\n".join(digests).encode()).hexdigest()


class _Writer:
    """A JSONL file that appears whole, with its hash and count of rows."""

    def __init__(self, done: Exported, name: str) -> None:
        self._done, self._name = done, name
        self._scratch = done.folder / f".{name}.part"
        self._file: Any = None
        self._digest = sha256()
        self._rows = 0
        self.sha256 = ""

    def __enter__(self) -> _Writer:
        self._file = self._scratch.open("wb")
        return self

    def write(self, row: Mapping[str, Any]) -> None:
        line = json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n"
        self._digest.update(line)
        self._file.write(line)
        self._rows += 1

    def __exit__(self, kind: Any, *_: object) -> None:
        self._file.close()
        if kind is not None:
            self._scratch.unlink(missing_ok=True)
            return
        os.replace(self._scratch, self._done.folder / self._name)
        self.sha256 = self._digest.hexdigest()
        self._done.files[self._name] = self._rows


# ----------------------------------------------------------------------- data set folder


def _write_dataset(pairs: Iterable[Row], done: Exported, config: ExportConfig) -> None:
    """data/train.parquet and data/test.parquet with a README card, as the hub lays them out."""
    pa, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    message = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    columns = [("prompt", message), ("response_a", message), ("response_b", message)]
    columns += [("p", pa.float64()), *((f"votes_{v}", pa.int64()) for v in ("a", "b", "tie"))]
    columns += [("strength", pa.float64())]
    columns += [(name, pa.string()) for name in ("group", "model_a", "model_b", "columns")]
    schema = pa.schema(columns)
    names = set(schema.names)
    (done.folder / "data").mkdir(exist_ok=True)
    digest = sha256()
    with ExitStack() as stack:
        writers: dict[str, Any] = {}
        waiting: dict[str, list[Row]] = {}

        def flush(side: str) -> None:
            path = done.folder / "data" / f"{side}.parquet"
            if side not in writers:
                writers[side] = stack.enter_context(parquet.ParquetWriter(path, schema))
            writers[side].write_table(pa.Table.from_pylist(waiting.pop(side), schema=schema))

        for pair in pairs:
            digest.update(json.dumps(pair, sort_keys=True).encode())
            row = {name: pair[name] for name in pair if name in names}
            others = {name: pair[name] for name in pair if name not in names}
            row["columns"] = json.dumps(others, sort_keys=True)
            side = _side(pair, config)
            waiting.setdefault(side, []).append(row)
            name = f"data/{side}.parquet"
            done.files[name] = done.files.get(name, 0) + 1
            if len(waiting[side]) == BATCH:
                flush(side)
        for side in list(waiting):
            flush(side)
    done.sha256 = digest.hexdigest()


def _card(settings: Mapping[str, Any], done: Exported) -> str:
    files = "\n".join(
        f"  - split: {Path(name).stem}\n    path: {name}" for name in sorted(done.files)
    )
    counts = "\n".join(f"| `{name}` | {rows:,} |" for name, rows in sorted(done.files.items()))
    dropped = ", ".join(f"{name}: {count:,}" for name, count in sorted(done.dropped.items()))
    licences = ", ".join(
        f"{name.removeprefix('license_')}: {settings.get(name) or 'not stated'}"
        for name in ("license_prompts", "license_responses", "license_judgments")
    )
    return f"""---
task_categories:
- text-ranking
tags:
- preference
- reward-model
configs:
- config_name: default
  data_files:
{files}
---

# {settings.get("name")}

Pairwise human preferences: a prompt, two responses, how many people preferred each, and `p`, the
probability that `response_a` is better ({done.probability}). The question asked:
“{settings.get("question")}”

| file | pairs |
|---|---|
{counts}

Judgments: {done.judgments:,}. Left out: {dropped or "nothing"}. Annotators are not named here.
The order of the two responses says nothing: it is that of their hashes. Splits are by prompt group.

Licences: {licences}.

Content SHA-256: `{done.sha256}`. Written by plaudit {__version__}.
"""


# ---------------------------------------------------------------------------- manifest


def _write_manifest(db: Connection, done: Exported, config: ExportConfig) -> None:
    settings = db.scalar(select(s.study.c.settings)) or {}
    version = db.scalar(select(func.max(s.guideline.c.version)))
    manifest = {
        "plaudit": __version__,
        "study": settings.get("name"),
        "question": settings.get("question"),
        "filters": asdict(config),
        "probability": done.probability or None,
        "annotator_reliability": done.reliability or None,
        "files": done.files,
        "judgments": done.judgments,
        "left_out": dict(sorted(done.dropped.items())),
        "guideline_version": version,
        "licences": {
            name: settings.get(f"license_{name}") or None
            for name in ("prompts", "responses", "judgments")
        },
        "sha256": done.sha256,
    }
    if config.format == "dataset":
        (done.folder / "README.md").write_text(_card(settings, done), encoding="utf-8")
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (done.folder / "manifest.json").write_text(text, encoding="utf-8")
