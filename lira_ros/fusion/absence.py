"""What a keyframe says about instances that none of its candidates shows."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.evidence import SEEN_THROUGH_LOG_ODDS, VoxelEvidence
from lira_ros.fusion.lifting import COLOR_STRIDE, NEAR_SURFACE, ON_SURFACE, SEEN_THROUGH, StoredKeyframe

# Seen through counts when it holds for most of what the view tells about.
SEEN_THROUGH_SHARE = 0.6
SEEN_THROUGH_VOXELS = 10
# Another surface lies where a flat thing was when most of its voxels show another colour, by ten just noticeable
# differences of 2.3 in CIELAB: exposure and shade change less between two looks.
OTHER_COLOR_SHARE = 0.6
OTHER_COLOR_DISTANCE = 25.0
COLOR_SAMPLES = 200


def free_space_log_odds(relation: NDArray[np.uint8]) -> float:
    """Return what it says about existence that a keyframe saw through some of (N,) voxels; 0 when it says nothing."""
    through = int(np.count_nonzero(relation == SEEN_THROUGH))
    there = int(np.count_nonzero((relation == ON_SURFACE) | (relation == NEAR_SURFACE)))
    if through < min(SEEN_THROUGH_VOXELS, len(relation)) or through < SEEN_THROUGH_SHARE * (through + there):
        return 0.0
    return SEEN_THROUGH_LOG_ODDS


def shows_another_surface(
    voxels: VoxelEvidence, visible: NDArray[np.bool_], pixel: NDArray[np.int32], stored: StoredKeyframe
) -> bool:
    """Tell whether the (N,) visible voxels of an instance have other colours in a keyframe than they had.

    What is flatter than the room for pose errors is never seen through: a book is gone, and the table is where it was.
    pixel: (N,) flat pixels to which all voxels project.
    """
    chosen = np.flatnonzero(visible & (voxels.color_weights > 0))
    chosen = chosen[:: max(1, len(chosen) // COLOR_SAMPLES)]
    if len(chosen) < SEEN_THROUGH_VOXELS:
        return False
    rows, columns = np.divmod(pixel[chosen], stored.camera.width_px)
    now = stored.color[rows // COLOR_STRIDE, columns // COLOR_STRIDE]
    before = voxels.colors[chosen] / voxels.color_weights[chosen, None]
    distance = np.linalg.norm(_lab(now) - _lab(before), axis=1)
    return bool(np.count_nonzero(distance > OTHER_COLOR_DISTANCE) >= OTHER_COLOR_SHARE * len(chosen))


def _lab(colors: NDArray[np.generic]) -> NDArray[np.float32]:
    unit = np.clip(colors.astype(np.float32) / np.float32(255.0), 0.0, 1.0).reshape(-1, 1, 3)
    return np.asarray(cv2.cvtColor(unit, cv2.COLOR_RGB2LAB).reshape(-1, 3), dtype=np.float32)
