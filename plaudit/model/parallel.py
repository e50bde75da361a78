"""Work items spread over the processor's cores, one a core, instead of one item over all.

A decoder's many small operations (attention of a short segment, norms, rotary angles) use one
core each, and every product waits for its slowest core. Items side by side do not wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["in_parallel"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(
    work: Callable[[Item], Result], items: Sequence[Item], device: torch.device
) -> Iterator[Result]:
    """Results of `work` in the order of items; torch's threads are shared out among them.

    What is left over when every core has had equally many, and everything on an accelerator,
    is run one item at a time.
    """
    threads = torch.get_num_threads()
    even = len(items) - len(items) % threads if device.type == "cpu" and threads > 1 else 0
    if even:
        try:
            with ThreadPoolExecutor(
                threads, initializer=torch.set_num_threads, initargs=(1,)
            ) as pool:
                yield from pool.map(work, items[:even])
        finally:
            torch.set_num_threads(threads)  # the pool's setting reaches some libraries' globals
    yield from map(work, items[even:])
