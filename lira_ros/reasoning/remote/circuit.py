"""When a server may be asked: back-off after failures, and a circuit that opens when they go on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["closed", "open", "half-open"]

# One lost connection is bad luck; three failures in a row are a server that is away.
FAILURES_TO_OPEN = 3
# The first wait lets a connection that was reset be made anew. The longest one bounds how late a server that is back
# is noticed: a robot moves on meanwhile.
FIRST_DELAY_S, LONGEST_DELAY_S = 0.25, 4.0
# A server may ask for more time (Retry-After). Rate limits of public services name minutes; longer than this is not
# waited, so that candidates come within 10 s after the server answers again.
LONGEST_RETRY_AFTER_S = 8.0


@dataclass(frozen=True)
class CircuitStatus:
    """Where the circuit stands, why, and since when [s, monotonic]."""

    state: State
    reason: str
    since_s: float


@dataclass(frozen=True)
class Attempt:
    """A question that is on its way: when it began, and whether it tries if the server is back."""

    began_s: float
    trying: bool


class Circuit:
    """Decides whether a server may be asked now. Not thread-safe; ``status`` may be read from any thread.

    closed: it may, except for a moment after each failure. open: nobody asks until the wait is over. half-open: one
    question tries whether the server is back. Waits grow exponentially, with jitter so that robots that lost the
    same server do not come back in step, and count from the start of the failed request: one that hung until its
    time was up has waited already.
    """

    def __init__(
        self,
        now_s: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        longest_delay_s: float = LONGEST_DELAY_S,
    ) -> None:
        self._now_s = now_s
        self._jitter = jitter
        self._longest_delay_s = longest_delay_s
        self._failures = 0
        self._not_before_s = 0.0
        self.opened = 0  # how often it opened
        self.status = CircuitStatus("closed", "", now_s())

    def wait_s(self) -> float:
        """Return how long nobody may ask; 0 = a question may go now."""
        if self.status.state == "half-open":
            return FIRST_DELAY_S  # somebody is trying
        return max(0.0, self._not_before_s - self._now_s())

    def begin(self) -> Attempt:
        """Take note of a question that goes now.

        Call it only when wait_s() is 0, and then exactly one of succeeded(), failed() and abandoned().
        """
        trying = self.status.state != "closed"
        if trying:
            self._change("half-open", self.status.reason)
        return Attempt(self._now_s(), trying)

    def succeeded(self) -> None:
        """Take note that the server answered."""
        self._failures = 0
        self._not_before_s = 0.0
        if self.status.state != "closed":
            self._change("closed", "")

    def failed(self, attempt: Attempt, reason: str, retry_after_s: float = 0.0, *, at_once: bool = False) -> None:
        """Take note that the server failed; at_once = waiting alone will hardly help: open now."""
        self._failures += 1
        delay_s = min(self._longest_delay_s, FIRST_DELAY_S * 2.0 ** (min(self._failures, 32) - 1))
        delay_s *= 0.5 + 0.5 * self._jitter()
        asked_s = min(LONGEST_RETRY_AFTER_S, max(0.0, retry_after_s))
        self._not_before_s = max(self._not_before_s, attempt.began_s + delay_s, self._now_s() + asked_s)
        if self.status.state != "closed" or at_once or self._failures >= FAILURES_TO_OPEN:
            self._change("open", reason)

    def abandoned(self) -> None:
        """Take note that a question was given up for reasons of our own: nothing is known of the server."""
        if self.status.state == "half-open":
            self._change("open", self.status.reason)

    def _change(self, state: State, reason: str) -> None:
        self.opened += state == "open" and self.status.state == "closed"
        # The time of an outage is that of its beginning, however often it was tried in between.
        went_on = state != "closed" and self.status.state != "closed"
        self.status = CircuitStatus(state, reason, self.status.since_s if went_on else self._now_s())
