"""Mapping sessions as the other nodes see them: topics deliver in any order, ids mean something within a session only.

Plain Python without ROS. A keyframe begins a session, or the message with which the mapping clears its map; what
comes of a session that has not begun yet waits for it, and what comes of an ended one is refused.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from lira_ros.ros.errors import ConversionError

# A restarted or looped mapping begins one session after another; what is older than these is not on its way any more.
REMEMBERED_SESSIONS = 32


@dataclass
class Early:
    """A message of a session that has not begun; since_s is monotonic time."""

    session: int
    queue: str
    message: Any
    since_s: float


class MappingSessions:
    """The current session, those that ended, and what waits for one to begin. Not thread-safe: it has one owner."""

    def __init__(self, capacity: int) -> None:
        self.current = 0  # 0 = none yet
        self.map_frame = ""
        self._ended: deque[int] = deque(maxlen=REMEMBERED_SESSIONS)
        self._early: deque[Early] = deque(maxlen=capacity)

    def begin(self, session: int, map_frame: str, where: str) -> bool:
        """Take over the session of a keyframe or of a cleared map; returns True when it is another than before.

        Raises ConversionError that starts with ``where`` for an ended session, and for a map frame that is empty or
        not that of the session.
        """
        self.refuse_ended(session, where)
        if not map_frame:
            raise ConversionError(f"{where}: expected the map frame in header.frame_id, got ''")
        if session == self.current:
            self.check_frame(map_frame, where)
            return False
        if self.current:
            self._ended.append(self.current)
        self.current, self.map_frame = session, map_frame
        return True

    def refuse_ended(self, session: int, where: str) -> None:
        """Raise ConversionError for a session that has ended."""
        if session in self._ended:
            raise ConversionError(f"{where}: expected mapping session {self.current}, got {session}, which has ended")

    def check_frame(self, map_frame: str, where: str) -> None:
        """Raise ConversionError for another frame than that of the current session."""
        if map_frame != self.map_frame:
            raise ConversionError(f"{where}: expected frame {self.map_frame!r}, got {map_frame!r}")

    def keep(self, session: int, queue: str, message: Any) -> None:
        """Keep a message until its session begins; the oldest is forgotten when there are too many."""
        self._early.append(Early(session, queue, message, time.monotonic()))

    def take_early(self) -> list[tuple[str, Any]]:
        """Return what waited for the current session as (queue, message), in order of arrival."""
        found = [item for item in self._early if item.session == self.current]
        self._keep_only([item for item in self._early if item.session != self.current])
        return [(item.queue, item.message) for item in found]

    def take_overdue(self, age_s: float) -> list[Early]:
        """Return and forget what has waited for longer than ``age_s``: its session never began here."""
        limit_s = time.monotonic() - age_s
        found = [item for item in self._early if item.since_s < limit_s]
        self._keep_only([item for item in self._early if item.since_s >= limit_s])
        return found

    def _keep_only(self, items: list[Early]) -> None:
        self._early.clear()
        self._early.extend(items)
