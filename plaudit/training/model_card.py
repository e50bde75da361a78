"""The model card (README.md) of a saved model's folder."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from plaudit.evaluation.report import Report
from plaudit.statistics.intervals import Interval
from plaudit.version import __version__

CARD = Path(str(files("plaudit.training"))) / "model_card.md"
HUB_NAMES = {"smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}
TABLE = (
    ("accuracy", "accuracy"),
    ("log-loss", "log-loss (0.693 = chance)"),
    ("label entropy", "label entropy: no log-loss can be lower"),
    ("length baseline", "accuracy of the length baseline"),
    ("bag of words accuracy", "accuracy of words alone"),
    ("bag of words log-loss", "log-loss of words alone"),
)


def model_card(report: Report, contract: Mapping[str, Any], prompts: int, max_length: int) -> str:
    """README.md of a saved model: what it is, on what data, how good, how to load, its limits."""
    given = HUB_NAMES.get(contract["base"], contract["base"])
    on_hub = given.count("/") == 1 and not Path(given).exists()
    base = given if on_hub else Path(given).name
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in report.dropped.items())
    return CARD.read_text(encoding="utf-8").format(
        front=f"base_model: {base}\n" if on_hub else "",
        base=base,
        version=__version__,
        layer=contract["layer"],
        pairs=contract["data"]["pairs"],
        prompts=prompts,
        sha256=contract["data"]["sha256"],
        dropped=f"Left out: {dropped}." if dropped else "Nothing was left out.",
        held_out=report.facts["held out"],
        verdict=report.verdict,
        table="\n".join(
            _row(report.numbers[n], label) for n, label in TABLE if n in report.numbers
        ),
        warnings="".join(f"- {line}\n" for line in report.warnings) + "\n" * bool(report.warnings),
        max_length=max_length,
    )


def _row(value: Interval | float, label: str) -> str:
    if not isinstance(value, Interval):
        return f"| {label} | {value:.3f} | | |"
    return f"| {label} | {value.value:.3f} | {value.low:.3f} to {value.high:.3f} | {value.n:,} |"
