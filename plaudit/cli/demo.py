"""`plaudit demo`: the whole way once, on the sample data."""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.text import Text

from plaudit.cli.output import progress, say, show
from plaudit.errors import require
from plaudit.samples import ANSWERS, QUESTION, SUPPORT_DESK

__all__ = ["demo"]


def demo(output: str = "plaudit-demo") -> None:
    """Train a reward model on sample comparisons and score two answers with it.

    Parameters
    ----------
    output: str
        Folder for the model, the report and the next commands.
    """
    require("model", "torch", "transformers", what="plaudit demo")
    started = time.perf_counter()
    folder = Path(output)
    say("1/4  The sample data: 456 support-desk comparisons, written for this project")
    doctor = import_module("plaudit.data.check").DataCheck()
    reading = import_module("plaudit.data").read(str(SUPPORT_DESK))
    rows = sum(1 for _ in doctor.watch(reading))
    say(f"     {rows} rows checked: {doctor.findings().summary()}")
    say("2/4  Training a head on SmolLM2-135M-Instruct, its layers frozen")
    training: Any = import_module("plaudit.training")
    with progress("tokens") as update:
        trained = training.train(
            str(SUPPORT_DESK),
            folder / "model",
            say=lambda line: say("     " + line),
            progress=update,
        )
    say("3/4  The report on held-out prompts")
    page = folder / "report.html"
    trained.report.next_command = ""
    trained.report.write_html(page)
    show(trained.report)
    say("4/4  Scoring two answers to a question it never saw")
    types: Any = import_module("plaudit.types")
    models: Any = import_module("plaudit.model")
    scores = models.load(str(folder / "model")).score(
        [types.as_conversation(QUESTION, a) for a in ANSWERS]
    )
    show(Text(f"\n{QUESTION}", "bold"))
    for answer, mean, std in zip(ANSWERS, scores.mean, scores.std, strict=True):
        show(Text(f"  {mean:+.2f} ± {std:.2f}  {answer}"))
    difference = scores.difference(1, 0)
    show(Text(f"  The second is better with probability {difference.probability:.0%}."))
    commands = _commands(folder)
    (folder / "next.txt").write_text(commands, encoding="utf-8")
    show(Text(f"\nDone in {time.perf_counter() - started:.0f} s. Next:", "bold"))
    print(commands)  # as they are: a wrapped command cannot be copied


def _commands(folder: Path) -> str:
    model, data = folder / "model", SUPPORT_DESK
    return (
        f"  open {folder / 'report.html'}\n"
        f"  plaudit check {data}\n"
        "  plaudit collect --demo\n"
        f"  plaudit score {model} {data} | head -3\n"
        f"  plaudit train YOUR_DATA -o {folder / 'mine'}\n"
    )
