"""The keyframes that are saved with a map: as they were sent, the newest within a budget of memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.packed_keyframe import PackedKeyframe


class KeptKeyframes:
    """Keeps the newest keyframes by id. Not thread-safe: it has one owner."""

    def __init__(self, maximum_bytes: int) -> None:
        """maximum_bytes: of their images together; 0 keeps none."""
        self._maximum_bytes = maximum_bytes
        self._keyframes: dict[int, PackedKeyframe] = {}
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._keyframes)

    def add(self, keyframe: PackedKeyframe) -> None:
        """Keep a keyframe, and forget the oldest ones beyond the budget."""
        self.forget((keyframe.id,))
        self._keyframes[keyframe.id] = keyframe
        self.nbytes += keyframe.nbytes
        while self.nbytes > self._maximum_bytes:
            self.forget((min(self._keyframes),))

    def ids(self) -> tuple[int, ...]:
        """Return the ids of all, ascending."""
        return tuple(sorted(self._keyframes))

    def get(self, keyframe_id: int) -> PackedKeyframe | None:
        """Return a keyframe, None for one that is not kept."""
        return self._keyframes.get(keyframe_id)

    def forget(self, keyframe_ids: Collection[int]) -> None:
        """Forget keyframes; unknown ids are ignored."""
        for keyframe_id in keyframe_ids:
            gone = self._keyframes.pop(keyframe_id, None)
            if gone is not None:
                self.nbytes -= gone.nbytes

    def restore(self, keyframes: Iterable[PackedKeyframe]) -> None:
        """Keep these in place of all others."""
        self.forget(tuple(self._keyframes))
        for keyframe in keyframes:
            self.add(keyframe)

    def placed(self, poses: Mapping[int, NDArray[np.float64]]) -> tuple[PackedKeyframe, ...]:
        """Return all by ascending id at their (4, 4) poses in the map; one without a pose stays where it was."""
        kept = sorted(self._keyframes.items())
        return tuple(keyframe.at(poses.get(key, keyframe.T_map_camera)) for key, keyframe in kept)
