"""The app: verbs, exit codes, one clear line for an error."""

from __future__ import annotations

import os
import sys

import cyclopts
from cyclopts.config import Toml

from plaudit.cli.add import add
from plaudit.cli.check import check
from plaudit.cli.collect import collect
from plaudit.cli.demo import demo
from plaudit.cli.evaluate import evaluate
from plaudit.cli.export import export
from plaudit.cli.output import Interrupted, say
from plaudit.cli.score import score
from plaudit.cli.train import train
from plaudit.errors import PlauditError
from plaudit.version import __version__

app = cyclopts.App(
    name="plaudit",
    help="Reward models of LLMs: collect comparisons, check them, train, evaluate and score.",
    version=__version__,
    config=[Toml("plaudit.toml")],
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # main says what is kept
)
for verb in (demo, add, collect, export, check, train, evaluate, score):
    app.command(verb)


def main() -> None:
    """Run the command line; exit codes are 0 done, 1 a problem found, 2 wrong use."""
    # transformers' own bars and notices would mix with plaudit's progress and output.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        # A lone - is DATA from standard input, which the parser would take for an option.
        words = ["<stdin>" if word == "-" else word for word in sys.argv[1:]]
        app(words, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except PlauditError as error:
        say(f"plaudit: {error}")
        sys.exit(error.exit_code)
    except cyclopts.CycloptsError as error:
        say(f"plaudit: {error}")
        say("plaudit: see plaudit --help")
        sys.exit(2)
    except Interrupted as kept:
        say(f"plaudit: interrupted; {kept}")
        sys.exit(130)
    except KeyboardInterrupt:
        say("plaudit: interrupted")
        sys.exit(130)
    except BrokenPipeError:  # the reader of the output has gone, as with `| head`
        _drop_output()
        sys.exit(1)
    except OSError as error:  # a full disk, a folder without permission
        _drop_output()
        say(f"plaudit: {error.filename or 'output'}: {error.strerror or error}")
        sys.exit(1)


def _drop_output() -> None:
    """What is still buffered cannot be written; Python would say so again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
