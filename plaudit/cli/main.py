"""The app: verbs, exit codes, one clear line for an error."""

from __future__ import annotations

import os
import sys

import cyclopts
from cyclopts.config import Toml
from rich.console import Console

from plaudit.cli.add import add
from plaudit.cli.check import check
from plaudit.cli.collect import collect
from plaudit.cli.demo import demo
from plaudit.cli.evaluate import evaluate
from plaudit.cli.export import export
from plaudit.cli.score import score
from plaudit.cli.train import train
from plaudit.errors import PlauditError
from plaudit.version import __version__

__all__ = ["app", "main"]

app = cyclopts.App(
    name="plaudit",
    help="Reward models of LLMs: collect comparisons, check them, train, evaluate and score.",
    version=__version__,
    config=[Toml("plaudit.toml")],
    help_format="plaintext",
)
for verb in (demo, add, collect, export, check, train, evaluate, score):
    app.command(verb)


def main() -> None:
    """Run the command line; exit codes are 0 done, 1 a problem found, 2 wrong use."""
    errors = Console(stderr=True, highlight=False)
    try:
        # A lone - is DATA from standard input, which the parser would take for an option.
        words = ["<stdin>" if word == "-" else word for word in sys.argv[1:]]
        app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except PlauditError as error:
        errors.print(f"plaudit: {error}", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except cyclopts.CycloptsError as error:
        errors.print(f"plaudit: {error}", markup=False, soft_wrap=True)
        errors.print("plaudit: see plaudit --help", markup=False)
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print("plaudit: interrupted; the same command goes on where it stopped")
        sys.exit(130)
    except BrokenPipeError:  # the reader of the output has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
