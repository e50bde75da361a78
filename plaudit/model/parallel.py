"""Work items spread over the processor's cores, one a core, instead of one item over all.

A decoder's many small operations (attention of a short segment, norms, rotary angles) use one
core each, and every product waits for its slowest core. Items side by side do not wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

__all__ = ["in_parallel"]

AHEAD = 2  # items a core that wait or run

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(
    work: Callable[[Item], Result], items: Iterable[Item], device: torch.device
) -> Iterator[Result]:
    """Results of `work` in the order of items; torch's threads are shared out among them.

    Items are taken a few ahead, not all at once. What is left over when every core has had
    equally many, and everything on an accelerator, is run one item at a time.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        yield from map(work, items)
        return
    source = iter(items)
    left: tuple[Item, ...] = ()
    running: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        for group in iter(lambda: tuple(islice(source, threads)), ()):
            if len(group) < threads:
                left = group
                break
            running.extend(pool.submit(work, item) for item in group)
            while len(running) > AHEAD * threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # the pool's setting reaches some libraries' globals
    yield from map(work, left)
