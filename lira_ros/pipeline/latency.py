"""How long each stage took: samples in a bounded window, reported as percentiles."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

# Enough for a ten-minute walk at 15 Hz, small enough to be forgotten memory-wise.
WINDOW = 10000


@dataclass(frozen=True)
class Latency:
    """Percentiles of one stage [ms] over the samples counted."""

    stage: str
    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class LatencyRecord:
    """Collect durations by stage name; stages are reported in the order in which they first appeared."""

    def __init__(self) -> None:
        self.listener: Callable[[str, float], None] | None = None  # is told stage and duration [s] of every sample
        self._samples: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=WINDOW))

    def add(self, stage: str, seconds: float) -> None:
        """Add one sample [s] to a stage."""
        self._samples[stage].append(seconds)
        if self.listener is not None:
            self.listener(stage, seconds)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Time the body of a with statement as one sample of a stage."""
        start = perf_counter()
        try:
            yield
        finally:
            self.add(stage, perf_counter() - start)

    def summary(self) -> tuple[Latency, ...]:
        """Return the percentiles of every stage."""
        result = []
        for stage, samples in self._samples.items():
            p50, p95, p99 = np.percentile(np.fromiter(samples, dtype=np.float64), (50, 95, 99)) * 1e3
            result.append(Latency(stage, len(samples), float(p50), float(p95), float(p99)))
        return tuple(result)

    def samples(self) -> dict[str, NDArray[np.float64]]:
        """Return the durations [s] of every stage, in the order in which they came."""
        return {stage: np.fromiter(samples, dtype=np.float64) for stage, samples in self._samples.items()}
