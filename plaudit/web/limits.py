"""How much is taken from whom: events per key in memory, wrong tries, and slow work in a queue."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.exceptions import HTTPException

T = TypeVar("T")
MOST_KEYS = 10_000


def network_of(address: str) -> str:
    """The address that limits count by: of IPv6 its /64, since one machine has all of it."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(IPv6Address(int(parsed) >> 64 << 64))
        parsed = parsed.ipv4_mapped
    return str(parsed)


class RateLimit:
    """At most `count` events in `seconds` for each key, in memory."""

    def __init__(self, count: int, seconds: float) -> None:
        self._count, self._seconds = count, seconds
        self._events: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def allows(self, key: str, *, counted: bool = True) -> bool:
        """Whether one more event is allowed now; if so it is counted, unless told otherwise."""
        now = time.monotonic()
        with self._lock:
            events = self._events.get(key) or deque()
            while events and events[0] < now - self._seconds:
                events.popleft()
            if len(events) >= self._count:
                return False
            if counted:
                events.append(now)
                self._events[key] = events
                self._events.move_to_end(key)
                _forget_oldest(self._events)
            return True


class Backoff:
    """Wrong tries by key: after `free` of them each further one waits twice as long as the last.

    A key without a wrong try for `forget` seconds begins anew. A right try forgets them all.
    """

    def __init__(self, free: int, longest: float, forget: float) -> None:
        self._free, self._longest, self._forget = free, longest, forget
        self._tries: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, key: str) -> float:
        """Seconds until the next try is allowed; 0 for now."""
        with self._lock:
            return self._wait(key, time.monotonic())

    def _wait(self, key: str, now: float) -> float:
        count, last = self._tries.get(key, (0, 0.0))
        if count < self._free or now - last > self._forget:
            return 0.0
        delay = min(self._longest, 2.0 ** min(count - self._free, 30))
        return max(0.0, last + delay - now)

    def wrong(self, key: str) -> None:
        now = time.monotonic()
        with self._lock:
            count, last = self._tries.get(key, (0, 0.0))
            self._tries[key] = (1 if now - last > self._forget else count + 1, now)
            self._tries.move_to_end(key)
            _forget_oldest(self._tries)

    def right(self, key: str) -> None:
        with self._lock:
            self._tries.pop(key, None)


def _forget_oldest(kept: OrderedDict[str, T]) -> None:
    while len(kept) > MOST_KEYS:
        kept.popitem(last=False)


class ShortQueue:
    """Slow work in threads of its own, `running` at once; beyond `waiting` more it is refused."""

    def __init__(self, running: int, waiting: int) -> None:
        self._limiter = CapacityLimiter(running)
        self._most, self._inside = running + waiting, 0

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """The result of the work. Raises 503 where too many are waiting already."""
        if self._inside >= self._most:
            raise HTTPException(
                503,
                "too many people are signing in at this moment; try again",
                {"retry-after": "2"},
            )
        self._inside += 1
        try:
            return await to_thread.run_sync(partial(work, *arguments), limiter=self._limiter)
        finally:
            self._inside -= 1
