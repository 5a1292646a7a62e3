"""What a node knows of its own health: rates, ages, drops with reasons, queue lengths and stage latencies.

``Statistics`` is plain Python and thread-safe; ``to_status`` turns it into a diagnostic_msgs status (REP-107).
"""

from __future__ import annotations

import math
import platform
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from lira_ros.ros.errors import plain_sentence

# Rates and percentiles describe the recent past: long enough for steady numbers at 1 Hz, short enough to follow.
RATE_WINDOW_S = 5.0
LATENCY_WINDOW = 200
# A problem colours the status for this long after it was last seen.
PROBLEM_WINDOW_S = 5.0
# hardware_id begins with this word, by which programs tell our reports from those of others.
HARDWARE = "lira_ros"

PERCENTILES = ("p50", "p95", "p99")
UNITS = {"s": "s", "ms": "ms", "hz": "Hz", "m": "m", "mib": "MiB", "mbps": "Mbit/s", "deg": "degrees", "px": "px"}
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_FIGURE = re.compile(r"(p\d\d) (\S+) ms")
_QUEUE = re.compile(r"(?P<waiting>\d+) waiting, (?P<done>\d+) done, (?P<dropped>\d+) dropped")
_TIMES = re.compile(r"(\d+) times")


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
        """Return everything as texts for a diagnostic status, in a stable order: rates, stages, counters, problems."""
        with self._lock:
            counters = sorted(self._counters.items())
            streams, stages = sorted(self._arrivals), sorted(self._latencies)
            problems = sorted(self._problems.items())
        now_s = time.monotonic()
        result = {name: f"{self.rate_hz(name):.1f} Hz" for name in streams}
        for stage in stages:
            figures = zip(PERCENTILES, self.percentiles_s(stage), strict=True)
            result[f"stage {stage}"] = ", ".join(f"{name} {value_s * 1e3:.1f} ms" for name, value_s in figures)
        result.update({f"count {name}": str(count) for name, count in counters})
        for key, problem in problems:
            result[f"problem {key}"] = f"{problem.count} times, last {now_s - problem.seen_s:.0f} s ago: {problem.text}"
        return result


def read_stages(values: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Return the latencies in the values of a status: stage -> p50_ms, p95_ms and p99_ms. Inverse of to_status()."""
    stages: dict[str, dict[str, float]] = {}
    for key, value in values.items():
        figures = {name: float(text) for name, text in _FIGURE.findall(value)} if key.startswith("stage ") else {}
        if set(figures) == set(PERCENTILES) and not any(map(math.isnan, figures.values())):
            stages[key.removeprefix("stage ")] = {f"{name}_ms": value_ms for name, value_ms in figures.items()}
    return stages


def read_queues(values: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Return the queues in the values of a status: name -> how many are waiting, done and dropped."""
    queues = {}
    for key, value in values.items():
        if key.startswith("queue ") and (found := _QUEUE.fullmatch(value)) is not None:
            queues[key.removeprefix("queue ")] = {name: int(number) for name, number in found.groupdict().items()}
    return queues


def read_problems(values: Mapping[str, str]) -> dict[str, int]:
    """Return the problems in the values of a status, and how often each was seen."""
    return {
        key.removeprefix("problem "): int(found[1])
        for key, value in values.items()
        if key.startswith("problem ") and (found := _TIMES.match(value)) is not None
    }


def read_drops(values: Mapping[str, str]) -> dict[str, int]:
    """Return what the values of a status say was dropped, refused, lost or went wrong, and how often."""
    found = {f"queue {name}": queue["dropped"] for name, queue in read_queues(values).items()}
    found.update(read_problems(values))
    for key, value in values.items():
        if value.isdecimal() and any(word in key for word in ("dropped", "refused", "lost")):
            found[key.removeprefix("count ")] = int(value)
    return {key: count for key, count in found.items() if count > 0}


def to_status(
    name: str,
    state: str,
    statistics: Statistics,
    waiting: list[str],
    error: str,
    extra: Mapping[str, object],
    headline: Sequence[str] = (),
) -> DiagnosticStatus:
    """Build the diagnostic status of a node.

    ``state``: lifecycle state; ``waiting``: inputs without messages, in words; ``error``: why the last lifecycle
    transition failed, or ""; ``extra``: what this kind of node adds, in part told by models and servers; ``headline``:
    which values the sentence of a node that is well names. ERROR with an error, WARN when an input is missing or a
    problem was seen in the last seconds, else OK.
    """
    now_s = time.monotonic()
    recent = [problem.text for problem in statistics.problems().values() if now_s - problem.seen_s <= PROBLEM_WINDOW_S]
    pairs = {"state": state}
    for key, value in extra.items():
        key, text = readable(key, value)
        if text:
            pairs[plain_sentence(key)] = plain_sentence(text)
    pairs.update(statistics.values())
    # Two machines may run parts of the suite: whoever reads this wants to know on which of them it is.
    status = DiagnosticStatus(name=name, hardware_id=f"{HARDWARE} on {platform.node()}")
    if error:
        status.level, status.message = DiagnosticStatus.ERROR, error
    elif waiting:
        status.level, status.message = DiagnosticStatus.WARN, "waiting for " + "; ".join(waiting)
    elif recent:
        status.level, status.message = DiagnosticStatus.WARN, "; ".join(recent)
    else:
        named = ", ".join(f"{key} {pairs[key]}" for key in headline if key in pairs)
        status.level, status.message = DiagnosticStatus.OK, f"{state}: {named}" if named else state
    status.values = [KeyValue(key=key, value=value) for key, value in pairs.items()]
    return status


def readable(key: str, value: object) -> tuple[str, str]:
    """Return a key and a value as a person reads them: words, and the unit behind the number instead of in the name.

    A value that says nothing (an empty text, list or dictionary) becomes "".
    """
    if key.startswith(("input ", "queue ")):  # the rest is the name that the node knows it by
        return key, str(value)
    # Underscores are those of words; a name with a slash is a topic and stays as it is.
    *front, last = key.split(" ")
    stem, _, unit = last.rpartition("_") if "_" in last else ("", "", last)
    words = " ".join(word if "/" in word else word.replace("_", " ") for word in (*front, stem) if word)
    whole = " ".join(word if "/" in word else word.replace("_", " ") for word in (*front, last))
    if isinstance(value, bool):
        return whole, "true" if value else "false"
    if isinstance(value, Mapping):
        return whole, ", ".join(f"{name} {item}" for name, item in value.items())
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value) if "." in value else int(value)
    if not isinstance(value, int | float):
        return whole, str(value)
    if unit == "bytes" and words:
        return words if words.endswith(" sent") else f"{words} memory", f"{value / 2**20:.1f} MiB"
    number = str(value) if isinstance(value, int) else f"{value:.4g}"
    if unit in UNITS and words:
        return words, f"{number} {UNITS[unit]}"
    return whole, number
