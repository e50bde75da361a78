"""`plaudit evaluate`: a model on held-out comparisons or a benchmark's rows."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from plaudit.cli.output import check_output, print_json, progress, say_reading, show, write_file
from plaudit.cli.scorer import open_scorer
from plaudit.config import EvaluateConfig
from plaudit.errors import require


def evaluate(
    model: str,
    data: str,
    *,
    config: Annotated[EvaluateConfig, Parameter(name="*")] = EvaluateConfig(),
    slice: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    html: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Measure a reward model, with intervals, calibration and two baselines.

    Parameters
    ----------
    model: str
        MODEL: a folder or hub id of any one-label sequence classifier.
    data: str
        DATA it was not trained on, or a benchmark's rows.
    slice: tuple
        Columns to report by; those with few values when none is named.
    html: str
        Also write the Report as a page.
    json: bool
        Print the Report for programs.
    """
    require("model", "torch", "transformers", what="plaudit evaluate")
    from plaudit.data import read
    from plaudit.evaluation import evaluate as measure
    from plaudit.evaluation.html import page

    check_output(html)
    reading = read(data, **config.reading())
    say_reading(reading)
    reading.refuse_unread()
    scorer = open_scorer(model, config)
    other = open_scorer(config.against, config) if config.against else None
    with progress("responses") as update:
        report = measure(
            scorer,
            reading,
            against=other,
            slices=slice,
            probes=config.probes,
            name=model,
            progress=update,
        )
    print_json(report.to_dict()) if json else show(report)
    if html is not None:
        write_file(html, page(report))
    if not report.ok:
        sys.exit(1)
