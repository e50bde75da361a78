"""`plaudit export`: a study out again."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from plaudit.cli.add import COLLECT
from plaudit.cli.output import print_json, progress, show
from plaudit.config import ExportConfig
from plaudit.errors import require


def export(
    study: str,
    *,
    output: Annotated[str, Parameter(name=["--output", "-o"])] = "export",
    config: Annotated[ExportConfig, Parameter(name="*")] = ExportConfig(),
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Write a study's judgments as training data, with a manifest.

    Parameters
    ----------
    study: str
        A SQLite file or a postgresql:// URL.
    output: str
        Folder to write; an earlier export there is replaced.
    json: bool
        Print the manifest's numbers for programs.
    """
    require("collect", *COLLECT, "pyarrow", what="plaudit export")
    from plaudit.study import Study

    with Study(study, create=False) as store, progress("comparisons") as update:
        done = store.export(output, config, progress=update)
    if json:
        print_json(
            {
                "folder": output,
                "files": done.files,
                "judgments": done.judgments,
                "left_out": dict(done.dropped),
                "aggregate": done.aggregate or None,
                "sha256": done.sha256,
            }
        )
        return
    for name, count in done.files.items():
        show(f"{output}/{name}: {count:,} rows" if "json" in name else f"{output}/{name}")
    if done.aggregate:
        show(f"p from votes: {done.aggregate}")
    if done.dropped:
        show("left out: " + ", ".join(f"{k} {v:,}" for k, v in sorted(done.dropped.items())))
    show(f"content hash {done.sha256}")
    if config.format in ("pairs", "trl") and "train.jsonl" in done.files:
        test = f" --test {output}/test.jsonl" if "test.jsonl" in done.files else ""
        show(f"Next: plaudit train {output}/train.jsonl{test} -o MODEL")
