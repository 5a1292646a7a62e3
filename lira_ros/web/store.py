"""What all pages show, by key: the newest value of each, kept once for all of them.

Whoever has something new puts it here from any thread; the server is woken once, however much comes before it looks.
So nothing queues up between the robot and the pages, whatever the pages do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from lira_ros.web.frames import to_text


class Key(NamedTuple):
    """What a value is of: a kind ("instance", "region" ...) and which one."""

    kind: str
    name: str = ""


class Store:
    """Latest values: a JSON text for small things, a binary frame for large ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[Key, str | bytes] = {}
        self._changed: dict[Key, None] = {}
        self._wake: Callable[[], None] | None = None
        self._woken = False

    def on_change(self, wake: Callable[[], None] | None) -> None:
        """Call ``wake`` when something has changed since take_changes(); it must not block."""
        with self._lock:
            self._wake, self._woken = wake, False

    def put(self, key: Key, value: object) -> None:
        """Set a value: bytes are a frame, anything else becomes JSON. The same value again is no change."""
        ready = value if isinstance(value, bytes) else to_text(value)
        with self._lock:
            if self._values.get(key) == ready:
                return
            self._values[key] = ready
            self._note(key)

    def remove(self, key: Key) -> None:
        """Forget a value; pages are told when they hold it."""
        with self._lock:
            if self._values.pop(key, None) is not None:
                self._note(key)

    def remove_kind(self, kind: str) -> None:
        """Forget all values of a kind."""
        with self._lock:
            for key in [key for key in self._values if key.kind == kind]:
                del self._values[key]
                self._note(key)

    def known(self, kind: str | None = None) -> list[Key]:
        """Return the keys that have a value, all or those of one kind."""
        with self._lock:
            return [key for key in self._values if kind in (None, key.kind)]

    def get(self, key: Key) -> str | bytes | None:
        """Return a value, None where there is none."""
        with self._lock:
            return self._values.get(key)

    def size_bytes(self) -> int:
        """Return how much memory the values take."""
        with self._lock:
            return sum(len(value) for value in self._values.values())

    def take_changes(self) -> list[Key]:
        """Return the keys that have changed or gone since the last call."""
        with self._lock:
            changed, self._changed, self._woken = list(self._changed), {}, False
            return changed

    def _note(self, key: Key) -> None:
        self._changed[key] = None
        if self._wake is not None and not self._woken:
            self._woken = True
            self._wake()
