"""Following the instances of the map from image to image: when a tracker is told anew what it has to follow.

A tracker drifts and knows nothing of new instances; the map knows where they are, but only where depth was measured.
So the masks that are drawn from the map start the tracker again when they show an instance that it does not follow,
and every few seconds in any case. What it then follows is what they show, so it never grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

NANOSECONDS = 1_000_000_000
# Fewer pixels of an instance are rather noise at its border than a part that can be followed; the bound of sightings.
MIN_PIXELS = 30


class Tracker(Protocol):
    """What follows masks from image to image, see video_tracking.MaskTracker."""

    def start(self, color: NDArray[np.uint8], masks: Mapping[int, NDArray[np.bool_]]) -> None:
        """Follow these (H, W) masks of a (H, W, 3) RGB image, in place of all before."""
        ...

    def update(self, color: NDArray[np.uint8]) -> dict[int, NDArray[np.bool_]]:
        """Return the (H, W) masks in the next image by id."""
        ...


class MaskFollower:
    """Follows the instances of one camera with a tracker. Not thread-safe."""

    def __init__(self, tracker: Tracker, restart_s: float, max_instances: int) -> None:
        """Start anew after ``restart_s`` of the camera's time; follow the ``max_instances`` largest at most."""
        self._tracker = tracker
        self._restart_ns = round(restart_s * NANOSECONDS)
        self._max_instances = max_instances
        self.followed: frozenset[int] = frozenset()
        self.started_ns: int | None = None

    def wants(self, ids: NDArray[np.int32], stamp_ns: int) -> bool:
        """Tell whether (H, W) instance ids of an image, 0 = none, are a reason to start anew from that image."""
        if self.started_ns is None:
            return bool(self._shown(ids))
        if stamp_ns < self.started_ns:
            return False
        if stamp_ns - self.started_ns >= self._restart_ns:
            return True
        return len(self.followed) < self._max_instances and not self.followed.issuperset(self._shown(ids))

    def start(self, color: NDArray[np.uint8], ids: NDArray[np.int32], stamp_ns: int) -> None:
        """Follow the instances that (H, W) ids show in a (H, W, 3) uint8 RGB image, in place of all before.

        Raises ValueError when the two differ in size.
        """
        if ids.shape != color.shape[:2]:
            raise ValueError(f"instance masks: expected {color.shape[:2]} pixels of the image, got {ids.shape}")
        shown = self._shown(ids)
        self.followed, self.started_ns = frozenset(), stamp_ns
        if shown:
            self._tracker.start(color, {number: ids == number for number in shown})
            self.followed = frozenset(shown)

    def track(self, color: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return the (H, W) int32 ids of what is followed in a later image; where two overlap the smaller is shown."""
        ids = np.zeros(color.shape[:2], dtype=np.int32)
        masks = self._tracker.update(color) if self.followed else {}
        for number in sorted(masks, key=lambda key: (-int(np.count_nonzero(masks[key])), key)):
            ids[masks[number]] = number
        return ids

    def clear(self) -> None:
        """Follow nothing until masks show something again."""
        self.followed, self.started_ns = frozenset(), None

    def _shown(self, ids: NDArray[np.int32]) -> tuple[int, ...]:
        numbers, counts = np.unique(ids[ids > 0], return_counts=True)
        order = np.lexsort((numbers, -counts))
        return tuple(int(numbers[i]) for i in order[: self._max_instances] if counts[i] >= MIN_PIXELS)
