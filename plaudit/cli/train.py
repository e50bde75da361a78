"""`plaudit train`: from comparisons to a saved reward model."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from plaudit.cli.output import (
    check_output,
    print_json,
    progress,
    resumable,
    say,
    show,
    write_file,
)
from plaudit.config import TrainConfig
from plaudit.errors import require


def train(
    *data: str,
    output: Annotated[str, Parameter(alias="-o")],
    config: Annotated[TrainConfig, Parameter(name="*")] = TrainConfig(),
    html: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Train a reward model on a frozen backbone.

    Parameters
    ----------
    data: str
        DATA, one or several.
    output: str
        Folder of the saved model.
    html: str
        Also write the Report as a page.
    json: bool
        Print the Report for programs.
    """
    require("model", "torch", "transformers", what="plaudit train")
    from plaudit import training
    from plaudit.evaluation.html import page

    check_output(html)
    kept = "features computed so far are kept: the same command resumes"
    with resumable(kept), progress("tokens") as update:
        trained = training.train(list(data), output, config, say=say, progress=update)
    print_json(trained.report.to_dict()) if json else show(trained.report)
    if html is not None:
        write_file(html, page(trained.report))
