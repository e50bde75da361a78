"""`plaudit add`: DATA into a study."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from plaudit.cli.output import print_json, progress, say, show
from plaudit.config import AddConfig
from plaudit.errors import UsageError, require

if TYPE_CHECKING:
    from plaudit.study.questions import Added

COLLECT = ("fastapi", "uvicorn", "sqlalchemy", "alembic", "argon2", "markdown_it")


def add(
    study: str,
    *data: str,
    config: Annotated[AddConfig, Parameter(name="*")] = AddConfig(),
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Add comparisons to a study; the same data again adds nothing.

    Parameters
    ----------
    study: str
        A SQLite file, made if it is not there, or a postgresql:// URL.
    data: str
        DATA, one or several: files, - or data set ids, of candidate responses or labelled ones.
    json: bool
        Print the result for programs.
    """
    if not data:
        raise UsageError("add needs DATA: plaudit add STUDY FILE")
    require("collect", *COLLECT, what="plaudit add")
    from plaudit.study import Study

    results, read = [], 0
    with Study(study) as store:
        for name in data:
            with progress("rows") as update:
                added = store.add(name, config, progress=update)
            read += added.comparisons + added.known + added.labels
            if json:
                results.append(_facts(name, added))
            else:
                for line in _lines(name, added):
                    say(line)
        counts = store.counts()
    if json:
        print_json({"added": results, "study": counts})
    else:
        show(
            f"{study}: {_number(counts['comparisons'], 'comparison')}, "
            f"{_number(counts['judgments'], 'judgment')}, "
            f"{_number(counts['remaining'], 'judgment')} remaining. Next: plaudit collect {study}"
        )
    if not read:  # of no row became anything: what is left out was said above
        sys.exit(1)


def _facts(name: str, added: Added) -> dict[str, Any]:
    keys = (
        *("format", "rows", "comparisons", "known", "labels", "drawn", "replaced", "dropped"),
        *("columns", "found", "masked", "names", "problems"),
    )
    return {"data": name} | {key: getattr(added, key) for key in keys}


def _lines(name: str, added: Added) -> list[str]:
    lines = [
        f"{name}: {added.format}, {_number(added.rows, 'row')}: "
        f"{_number(added.comparisons, 'comparison')} added"
        + (f", {added.known:,} there already" if added.known else "")
        + (f", {_number(added.labels, 'label')}" if added.labels else "")
    ]
    if added.drawn:
        lines.append(f"  drawn at random to measure agreement: {added.drawn:,}")
    if added.replaced:
        lines.append(f"  clear copies replaced by masked ones: {added.replaced:,}")
    if added.dropped:
        lines.append("  left out: " + _counts(added.dropped))
    lines += [f"  {problem}" for problem in added.problems]
    if added.columns:
        lines.append(f"  columns not kept (--keep NAME keeps one): {_counts(added.columns)}")
    if added.found:
        what = "masked" if added.masked else "found, not masked (--mask pii --mask models)"
        lines.append(f"  {what}: {_counts(added.found)}")
    if added.names:
        lines.append(f"  models masked by name: {', '.join(added.names)}")
    return lines


def _counts(values: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(values.items()))


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
