"""`plaudit check`: what is wrong with preference data."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from cyclopts import Parameter
from rich.console import Group
from rich.table import Table
from rich.text import Text

from plaudit.cli.output import print_json, progress, say, say_reading, show
from plaudit.config import CheckConfig
from plaudit.errors import UsageError, require
from plaudit.types import visible

MODEL_FILES = ("config.json", "adapter_config.json", "model.safetensors", "plaudit.json")

if TYPE_CHECKING:
    from plaudit.data.check import CheckReport, Render


def check(
    *data: str,
    config: Annotated[CheckConfig, Parameter(name="*")] = CheckConfig(),
    test: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    model: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Find what is wrong with preference data, or with a model's folder.

    Of a model: why another engine or another day could score it otherwise.

    Parameters
    ----------
    data: str
        DATA, one or several: files, - or data set ids, checked as one training set; or a MODEL.
    test: tuple
        Held-out DATA, or a benchmark's file: leaks from DATA to it are found.
    model: bool
        What is named is a MODEL; a folder with a config.json is one without this.
    json: bool
        Print the result for programs.
    """
    from plaudit.data import read
    from plaudit.data.check import DataCheck

    if not data:
        raise UsageError("check needs DATA or a MODEL: plaudit check FILE")
    if model or any(map(_is_model, data)):
        _check_models(data, json)
    data_check = DataCheck(*_renderer(config))
    seen = 0
    with progress("rows") as update:
        for which, names in (("train", data), ("test", test)):
            for name in names:
                reading = read(name, **config.reading())
                say_reading(reading)
                for _ in data_check.watch(reading, which):
                    seen += 1
                    if seen % 1000 == 0:
                        update(seen, seen)
    report = data_check.findings()
    print_json(report.to_dict()) if json else show(_table(report))
    sys.exit(0 if report.ok else 1)


def _is_model(name: str) -> bool:
    folder = Path(name).expanduser()
    return any((folder / file).exists() for file in MODEL_FILES)


def _check_models(names: Sequence[str], json: bool) -> NoReturn:
    """Print what each model is and what was found; exits with 1 where a score would be wrong."""
    require("model", "torch", "transformers", what="plaudit check MODEL")
    from plaudit.model.check import check_model

    checked = [check_model(name) for name in names]
    if json:
        found = [one.to_dict() for one in checked]
        print_json(found[0] if len(found) == 1 else found)
    else:
        for one in checked:
            show(Text("\n".join(one.lines())))
    sys.exit(0 if all(one.ok for one in checked) else 1)


def _renderer(config: CheckConfig) -> tuple[Render | None, Sequence[str]]:
    """The render function of a base and its special tokens; nothing without a base."""
    if config.base is None:
        return None, []
    require("model", "torch", "transformers", what="check --base")
    from transformers import AutoTokenizer

    from plaudit.model import Renderer
    from plaudit.model.download import base_folder

    tokenizer = AutoTokenizer.from_pretrained(
        base_folder(config.base, say), trust_remote_code=False
    )
    renderer = Renderer.of(tokenizer, config.max_length)
    return renderer.render_each, [t for t in tokenizer.all_special_tokens if len(t) > 3]


def _table(report: CheckReport) -> Group:
    parts: list[Any] = [Text(f"\n{report.rows:,} rows, {report.unusable:,} unusable", "bold")]
    if report.found:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for name in ("finding", "how many", "where, for example", "what to do"):
            justify: Any = "right" if name == "how many" else "left"
            table.add_column(name, justify=justify, overflow="fold")
        for found in sorted(report.found, key=lambda found: -found.count):
            cells = (found.name, f"{found.count:,}", "\n".join(found.examples), found.what_to_do)
            # As Text: the data's "[b]" is no markup.
            table.add_row(*(Text(visible(cell)) for cell in cells))
        parts.append(table)
    parts += [Text(""), _rows((name, _words(value)) for name, value in report.facts.items())]
    for column, values in report.slices.items():
        parts.append(Text(f"\nby {column}: pairs, and how often the longer response wins", "bold"))
        parts.append(_rows((n, f"{v.n:,}", f"{v.value:.2f}") for n, v in values.items()))
    but = " and ".join(f.name for f in report.found if f.name.startswith("labels that"))
    verdict = f"Ready to train, but with {but}." if but else "Ready to train."
    verdict = "\n" + (verdict if report.ok else "Stop: " + "; ".join(report.fatal))
    parts.append(Text(verdict, "bold green" if report.ok else "bold red"))
    return Group(*parts)


def _rows(rows: Any) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    return table


def _words(value: Any) -> str:
    if hasattr(value, "low"):
        return f"{value} of {value.n:,}"
    return f"{value:,}" if isinstance(value, int) else str(value)
