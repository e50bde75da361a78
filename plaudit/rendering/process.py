"""The process that renders: texts come on standard input as JSON lines, HTML goes back.

A text that takes more than a second of the processor ends the process, whatever it is doing (a
regular expression holds Python's lock, so that no thread could stop it); so does the memory limit.
Whoever started it knows by the answers which text that was, and starts another.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from plaudit.rendering.messages import shown

SECONDS = 1.0  # of the processor, for one text
MEMORY = 512 << 20  # bytes, beyond what the process has at its start
READY = "ready\n"
_LIMITED = hasattr(signal, "setitimer")


def main() -> None:
    """Say that it is ready, then answer each line until the input ends.

    A line is [messages, prompt format], its answer [{"role", "html"}].
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for the process that started this one
    _limit_memory()
    sys.stdout.write(READY)
    sys.stdout.flush()
    for line in sys.stdin.buffer:
        _start_clock(SECONDS)
        messages, prompt_format = json.loads(line)
        answer = json.dumps(shown(messages, prompt_format))
        _start_clock(0.0)
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


def _start_clock(seconds: float) -> None:
    """Let the system end this process after so many seconds of the processor; 0 stops the clock."""
    if _LIMITED:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)


def _limit_memory() -> None:
    """Bound the memory, where the system can."""
    statistics = Path("/proc/self/statm")
    if sys.platform == "win32" or not statistics.exists():
        return
    import resource

    now = int(statistics.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # whoever asked is gone
        sys.exit(1)
