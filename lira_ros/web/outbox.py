"""What one page still has to be told: never more than one entry for each thing that there is.

A page that is slow gets the newest state of everything that changed meanwhile, and never the states between. So a
picture that was not sent in time is replaced, a part of the surface is sent once however often it changed, and a page
that stands still costs nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from lira_ros.web.frames import to_text
from lira_ros.web.store import Key, Store

# What a page has been sent and has not confirmed: as much as a link of 10 Mbit/s carries in half a second. More would
# only wait in the network, where a newer picture cannot replace an older one any more.
WINDOW_BYTES = 640 * 1024
# One text tells of so many small things at most; the browser draws between two messages.
BATCH_CHARACTERS = 64 * 1024
# Answers that a page does not fetch; it asks for one thing at a time.
MOST_REPLIES = 32


class SlowPageError(RuntimeError):
    """A page asks and does not read the answers."""


class Outbox:
    """The queue of one page; used in the thread of the server only."""

    def __init__(self, store: Store) -> None:
        """Begin with everything that there is."""
        self._store = store
        self._texts: dict[Key, None] = {}
        self._frames: dict[str, dict[Key, None]] = {}  # by kind, which take turns
        self._held: set[Key] = set()
        self._replies: deque[str] = deque()
        self._unconfirmed: deque[int] = deque()  # sizes of the messages that the page has not confirmed
        self.sent_messages = 0
        self.sent_bytes = 0
        self.note(store.known())

    @property
    def unconfirmed_bytes(self) -> int:
        """Return how much was handed out and not confirmed by the page."""
        return sum(self._unconfirmed)

    def __len__(self) -> int:
        """Return how many entries wait."""
        return len(self._replies) + len(self._texts) + sum(map(len, list(self._frames.values())))

    def note(self, keys: Iterable[Key]) -> None:
        """Note that values have changed or gone."""
        for key in keys:
            value = self._store.get(key)
            waiting = self._frames.get(key.kind, {})
            if isinstance(value, bytes):
                self._frames.setdefault(key.kind, {})[key] = None
            elif value is not None or key in self._held:
                waiting.pop(key, None)
                self._texts[key] = None
            else:  # it came and went before this page heard of it
                waiting.pop(key, None)
                self._texts.pop(key, None)

    def reply(self, value: object) -> None:
        """Queue an answer, which comes before everything else; raises SlowPageError when too many wait."""
        if len(self._replies) >= MOST_REPLIES:
            raise SlowPageError(f"{MOST_REPLIES} answers wait for this page, which does not read them")
        self._replies.append(to_text(value))

    def confirm(self, messages: int) -> None:
        """Note how many messages the page has received in all; raises ValueError for more than it was sent."""
        oldest = self.sent_messages - len(self._unconfirmed)
        if not oldest <= messages <= self.sent_messages:
            raise ValueError(f"received: expected {oldest} to {self.sent_messages} messages, got {messages}")
        for _ in range(messages - oldest):
            self._unconfirmed.popleft()

    def take(self) -> str | bytes | None:
        """Return the next message, None when nothing is to be sent or the page has to confirm first."""
        if self.unconfirmed_bytes >= WINDOW_BYTES:
            return None
        message = self._next()
        if message is not None:
            size = len(message.encode()) if isinstance(message, str) else len(message)
            self._unconfirmed.append(size)
            self.sent_messages += 1
            self.sent_bytes += size
        return message

    def _next(self) -> str | bytes | None:
        if self._replies:
            return self._replies.popleft()
        if self._texts:
            return self._batch()
        while self._frames:
            kind, waiting = next(iter(self._frames.items()))
            del self._frames[kind]
            if not waiting:
                continue
            key = next(iter(waiting))
            del waiting[key]
            self._frames[kind] = waiting  # behind the other kinds
            value = self._store.get(key)
            if isinstance(value, bytes):
                self._held.add(key)
                return value
        return None

    def _batch(self) -> str:
        """Return a text of changed and gone values, whole ones, until it is long enough."""
        changed, gone, characters = [], [], 0
        while self._texts and characters < BATCH_CHARACTERS:
            key = next(iter(self._texts))
            del self._texts[key]
            value = self._store.get(key)
            name = to_text(list(key))
            if isinstance(value, str):
                self._held.add(key)
                changed.append(f"[{name},{value}]")
                characters += len(changed[-1])
            else:
                self._held.discard(key)
                gone.append(name)
                characters += len(name)
        return f'{{"kind":"state","changed":[{",".join(changed)}],"gone":[{",".join(gone)}]}}'
