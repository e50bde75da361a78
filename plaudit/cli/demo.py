"""`plaudit demo`: the whole way once, on the sample data."""

from __future__ import annotations

import time
from pathlib import Path

from rich.text import Text

from plaudit.cli.output import progress, say, show, write_file
from plaudit.errors import require
from plaudit.samples import ANSWERS, QUESTION, SUPPORT_DESK
from plaudit.types import as_conversation


def demo(output: str = "plaudit-demo") -> None:
    """Train a reward model on sample comparisons and score two responses with it.

    Parameters
    ----------
    output: str
        Folder for the model, the report and the next commands.
    """
    require("model", "torch", "transformers", what="plaudit demo")
    from plaudit import model, training
    from plaudit.data import read
    from plaudit.data.check import DataCheck
    from plaudit.evaluation.html import page

    started = time.perf_counter()
    folder = Path(output)
    say("1/4  The sample data: 456 support-desk comparisons, written for this project")
    check = DataCheck()
    rows = sum(1 for _ in check.watch(read(str(SUPPORT_DESK))))
    say(f"     {rows} rows checked: {check.findings().summary()}")
    say("2/4  Training a head on SmolLM2-135M-Instruct, its layers frozen")
    with progress("tokens") as update:
        trained = training.train(
            str(SUPPORT_DESK),
            folder / "model",
            say=lambda line: say("     " + line),
            progress=update,
        )
    say("3/4  The report: every comparison scored by a model that never saw its prompt")
    trained.report.next_command = ""
    write_file(folder / "report.html", page(trained.report))
    show(trained.report)
    say("4/4  Scoring two responses to a question it never saw")
    scorer = model.load(str(folder / "model"))
    scores = scorer.score([as_conversation(QUESTION, response) for response in ANSWERS])
    show(Text(f"\n{QUESTION}", "bold"))
    for index, response in enumerate(ANSWERS):
        std = "" if scores.std is None else f" ± {scores.std[index]:.2f}"
        show(Text(f"  {scores.mean[index]:+.2f}{std}  {response}"))
    probability = scores.difference(1, 0).probability
    show(Text(f"  The second is better with probability {probability:.0%}."))
    commands = _commands(folder)
    (folder / "next.txt").write_text(commands, encoding="utf-8")
    show(Text(f"\nDone in {time.perf_counter() - started:.0f} s. Next:", "bold"))
    print(commands)  # as they are: a wrapped command cannot be copied


def _commands(folder: Path) -> str:
    model, data = folder / "model", SUPPORT_DESK
    return (
        f"  python -m webbrowser {folder / 'report.html'}\n"
        f"  plaudit check {data}\n"
        "  plaudit collect --demo\n"
        f"  plaudit score {model} {data} | head -3\n"
        f"  plaudit train YOUR_DATA -o {folder / 'mine'}\n"
    )
