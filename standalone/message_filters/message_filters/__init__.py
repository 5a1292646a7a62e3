"""Bring messages of several topics together by their stamps: the part of message_filters that lira_ros uses.

Stands in for the ROS 2 package of the same name where only the wheels of rclpy are installed. Names, arguments and
behaviour follow the Python API of Humble and Jazzy.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.clock import ROSClock
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.time import Time

__all__ = ["ApproximateTimeSynchronizer", "SimpleFilter", "Subscriber", "TimeSynchronizer"]


class SimpleFilter:
    """A filter whose output goes to the registered callbacks."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callable, tuple]] = {}

    def registerCallback(self, cb: Callable, *args: Any) -> int:
        """Call ``cb(*messages, *args)`` for each output; return the number of the connection."""
        connection = len(self.callbacks)
        self.callbacks[connection] = (cb, args)
        return connection

    def signalMessage(self, *msg: Any) -> None:
        """Give an output to the callbacks, in the order of their registration."""
        for callback, args in list(self.callbacks.values()):
            callback(*msg, *args)


class Subscriber(SimpleFilter):
    """Subscribe to a topic: ``Subscriber(node, msg_type, topic, **kwargs of node.create_subscription)``.

    ``qos_profile`` is a keyword argument, 10 unless given.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.node = args[0]
        self.topic = args[2]
        kwargs.setdefault("qos_profile", 10)
        self.sub = self.node.create_subscription(*args[1:], self.callback, **kwargs)

    def callback(self, msg: Any) -> None:
        """Pass a received message on."""
        self.signalMessage(msg)

    def getTopic(self) -> str:
        """Return the topic as it was given."""
        return self.topic


class TimeSynchronizer(SimpleFilter):
    """Call back with one message of each input when all have exactly the same stamp.

    Args:
        fs: the inputs, for example Subscribers; their order is that of the callback's arguments.
        queue_size: messages that are kept for each input; the oldest stamp goes first.
    """

    def __init__(self, fs: Sequence[SimpleFilter], queue_size: int) -> None:
        super().__init__()
        self.queue_size = queue_size
        self.lock = threading.Lock()
        self.connectInput(fs)

    def connectInput(self, fs: Sequence[SimpleFilter]) -> None:
        """Take the messages of these filters as input."""
        self.queues: list[dict[int, Any]] = [{} for _ in fs]
        self.input_connections = [
            source.registerCallback(self.add, queue, index)
            for index, (source, queue) in enumerate(zip(fs, self.queues, strict=True))
        ]

    def add(self, msg: Any, my_queue: dict[int, Any], my_queue_index: int | None = None) -> None:
        """Take one message of an input and call back with the sets that it completes, oldest first."""
        with self.lock:
            self._insert(Time.from_msg(msg.header.stamp).nanoseconds, msg, my_queue)
            for stamp_ns in sorted(set.intersection(*map(set, self.queues))):
                self.signalMessage(*(queue.pop(stamp_ns) for queue in self.queues))

    def _insert(self, stamp_ns: int, msg: Any, queue: dict[int, Any]) -> None:
        queue[stamp_ns] = msg
        while len(queue) > self.queue_size:
            del queue[min(queue)]


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """Call back with one message of each input when their stamps lie within ``slop`` of each other.

    A new message is joined with those of the other inputs that are nearest to it in time; each message is used once.

    Args:
        fs: the inputs; their order is that of the callback's arguments.
        queue_size: messages that are kept for each input; the oldest stamp goes first.
        slop: [s] the stamps of a set differ by less than this.
        allow_headerless: take messages without a header, at the time of their arrival; otherwise they are refused with
            a warning.
        sync_arrival_time: use the time of arrival for all messages (Jazzy and newer; Humble does not know it).
    """

    def __init__(
        self,
        fs: Sequence[SimpleFilter],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,
        sync_arrival_time: bool = False,
    ) -> None:
        super().__init__(fs, queue_size)
        self.slop = Duration(seconds=slop)
        self.allow_headerless = allow_headerless
        self.sync_arrival_time = sync_arrival_time

    def add(self, msg: Any, my_queue: dict[int, Any], my_queue_index: int | None = None) -> None:
        """Take one message of an input and call back with the set that it completes, if there is one."""
        has_stamp = hasattr(msg, "header") and hasattr(msg.header, "stamp")
        if has_stamp and not self.sync_arrival_time:
            stamp_ns = Time.from_msg(msg.header.stamp).nanoseconds
        elif has_stamp or self.allow_headerless:
            stamp_ns = ROSClock().now().nanoseconds
        else:
            get_logger("message_filters_approx").warning(
                f"{type(msg).__name__} has no header and cannot be synchronised; "
                "allow_headerless=True would use the time of its arrival"
            )
            return
        with self.lock:
            self._insert(stamp_ns, msg, my_queue)
            stamps_ns = self._nearest_set(stamp_ns, my_queue)
            if stamps_ns is not None:
                self.signalMessage(*(queue.pop(stamp) for queue, stamp in zip(self.queues, stamps_ns, strict=True)))

    def _nearest_set(self, stamp_ns: int, my_queue: dict[int, Any]) -> tuple[int, ...] | None:
        slop_ns = self.slop.nanoseconds
        if stamp_ns not in my_queue:  # older than everything in a full queue: it was dropped at once
            return None
        choices = []
        for queue in self.queues:
            near = [stamp_ns] if queue is my_queue else [s for s in queue if abs(s - stamp_ns) <= slop_ns]
            choices.append(sorted(near, key=lambda s: abs(s - stamp_ns)))
        for stamps_ns in itertools.product(*choices):
            if max(stamps_ns) - min(stamps_ns) < slop_ns:
                return stamps_ns
        return None
