"""`plaudit score`: JSONL in, JSONL out, in input order; resumable."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TextIO

from cyclopts import Parameter

from plaudit.cli.output import progress, say
from plaudit.errors import DataError, require

__all__ = ["score"]

CHUNK = 256


def score(
    model: str,
    data: str,
    *,
    output: Annotated[str, Parameter(alias="-o")] = "-",
    columns: str | None = None,
    split: str | None = None,
    dtype: str | None = None,
    strict: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Add `score` and `std` to every row; for several responses also `rank` and `best`.

    Parameters
    ----------
    model: str
        MODEL: a folder or hub id of any one-label sequence classifier.
    data: str
        DATA: rows with prompt and response (or responses, chosen and rejected, messages).
    output: str
        A .jsonl file; one that is there already is continued. - is standard output.
    columns: str
        Columns of other layouts: prompt=question,response=answer.
    split: str
        Split of a Hugging Face data set.
    dtype: str
        float32 or bfloat16; the faster of both here when not given.
    strict: bool
        Stop at the first bad row; otherwise it gets an `error` and the run goes on.
    """
    require("model", "torch", "transformers", what="plaudit score")
    done = _lines_done(output)
    if done:
        say(f"{output}: going on after {done:,} rows")
    source = import_module("plaudit.data.files").rows(data, split)
    for _ in islice(source, done):
        pass
    models: Any = import_module("plaudit.model")
    scorer = models.load(model, dtype)
    bad = 0
    with _open(output) as file, progress("rows") as update:
        while chunk := list(islice(source, CHUNK)):
            for line in _score_chunk(scorer, chunk, columns, strict):
                bad += "error" in line
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            done += len(chunk)
            update(done, done)
    say(f"{done:,} rows scored" + (f", {bad:,} of them bad (see their `error`)" if bad else ""))


def _lines_done(output: str) -> int:
    """Whole lines of an earlier run; a torn last line is cut away."""
    if output in ("-", "<stdin>") or not Path(output).exists():
        return 0
    with Path(output).open("rb+") as file:
        text = file.read()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            file.truncate(whole)
    return text[:whole].count(b"\n")


def _open(output: str) -> TextIO:
    if output in ("-", "<stdin>"):
        return os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    return Path(output).open("a", encoding="utf-8")


def _score_chunk(
    scorer: Any, chunk: list[tuple[Any, Any]], columns: str | None, strict: bool
) -> Iterator[dict[str, Any]]:
    scoring: Any = import_module("plaudit.data.score_rows")
    bad_row: Any = import_module("plaudit.data.files").BadRow
    requests: list[Any] = []
    for source, row in chunk:
        try:
            if isinstance(row, bad_row):
                raise DataError(row.problem)
            requests.append(scoring.request(row, columns))
        except DataError as error:
            if strict:
                raise DataError(f"{source}: {error}") from error
            requests.append(f"{source}: {error}")
    conversations = [
        c for each in requests if not isinstance(each, str) for c in each.conversations
    ]
    scores = scorer.score(conversations)
    start = 0
    for each, (source, row) in zip(requests, chunk, strict=True):
        if isinstance(each, str):
            say(f"plaudit: {each}")
            yield {**(row if isinstance(row, dict) else {}), "score": None, "error": each}
            continue
        stop = start + len(each.conversations)
        line = {**row, **scoring.scored(each, scores, start, stop)}
        if "error" in line:
            line["error"] = f"{source}: {line['error']}"
            say(f"plaudit: {line['error']}")
            if strict:
                raise DataError(line["error"])
        start = stop
        yield line
