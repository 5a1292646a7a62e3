"""What a link does to packets: it loses some, lets so many bytes through per second, and delays them."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class LinkSettings:
    """One direction of a link.

    delay_s: from the end of sending to arrival. loss: probability that a packet is lost, independent of others.
    rate_bps: bits per second. burst_bytes: what may pass at once after a pause. queue_bytes: what may wait for its
    turn; what comes beyond it is dropped, as in a router.
    """

    delay_s: float = 0.05
    loss: float = 0.05
    rate_bps: float = 10e6
    burst_bytes: int = 3_000  # two packets of Ethernet: a modem sends one while it takes the next
    queue_bytes: int = 125_000  # a tenth of a second at 10 Mbit/s
    seed: int = 0


@dataclass
class LinkCounters:
    """What happened to the packets of one direction."""

    offered: int = 0
    offered_bytes: int = 0
    delivered: int = 0
    delivered_bytes: int = 0
    lost: int = 0
    overflowed: int = 0
    longest_queue_bytes: int = 0


class LinkDirection:
    """Decide for each packet when it arrives. Times are given by the caller, so the outcome can be repeated."""

    def __init__(self, settings: LinkSettings) -> None:
        self.settings = settings
        self.counters = LinkCounters()
        self._random = random.Random(settings.seed)
        self._tokens = float(settings.burst_bytes)
        self._filled_s = 0.0
        self._waiting: deque[tuple[float, int]] = deque()  # when a packet leaves, and its size
        self._waiting_bytes = 0

    def queue_bytes(self, now_s: float) -> int:
        """Return how many bytes wait for their turn."""
        while self._waiting and self._waiting[0][0] <= now_s:
            self._waiting_bytes -= self._waiting.popleft()[1]
        return self._waiting_bytes

    def offer(self, now_s: float, size_bytes: int) -> float | None:
        """Return when a packet that is sent now arrives, None when it never does. Times must not decrease."""
        settings, counters = self.settings, self.counters
        counters.offered += 1
        counters.offered_bytes += size_bytes
        waiting = self.queue_bytes(now_s)
        if waiting + size_bytes > settings.queue_bytes:
            counters.overflowed += 1
            return None
        rate = settings.rate_bps / 8
        # Tokens come at the rate of the link; a debt is what packets before this one still have to wait for.
        self._tokens = min(settings.burst_bytes, self._tokens + (now_s - self._filled_s) * rate) - size_bytes
        self._filled_s = now_s
        leaves_s = now_s + max(0.0, -self._tokens) / rate
        self._waiting.append((leaves_s, size_bytes))
        self._waiting_bytes += size_bytes
        counters.longest_queue_bytes = max(counters.longest_queue_bytes, self._waiting_bytes)
        # Lost on the air: it has taken its time on the link all the same.
        if self._random.random() < settings.loss:
            counters.lost += 1
            return None
        counters.delivered += 1
        counters.delivered_bytes += size_bytes
        return leaves_s + settings.delay_s
