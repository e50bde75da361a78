"""`plaudit export`: a study out again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from plaudit.cli.add import COLLECT
from plaudit.cli.output import print_json, progress, show
from plaudit.config import ExportConfig
from plaudit.errors import UsageError, require
from plaudit.types import visible

if TYPE_CHECKING:
    from plaudit.statistics.intervals import Interval
    from plaudit.study.export_files import Exported
    from plaudit.study.model_results import ModelResults


def export(
    study: str,
    *,
    output: Annotated[str, Parameter(name=["--output", "-o"])] = "export",
    config: Annotated[ExportConfig, Parameter(name="*")] = ExportConfig(),
    backup: str | None = None,
    copy_to: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Write a study's judgments as training data, with a manifest; or move the study whole.

    Parameters
    ----------
    study: str
        A SQLite file or a postgresql:// URL.
    output: str
        Folder to write; an earlier export there is replaced.
    backup: str
        Write the whole study into this one file instead, while it is in use; sessions are left out.
    copy_to: str
        Copy the whole study into this new SQLite file or empty postgresql:// database instead.
    json: bool
        Print the manifest's numbers for programs.
    """
    require("collect", *COLLECT, "pyarrow", what="plaudit export")
    from plaudit.study import Study

    if (backup or copy_to) and (config != ExportConfig() or (backup and copy_to)):
        raise UsageError("--backup and --copy-to take the whole study, each by itself")
    with Study(study, create=False) as store:
        if backup or copy_to:
            counts = store.backup(backup) if backup else store.copy_to(str(copy_to))
            _show_copy(study, backup or str(copy_to), counts, bool(backup), json)
            return
        with progress("comparisons") as update:
            done = store.export(output, config, progress=update)
        store.note("export", format=config.format)
    if json:
        print_json(_facts(output, done))
        return
    for line in _lines(output, done):
        show(line)
    if config.format in ("pairs", "trl") and "train.jsonl" in done.files:
        test = f" --test {output}/test.jsonl" if "test.jsonl" in done.files else ""
        show(f"Next: plaudit train {output}/train.jsonl{test} -o MODEL")


def _show_copy(study: str, target: str, counts: dict[str, int], alone: bool, json: bool) -> None:
    if json:
        print_json({"study": study, "copy": target, "rows": counts})
        return
    kept = "without sessions: people sign in again" if alone else "people stay signed in"
    show(
        f"{study} copied to {target}: {counts['comparison']:,} comparisons, "
        f"{counts['judgment']:,} judgments, {counts['annotator']:,} annotators with their accounts "
        f"and assignments ({kept}). To use it: plaudit collect {target}"
    )


def _facts(output: str, done: Exported) -> dict[str, Any]:
    return {
        "folder": output,
        "files": done.files,
        "judgments": done.judgments,
        "left_out": dict(done.dropped),
        "columns_left_out": dict(done.columns),
        "aggregate": done.aggregate or None,
        "models": done.models.to_dict() if done.models.models else None,
        "sha256": done.sha256,
    }


def _lines(output: str, done: Exported) -> Iterator[Any]:
    for name, count in done.files.items():
        counted = name.endswith((".jsonl", ".csv"))
        yield f"{output}/{name}: {count:,} rows" if counted else f"{output}/{name}"
    if done.aggregate:
        yield f"p from votes: {done.aggregate}"
    if done.dropped:
        yield "left out: " + ", ".join(f"{k} {v:,}" for k, v in sorted(done.dropped.items()))
    if done.columns:
        names = ", ".join(f"{k} {v:,}" for k, v in sorted(done.columns.items()))
        yield f"columns left out (--keep NAME exports one): {names}"
    if done.models.models:
        yield from _model_lines(done.models)
    yield f"content hash {done.sha256}"


def _model_lines(results: ModelResults) -> Iterator[Any]:
    """The table of models, best first."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    names = ("win rate", "score", "at equal length", "won:lost:tied", "both bad")
    table.add_column("model", overflow="fold", min_width=10)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for one in results.models:
        table.add_row(
            visible(one.model),
            _interval(one.win_rate, 100, 0, " %"),
            _interval(one.score, 1, 2),
            _interval(one.adjusted, 1, 2),
            f"{one.wins:g}:{one.losses:g}:{one.ties}",
            f"{one.both_bad:,}",
        )
    yield (
        f"Which model is better ({results.judgments:,} judgments of {results.comparisons:,} "
        "comparisons; 95 % intervals by prompt; scores in log odds):"
    )
    yield table
    yield results.sentence
    if results.unknown:
        yield f"not in the table: {results.unknown:,} judgments of a response of unknown model"
    if results.same:
        yield f"not in the table: {results.same:,} judgments of two responses of one model"


def _interval(found: Interval, scale: float, digits: int, unit: str = "") -> str:
    if not found.n:
        return "–"
    value, low, high = (f"{scale * part:.{digits}f}" for part in found[:3])
    return f"{value}{unit} [{low}, {high}]"
