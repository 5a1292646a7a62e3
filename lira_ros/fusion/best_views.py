"""The best views of an instance, as small pictures: for people, for models that read pictures, for reports.

Which views they are is kept while keyframes come; pictures are cut only when somebody asks, or when a keyframe is
forgotten whose view is one of the best.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.contracts import InstanceView
from lira_ros.fusion.lifting import COLOR_STRIDE, StoredKeyframe

# Four sides show a thing; 2000 pictures of 500 instances at the bytes below are 16 MB.
MAX_VIEWS = 4
# Views whose directions differ by less than this show the same side (a quarter of what separates four sides).
SAME_SIDE_RAD = math.radians(22.5)
# Around the mask, in parts of its longer side: models read a thing better with something of its surroundings.
MARGIN_SHARE = 0.15
# CLIP-like encoders read 224 pixels, people recognise a thing at half of that.
LONGEST_SIDE_PX = 112
MAX_BYTES = 8192
# JPEG qualities, tried in turn until the picture is small enough; the last one holds 112 x 112 pixels of noise.
QUALITIES = (85, 70, 50, 30, 10)


@dataclass(frozen=True)
class _View:
    """bounds: first and last + 1 row and column of the mask [px]. jpeg: None while the keyframe is kept."""

    keyframe_id: int
    stamp_ns: int
    position_m: tuple[float, float, float]
    bounds: tuple[int, int, int, int]
    visible_px: int
    score: float
    jpeg: bytes | None = None

    @property
    def value(self) -> float:
        # Lengths, not areas: a thing seen twice as large is not four times as well known.
        return math.sqrt(self.visible_px) * self.score

    def direction_from(self, center: NDArray[np.float64]) -> NDArray[np.float64]:
        line = np.array(self.position_m) - center
        length = float(np.linalg.norm(line))
        return line / length if length > 0 else np.array([0.0, 0.0, 1.0])


class BestViews:
    """At most MAX_VIEWS views of one instance, from different sides, one a keyframe."""

    STATE: ClassVar[dict[str, Any]] = {"_views": dict[int, _View]}

    def __init__(self) -> None:
        self._views: dict[int, _View] = {}

    def __len__(self) -> int:
        return len(self._views)

    def __contains__(self, keyframe_id: int) -> bool:
        return keyframe_id in self._views

    def add(
        self, stored: StoredKeyframe, grid_mask: NDArray[np.bool_], score: float, center: NDArray[np.float64]
    ) -> None:
        """Take a view when it is one of the best.

        grid_mask: (h, w) what shows the instance on the comparison grid of the keyframe. center: (3,) [m] of the
        instance in the map frame, from which directions are measured.
        """
        stride = stored.stride
        visible_px = int(np.count_nonzero(grid_mask)) * stride**2
        x, y, z = stored.T_map_camera[:3, 3].tolist()
        view = _View(stored.id, stored.stamp_ns, (x, y, z), (0, 0, 0, 0), visible_px, score)
        if visible_px == 0 or not self._take(view, center):
            return
        rows, columns = np.flatnonzero(grid_mask.any(axis=1)), np.flatnonzero(grid_mask.any(axis=0))
        first_row, first_column = int(rows[0]) * stride, int(columns[0]) * stride
        bounds = (first_row, (int(rows[-1]) + 1) * stride, first_column, (int(columns[-1]) + 1) * stride)
        self._views[stored.id] = replace(view, bounds=bounds)

    def _take(self, view: _View, center: NDArray[np.float64]) -> bool:
        """Take a view among the best; tell whether it stayed."""
        self._views[view.keyframe_id] = view
        views = list(self._views.values())
        directions = np.array([item.direction_from(center) for item in views])
        angles = np.arccos(np.clip(directions @ directions.T, -1.0, 1.0))
        np.fill_diagonal(angles, np.inf)
        # The new view may stand for a side that another one shows, or the other way round.
        for other in np.flatnonzero(angles[views.index(view)] < SAME_SIDE_RAD):
            if views[other].value >= view.value:
                del self._views[view.keyframe_id]
                return False
            del self._views[views[other].keyframe_id]
        if len(self._views) > MAX_VIEWS:
            worth = [item.value * min(1.0, float(angles[i].min())) for i, item in enumerate(views)]
            del self._views[views[int(np.argmin(worth))].keyframe_id]
        return view.keyframe_id in self._views

    def absorb(self, other: BestViews, center: NDArray[np.float64]) -> None:
        """Take over the views of another instance that turned out to be this one."""
        for view in other._views.values():
            mine = self._views.get(view.keyframe_id)
            if mine is None or mine.value < view.value:
                self._take(view, center)

    def place(self, keyframe_id: int, position_m: tuple[float, float, float]) -> None:
        """Take over the corrected position of a camera."""
        view = self._views.get(keyframe_id)
        if view is not None:
            self._views[keyframe_id] = replace(view, position_m=position_m)

    def keep(self, stored: StoredKeyframe) -> None:
        """Cut the picture from a keyframe that is about to be forgotten."""
        view = self._views.get(stored.id)
        if view is not None and view.jpeg is None:
            self._views[stored.id] = replace(view, jpeg=_cut(stored, view.bounds))

    def drop(self, keyframe_id: int) -> None:
        """Forget the view of a keyframe whose place was cleared."""
        self._views.pop(keyframe_id, None)

    def clear(self) -> None:
        """Forget all views."""
        self._views.clear()

    def pictures(
        self, instance_id: int, center: NDArray[np.float64], keyframes: Mapping[int, StoredKeyframe], count: int
    ) -> tuple[InstanceView, ...]:
        """Return at most ``count`` views, the best first."""
        best = sorted(self._views.values(), key=lambda view: (-view.value, view.keyframe_id))
        return tuple(
            InstanceView(
                instance_id=instance_id,
                keyframe_id=view.keyframe_id,
                stamp_ns=view.stamp_ns,
                jpeg=view.jpeg if view.jpeg is not None else _cut(keyframes[view.keyframe_id], view.bounds),
                visible_px=view.visible_px,
                score=view.score,
                direction=view.direction_from(center),
            )
            for view in best[:count]
            if view.jpeg is not None or view.keyframe_id in keyframes
        )


def _cut(stored: StoredKeyframe, bounds: tuple[int, int, int, int]) -> bytes:
    """Return the part of a keyframe around its rows and columns [px] as a JPEG file of at most MAX_BYTES."""
    height, width = stored.color.shape[:2]
    low_row, high_row, low_column, high_column = (value / COLOR_STRIDE for value in bounds)
    margin = MARGIN_SHARE * max(high_row - low_row, high_column - low_column) + 1.0
    rows = slice(max(0, math.floor(low_row - margin)), min(height, math.ceil(high_row + margin)))
    columns = slice(max(0, math.floor(low_column - margin)), min(width, math.ceil(high_column + margin)))
    picture = stored.color[rows, columns]
    scale = LONGEST_SIDE_PX / max(picture.shape[:2])
    if scale < 1.0:
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    for quality in QUALITIES:
        jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(jpeg) <= MAX_BYTES:
            break
    return jpeg
