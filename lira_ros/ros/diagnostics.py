"""What a node knows of its own health: rates, ages, drops with reasons, queue lengths and stage latencies.

``Statistics`` is plain Python and thread-safe; ``to_status`` turns it into a diagnostic_msgs status (REP-107).
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from lira_ros.ros.errors import plain_sentence

# Rates and percentiles describe the recent past: long enough for steady numbers at 1 Hz, short enough to follow.
RATE_WINDOW_S = 5.0
LATENCY_WINDOW = 200
# A problem colours the status for this long after it was last seen.
PROBLEM_WINDOW_S = 5.0


@dataclass
class Problem:
    """The last occurrence of one kind of problem. seen_s: monotonic time [s]."""

    text: str
    seen_s: float
    count: int


class Statistics:
    """Counters, rates and latencies of one node; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: Counter[str] = Counter()
        self._arrivals: dict[str, deque[float]] = {}
        self._latencies: dict[str, deque[float]] = {}
        self._problems: dict[str, Problem] = {}

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counters[name] += amount

    def arrived(self, name: str) -> None:
        """Note one event of a stream whose rate is of interest."""
        now_s = time.monotonic()
        with self._lock:
            times = self._arrivals.setdefault(name, deque(maxlen=1000))
            times.append(now_s)

    def latency(self, stage: str, seconds: float) -> None:
        """Note the duration of one stage [s]."""
        with self._lock:
            self._latencies.setdefault(stage, deque(maxlen=LATENCY_WINDOW)).append(seconds)

    def problem(self, key: str, text: str) -> int:
        """Count a problem under its key, keep its text, and return how often it happened so far."""
        with self._lock:
            count = self._problems[key].count + 1 if key in self._problems else 1
            self._problems[key] = Problem(text, time.monotonic(), count)
            return count

    def counter(self, name: str) -> int:
        """Return a counter, 0 when nothing was counted."""
        with self._lock:
            return self._counters[name]

    def problems(self) -> dict[str, Problem]:
        """Return a copy of all problems seen so far, by key."""
        with self._lock:
            return dict(self._problems)

    def rate_hz(self, name: str) -> float:
        """Return the rate of a stream over the last seconds [Hz]."""
        now_s = time.monotonic()
        with self._lock:
            times = self._arrivals.get(name, ())
            return sum(1 for arrival_s in times if now_s - arrival_s <= RATE_WINDOW_S) / RATE_WINDOW_S

    def percentiles_s(self, stage: str) -> tuple[float, float, float]:
        """Return the 50th, 95th and 99th percentile of a stage [s], NaN before its first run."""
        with self._lock:
            values = list(self._latencies.get(stage, ()))
        if not values:
            return float("nan"), float("nan"), float("nan")
        median, high, highest = np.percentile(values, (50, 95, 99))
        return float(median), float(high), float(highest)

    def values(self) -> dict[str, str]:
        """Return everything as texts for a diagnostic status, in a stable order."""
        with self._lock:
            counters = sorted(self._counters.items())
            streams, stages = sorted(self._arrivals), sorted(self._latencies)
            problems = sorted(self._problems.items())
        result = {name: str(count) for name, count in counters}
        for name in streams:
            result[f"{name} rate_hz"] = f"{self.rate_hz(name):.2f}"
        for stage in stages:
            for name, value_s in zip(("p50_ms", "p95_ms", "p99_ms"), self.percentiles_s(stage), strict=True):
                result[f"{stage} {name}"] = f"{value_s * 1e3:.1f}"
        for key, problem in problems:
            result[f"{key} count"] = str(problem.count)
            result[f"{key} last"] = problem.text
        return result


def to_status(
    name: str,
    state: str,
    statistics: Statistics,
    waiting: list[str],
    error: str,
    extra: Mapping[str, object],
) -> DiagnosticStatus:
    """Build the diagnostic status of a node.

    ``state``: lifecycle state; ``waiting``: inputs without messages, in words; ``error``: why the last lifecycle
    transition failed, or ""; ``extra``: what this kind of node adds, in part told by models and servers. ERROR with an
    error, WARN when an input is missing or a problem was seen in the last seconds, else OK.
    """
    now_s = time.monotonic()
    recent = [problem.text for problem in statistics.problems().values() if now_s - problem.seen_s <= PROBLEM_WINDOW_S]
    status = DiagnosticStatus(name=name, hardware_id="lira_ros")
    if error:
        status.level, status.message = DiagnosticStatus.ERROR, error
    elif waiting:
        status.level, status.message = DiagnosticStatus.WARN, "waiting for " + "; ".join(waiting)
    elif recent:
        status.level, status.message = DiagnosticStatus.WARN, "; ".join(recent)
    else:
        status.level, status.message = DiagnosticStatus.OK, state
    told = {plain_sentence(key): plain_sentence(str(value)) for key, value in extra.items()}
    pairs = {"state": state, **told, **statistics.values()}
    status.values = [KeyValue(key=key, value=value) for key, value in pairs.items()]
    return status
