"""Send much within little: a limit in bits per second, and the order in which what waits is sent.

Plain Python without ROS, used by one thread.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Key = TypeVar("Key", bound=Hashable)

# What was not sent for a while may be sent at once, up to this much: a longer pause must not become a burst that
# fills a radio link for seconds.
LARGEST_BURST_S = 1.0
# Of two changes the later one is shown first, unless it is farther than a person or robot walks meanwhile.
WALKING_SPEED_MPS = 0.5
# Each so manieth thing sent is the one that has waited for longest, so that nothing waits for ever.
FAIR_TURN = 4


class BandwidthLimit:
    """A token bucket: bytes that may be sent now. Something larger than the bucket is sent on credit."""

    def __init__(self, megabits_per_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        """Allow so much on average, 0 = without a limit."""
        self._bytes_per_s = megabits_per_s * 1e6 / 8.0
        self._now_s = now_s
        self._seen_s = now_s()
        self._bytes = self._bytes_per_s * LARGEST_BURST_S
        self.sent_bytes = 0

    def allowance(self) -> float:
        """Return how many bytes may be sent now, infinity without a limit, negative while earlier ones are paid off."""
        if self._bytes_per_s == 0:
            return math.inf
        now_s = self._now_s()
        self._bytes += (now_s - self._seen_s) * self._bytes_per_s
        self._bytes = min(self._bytes, self._bytes_per_s * LARGEST_BURST_S)
        self._seen_s = now_s
        return self._bytes

    def spend(self, count: int) -> None:
        """Note that so many bytes were sent."""
        self.sent_bytes += count
        self._bytes -= count


class SendQueue(Generic[Key]):
    """What waits to be sent: places in the map that changed, each once, however often it changed meanwhile."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        # Waiting since, in this order; and when it changed last.
        self._since_s: dict[Key, float] = {}
        self._changed_s: dict[Key, float] = {}
        self._turn = 0

    def __len__(self) -> int:
        return len(self._since_s)

    def add(self, keys: Iterable[Key]) -> None:
        """Note that something changed; what waits already keeps its place among those that wait."""
        now_s = self._now_s()
        for key in keys:
            self._since_s.setdefault(key, now_s)
            self._changed_s[key] = now_s

    def clear(self) -> None:
        """Forget everything."""
        self._since_s.clear()
        self._changed_s.clear()

    def longest_wait_s(self) -> float:
        """Return for how long the oldest has waited, 0 when nothing waits."""
        return self._now_s() - next(iter(self._since_s.values())) if self._since_s else 0.0

    def take(
        self,
        allowance: float,
        size: Callable[[Key], int],
        center_m: Callable[[Key], NDArray[np.float64]],
        viewpoint_m: NDArray[np.float64] | None,
    ) -> list[Key]:
        """Return what to send now and forget it: the nearest and newest, as much as fits into ``allowance`` bytes.

        Every FAIR_TURN-th is the one that has waited for longest. While ``allowance`` is positive at least one is
        returned, whatever its size. size: bytes of one; center_m: where it lies, (3,); viewpoint_m: (3,) where
        somebody looks from, None = nowhere.
        """
        taken: list[Key] = []
        if not self._since_s or allowance <= 0:
            return taken
        now_s = self._now_s()

        def rank(key: Key) -> float:
            away_m = 0.0 if viewpoint_m is None else float(np.linalg.norm(center_m(key) - viewpoint_m))
            return away_m + WALKING_SPEED_MPS * (now_s - self._changed_s[key])

        nearest = iter(sorted(self._since_s, key=rank))
        while self._since_s and allowance > 0:
            self._turn = (self._turn + 1) % FAIR_TURN
            if self._turn == 0:
                key = next(iter(self._since_s))
            else:
                key = next(item for item in nearest if item in self._since_s)
            if taken and size(key) > allowance:
                self._turn = (self._turn - 1) % FAIR_TURN  # it comes first when the next allowance is there
                break
            del self._since_s[key], self._changed_s[key]
            taken.append(key)
            allowance -= size(key)
        return taken
