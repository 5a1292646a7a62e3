"""One thread that owns a node's state: it drains bounded queues in a fixed order and runs tasks for services.

Plain Python without ROS, so that its order and its bounds can be tested alone. Callbacks only ``put`` and
``submit``; whatever touches the map happens here, one thing after another.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

DropPolicy = Literal["oldest", "newest"]


@dataclass
class QueueStatistics:
    """Counters of one queue since its creation."""

    received: int = 0
    processed: int = 0
    dropped: int = 0
    failed: int = 0
    longest: int = 0


@dataclass
class _Queue:
    handler: Callable[[Any], None]
    capacity: int
    drop: DropPolicy
    items: deque[Any] = field(default_factory=deque)
    statistics: QueueStatistics = field(default_factory=QueueStatistics)


@dataclass
class _Periodic:
    period_s: float
    function: Callable[[], None]
    due_s: float
    rest_per_second: float


class Worker:
    """Drain queues in the order in which they were added, in one thread.

    Each round: all tasks, then of each queue, in order, the items that waited when its turn came, then the periodic
    functions that are due, then (only when nothing else waits) one step of idle work. Between two items the tasks
    are looked at again, so that a service never waits for a long queue.

    ``on_error(name, error)`` is called in the worker thread for whatever a handler raises; the thread lives on.
    ``on_timing(name, seconds)`` is called with the duration of every handled item.
    """

    def __init__(
        self,
        name: str,
        on_error: Callable[[str, Exception], None],
        on_timing: Callable[[str, float], None] | None = None,
    ) -> None:
        self._name = name
        self._on_error = on_error
        self._on_timing = on_timing or (lambda _name, _seconds: None)
        self._queues: dict[str, _Queue] = {}
        self._tasks: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._last_tasks: deque[tuple[Callable[[], Any], Future[Any]]] = deque()  # after what is queued
        self._periodic: dict[str, _Periodic] = {}
        self._idle_work: Callable[[], bool] | None = None
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._busy = False

    def add_queue(self, name: str, handler: Callable[[Any], None], capacity: int, drop: DropPolicy = "oldest") -> None:
        """Add a bounded queue; a full queue drops its oldest item or the newest (the one being put), and counts it."""
        if capacity < 1:
            raise ValueError(f"queue {name}: capacity must be at least 1, got {capacity}")
        if name in self._queues:
            raise ValueError(f"queue {name}: exists already")
        self._queues[name] = _Queue(handler, capacity, drop)

    def add_periodic(
        self, name: str, period_s: float, function: Callable[[], None], largest_share: float = 1.0
    ) -> None:
        """Call ``function`` in the worker thread about every ``period_s`` seconds of monotonic time.

        ``largest_share``: part of the thread's time that it may take; it is called less often when it takes longer.
        """
        if not 0.0 < largest_share <= 1.0:
            raise ValueError(f"periodic {name}: largest_share must be in (0, 1], got {largest_share}")
        self._periodic[name] = _Periodic(period_s, function, time.monotonic() + period_s, 1.0 / largest_share - 1.0)

    def set_idle_work(self, function: Callable[[], bool]) -> None:
        """Call ``function`` whenever nothing else waits, again and again until it returns False (nothing left).

        It is asked anew after the next item, task or periodic function.
        """
        self._idle_work = function

    def put(self, name: str, item: Any) -> bool:
        """Queue an item from any thread, never blocking; returns False when an item had to be dropped."""
        with self._condition:
            queue = self._queues[name]
            queue.statistics.received += 1
            kept = len(queue.items) < queue.capacity
            if not kept:
                queue.statistics.dropped += 1
                if queue.drop == "newest":
                    return False
                queue.items.popleft()
            queue.items.append(item)
            queue.statistics.longest = max(queue.statistics.longest, len(queue.items))
            self._condition.notify_all()
            return kept

    def submit(self, function: Callable[[], Any], *, last: bool = False) -> Future[Any]:
        """Run ``function`` in the worker thread, before any queued item; its result or exception is in the future.

        last: after all items that are queued now. After stop() the future is cancelled at once, so that nobody waits
        for a thread that is gone.
        """
        future: Future[Any] = Future()
        with self._condition:
            if self._stopping:
                future.cancel()
                return future
            (self._last_tasks if last else self._tasks).append((function, future))
            self._condition.notify_all()
        return future

    def clear(self) -> None:
        """Forget all queued items (not the tasks); they count as dropped."""
        with self._condition:
            for queue in self._queues.values():
                queue.statistics.dropped += len(queue.items)
                queue.items.clear()

    def lengths(self) -> dict[str, int]:
        """Return how many items wait in each queue."""
        with self._condition:
            return {name: len(queue.items) for name, queue in self._queues.items()}

    def statistics(self) -> dict[str, QueueStatistics]:
        """Return a copy of the counters of each queue."""
        with self._condition:
            return {name: QueueStatistics(**vars(queue.statistics)) for name, queue in self._queues.items()}

    def start(self) -> None:
        """Start the thread."""
        if self._thread is not None:
            raise RuntimeError(f"worker {self._name}: is already running")
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Stop after the item in hand; waiting tasks are cancelled. Returns False when the thread did not end in time.

        The thread is a daemon: one that hangs in foreign code cannot keep the process alive.
        """
        with self._condition:
            self._stopping = True
            waiting = [*self._tasks, *self._last_tasks]
            self._tasks.clear()
            self._last_tasks.clear()
            self._condition.notify_all()
        for _, future in waiting:
            future.cancel()
        thread, self._thread = self._thread, None
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout_s)
        return not thread.is_alive()

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Wait until no item and no task waits or runs; returns False on time-out."""
        deadline = time.monotonic() + timeout_s
        with self._condition:
            while self._busy or self._waits():
                remaining = deadline - time.monotonic()
                if remaining <= 0 or self._thread is None:
                    return False
                self._condition.wait(remaining)
        return True

    def _run(self) -> None:
        while True:
            self._run_tasks()
            with self._condition:
                last_tasks = len(self._last_tasks)
            for name, queue in self._queues.items():
                for _ in range(len(queue.items)):
                    with self._condition:
                        if self._stopping:
                            return
                        if not queue.items:
                            break
                        item = queue.items.popleft()
                        self._busy = True
                    if self._call(name, queue.handler, item):
                        queue.statistics.processed += 1
                    else:
                        queue.statistics.failed += 1
                    self._run_tasks()
            with self._condition:
                for _ in range(min(last_tasks, len(self._last_tasks))):
                    self._tasks.append(self._last_tasks.popleft())
            self._run_tasks()
            now_s = time.monotonic()
            for name, periodic in self._periodic.items():
                if now_s >= periodic.due_s and not self._stopping:
                    began_s = time.monotonic()
                    self._call(name, periodic.function)
                    ended_s = time.monotonic()
                    rest_s = (ended_s - began_s) * periodic.rest_per_second
                    periodic.due_s = ended_s + max(periodic.period_s, rest_s)
            more = False
            if self._idle_work is not None and not self._has_items() and not self._stopping:
                with self._condition:
                    self._busy = True
                more = self._idle()
            with self._condition:
                self._busy = False
                self._condition.notify_all()
                if self._stopping:
                    return
                if more or self._waits():
                    continue
                due_s = min((periodic.due_s for periodic in self._periodic.values()), default=None)
                self._condition.wait(None if due_s is None else max(0.0, due_s - time.monotonic()))

    def _has_items(self) -> bool:
        with self._condition:
            return self._waits()

    def _waits(self) -> bool:
        return bool(self._tasks or self._last_tasks) or any(queue.items for queue in self._queues.values())

    def _run_tasks(self) -> None:
        while True:
            with self._condition:
                if self._stopping or not self._tasks:
                    return
                function, future = self._tasks.popleft()
                self._busy = True
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except Exception as error:
                future.set_exception(error)

    def _call(self, name: str, function: Callable[..., None], *arguments: Any) -> bool:
        began_s = time.monotonic()
        try:
            function(*arguments)
        except Exception as error:
            self._on_error(name, error)
            return False
        self._on_timing(name, time.monotonic() - began_s)
        return True

    def _idle(self) -> bool:
        assert self._idle_work is not None
        began_s = time.monotonic()
        try:
            worked = self._idle_work()
        except Exception as error:
            self._on_error("idle work", error)
            return False
        if worked:
            self._on_timing("idle work", time.monotonic() - began_s)
        return worked
