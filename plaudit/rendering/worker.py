"""The process that renders texts, as seen from the program that wants them rendered.

One process serves the whole program. It is started when it is first needed, killed with the text
that is too much for it, and started again for the next one.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from plaudit.rendering.plain import too_complex

VERSION = 1  # of what is rendered; another one renders stored texts again, on their next use
# Seconds for an answer: for a machine too busy to give the process its second of the processor, or
# where the system cannot measure that.
PATIENCE = 20.0 if hasattr(signal, "setitimer") else 2.0
STARTING = 60.0  # seconds
Shown = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Task:
    """Messages to render, as they are stored, and the format of what the assistant wrote not."""

    messages: Sequence[Any]
    prompt_format: str


@dataclass
class Worker:
    """Renders texts in another process. Several threads may ask; they are served in turn."""

    patience: float = PATIENCE
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _process: subprocess.Popen[bytes] | None = None
    _answers: queue.Queue[bytes] = field(default_factory=queue.Queue)

    def render(self, tasks: Sequence[Task]) -> list[Shown]:
        """The HTML of each, in order; as plain text of one that takes too much time or memory.

        Raises OSError where no process can be started.
        """
        done: list[Shown] = []
        with self._lock:
            while len(done) < len(tasks):
                rest = tasks[len(done) :]
                done += self._answered(rest)
                if len(done) < len(tasks):  # the process ended with the next one
                    self._stop()
                    done.append(_too_complex(tasks[len(done)]))
        return done

    def close(self) -> None:
        """End the process; the next text starts another."""
        with self._lock:
            self._stop()

    def _answered(self, tasks: Sequence[Task]) -> list[Shown]:
        """The answers that came before the process ended."""
        process = self._running()
        lines = [json.dumps([task.messages, task.prompt_format]).encode() + b"\n" for task in tasks]
        # In a thread, since the process stops reading while nobody reads what it writes.
        sender = threading.Thread(target=_send, args=(process, lines), daemon=True)
        sender.start()
        done: list[Shown] = []
        for _ in tasks:
            try:
                answer = self._answers.get(timeout=self.patience)
            except queue.Empty:
                answer = b""
            if not answer:
                process.kill()
                break
            done.append(json.loads(answer))
        sender.join()
        return done

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._stop()
            if not sys.executable:
                raise OSError("no Python to start the process that renders texts with")
            path = os.pathsep.join(place or os.getcwd() for place in sys.path)
            environment = os.environ | {"PYTHONPATH": path}
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "plaudit.rendering.process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
            self._answers = queue.Queue()
            reader = threading.Thread(
                target=_receive, args=(self._process, self._answers), daemon=True
            )
            reader.start()
            self._await_start()
        return self._process

    def _await_start(self) -> None:
        """Wait for the process's first word: one that never says it is no text's fault."""
        try:
            started = bool(self._answers.get(timeout=STARTING))
        except queue.Empty:
            started = False
        if not started:
            self._stop()
            raise OSError("the process that renders texts does not start")

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _send(process: subprocess.Popen[bytes], lines: list[bytes]) -> None:
    assert process.stdin is not None
    try:
        for line in lines:
            process.stdin.write(line)
        process.stdin.flush()
    except (OSError, ValueError):  # the process has ended, and so has what it was to answer
        pass


def _receive(process: subprocess.Popen[bytes], answers: queue.Queue[bytes]) -> None:
    """Hand over each line; an empty one says that the process has ended."""
    assert process.stdout is not None
    try:
        for line in process.stdout:
            answers.put(line if line.endswith(b"\n") else b"")
    except (OSError, ValueError):
        pass
    answers.put(b"")


def _too_complex(task: Task) -> Shown:
    """The messages as plain text, saying so: made without looking into them."""
    shown = []
    for message in task.messages:
        content = message.get("content") or ""
        extra = {name: message[name] for name in message if name not in ("role", "content", "name")}
        text = content if isinstance(content, str) else str(content)
        text += f"\n\n{extra}" if extra else ""
        shown.append({"role": str(message["role"]), "html": too_complex(text)})
    return shown


_shared: dict[int, Worker] = {}
_sharing = threading.Lock()


def shared_worker() -> Worker:
    """The worker of this process; a fork has its own."""
    with _sharing:
        number = os.getpid()
        if number not in _shared:
            _shared[number] = Worker()
            atexit.register(_end, number)
        return _shared[number]


def _end(number: int) -> None:
    """End the worker with the process that has it, not with a fork of that."""
    if os.getpid() == number:
        _shared[number].close()
