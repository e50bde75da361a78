"""The process that renders: killed with the text that is too much, and started again."""

import os
import subprocess
import sys
import threading
import time

import pytest

from plaudit.rendering import worker as module
from plaudit.rendering.plain import TOO_COMPLEX
from plaudit.rendering.worker import Task, Worker, shared_worker

# Takes seconds in the grammar, and is no attack that is known by name.
SLOW = "![" * 60_000


def task(text):
    return Task([{"role": "assistant", "content": text}], "plain")


@pytest.fixture
def worker():
    it = Worker()
    yield it
    it.close()


def test_texts_come_back_in_their_order(worker):
    texts = [f"text {n} x" + "x" * (n % 7 * 3000) for n in range(200)]
    found = worker.render([task(text) for text in texts])
    assert [f"text {n} x" in each[0]["html"] for n, each in enumerate(found)] == [True] * 200


def test_a_slow_text_is_shown_plain_and_the_others_as_they_are(worker):
    before = time.monotonic()
    first, slow, last = worker.render([task("**a**"), task(SLOW), task("**b**")])
    assert "<strong>a" in first[0]["html"]
    assert TOO_COMPLEX in slow[0]["html"]
    assert SLOW in slow[0]["html"]
    assert "<strong>b" in last[0]["html"]
    assert time.monotonic() - before < 15


def test_a_process_that_was_killed_is_started_again(worker):
    worker.render([task("a")])
    worker._process.kill()
    worker._process.wait()
    assert "<strong>" in worker.render([task("**b**")])[0][0]["html"]


def test_memory_is_bounded():
    code = "from plaudit.rendering.process import _limit_memory as f; f(); b'x' * (1 << 30)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MemoryError" in done.stderr


def test_several_threads_are_served_in_turn(worker):
    found = {}

    def ask(number):
        found[number] = worker.render([task(f"n{number}")] * 5)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(f"n{n}<" in each[0]["html"] for n, asked in found.items() for each in asked)


def test_where_no_process_starts_that_is_said_and_no_text_is_blamed(worker, monkeypatch):
    monkeypatch.setattr(module.sys, "executable", "/bin/false")
    with pytest.raises(OSError, match="does not start"):
        worker.render([task("a")])


def test_a_program_has_one_worker_and_a_fork_its_own():
    assert shared_worker() is shared_worker()
    assert list(module._shared) == [os.getpid()]
