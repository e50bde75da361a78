"""`plaudit score`: rows in, JSONL out, in input order; resumable."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from plaudit.cli.output import Problems, progress, resumable, say
from plaudit.cli.scorer import open_scorer
from plaudit.config import BAD_SHARE, ScoreConfig
from plaudit.errors import DataError, require

if TYPE_CHECKING:
    from plaudit.cli.score_file import ScoreFile
    from plaudit.data.score_rows import Request
    from plaudit.types import Scores, Source

CHUNK = 256
Chunk = Sequence[tuple["Source", Any]]


def score(
    model: str,
    data: str,
    *,
    config: Annotated[ScoreConfig, Parameter(name="*")] = ScoreConfig(),
    output: Annotated[str, Parameter(alias="-o")] = "-",
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    strict: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Add `score` and `std` to every row; for several responses also `rank` and `best`.

    rank and best count from 1: the response number `best` has rank 1. A row's own columns of
    these names are kept as input_score and so on.

    Parameters
    ----------
    model: str
        MODEL: a folder or hub id of any one-label sequence classifier.
    data: str
        DATA: rows with prompt and response (or responses, chosen and rejected, messages).
    output: str
        A .jsonl file; the same command resumes one that is there. - is standard output.
    overwrite: bool
        Score all rows again where OUTPUT is there already.
    strict: bool
        Stop at the first bad row; otherwise it gets an `error` and the run goes on.
    """
    require("model", "torch", "transformers", what="plaudit score")
    from plaudit.cli.score_file import ScoreFile, model_hash
    from plaudit.data.files import rows
    from plaudit.model.download import model_folder

    identity = (model, model_hash(model_folder(model)))
    file = ScoreFile(output, identity, data, asdict(config), overwrite)
    source = rows(data, config.split)
    file.skip(source)
    if file.done:
        say(f"{output}: resuming after {file.done:,} rows")
    run = ScoreRun(config, strict)
    first = run.requests(list(islice(source, CHUNK)))
    if not first and not file.done:
        raise DataError(f"{data}: no rows")
    run.refuse_if_nothing_fits(first)
    with resumable(_kept(file)), progress("rows") as update:
        scorer = open_scorer(model, config) if first else None
        for requests in chain([first], run.chunks(source)):
            if requests:
                lines = list(run.lines(requests, scorer))
                file.add([(place, row) for place, row, _ in requests], lines)
                update(file.done, file.done)
    run.report(file.done)


def _kept(file: ScoreFile) -> str:
    if not file.kept:
        return "nothing is kept without -o FILE"
    return f"the same command resumes after the rows in {file.output}"


class ScoreRun:
    """Requests of rows, their lines, and what went wrong with them."""

    def __init__(self, config: ScoreConfig, strict: bool) -> None:
        self.config, self.strict = config, strict
        self.problems, self.rows = Problems(), 0
        self.renamed: set[str] = set()
        self.notes = 0
        self.without_probability = 0

    def chunks(
        self, source: Iterator[tuple[Source, Any]]
    ) -> Iterator[list[tuple[Source, Any, Any]]]:
        while chunk := list(islice(source, CHUNK)):
            yield self.requests(chunk)

    def requests(self, chunk: Chunk) -> list[tuple[Source, Any, Any]]:
        """(place, row, Request or the DataError) of each row."""
        from plaudit.data.files import BadRow
        from plaudit.data.score_rows import request

        found: list[tuple[Source, Any, Any]] = []
        for place, row in chunk:
            try:
                if isinstance(row, BadRow):
                    raise DataError(row.problem)
                found.append((place, row, self._checked(request(row, self.config.columns))))
            except DataError as error:
                if self.strict:
                    raise DataError(f"{place}: {error}") from error
                found.append((place, row, error))
        return found

    def _checked(self, asked: Request) -> Request:
        count = len(asked.conversations)
        if self.config.pairs and not (asked.several and count == 2):
            raise DataError(f"--pairs needs two responses, found {count}")
        if self.config.best_of and not (asked.several and count > 1):
            raise DataError(f"--best-of needs several responses, found {count}")
        return asked

    def refuse_if_nothing_fits(self, requests: Sequence[tuple[Source, Any, Any]]) -> None:
        """Raise DataError where none of the first rows can be scored: nothing is written."""
        if requests and all(isinstance(asked, DataError) for _, _, asked in requests):
            for place, _, error in requests:
                self.problems.add(str(place), str(error))
            raise DataError("nothing can be scored. " + "; ".join(self.problems.lines()))

    def lines(
        self, requests: Sequence[tuple[Source, Any, Any]], scorer: Any
    ) -> Iterator[dict[str, Any]]:
        """Each row with its scores, or with its error."""
        from plaudit.data.score_rows import scored, with_scores

        good = [asked for _, _, asked in requests if not isinstance(asked, DataError)]
        scores: Scores = scorer.score([c for asked in good for c in asked.conversations])
        start = 0
        for place, row, asked in requests:
            self.rows += 1
            if isinstance(asked, DataError):
                result: dict[str, Any] = {"score": None, "error": str(asked)}
            else:
                result = scored(asked, scores, start, self.config.pairs, self.config.best_of)
                start += len(asked.conversations)
            if "error" in result:
                self.problems.add(str(place), result["error"])
                if self.strict:
                    raise DataError(f"{place}: {result['error']}")
                result["error"] = f"{place}: {result['error']}"
            self.notes += "note" in result
            self.without_probability += (
                "error" not in result and result.get("probability", 0) is None
            )
            line, renamed = with_scores(row if isinstance(row, dict) else {}, result)
            self.renamed |= set(renamed)
            yield line

    def report(self, done: int) -> None:
        """Say what came out; exits with 1 where more than a tenth of the rows are bad."""
        if self.renamed:
            names = ", ".join(f"{name} as input_{name}" for name in sorted(self.renamed))
            say(f"plaudit: the rows' own columns are kept: {names}")
        if self.notes:
            say(f"plaudit: {self.notes:,} rows have a note (cut to fit, or an empty best response)")
        if self.without_probability:
            say("plaudit: the model has no posterior, so no probability of being the best")
        for line in self.problems.lines():
            say(f"plaudit: {line}")
        bad = self.problems.count
        earlier = f" ({done - self.rows:,} of them earlier)" if done > self.rows else ""
        say(
            f"{done:,} rows scored{earlier}"
            + (f", {bad:,} of them bad (see their `error`)" if bad else "")
        )
        if bad > BAD_SHARE * max(self.rows, 1):
            sys.exit(1)
