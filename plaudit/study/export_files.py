"""The files of an export: JSONL, Parquet and cards, and how a new export replaces an old one."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from plaudit.data.readers.votes import FIELDS, guarded
from plaudit.study.model_results import ModelResults
from plaudit.types import canonical_json
from plaudit.version import __version__

ROWS_AT_ONCE = 1000
Row = dict[str, Any]
Placed = Iterable[tuple[Row, str]]  # a row and the side of the split it falls to


@dataclass
class Exported:
    """What was written: the manifest's content."""

    folder: Path
    files: dict[str, int] = field(default_factory=dict)  # rows by file
    dropped: Counter[str] = field(default_factory=Counter)
    sides: Counter[str] = field(default_factory=Counter)
    judgments: int = 0
    columns: Counter[str] = field(default_factory=Counter)  # of the data, left out: rows
    sha256: str = ""
    models: ModelResults = field(default_factory=ModelResults)
    aggregate: str = ""
    reliability: dict[str, float] = field(default_factory=dict)  # by pseudonym, of that model

    def write_text(self, name: str, values: Any, hashed: bool = False) -> None:
        """A JSON file beside the rows, which the content hash may cover too."""
        text = json.dumps(values, indent=2, ensure_ascii=False, sort_keys=hashed) + "\n"
        (self.folder / name).write_text(text, encoding="utf-8")
        self.files[name] = 1
        if hashed:
            self.sha256 = sha256((self.sha256 + text).encode()).hexdigest()


def replace_files(scratch: Path, folder: Path) -> None:
    """Move an export from `scratch` into `folder`, and what the last one wrote there away."""
    last = folder / "manifest.json"
    try:
        files = json.loads(last.read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        files = ()
    # Only names that exports write, whatever the file says.
    cards = ["README.md"] if any(str(name).startswith("data/") for name in files) else []
    for name in {*NAMES} & {*files, *cards}:
        (folder / name).unlink(missing_ok=True)
    last.unlink(missing_ok=True)
    written = [path for path in scratch.rglob("*") if path.is_file()]
    for path in sorted(written, key=lambda path: path.name == "manifest.json"):
        target = folder / path.relative_to(scratch)
        target.parent.mkdir(exist_ok=True)
        path.chmod(0o600)  # what people said is not for every account of the machine
        os.replace(path, target)
    if (folder / "data").is_dir() and not any((folder / "data").iterdir()):
        (folder / "data").rmdir()


NAMES = (
    *("train.jsonl", "test.jsonl", "ties.jsonl", "raw.jsonl", "study.json"),
    *("data/train.parquet", "data/test.parquet", "README.md", "votes.csv", "models.json"),
)


# --------------------------------------------------------------------------------- JSONL


def _write_jsonl(rows: Placed, done: Exported) -> None:
    """One file per side."""
    digests: dict[str, Any] = {}
    with ExitStack() as stack:
        files: dict[str, Any] = {}
        for row, side in rows:
            name = f"{side}.jsonl"
            if name not in files:
                files[name] = stack.enter_context((done.folder / name).open("wb"))
                digests[name], done.files[name] = sha256(), 0
            line = canonical_json(row).encode() + b"\n"
            digests[name].update(line)
            files[name].write(line)
            done.files[name] += 1
    found = [f"{name} {digest.hexdigest()}" for name, digest in sorted(digests.items())]
    done.sha256 = sha256("\n".join(found).encode()).hexdigest()


def _write_trl(rows: Placed, done: Exported) -> None:
    """Conversational prompt, chosen and rejected, with a margin; ties go to a file beside."""
    _write_jsonl(
        ((row, "ties") if row["p"] == 0.5 else (_trl_row(row), side) for row, side in rows), done
    )


def _trl_row(pair: Row) -> Row:
    """The margin is the mean strength of graded votes, 2 |p − ½| otherwise."""
    order = "ab" if pair["p"] > 0.5 else "ba"
    chosen, rejected = (pair[f"response_{side}"] for side in order)
    models = [pair[f"model_{side}"] for side in order]
    margin = abs(pair["strength"] or 2 * pair["p"] - 1)
    return {
        "prompt": pair["prompt"],
        "chosen": chosen,
        "rejected": rejected,
        "margin": round(margin, 6),
        "group": pair["group"],
        "chosen_model": models[0],
        "rejected_model": models[1],
        **({"tools": pair["tools"]} if "tools" in pair else {}),
        # Text, since one column may hold numbers here and words there, which `datasets` refuses.
        "columns": canonical_json(pair["columns"]),
    }


def tools_apart(columns: Row) -> tuple[Row, Row]:
    """The conversation's tools, which the store keeps among its columns, and the others."""
    tools = columns.get("tools")
    if not (isinstance(tools, list) and tools and all(isinstance(t, dict) for t in tools)):
        return {}, columns
    return {"tools": tools}, {name: value for name, value in columns.items() if name != "tools"}


def models_text(origins: Iterable[Mapping[str, Any]]) -> str:
    """The model that wrote a response; the JSON of a list where several wrote the same."""
    names = list(dict.fromkeys(str(origin["model"]) for origin in origins))
    return json.dumps(names, ensure_ascii=False) if len(names) > 1 else "".join(names)


# ----------------------------------------------------------------------- data set folder

_TEXTS = ("prompt", "response_a", "response_b")
_MESSAGE = pa.struct([(name, pa.string()) for name in ("role", "content")])
SCHEMA = pa.schema(
    [(name, pa.list_(_MESSAGE)) for name in _TEXTS]
    + [("p", pa.float64()), ("aggregate", pa.string()), ("strength", pa.float64())]
    + [(f"votes_{answer}", pa.int64()) for answer in ("a", "b", "tie")]
    + [(name, pa.string()) for name in ("group", "model_a", "model_b", "tools", "columns")]
)


def _write_dataset(rows: Placed, done: Exported) -> None:
    """data/train.parquet and data/test.parquet, as the hub lays them out."""
    (done.folder / "data").mkdir()
    digest = sha256()
    with ExitStack() as stack:
        writers: dict[str, Callable[[Row], None]] = {}
        for row, side in rows:
            name = f"data/{side}.parquet"
            if name not in writers:
                writers[name] = stack.enter_context(_parquet(done.folder / name))
                done.files[name] = 0
            digest.update(canonical_json(row).encode())
            writers[name](row)
            done.files[name] += 1
    done.sha256 = digest.hexdigest()


@contextmanager
def _parquet(path: Path) -> Iterator[Callable[[Row], None]]:
    """Gives a function that writes a row to a Parquet file, some hundred at once."""
    waiting: list[Row] = []
    with parquet.ParquetWriter(path, SCHEMA) as writer:

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(waiting, schema=SCHEMA))
            waiting.clear()

        def write(row: Row) -> None:
            tools = canonical_json(row["tools"]) if "tools" in row else None
            waiting.append(row | {"tools": tools, "columns": canonical_json(row["columns"])})
            if len(waiting) == ROWS_AT_ONCE:
                flush()

        yield write
        flush()


# --------------------------------------------------------------------------- table of votes


def _write_csv(rows: Placed, done: Exported) -> None:
    """votes.csv, as spreadsheets open it: UTF-8 with its mark, no cell a formula.

    Its header has every column of the data, which only the last row may bring: the rows wait in
    a file until all are known.
    """
    name = "votes.csv"
    names = dict.fromkeys(FIELDS)
    digest = sha256()
    with TemporaryFile("w+", encoding="utf-8", dir=done.folder) as waiting:
        for row, _ in rows:
            names |= dict.fromkeys(row)
            line = canonical_json(row)
            digest.update(line.encode() + b"\n")
            waiting.write(line + "\n")
            done.files[name] = done.files.get(name, 0) + 1
        waiting.seek(0)
        with (done.folder / name).open("w", encoding="utf-8-sig", newline="") as file:
            table = csv.writer(file)
            table.writerow([guarded(each) for each in names])
            for line in waiting:
                row = json.loads(line)
                table.writerow([_csv_cell(row.get(each)) for each in names])
    done.sha256 = digest.hexdigest()


def _csv_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return guarded(value) if isinstance(value, str) else value


WRITERS: dict[str, Callable[[Placed, Exported], None]] = {
    "raw": _write_jsonl,
    "pairs": _write_jsonl,
    "trl": _write_trl,
    "dataset": _write_dataset,
    "csv": _write_csv,
}


def write_card(settings: Mapping[str, Any], done: Exported) -> None:
    """README.md of a data set folder."""
    names = sorted(name for name in done.files if name.startswith("data/"))
    files = "\n".join(f"  - split: {Path(name).stem}\n    path: {name}" for name in names)
    counts = "\n".join(f"| `{name}` | {done.files[name]:,} |" for name in names)
    dropped = ", ".join(f"{name}: {count:,}" for name, count in sorted(done.dropped.items()))
    licences = ", ".join(
        f"{name}: {settings.get(f'license_{name}') or 'not stated'}"
        for name in ("prompts", "responses", "judgments")
    )
    card = f"""---
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
probability that `response_a` is better (model of the annotators: {done.aggregate}). The question
asked: “{settings.get("question")}”

| file | pairs |
|---|---|
{counts}

Judgments: {done.judgments:,}. Left out: {dropped or "nothing"}. Annotators are not named here.
The order of the two responses carries no meaning: it is that of their hashes. Splits are by prompt.

Licences: {licences}.

Content SHA-256: `{done.sha256}`. Written by plaudit {__version__}.
"""
    (done.folder / "README.md").write_text(card, encoding="utf-8")
