"""Work items spread over the processor's cores, one per core, instead of one item over all.

A decoder's many small operations (attention of a short segment, norms, rotary angles) use one
core each, and every product waits for its slowest core. Items side by side do not wait.

All calls of a process share the same workers, whatever thread they come from, so that callers
in many threads do not crowd the cores, and an item runs on as many threads in every call: the
rounding of a product may depend on that.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import TypeVar

import torch

AHEAD = 2  # items per core that wait or run

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(
    work: Callable[[Item], Result], items: Iterable[Item], device: torch.device
) -> Iterator[Result]:
    """Results of `work` in the order of items; torch's threads are shared out among them.

    Items are taken a few ahead, not all at once. What is left over when every core has had
    equally many runs on all cores; on an accelerator, everything runs one item at a time.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu":
        yield from map(work, items)
        return
    workers = _workers(os.getpid(), threads)
    source = iter(items)
    running: deque[Future[Result]] = deque()
    try:
        for group in iter(lambda: tuple(islice(source, threads)), ()):
            pool = workers.narrow if len(group) == threads else workers.wide
            running.extend(pool.submit(work, item) for item in group)
            while len(running) > AHEAD * threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()


class _Workers:
    """One thread per core with a core each (narrow), and one with all of them (wide)."""

    def __init__(self, threads: int) -> None:
        self.narrow = ThreadPoolExecutor(threads, "plaudit-narrow")
        self.wide = ThreadPoolExecutor(1, "plaudit-wide")
        ready = threading.Barrier(threads + 1)

        def begin() -> None:
            torch.get_num_threads()  # a thread's first question sets its count to the last one set
            torch.set_num_threads(1)
            ready.wait()

        for _ in range(threads):
            self.narrow.submit(begin)
        ready.wait()
        # Threads begun later take the count that was set last in any thread: set it back.
        torch.set_num_threads(threads)
        self.wide.submit(torch.get_num_threads).result()


_making = threading.Lock()


def _workers(process: int, threads: int) -> _Workers:
    with _making:
        return _made(process, threads)


@cache
def _made(process: int, threads: int) -> _Workers:
    """The workers of a process: a fork has none of its parent's threads."""
    return _Workers(threads)
