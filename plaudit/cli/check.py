"""`plaudit check`: the data doctor."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Group
from rich.table import Table
from rich.text import Text

from plaudit.cli.output import print_json, progress, say, show
from plaudit.errors import require

__all__ = ["check"]


def check(
    *data: str,
    test: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    format: str | None = None,
    columns: str | None = None,
    split: str | None = None,
    base: str | None = None,
    max_length: int = 2048,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Find what is wrong with preference data, before any compute is spent.

    Parameters
    ----------
    data: str
        DATA, one or several: files, - or data set ids. They are checked as one training set.
    test: tuple
        Held-out DATA, or a benchmark's file: leaks from DATA to it are found.
    format: str
        Format of DATA, detected when not given.
    columns: str
        Columns of other layouts: prompt=question,response_a=answer_1,response_b=answer_2.
    split: str
        Split of a Hugging Face data set.
    base: str
        Also count tokens, shared prefixes and cuts with this base's tokenizer.
    max_length: int
        Tokens of a conversation, with --base.
    json: bool
        Print the result for programs.
    """
    if not data:
        say("plaudit: check needs DATA: plaudit check FILE")
        sys.exit(2)
    data_package: Any = import_module("plaudit.data")
    doctor = import_module("plaudit.data.check").DataCheck(*_renderer(base, max_length))
    seen = 0
    with progress("rows") as update:
        for which, names in (("train", data), ("test", test)):
            for name in names:
                reading = data_package.read(name, format, columns, split)
                say(f"{name}: {reading.format}")
                for _ in doctor.watch(reading, which):
                    seen += 1
                    if seen % 1000 == 0:
                        update(seen, seen)
    findings = doctor.findings()
    print_json(findings.to_dict()) if json else show(_table(findings))
    sys.exit(0 if findings.ok else 1)


def _renderer(base: str | None, max_length: int) -> tuple[Any, list[str]]:
    """The render function of a base and its special tokens; nothing without a base."""
    if base is None:
        return None, []
    require("model", "torch", "transformers", what="check --base")
    bases, model = import_module("plaudit.model.download"), import_module("plaudit.model")
    tokenizers = import_module("transformers").AutoTokenizer
    tokenizer = tokenizers.from_pretrained(bases.base_folder(base, say))
    renderer = model.Renderer.of(tokenizer, max_length)
    return renderer.render, [t for t in tokenizer.all_special_tokens if len(t) > 3]


def _table(findings: Any) -> Group:
    parts: list[Any] = [Text(f"\n{findings.rows:,} rows, {findings.unusable:,} unusable", "bold")]
    if findings.found:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for name in ("finding", "how many", "where, for example", "what to do"):
            table.add_column(
                name, justify="right" if name == "how many" else "left", overflow="fold"
            )
        for finding in sorted(findings.found, key=lambda f: -f.count):
            table.add_row(
                finding.name, f"{finding.count:,}", "\n".join(finding.examples), finding.what_to_do
            )
        parts.append(table)
    parts.append(Text(""))
    facts = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name, value in findings.facts.items():
        facts.add_row(name, _words(value))
    parts.append(facts)
    for column, values in findings.slices.items():
        parts.append(Text(f"\nby {column}: rows, and how often the longer response wins", "bold"))
        slices = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for name, interval in values.items():
            slices.add_row(name, f"{interval.n:,}", f"{interval.value:.2f}")
        parts.append(slices)
    verdict = "\nFit for training." if findings.ok else "\nStop: " + "; ".join(findings.fatal)
    parts.append(Text(verdict, "bold green" if findings.ok else "bold red"))
    return Group(*parts)


def _words(value: Any) -> str:
    if hasattr(value, "low"):
        return f"{value} of {value.n:,}"
    return f"{value:,}" if isinstance(value, int) else str(value)
