"""What was computed of a keyframe, kept for further instructions within a byte budget."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from lira_ros.geometry.frame import Keyframe

Value = TypeVar("Value")
# Every n-th pixel of every n-th row tells pictures apart; to read all of them would take a millisecond a question.
_STRIDE_PX = 8


class FeatureCache(Generic[Value]):
    """Keeps values by keyframe, the least recently used are dropped first. Not thread-safe: it has one owner.

    size_of: returns the bytes of a value, on whichever device it lies. A single value larger than the budget is handed
    out and not kept.
    """

    def __init__(self, max_bytes: int, size_of: Callable[[Value], int]) -> None:
        self._max_bytes = max_bytes
        self._size_of = size_of
        self._values: OrderedDict[tuple[int, int, int], tuple[Value, int]] = OrderedDict()
        self.held_bytes = 0
        self.hits = 0
        self.misses = 0

    def get(self, keyframe: Keyframe) -> Value | None:
        """Return what is kept of a keyframe, or None."""
        key = keyframe_key(keyframe)
        kept = self._values.get(key)
        if kept is None:
            self.misses += 1
            return None
        self.hits += 1
        self._values.move_to_end(key)
        return kept[0]

    def put(self, keyframe: Keyframe, value: Value) -> None:
        """Keep a value; it replaces an earlier one of the same keyframe."""
        key = keyframe_key(keyframe)
        _, before = self._values.pop(key, (None, 0))
        self.held_bytes -= before
        size = self._size_of(value)
        if size > self._max_bytes:
            return
        self._values[key] = (value, size)
        self.held_bytes += size
        while self.held_bytes > self._max_bytes:
            _, (_, dropped) = self._values.popitem(last=False)
            self.held_bytes -= dropped

    def of(
        self, keyframes: Sequence[Keyframe], compute: Callable[[Sequence[Keyframe]], Iterable[Value]]
    ) -> list[Value]:
        """Return the values of keyframes in order; those that are not kept are computed in one call, each once.

        compute: returns the values of some keyframes, or of none, in order; each is kept as it comes.
        """
        keys = [keyframe_key(keyframe) for keyframe in keyframes]
        known: dict[tuple[int, int, int], Value] = {}
        missing: dict[tuple[int, int, int], Keyframe] = {}
        # Several instructions may ask about one keyframe in the same batch.
        for key, keyframe in dict(zip(keys, keyframes, strict=True)).items():
            kept = self.get(keyframe)
            if kept is None:
                missing[key] = keyframe
            else:
                known[key] = kept
        for (key, keyframe), value in zip(missing.items(), compute(list(missing.values())), strict=True):
            known[key] = value
            self.put(keyframe, value)
        return [known[key] for key in keys]

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
        self.held_bytes = 0


def keyframe_key(keyframe: Keyframe) -> tuple[int, int, int]:
    """Return what tells a keyframe from all others that a back end is asked about while it lives.

    An id may be used again after a reset, and id and stamp by the next recording: the picture tells those apart.
    """
    return (
        keyframe.id,
        keyframe.frame.stamp_ns,
        zlib.crc32(keyframe.frame.color[::_STRIDE_PX, ::_STRIDE_PX].tobytes()),
    )
