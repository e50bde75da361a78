"""`plaudit evaluate`: a model on held-out comparisons or a benchmark's rows."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

from cyclopts import Parameter

from plaudit.cli.output import print_json, progress, say, show
from plaudit.errors import require

__all__ = ["evaluate"]


def evaluate(
    model: str,
    data: str,
    *,
    against: str | None = None,
    slice: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    probes: Annotated[bool, Parameter(negative="")] = False,
    format: str | None = None,
    columns: str | None = None,
    split: str | None = None,
    dtype: str | None = None,
    html: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Measure a reward model, with intervals, calibration and a length baseline.

    Parameters
    ----------
    model: str
        MODEL: a folder or hub id of any one-label sequence classifier.
    data: str
        DATA it was not trained on, or a benchmark's rows.
    against: str
        A second MODEL: the paired difference on the same pairs.
    slice: tuple
        Columns to report by; those with few values when none is named.
    probes: bool
        Also score twisted responses: empty, repeated, flattering and so on.
    format: str
        Format of DATA, detected when not given.
    columns: str
        Columns of other layouts: prompt=question,response_a=answer_1,response_b=answer_2.
    split: str
        Split of a Hugging Face data set.
    dtype: str
        float32 or bfloat16; the faster of both here when not given.
    html: str
        Also write the Report as a page.
    json: bool
        Print the Report for programs.
    """
    require("model", "torch", "transformers", what="plaudit evaluate")
    reading = import_module("plaudit.data").read(data, format, columns, split)
    say(f"{data}: {reading.format}")
    models: Any = import_module("plaudit.model")
    scorer = models.load(model, dtype)
    other = models.load(against, dtype) if against is not None else None
    evaluation: Any = import_module("plaudit.evaluation")
    with progress("responses") as update:
        report = evaluation.evaluate(
            scorer,
            reading,
            against=other,
            slices=slice,
            probes=probes,
            name=model,
            progress=update,
        )
    if html is not None:
        report.write_html(html)
    print_json(report.to_dict()) if json else show(report)
