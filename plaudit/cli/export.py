"""`plaudit export`: a study out again."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

from cyclopts import Parameter

from plaudit.cli.add import COLLECT
from plaudit.cli.output import print_json, progress, show
from plaudit.config import ExportConfig
from plaudit.errors import require

__all__ = ["export"]


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
        Folder to write.
    json: bool
        Print the manifest's numbers for programs.
    """
    require("collect", *COLLECT, what="plaudit export")
    store: Any = import_module("plaudit.study").Study(study, create=False)
    with progress("comparisons") as update:
        done = store.export(output, config, progress=update)
    store.close()
    if json:
        print_json(
            {
                "folder": output,
                "files": done.files,
                "judgments": done.judgments,
                "left_out": dict(done.dropped),
                "probability": done.probability or None,
                "sha256": done.sha256,
            }
        )
        return
    for name, count in done.files.items():
        show(f"{output}/{name}: {count:,} rows")
    if done.probability:
        show(f"probabilities: {done.probability}")
    if done.dropped:
        show("left out: " + ", ".join(f"{k} {v:,}" for k, v in sorted(done.dropped.items())))
    show(f"content hash {done.sha256}")
    if config.format in ("pairs", "trl") and "train.jsonl" in done.files:
        show(f"Next: plaudit train {output}/train.jsonl -o MODEL")
